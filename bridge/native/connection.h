/* One connection to a server: a Unix socket, or TLS 1.3 over TCP. Every wait has a limit. */

#ifndef HSMBRIDGE_CONNECTION_H
#define HSMBRIDGE_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum {
    LONGEST_HOST = 256,
    LONGEST_PATH = 1024,
    CONNECT_SECONDS = 10, /* longest wait for a TCP connection, and for its handshake */
    ANSWER_SECONDS = 120, /* longest wait for one answer, unless the environment has another one */
};

/* A host that begins with '/' is the path of a Unix socket. */
struct server {
    char host[LONGEST_HOST];
    unsigned port;
};

/* PEM files: the authority that has signed the servers' certificates; the client's own certificate and key, or "". */
struct tls_files {
    char authority[LONGEST_PATH], certificate[LONGEST_PATH], key[LONGEST_PATH];
};

struct connection;

/* Tell whether the host can be one. */
bool server_usable(const struct server *server);
/* Tell whether it is reached over TLS. */
bool server_is_remote(const struct server *server);

/* The time of a clock that nobody sets, in seconds. */
time_t monotonic_seconds(void);

/* NULL where the server does not answer or is not who it should be, which the log tells of TLS and of users. */
struct connection *connection_open(const struct server *server, const struct tls_files *files);
void connection_close(struct connection *connection);
/* Close the descriptor only. In a child after fork: the rest is the parent's, or locked by one of its threads. */
void connection_abandon(struct connection *connection);

/* Tell whether the server has closed it, or sent what nobody asked for. Between two requests nothing arrives. */
bool connection_over(const struct connection *connection);

/* Set the time until which the following calls wait at most. */
void connection_limit(struct connection *connection, int seconds);
bool connection_send(struct connection *connection, const unsigned char *data, size_t length);
bool connection_receive(struct connection *connection, unsigned char *data, size_t length);

#endif

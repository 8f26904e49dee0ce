/* A client of the protocol: connections to the servers of one cluster, shared by all threads of the program. */

#ifndef HSMBRIDGE_CLIENT_H
#define HSMBRIDGE_CLIENT_H

#include <pthread.h>
#include <time.h>

#include "connection.h"
#include "wire.h"

enum {
    CLIENT_IDLE = 16, /* connections that are kept for the next request */
    MAX_SERVERS = 32,
    NAMES_SECONDS = 60, /* time after which an HSM is asked for the others again */
};

enum operation { OP_HELLO = 1, OP_REPEAT = 34, OP_CRYPTOKI_OPEN = 90, OP_CRYPTOKI = 91, OP_CLUSTER_MEMBERS = 172 };
enum status { STATUS_OK = 0, STATUS_NOT_REPEATED = 5, STATUS_UNKNOWN = 45, STATUS_NOT_CAUGHT_UP = 67 };

/* The servers of a cluster, in the order of the configuration. */
struct cluster {
    struct server servers[MAX_SERVERS];
    int server_count;
    struct tls_files files;
    bool retries;       /* a request whose answer was lost may be sent again */
    int answer_seconds; /* longest wait for one answer */
};

/* All connections are to one server, because the program's sessions are there. The servers that an HSM names follow those
 * of the configuration.
 */
struct client {
    struct cluster cluster;
    pthread_mutex_t lock;
    pthread_mutex_t leaving; /* one thread at a time looks for a server in place of one that refuses */
    int configured;  /* servers of the configuration */
    int current;     /* the server that answered last */
    unsigned change; /* how often that was another one than before */
    time_t due;      /* when an HSM is asked for the others */
    struct connection *idle[CLIENT_IDLE];
    int idle_count;
};

/* A response: its status, and its values. */
struct response {
    unsigned char *frame;
    size_t length;
    unsigned status;
    struct wire_in values;
};

bool client_init(struct client *client, const struct cluster *cluster);
/* Close all connections. In a child after fork, `child`, this leaves the parent's connections alone. */
void client_close(struct client *client, bool child);

/* Send a request and receive its response, which the caller frees.
 *
 * `again` says that the request may be sent twice: where the connection broke before the answer, it is sent once more.
 * Where the server does not answer, or refuses because it has no contact with its cluster, the others are tried; one that
 * answers has no session of this program.
 * Returns false where no answer came.
 */
bool client_exchange(struct client *client, struct wire_out *request, bool again, struct response *response);
void response_free(struct response *response);

/* Tell whether the HSM answers. */
bool client_reaches(struct client *client);

#endif

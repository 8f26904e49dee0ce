#include "connection.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "tls.h"

enum { BUFFER = 16 * 1024 };

/* `buffer` has what was received beyond what was asked for. */
struct connection {
    int socket;
    struct tls *tls; /* NULL for a Unix socket */
    time_t deadline;
    size_t at, end;
    unsigned char buffer[BUFFER];
};

bool server_usable(const struct server *server) {
    return server_is_remote(server) || (server->host[0] == '/' &&
                                        strlen(server->host) < sizeof ((struct sockaddr_un *)NULL)->sun_path);
}

bool server_is_remote(const struct server *server) {
    return server->host[0] != 0 && server->host[0] != '/';
}

time_t monotonic_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* Wait until the socket is ready or the deadline has passed. */
static bool wait_for(const struct connection *connection, short events) {
    for (;;) {
        time_t left = connection->deadline - monotonic_seconds();
        if (left <= 0) {
            return false;
        }
        struct pollfd polled = {.fd = connection->socket, .events = events};
        int ready = poll(&polled, 1, (int)left * 1000);
        if (ready > 0) {
            return true;
        }
        if (ready < 0 && errno != EINTR) {
            return false;
        }
    }
}

static bool send_plain(const struct connection *connection, const unsigned char *data, size_t length) {
    while (length > 0) {
        ssize_t sent = send(connection->socket, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        } else if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (!wait_for(connection, POLLOUT)) {
                return false;
            }
        } else if (sent == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* Receive at least one byte. Returns how many, 0 for the end, a failure or the deadline. */
static size_t receive_some(const struct connection *connection, unsigned char *data, size_t room) {
    for (;;) {
        if (!wait_for(connection, POLLIN)) {
            return 0;
        }
        ssize_t received = recv(connection->socket, data, room, MSG_DONTWAIT);
        if (received >= 0) {
            return (size_t)received;
        }
        if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
            return 0;
        }
    }
}

/* Send what TLS has to send. */
static bool flush(struct connection *connection) {
    unsigned char records[BUFFER];
    size_t length;
    while ((length = tls_output(connection->tls, records, sizeof records)) > 0) {
        if (!send_plain(connection, records, length)) {
            return false;
        }
    }
    return true;
}

/* Give TLS what the server sends next. */
static bool feed(struct connection *connection) {
    unsigned char records[BUFFER];
    size_t length = receive_some(connection, records, sizeof records);
    return length > 0 && tls_input(connection->tls, records, length);
}

void connection_limit(struct connection *connection, int seconds) {
    connection->deadline = monotonic_seconds() + seconds;
}

bool connection_send(struct connection *connection, const unsigned char *data, size_t length) {
    if (connection->tls == NULL) {
        return send_plain(connection, data, length);
    }
    for (size_t sent = 0; sent < length;) {
        size_t part = length - sent < BUFFER ? length - sent : BUFFER;
        if (!tls_write(connection->tls, data + sent, part) || !flush(connection)) {
            return false;
        }
        sent += part;
    }
    return true;
}

/* Receive decrypted bytes. Returns how many, 0 for the end or a failure. */
static size_t receive_tls(struct connection *connection, unsigned char *data, size_t room) {
    for (;;) {
        size_t length = 0;
        enum tls_step step = tls_read(connection->tls, data, room, &length);
        if (step == TLS_DONE) {
            return length;
        }
        if (step != TLS_WAITS || !flush(connection) || !feed(connection)) {
            return 0;
        }
    }
}

bool connection_receive(struct connection *connection, unsigned char *data, size_t length) {
    while (length > 0) {
        if (connection->at == connection->end) {
            size_t received = connection->tls != NULL ? receive_tls(connection, connection->buffer, BUFFER)
                                                      : receive_some(connection, connection->buffer, BUFFER);
            if (received == 0) {
                return false;
            }
            connection->at = 0;
            connection->end = received;
        }
        size_t part = connection->end - connection->at < length ? connection->end - connection->at : length;
        memcpy(data, connection->buffer + connection->at, part);
        /* Answers hold plain texts. */
        explicit_bzero(connection->buffer + connection->at, part);
        connection->at += part;
        data += part;
        length -= part;
    }
    return true;
}

bool connection_over(const struct connection *connection) {
    struct pollfd polled = {.fd = connection->socket, .events = POLLIN};
    bool left = connection->at != connection->end || (connection->tls != NULL && !tls_idle(connection->tls));
    return left || poll(&polled, 1, 0) != 0;
}

/* Tell whether only root, this user and the owner could have made a directory and what is in it. Everybody may make one in
   a directory with the sticky bit, where it must belong to root or this user. No part of the path may be a link. Cuts the
   path. */
static bool made_by(char *directory, uid_t owner) {
    struct stat found;
    bool first = true, own_child = false;
    for (;;) {
        if (lstat(*directory ? directory : "/", &found) != 0 || !S_ISDIR(found.st_mode)) {
            return false;
        }
        if (first ? found.st_uid != owner : found.st_uid != owner && found.st_uid != 0 && found.st_uid != geteuid()) {
            return false;
        }
        bool sticky = !first && (found.st_mode & S_ISVTX) && own_child;
        if ((found.st_mode & (S_IWGRP | S_IWOTH)) && !sticky) {
            return false;
        }
        char *end = strrchr(directory, '/');
        if (end == NULL) {
            return *directory == 0;
        }
        own_child = found.st_uid == 0 || found.st_uid == geteuid();
        first = false;
        *end = 0;
    }
}

/* This user and root may serve the socket, and the owner of its directory if nobody else could have made it: a PIN goes
   there. */
static bool trusted(int socket, const char *path) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return false;
    }
    if (peer.uid == geteuid() || peer.uid == 0) {
        return true;
    }
    char directory[LONGEST_HOST];
    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(path, '/') - path), path);
    bool is = made_by(directory, peer.uid);
    if (!is) {
        log_error("the operating-system user %u serves %s, and another user than root, %u and %u may have put it there, or "
                  "a symbolic link leads there; nothing was sent there",
                  (unsigned)peer.uid, path, (unsigned)peer.uid, (unsigned)geteuid());
    }
    return is;
}

static bool connect_unix(struct connection *connection, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    connection->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->socket < 0) {
        return false;
    }
    strcpy(address.sun_path, path);
    /* connect(2) waits for a server whose queue is full. */
    setsockopt(connection->socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int failed;
    do {
        failed = connect(connection->socket, (struct sockaddr *)&address, sizeof address);
    } while (failed && errno == EINTR);
    if (failed && errno == EACCES) {
        log_error("the operating-system user %u may not connect to %s; the members of its group may",
                  (unsigned)geteuid(), path);
        return false;
    }
    if (failed) {
        log_error("no HSM answers at %s: %s; `hsm start` starts one", path, strerror(errno));
        return false;
    }
    return trusted(connection->socket, path);
}

/* Connect to one address. Returns 0, or the number of the error. */
static int connect_address(struct connection *connection, const struct addrinfo *address) {
    int on = 1, error = 0;
    socklen_t size = sizeof error;
    connection->socket = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection->socket < 0) {
        return errno;
    }
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(connection->socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(connection->socket, address->ai_addr, address->ai_addrlen) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS && errno != EINTR) {
        return errno;
    }
    if (!wait_for(connection, POLLOUT)) {
        return ETIMEDOUT;
    }
    return getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0 ? errno : error;
}

static bool connect_tcp(struct connection *connection, const struct server *server, char *why) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char port[16];
    snprintf(port, sizeof port, "%u", server->port);
    int failed = getaddrinfo(server->host, port, &hints, &found);
    if (failed != 0) {
        snprintf(why, TLS_WHY, "no address is known for this host (%s)", gai_strerror(failed));
        return false;
    }
    int error = ECONNREFUSED;
    for (const struct addrinfo *address = found; address != NULL; address = address->ai_next) {
        error = connect_address(connection, address);
        if (error == 0) {
            break;
        }
        close(connection->socket);
        connection->socket = -1;
    }
    freeaddrinfo(found);
    if (error != 0) {
        snprintf(why, TLS_WHY, "%s", strerror(error));
    }
    return error == 0;
}

static bool handshake(struct connection *connection, const char *host, const struct tls_files *files, char *why) {
    connection->tls = tls_new(files, host, why);
    if (connection->tls == NULL) {
        return false;
    }
    for (;;) {
        enum tls_step step = tls_handshake(connection->tls, why);
        /* A refusal is sent too: an alert tells the server why. */
        bool sent = flush(connection);
        if (step == TLS_FAILED) {
            return false;
        }
        if (sent && step == TLS_DONE) {
            return tls_is_server(connection->tls, host, why);
        }
        if (!sent || !feed(connection)) {
            snprintf(why, TLS_WHY, "it ended the connection in the handshake, or took too long");
            return false;
        }
    }
}

static bool connect_remote(struct connection *connection, const struct server *server, const struct tls_files *files) {
    char why[TLS_WHY] = "";
    connection_limit(connection, CONNECT_SECONDS);
    if (!connect_tcp(connection, server, why)) {
        log_error("no HSM answers at %s:%u: %s", server->host, server->port, why);
        return false;
    }
    if (!handshake(connection, server->host, files, why)) {
        log_error("the HSM at %s:%u is refused: %s", server->host, server->port, why);
        return false;
    }
    log_info("connected to %s:%u", server->host, server->port);
    return true;
}

struct connection *connection_open(const struct server *server, const struct tls_files *files) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        return NULL;
    }
    connection->socket = -1;
    bool opened = server_is_remote(server) ? connect_remote(connection, server, files)
                                           : connect_unix(connection, server->host);
    if (!opened) {
        connection_close(connection);
        return NULL;
    }
    return connection;
}

void connection_abandon(struct connection *connection) {
    if (connection->socket >= 0) {
        close(connection->socket);
    }
}

void connection_close(struct connection *connection) {
    connection_abandon(connection);
    tls_free(connection->tls);
    explicit_bzero(connection->buffer, sizeof connection->buffer);
    free(connection);
}

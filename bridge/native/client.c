#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

bool client_init(struct client *client, const char *path) {
    memset(client, 0, sizeof *client);
    if (strlen(path) >= sizeof client->path) {
        return false;
    }
    strcpy(client->path, path);
    client->retries = true;
    return pthread_mutex_init(&client->lock, NULL) == 0;
}

void client_close(struct client *client) {
    for (int i = 0; i < client->idle_count; i++) {
        close(client->idle[i]);
    }
    client->idle_count = 0;
    pthread_mutex_destroy(&client->lock);
}

void response_free(struct response *response) {
    if (response->frame != NULL) {
        explicit_bzero(response->frame, response->length);
        free(response->frame);
    }
    memset(response, 0, sizeof *response);
}

static time_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* Wait until the socket is ready or the deadline has passed. */
static bool wait_for(int socket, short events, time_t deadline) {
    for (;;) {
        time_t left = deadline - now();
        if (left <= 0) {
            return false;
        }
        struct pollfd polled = {.fd = socket, .events = events};
        int ready = poll(&polled, 1, (int)left * 1000);
        if (ready > 0) {
            return true;
        }
        if (ready < 0 && errno != EINTR) {
            return false;
        }
    }
}

static bool send_all(int socket, const unsigned char *data, size_t length, time_t deadline) {
    while (length > 0) {
        ssize_t sent = send(socket, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        } else if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (!wait_for(socket, POLLOUT, deadline)) {
                return false;
            }
        } else if (sent == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

static bool receive_all(int socket, unsigned char *data, size_t length, time_t deadline) {
    while (length > 0) {
        if (!wait_for(socket, POLLIN, deadline)) {
            return false;
        }
        ssize_t received = recv(socket, data, length, MSG_DONTWAIT);
        if (received > 0) {
            data += received;
            length -= (size_t)received;
        } else if (received == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
            return false;
        }
    }
    return true;
}

enum { CHUNK = 1024 * 1024 };

/* Receive a frame whose header is there. Memory grows with what arrives, whatever length the header claims. */
static bool receive_body(int socket, struct response *response, size_t length, time_t deadline) {
    size_t have = WIRE_HEADER;
    while (have < length) {
        size_t next = length - have < CHUNK ? length - have : CHUNK;
        unsigned char *frame = malloc(have + next);
        if (frame == NULL) {
            return false;
        }
        memcpy(frame, response->frame, have);
        explicit_bzero(response->frame, have);
        free(response->frame);
        response->frame = frame;
        response->length = have + next;
        if (!receive_all(socket, frame + have, next, deadline)) {
            return false;
        }
        have += next;
    }
    return true;
}

static bool receive(int socket, struct response *response, time_t deadline) {
    response->frame = malloc(WIRE_HEADER);
    response->length = WIRE_HEADER;
    if (response->frame == NULL || !receive_all(socket, response->frame, WIRE_HEADER, deadline)) {
        return false;
    }
    size_t length = (size_t)wire_u32(response->frame) + 4;
    if (length < WIRE_HEADER || length > WIRE_MAX_FRAME || response->frame[4] != WIRE_VERSION || response->frame[5]) {
        return false;
    }
    if (!receive_body(socket, response, length, deadline)) {
        return false;
    }
    response->status = (unsigned)response->frame[6] << 8 | response->frame[7];
    response->values.at = response->frame + WIRE_HEADER;
    response->values.end = response->frame + length;
    response->values.failed = false;
    return true;
}

static bool exchange_on(int socket, const struct wire_out *request, struct response *response) {
    time_t deadline = now() + CLIENT_SECONDS;
    memset(response, 0, sizeof *response);
    if (send_all(socket, request->data, request->length, deadline) && receive(socket, response, deadline)) {
        return true;
    }
    response_free(response);
    return false;
}

/* This user, root or, for root, the owner of the directory may serve the socket: a PIN goes there. */
static bool trusted(int socket, const char *path) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return false;
    }
    if (peer.uid == geteuid() || peer.uid == 0) {
        return true;
    }
    struct stat found;
    return geteuid() == 0 && stat(path, &found) == 0 && found.st_uid == peer.uid;
}

static int connect_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = CLIENT_SECONDS};
    int connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connected < 0) {
        return -1;
    }
    strcpy(address.sun_path, path);
    /* connect(2) waits for a server whose queue is full. */
    setsockopt(connected, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    int failed;
    do {
        failed = connect(connected, (struct sockaddr *)&address, sizeof address);
    } while (failed && errno == EINTR);
    if (failed || !trusted(connected, path)) {
        close(connected);
        return -1;
    }
    return connected;
}

static bool greet(int socket) {
    struct wire_out hello = {0};
    struct response response;
    wire_begin(&hello, OP_HELLO, 0, 0);
    wire_put_int(&hello, WIRE_VERSION);
    wire_put_int(&hello, WIRE_VERSION);
    wire_put_text(&hello, "pkcs11");
    wire_end(&hello);
    bool greeted = !hello.failed && exchange_on(socket, &hello, &response);
    if (greeted) {
        greeted = response.status == STATUS_OK;
        response_free(&response);
    }
    wire_free(&hello);
    return greeted;
}

static int connect_new(struct client *client) {
    int connected = connect_socket(client->path);
    if (connected >= 0 && !greet(connected)) {
        close(connected);
        return -1;
    }
    return connected;
}

static int take_idle(struct client *client) {
    int taken = -1;
    pthread_mutex_lock(&client->lock);
    if (client->idle_count > 0) {
        taken = client->idle[--client->idle_count];
    }
    pthread_mutex_unlock(&client->lock);
    return taken;
}

static void give_back(struct client *client, int socket) {
    pthread_mutex_lock(&client->lock);
    bool kept = client->idle_count < CLIENT_IDLE;
    if (kept) {
        client->idle[client->idle_count++] = socket;
    }
    pthread_mutex_unlock(&client->lock);
    if (!kept) {
        close(socket);
    }
}

/* Between two requests nothing arrives, so a socket that is readable was closed. */
static bool is_open(int socket) {
    struct pollfd polled = {.fd = socket, .events = POLLIN};
    return poll(&polled, 1, 0) == 0;
}

static int take(struct client *client) {
    int taken;
    while ((taken = take_idle(client)) >= 0) {
        if (is_open(taken)) {
            return taken;
        }
        close(taken);
    }
    return connect_new(client);
}

bool client_exchange(struct client *client, struct wire_out *request, bool again, struct response *response) {
    memset(response, 0, sizeof *response);
    if (request->failed) {
        return false;
    }
    int attempts = again && client->retries ? 2 : 1;
    for (int attempt = 0; attempt < attempts; attempt++) {
        int socket = take(client);
        if (socket < 0) {
            return false;
        }
        if (exchange_on(socket, request, response)) {
            give_back(client, socket);
            return true;
        }
        close(socket);
    }
    return false;
}

bool client_reaches(struct client *client) {
    int socket = take(client);
    if (socket < 0) {
        return false;
    }
    give_back(client, socket);
    return true;
}

#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "members.h"

bool client_init(struct client *client, const struct cluster *cluster) {
    memset(client, 0, sizeof *client);
    client->cluster = *cluster;
    client->configured = cluster->server_count;
    return pthread_mutex_init(&client->lock, NULL) == 0 && pthread_mutex_init(&client->leaving, NULL) == 0;
}

void client_close(struct client *client, bool child) {
    for (int i = 0; i < client->idle_count; i++) {
        if (child) {
            connection_abandon(client->idle[i]);
        } else {
            connection_close(client->idle[i]);
        }
    }
    client->idle_count = 0;
    pthread_mutex_destroy(&client->lock);
    pthread_mutex_destroy(&client->leaving);
}

void response_free(struct response *response) {
    if (response->frame != NULL) {
        explicit_bzero(response->frame, response->length);
        free(response->frame);
    }
    memset(response, 0, sizeof *response);
}

enum { CHUNK = 1024 * 1024 };

/* Receive a frame whose header is there. Memory grows with what arrives, whatever length the header claims. */
static bool receive_body(struct connection *connection, struct response *response, size_t length) {
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
        if (!connection_receive(connection, frame + have, next)) {
            return false;
        }
        have += next;
    }
    return true;
}

static bool receive(struct connection *connection, struct response *response) {
    response->frame = malloc(WIRE_HEADER);
    response->length = WIRE_HEADER;
    if (response->frame == NULL || !connection_receive(connection, response->frame, WIRE_HEADER)) {
        return false;
    }
    size_t length = (size_t)wire_u32(response->frame) + 4;
    if (length < WIRE_HEADER || length > WIRE_MAX_FRAME || response->frame[4] != WIRE_VERSION || response->frame[5]) {
        return false;
    }
    if (!receive_body(connection, response, length)) {
        return false;
    }
    response->status = (unsigned)response->frame[6] << 8 | response->frame[7];
    response->values.at = response->frame + WIRE_HEADER;
    response->values.end = response->frame + length;
    response->values.failed = false;
    return true;
}

static bool exchange_on(const struct client *client, struct connection *connection, const struct wire_out *request,
                        struct response *response) {
    memset(response, 0, sizeof *response);
    connection_limit(connection, client->cluster.answer_seconds);
    if (connection_send(connection, request->data, request->length) && receive(connection, response)) {
        return true;
    }
    response_free(response);
    return false;
}

static bool greet(const struct client *client, struct connection *connection) {
    struct wire_out hello = {0};
    struct response response;
    wire_begin(&hello, OP_HELLO, 0, 0);
    wire_put_int(&hello, WIRE_VERSION);
    wire_put_int(&hello, WIRE_VERSION);
    wire_put_text(&hello, "pkcs11");
    wire_end(&hello);
    bool greeted = !hello.failed && exchange_on(client, connection, &hello, &response);
    if (greeted) {
        greeted = response.status == STATUS_OK;
        response_free(&response);
    }
    wire_free(&hello);
    return greeted;
}

/* The servers. The lock is held in the next two functions. */

static bool same(const struct server *left, const struct server *right) {
    return left->port == right->port && strcmp(left->host, right->host) == 0;
}

/* The place of a server, which is added where it is missing. */
static int place_of(struct cluster *cluster, const struct server *server) {
    int place = 0;
    while (place < cluster->server_count && !same(&cluster->servers[place], server)) {
        place++;
    }
    if (place == cluster->server_count) {
        place -= place == MAX_SERVERS;
        cluster->servers[place] = *server;
        cluster->server_count = place + 1;
    }
    return place;
}

/* Take the servers that an HSM has named in place of those that were named before. The one in use stays. */
static void note_servers(struct client *client, const struct server *named, int count) {
    struct cluster *cluster = &client->cluster;
    pthread_mutex_lock(&client->lock);
    struct server used = cluster->servers[client->current];
    cluster->server_count = client->configured;
    client->current = place_of(cluster, &used);
    for (int i = 0; i < count && cluster->server_count < MAX_SERVERS; i++) {
        place_of(cluster, &named[i]);
    }
    pthread_mutex_unlock(&client->lock);
}

/* Tell whether an HSM is asked for the others now, by this thread. */
static bool asks_now(struct client *client) {
    time_t now = monotonic_seconds();
    pthread_mutex_lock(&client->lock);
    bool asks = now >= client->due && server_is_remote(&client->cluster.servers[client->current]);
    if (asks) {
        client->due = now + NAMES_SECONDS;
    }
    pthread_mutex_unlock(&client->lock);
    return asks;
}

/* Ask for the HSMs of the cluster where the last answer is old. Returns false where the connection broke. */
static bool learn(struct client *client, struct connection *connection) {
    struct wire_out request = {0};
    struct response response;
    if (!asks_now(client)) {
        return true;
    }
    wire_begin(&request, OP_CLUSTER_MEMBERS, 0, 0);
    wire_end(&request);
    bool answered = !request.failed && exchange_on(client, connection, &request, &response);
    if (answered) {
        struct server named[MAX_SERVERS];
        int count = response.status == STATUS_OK ? members_read(&response.values, named, MAX_SERVERS) : 0;
        if (count > 0) {
            note_servers(client, named, count);
        }
        response_free(&response);
    }
    wire_free(&request);
    return answered;
}

static struct server server_at(struct client *client, int after, int *count) {
    pthread_mutex_lock(&client->lock);
    *count = client->cluster.server_count;
    struct server server = client->cluster.servers[(client->current + after) % *count];
    pthread_mutex_unlock(&client->lock);
    return server;
}

/* Note the server that has answered. Returns how often that was another one than before. */
static unsigned use_server(struct client *client, const struct server *server) {
    pthread_mutex_lock(&client->lock);
    if (!same(&client->cluster.servers[client->current], server)) {
        client->current = place_of(&client->cluster, server);
        client->change++;
    }
    unsigned change = client->change;
    pthread_mutex_unlock(&client->lock);
    return change;
}

/* Connect to the first server that answers, from that many after the one that answered last on. */
static struct connection *connect_new(struct client *client, int after, unsigned *change) {
    int count;
    server_at(client, 0, &count);
    for (int i = after; i < count; i++) {
        struct server server = server_at(client, i, &count);
        struct connection *connection = connection_open(&server, &client->cluster.files);
        if (connection != NULL && greet(client, connection)) {
            *change = use_server(client, &server);
            if (learn(client, connection)) {
                return connection;
            }
        }
        if (connection != NULL) {
            connection_close(connection);
        }
    }
    return NULL;
}

static struct connection *take_idle(struct client *client, unsigned *change) {
    struct connection *taken = NULL;
    pthread_mutex_lock(&client->lock);
    *change = client->change;
    if (client->idle_count > 0) {
        taken = client->idle[--client->idle_count];
    }
    pthread_mutex_unlock(&client->lock);
    return taken;
}

/* Keep a connection for the next request. One to a server that is not in use any more is closed. */
static void give_back(struct client *client, struct connection *connection, unsigned change) {
    pthread_mutex_lock(&client->lock);
    bool kept = client->idle_count < CLIENT_IDLE && change == client->change;
    if (kept) {
        client->idle[client->idle_count++] = connection;
    }
    pthread_mutex_unlock(&client->lock);
    if (!kept) {
        connection_close(connection);
    }
}

static struct connection *take(struct client *client, unsigned *change) {
    struct connection *taken;
    while ((taken = take_idle(client, change)) != NULL) {
        if (!connection_over(taken) && learn(client, taken)) {
            return taken;
        }
        connection_close(taken);
    }
    return connect_new(client, 0, change);
}

/* Close the connections that wait: a server that did not answer one request in time would not answer the next. */
static void close_idle(struct client *client) {
    struct connection *idle;
    unsigned change;
    while ((idle = take_idle(client, &change)) != NULL) {
        connection_close(idle);
    }
}

/* Leave a server for the next one that answers, unless another thread has. Returns false where there is none. */
static bool leave(struct client *client, unsigned change) {
    pthread_mutex_lock(&client->leaving);
    pthread_mutex_lock(&client->lock);
    bool left = client->change != change;
    pthread_mutex_unlock(&client->lock);
    struct connection *next = left ? NULL : connect_new(client, 1, &change);
    if (next != NULL) {
        close_idle(client);
        give_back(client, next, change);
        left = true;
    }
    pthread_mutex_unlock(&client->leaving);
    return left;
}

/* Send a request and receive its response. A server that has no contact with its cluster has done nothing: it is left. */
static bool exchange_anywhere(struct client *client, struct connection **connection, unsigned *change,
                              const struct wire_out *request, struct response *response) {
    for (int left = 1; exchange_on(client, *connection, request, response); left++) {
        int count;
        server_at(client, 0, &count);
        if (response->status != STATUS_NOT_CAUGHT_UP || left >= count || !leave(client, *change)) {
            return true;
        }
        response_free(response);
        connection_close(*connection);
        *connection = take(client, change);
        if (*connection == NULL) {
            return false;
        }
    }
    return false;
}

bool client_exchange(struct client *client, struct wire_out *request, bool again, struct response *response) {
    memset(response, 0, sizeof *response);
    if (request->failed) {
        return false;
    }
    int attempts = again && client->cluster.retries ? 2 : 1;
    for (int attempt = 0; attempt < attempts; attempt++) {
        unsigned change;
        struct connection *connection = take(client, &change);
        if (connection == NULL) {
            return false;
        }
        if (exchange_anywhere(client, &connection, &change, request, response)) {
            give_back(client, connection, change);
            return true;
        }
        if (connection != NULL) {
            connection_close(connection);
        }
        close_idle(client);
    }
    return false;
}

bool client_reaches(struct client *client) {
    unsigned change;
    struct connection *connection = take(client, &change);
    if (connection == NULL) {
        return false;
    }
    give_back(client, connection, change);
    return true;
}

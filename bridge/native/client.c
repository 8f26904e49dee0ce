#include "client.h"

#include <stdlib.h>
#include <string.h>

bool client_init(struct client *client, const struct cluster *cluster) {
    memset(client, 0, sizeof *client);
    client->cluster = *cluster;
    return pthread_mutex_init(&client->lock, NULL) == 0;
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

static bool exchange_on(struct connection *connection, const struct wire_out *request, struct response *response) {
    memset(response, 0, sizeof *response);
    connection_limit(connection, ANSWER_SECONDS);
    if (connection_send(connection, request->data, request->length) && receive(connection, response)) {
        return true;
    }
    response_free(response);
    return false;
}

static bool greet(struct connection *connection) {
    struct wire_out hello = {0};
    struct response response;
    wire_begin(&hello, OP_HELLO, 0, 0);
    wire_put_int(&hello, WIRE_VERSION);
    wire_put_int(&hello, WIRE_VERSION);
    wire_put_text(&hello, "pkcs11");
    wire_end(&hello);
    bool greeted = !hello.failed && exchange_on(connection, &hello, &response);
    if (greeted) {
        greeted = response.status == STATUS_OK;
        response_free(&response);
    }
    wire_free(&hello);
    return greeted;
}

static int server_in_use(struct client *client) {
    pthread_mutex_lock(&client->lock);
    int current = client->current;
    pthread_mutex_unlock(&client->lock);
    return current;
}

static void use_server(struct client *client, int server) {
    pthread_mutex_lock(&client->lock);
    client->current = server;
    pthread_mutex_unlock(&client->lock);
}

/* Connect to the server that answered last, else to the next one that answers. */
static struct connection *connect_new(struct client *client) {
    const struct cluster *cluster = &client->cluster;
    int first = server_in_use(client);
    for (int i = 0; i < cluster->server_count; i++) {
        int server = (first + i) % cluster->server_count;
        struct connection *connection = connection_open(&cluster->servers[server], &cluster->files);
        if (connection != NULL && greet(connection)) {
            if (i > 0) {
                use_server(client, server);
            }
            return connection;
        }
        if (connection != NULL) {
            connection_close(connection);
        }
    }
    return NULL;
}

static struct connection *take_idle(struct client *client) {
    struct connection *taken = NULL;
    pthread_mutex_lock(&client->lock);
    if (client->idle_count > 0) {
        taken = client->idle[--client->idle_count];
    }
    pthread_mutex_unlock(&client->lock);
    return taken;
}

static void give_back(struct client *client, struct connection *connection) {
    pthread_mutex_lock(&client->lock);
    bool kept = client->idle_count < CLIENT_IDLE;
    if (kept) {
        client->idle[client->idle_count++] = connection;
    }
    pthread_mutex_unlock(&client->lock);
    if (!kept) {
        connection_close(connection);
    }
}

static struct connection *take(struct client *client) {
    struct connection *taken;
    while ((taken = take_idle(client)) != NULL) {
        if (!connection_over(taken)) {
            return taken;
        }
        connection_close(taken);
    }
    return connect_new(client);
}

bool client_exchange(struct client *client, struct wire_out *request, bool again, struct response *response) {
    memset(response, 0, sizeof *response);
    if (request->failed) {
        return false;
    }
    int attempts = again && client->cluster.retries ? 2 : 1;
    for (int attempt = 0; attempt < attempts; attempt++) {
        struct connection *connection = take(client);
        if (connection == NULL) {
            return false;
        }
        if (exchange_on(connection, request, response)) {
            give_back(client, connection);
            return true;
        }
        connection_close(connection);
    }
    return false;
}

bool client_reaches(struct client *client) {
    struct connection *connection = take(client);
    if (connection == NULL) {
        return false;
    }
    give_back(client, connection);
    return true;
}

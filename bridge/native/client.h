/* A client of the protocol: connections to one HSM, shared by all threads of the program. */

#ifndef HSMBRIDGE_CLIENT_H
#define HSMBRIDGE_CLIENT_H

#include <pthread.h>

#include "wire.h"

enum {
    CLIENT_IDLE = 16,      /* connections that are kept for the next request */
    CLIENT_SECONDS = 120,  /* longest wait for one answer */
    CLIENT_PATH = 108,     /* bytes of a socket's path, with the final zero byte */
};

enum operation { OP_HELLO = 1, OP_REPEAT = 34, OP_CRYPTOKI_OPEN = 90, OP_CRYPTOKI = 91 };
enum status { STATUS_OK = 0, STATUS_NOT_REPEATED = 5, STATUS_UNKNOWN = 45 };

struct client {
    char path[CLIENT_PATH];
    bool retries;
    pthread_mutex_t lock;
    int idle[CLIENT_IDLE];
    int idle_count;
};

/* A response: its status, and its values. */
struct response {
    unsigned char *frame;
    size_t length;
    unsigned status;
    struct wire_in values;
};

bool client_init(struct client *client, const char *path);
/* Close all connections. In a child after fork this leaves the parent's connections alone. */
void client_close(struct client *client);

/* Send a request and receive its response, which the caller frees.
 *
 * `again` says that the request may be sent twice: where the connection broke before the answer, it is sent once more.
 * Returns false where no answer came.
 */
bool client_exchange(struct client *client, struct wire_out *request, bool again, struct response *response);
void response_free(struct response *response);

/* Tell whether the HSM answers. */
bool client_reaches(struct client *client);

#endif

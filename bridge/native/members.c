#include "members.h"

#include <string.h>

enum { PORT_DIGITS = 5, LARGEST_PORT = 65535 };

/* Read `host:port`; an IPv6 address is in brackets. */
static bool read_address(const char *text, size_t length, struct server *server) {
    const char *colon = memrchr(text, ':', length);
    size_t host = colon != NULL ? (size_t)(colon - text) : 0, digits = length - host - 1;
    if (host > 1 && text[0] == '[' && text[host - 1] == ']') {
        text++;
        host -= 2;
    }
    if (host == 0 || host >= sizeof server->host || digits == 0 || digits > PORT_DIGITS ||
        memchr(text, 0, host) != NULL) {
        return false;
    }
    memset(server, 0, sizeof *server);
    memcpy(server->host, text, host);
    for (size_t i = 1; i <= digits; i++) {
        if (colon[i] < '0' || colon[i] > '9') {
            return false;
        }
        server->port = server->port * 10 + (unsigned)(colon[i] - '0');
    }
    return server->port > 0 && server->port <= LARGEST_PORT && server_is_remote(server);
}

/* Read one member's address. Returns false where it has none that can be used. */
static bool read_member(struct wire_in *in, struct server *server) {
    static const char ADDRESS[] = "address";
    uint32_t pairs = wire_get_map(in);
    bool found = false;
    for (uint32_t i = 0; i < pairs && !in->failed; i++) {
        size_t length;
        const unsigned char *name = wire_get_name(in, &length);
        if (name != NULL && length == strlen(ADDRESS) && memcmp(name, ADDRESS, length) == 0) {
            const unsigned char *text = wire_get_bytes(in, &length);
            found = text != NULL && read_address((const char *)text, length, server);
        } else {
            wire_skip(in);
        }
    }
    return found;
}

int members_read(struct wire_in *in, struct server *servers, int room) {
    uint32_t members = wire_get_list(in);
    int count = 0;
    for (uint32_t i = 0; i < members && count < room && !in->failed; i++) {
        count += read_member(in, &servers[count]);
    }
    return in->failed ? 0 : count;
}

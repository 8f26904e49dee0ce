#include "configuration.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char INSTALLED[] = "/opt/cloudhsm/etc/cloudhsm-pkcs11.cfg";

enum { LONGEST_FILE = 256 * 1024, LONGEST_TEXT = 256, MAX_DEPTH = 32, MAX_OPTIONS = 32 };

struct options {
    struct {
        char name[LONGEST_TEXT];
        bool value;
    } all[MAX_OPTIONS];
    uint32_t count;
};

struct slot_options {
    struct configured *slot;
    struct options options;
    bool has_server;
};

/* JSON (RFC 8259). `at` is NULL after bytes that are not JSON. */
struct json {
    const char *at, *end;
    struct slot_options *slots;
    int count, room;
};

static void fail(struct json *json) {
    json->at = NULL;
}

static void space(struct json *json) {
    while (json->at != NULL && json->at < json->end && strchr(" \t\r\n", *json->at)) {
        json->at++;
    }
}

static bool next_is(struct json *json, char wanted) {
    space(json);
    return json->at != NULL && json->at < json->end && *json->at == wanted;
}

static bool take(struct json *json, char wanted) {
    if (!next_is(json, wanted)) {
        return false;
    }
    json->at++;
    return true;
}

static void expect(struct json *json, char wanted) {
    if (!take(json, wanted)) {
        fail(json);
    }
}

/* A text, cut at LONGEST_TEXT - 1 bytes. Of escapes only those of one character are understood. */
static void text(struct json *json, char *value) {
    size_t length = 0;
    expect(json, '"');
    while (json->at != NULL && json->at < json->end && *json->at != '"') {
        if ((unsigned char)*json->at < 0x20) {
            fail(json);
            return;
        }
        if (*json->at == '\\') {
            json->at++;
            if (json->at >= json->end || *json->at == 'u') {
                fail(json);
                return;
            }
        }
        if (length < LONGEST_TEXT - 1) {
            value[length++] = *json->at;
        }
        json->at++;
    }
    value[length] = 0;
    expect(json, '"');
}

static void skip(struct json *json, int depth);

typedef void (*member)(struct json *json, const char *name, void *context, int depth);

static void object(struct json *json, member each, void *context, int depth) {
    expect(json, '{');
    if (depth > MAX_DEPTH) {
        fail(json);
    }
    if (json->at == NULL || take(json, '}')) {
        return;
    }
    do {
        char name[LONGEST_TEXT] = "";
        space(json);
        text(json, name);
        expect(json, ':');
        if (json->at != NULL) {
            each(json, name, context, depth + 1);
        }
    } while (json->at != NULL && take(json, ','));
    expect(json, '}');
}

static void array(struct json *json, void (*each)(struct json *json, void *context, int depth), void *context,
                  int depth) {
    expect(json, '[');
    if (depth > MAX_DEPTH) {
        fail(json);
    }
    if (json->at == NULL || take(json, ']')) {
        return;
    }
    do {
        each(json, context, depth + 1);
    } while (json->at != NULL && take(json, ','));
    expect(json, ']');
}

static void skip_member(struct json *json, const char *name, void *context, int depth) {
    (void)name;
    (void)context;
    skip(json, depth);
}

static void skip_element(struct json *json, void *context, int depth) {
    (void)context;
    skip(json, depth);
}

static void skip(struct json *json, int depth) {
    char ignored[LONGEST_TEXT];
    if (next_is(json, '{')) {
        object(json, skip_member, NULL, depth);
    } else if (next_is(json, '[')) {
        array(json, skip_element, NULL, depth);
    } else if (next_is(json, '"')) {
        text(json, ignored);
    } else {
        const char *start = json->at;
        while (json->at != NULL && json->at < json->end && (isalnum((unsigned char)*json->at) || strchr("+-.", *json->at))) {
            json->at++;
        }
        if (json->at == start) {
            fail(json);
        }
    }
}

static bool literal(struct json *json, const char *word) {
    size_t length = strlen(word);
    space(json);
    if (json->at == NULL || (size_t)(json->end - json->at) < length || memcmp(json->at, word, length) != 0) {
        return false;
    }
    json->at += length;
    return true;
}

static void set_option(struct options *options, const char *name, bool value) {
    for (uint32_t i = 0; i < options->count; i++) {
        if (strcmp(options->all[i].name, name) == 0) {
            options->all[i].value = value;
            return;
        }
    }
    if (options->count < MAX_OPTIONS) {
        strcpy(options->all[options->count].name, name);
        options->all[options->count++].value = value;
    }
}

static void option(struct json *json, const char *name, void *context, int depth) {
    struct slot_options *slot = context;
    char value[LONGEST_TEXT] = "";
    if (strcmp(name, "default_retry_mode") == 0 && next_is(json, '"')) {
        text(json, value);
        slot->slot->retries = strcasecmp(value, "off") != 0;
    } else if (literal(json, "true")) {
        set_option(&slot->options, name, true);
    } else if (literal(json, "false")) {
        set_option(&slot->options, name, false);
    } else {
        skip(json, depth);
    }
}

struct server {
    char hostname[LONGEST_TEXT];
    bool enabled;
};

static void server_member(struct json *json, const char *name, void *context, int depth) {
    struct server *server = context;
    if (strcmp(name, "hostname") == 0) {
        text(json, server->hostname);
    } else if (strcmp(name, "enable") == 0 && literal(json, "false")) {
        server->enabled = false;
    } else {
        skip(json, depth);
    }
}

/* The first server that is enabled and whose name is the path of a socket. */
static void one_server(struct json *json, void *context, int depth) {
    struct slot_options *slot = context;
    struct server server = {"", true};
    object(json, server_member, &server, depth);
    if (json->at != NULL && server.enabled && !slot->has_server && server.hostname[0] == '/') {
        if (strlen(server.hostname) >= sizeof slot->slot->path) {
            fail(json);
            return;
        }
        strcpy(slot->slot->path, server.hostname);
        slot->has_server = true;
    }
}

static void cluster_member(struct json *json, const char *name, void *context, int depth) {
    if (strcmp(name, "servers") == 0) {
        array(json, one_server, context, depth);
    } else if (strcmp(name, "options") == 0) {
        object(json, option, context, depth);
    } else {
        skip(json, depth);
    }
}

static void entry_member(struct json *json, const char *name, void *context, int depth) {
    if (strcmp(name, "cluster") == 0) {
        object(json, cluster_member, context, depth);
    } else {
        skip(json, depth);
    }
}

static void one_cluster(struct json *json, void *context, int depth) {
    (void)context;
    if (json->count >= json->room) {
        skip(json, depth);
        return;
    }
    struct slot_options *slot = &json->slots[json->count];
    object(json, entry_member, slot, depth);
    if (json->at != NULL && slot->has_server) {
        json->count++;
    } else if (json->at != NULL) {
        fail(json);
    }
}

static void root_member(struct json *json, const char *name, void *context, int depth) {
    if (strcmp(name, "clusters") == 0) {
        array(json, one_cluster, context, depth);
    } else {
        skip(json, depth);
    }
}

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    char *content = file != NULL ? malloc(LONGEST_FILE) : NULL;
    if (content != NULL) {
        *length = fread(content, 1, LONGEST_FILE, file);
        if (ferror(file) || *length == LONGEST_FILE) {
            free(content);
            content = NULL;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return content;
}

static int read_clusters(const char *path, struct slot_options *slots, int room) {
    size_t length = 0;
    char *content = read_file(path, &length);
    if (content == NULL) {
        return -1;
    }
    struct json json = {content, content + length, slots, 0, room};
    object(&json, root_member, NULL, 0);
    space(&json);
    bool read = json.at == json.end && json.count > 0;
    free(content);
    return read ? json.count : -1;
}

static bool exists(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file != NULL) {
        fclose(file);
    }
    return file != NULL || errno != ENOENT;
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL && *value ? value : NULL;
}

/* $HSM_HOME, else hsmbridge in the XDG data directory, as the other clients have it. */
static int default_slot(struct configured *slot) {
    const char *home = variable("HSM_HOME"), *data = variable("XDG_DATA_HOME"), *user = variable("HOME");
    int length = -1;
    if (home != NULL) {
        length = snprintf(slot->path, sizeof slot->path, "%s/hsm.sock", home);
    } else if (data != NULL) {
        length = snprintf(slot->path, sizeof slot->path, "%s/hsmbridge/hsm.sock", data);
    } else if (user != NULL) {
        length = snprintf(slot->path, sizeof slot->path, "%s/.local/share/hsmbridge/hsm.sock", user);
    }
    return length > 0 && (size_t)length < sizeof slot->path ? 1 : -1;
}

static void listed_options(struct options *options) {
    const char *list = variable("HSM_PKCS11_OPTIONS");
    while (list != NULL && *list) {
        char name[LONGEST_TEXT];
        size_t length = strcspn(list, ",");
        if (length > 0 && length < sizeof name) {
            memcpy(name, list, length);
            name[length] = 0;
            set_option(options, name, true);
        }
        list += length + (list[length] == ',');
    }
}

static void encode_options(const struct options *options, struct wire_out *out) {
    const unsigned char tag = WIRE_MAP;
    wire_put_raw(out, &tag, 1);
    wire_put_u32(out, options->count);
    for (uint32_t i = 0; i < options->count; i++) {
        size_t length = strlen(options->all[i].name);
        wire_put_u32(out, (uint32_t)length);
        wire_put_raw(out, options->all[i].name, length);
        wire_put_bool(out, options->all[i].value);
    }
}

int configuration_read(struct configured *slots, int room) {
    const char *named = variable("HSM_PKCS11_CONFIG");
    struct slot_options *read = calloc((size_t)room, sizeof *read);
    if (read == NULL) {
        return -1;
    }
    for (int i = 0; i < room; i++) {
        slots[i] = (struct configured){.retries = true};
        read[i].slot = &slots[i];
    }
    int count;
    if (named != NULL) {
        count = read_clusters(named, read, room);
    } else if (variable("HSM_HOME") == NULL && exists(INSTALLED)) {
        count = read_clusters(INSTALLED, read, room);
    } else {
        count = default_slot(&slots[0]);
    }
    for (int i = 0; i < count; i++) {
        listed_options(&read[i].options);
        encode_options(&read[i].options, &slots[i].options);
    }
    free(read);
    return count;
}

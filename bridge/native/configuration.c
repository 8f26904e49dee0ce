#include "configuration.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "log.h"

/* The engine's file is the first, and where it does not exist, the second. */
#ifdef HSMBRIDGE_ENGINE
static const char *const INSTALLED[] = {"cloudhsm-dyn.cfg", "cloudhsm-pkcs11.cfg"};
#else
static const char *const INSTALLED[] = {"cloudhsm-pkcs11.cfg"};
#endif
static const char AUTHORITY[] = "/opt/cloudhsm/etc/customerCA.crt";

enum {
    LONGEST_FILE = 256 * 1024,
    LONGEST_TEXT = JSON_NAME,
    LONGEST_ANSWER = 24 * 60 * 60,
    MAX_OPTIONS = 32,
    MAX_CONFIGURED = MAX_SERVERS / 2, /* the HSMs may name as many */
    PORT = 2223,
    LARGEST_PORT = 65535,
};

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
};

/* What is read of a file. */
struct reading {
    struct slot_options *slots;
    int count, room;
};

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
    bool on;
    if (strcmp(name, "default_retry_mode") == 0 && json_next_is(json, '"')) {
        json_text(json, value, sizeof value);
        slot->slot->cluster.retries = strcasecmp(value, "off") != 0;
    } else if (json_bool(json, &on)) {
        set_option(&slot->options, name, on);
    } else {
        json_skip(json, depth);
    }
}

struct read_server {
    struct server server;
    bool enabled;
};

static void server_member(struct json *json, const char *name, void *context, int depth) {
    struct read_server *read = context;
    if (strcmp(name, "hostname") == 0) {
        json_text(json, read->server.host, sizeof read->server.host);
    } else if (strcmp(name, "port") == 0) {
        long port = json_number(json);
        read->server.port = (unsigned)port;
        if (port == 0 || port > LARGEST_PORT) {
            json_fail(json);
        }
    } else if (strcmp(name, "enable") != 0 || !json_bool(json, &read->enabled)) {
        json_skip(json, depth);
    }
}

static void one_server(struct json *json, void *context, int depth) {
    struct cluster *cluster = context;
    struct read_server read = {{"", PORT}, true};
    json_object(json, server_member, &read, depth);
    if (json->at != NULL && read.enabled && cluster->server_count < MAX_CONFIGURED) {
        if (!server_usable(&read.server)) {
            json_fail(json);
            return;
        }
        cluster->servers[cluster->server_count++] = read.server;
    }
}

/* The files of TLS. Two of them have an older name too. */
static char *file_named(struct tls_files *files, const char *name) {
    if (strcmp(name, "hsm_ca_file") == 0) {
        return files->authority;
    }
    if (strcmp(name, "client_cert_hsm_tls_file") == 0 || strcmp(name, "client_cert_path") == 0) {
        return files->certificate;
    }
    return strcmp(name, "client_key_hsm_tls_file") == 0 || strcmp(name, "client_key_path") == 0 ? files->key : NULL;
}

static void cluster_member(struct json *json, const char *name, void *context, int depth) {
    struct slot_options *slot = context;
    struct cluster *cluster = &slot->slot->cluster;
    char *file = file_named(&cluster->files, name);
    if (strcmp(name, "servers") == 0) {
        json_array(json, one_server, cluster, depth);
    } else if (strcmp(name, "options") == 0) {
        json_object(json, option, slot, depth);
    } else if (file != NULL && !json_next_is(json, 'n')) { /* `null` is no file */
        json_text(json, file, LONGEST_PATH);
    } else {
        json_skip(json, depth);
    }
}

static void entry_member(struct json *json, const char *name, void *context, int depth) {
    if (strcmp(name, "cluster") == 0) {
        json_object(json, cluster_member, context, depth);
    } else {
        json_skip(json, depth);
    }
}

static void one_cluster(struct json *json, void *context, int depth) {
    struct reading *reading = context;
    if (reading->count >= reading->room) {
        json_skip(json, depth);
        return;
    }
    struct slot_options *slot = &reading->slots[reading->count];
    const struct cluster *cluster = &slot->slot->cluster;
    json_object(json, entry_member, slot, depth);
    bool both = !cluster->files.certificate[0] == !cluster->files.key[0];
    if (json->at != NULL && cluster->server_count > 0 && both) {
        reading->count++;
    } else {
        json_fail(json);
    }
}

struct logging {
    char type[LONGEST_TEXT], level[LONGEST_TEXT], file[LONGEST_PATH];
};

static void logging_member(struct json *json, const char *name, void *context, int depth) {
    struct logging *logging = context;
    if (!json_next_is(json, '"')) {
        json_skip(json, depth);
    } else if (strcmp(name, "log_type") == 0) {
        json_text(json, logging->type, sizeof logging->type);
    } else if (strcmp(name, "log_level") == 0) {
        json_text(json, logging->level, sizeof logging->level);
    } else if (strcmp(name, "log_file") == 0) {
        json_text(json, logging->file, sizeof logging->file);
    } else {
        json_skip(json, depth);
    }
}

static void root_member(struct json *json, const char *name, void *context, int depth) {
    if (strcmp(name, "clusters") == 0) {
        json_array(json, one_cluster, context, depth);
    } else if (strcmp(name, "logging") == 0 && json_next_is(json, '{')) {
        struct logging logging = {"", "", ""};
        json_object(json, logging_member, &logging, depth);
        log_to(strcmp(logging.type, "file") == 0 ? logging.file : "", logging.level);
    } else {
        json_skip(json, depth);
    }
}

/* Open a regular file. To open a pipe would wait for its writer. */
static FILE *open_file(const char *path) {
    struct stat found;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file >= 0 && fstat(file, &found) == 0 && S_ISREG(found.st_mode)) {
        return fdopen(file, "rb");
    }
    if (file >= 0) {
        close(file);
    }
    return NULL;
}

static char *read_file(const char *path, size_t *length) {
    FILE *file = open_file(path);
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
        log_error("the configuration file %s cannot be read", path);
        return -1;
    }
    struct json json = {content, content + length};
    struct reading reading = {slots, 0, room};
    json_object(&json, root_member, &reading, 0);
    bool read = json_done(&json) && reading.count > 0;
    free(content);
    if (!read) {
        log_error("%s is no configuration of a cluster", path);
    }
    return read ? reading.count : -1;
}

static bool exists(const char *path) {
    return access(path, F_OK) == 0 || errno != ENOENT;
}

/* Write the path of the installed file: in `etc` beside the `lib` of this library, else in /opt/cloudhsm/etc. */
static bool find_installed(char *path, size_t room) {
    char own[PATH_MAX] = "";
    Dl_info found;
    const char *folders[] = {own, "/opt/cloudhsm"};
    char *end = dladdr(AUTHORITY, &found) != 0 && realpath(found.dli_fname, own) != NULL ? strrchr(own, '/') : NULL;
    if (end != NULL) {
        *end = 0;
        end = strrchr(own, '/');
    }
    if (end == NULL || strcmp(end, "/lib") != 0) {
        folders[0] = folders[1];
    } else {
        *end = 0;
    }
    for (size_t folder = 0; folder < 2; folder++) {
        for (size_t name = 0; name < sizeof INSTALLED / sizeof *INSTALLED; name++) {
            int length = snprintf(path, room, "%s/etc/%s", folders[folder], INSTALLED[name]);
            if (length > 0 && (size_t)length < room && exists(path)) {
                return true;
            }
        }
    }
    return false;
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL && *value ? value : NULL;
}

/* $HSM_HOME, else hsmbridge in the XDG data directory, as the other clients have it. */
static int default_slot(struct cluster *cluster) {
    const char *home = variable("HSM_HOME"), *data = variable("XDG_DATA_HOME"), *user = variable("HOME");
    const char *folder = home ? home : data ? data : user;
    const char *below = home ? "" : data ? "/hsmbridge" : "/.local/share/hsmbridge";
    char working[LONGEST_PATH] = "", path[2 * LONGEST_PATH];
    struct server *server = &cluster->servers[0];
    if (folder == NULL || (folder[0] != '/' && getcwd(working, sizeof working) == NULL)) {
        return -1;
    }
    int length = snprintf(path, sizeof path, "%s%s%s%s/hsm.sock", working, *working ? "/" : "", folder, below);
    if (length < 0 || (size_t)length >= sizeof server->host) {
        return -1;
    }
    strcpy(server->host, path);
    cluster->server_count = 1;
    return server_usable(server) ? 1 : -1;
}

/* $HSM_TIMEOUT in seconds, as the other clients have it; 0 where it is no number of seconds. */
static int answer_seconds(void) {
    const char *text = variable("HSM_TIMEOUT");
    if (text == NULL) {
        return ANSWER_SECONDS;
    }
    size_t digits = strspn(text, "0123456789");
    long seconds = digits > 0 && digits < 6 && text[digits] == 0 ? atol(text) : 0;
    return seconds <= LONGEST_ANSWER ? (int)seconds : 0;
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
    int seconds = answer_seconds();
    if (read == NULL || seconds == 0) {
        free(read);
        return -1;
    }
    memset(slots, 0, (size_t)room * sizeof *slots);
    for (int i = 0; i < room; i++) {
        slots[i].cluster.retries = true;
        slots[i].cluster.answer_seconds = seconds;
        strcpy(slots[i].cluster.files.authority, AUTHORITY);
        read[i].slot = &slots[i];
    }
    char installed[PATH_MAX];
    int count;
    if (named != NULL) {
        count = read_clusters(named, read, room);
    } else if (variable("HSM_HOME") == NULL && find_installed(installed, sizeof installed)) {
        count = read_clusters(installed, read, room);
    } else {
        count = default_slot(&slots[0].cluster);
    }
    for (int i = 0; i < count; i++) {
        listed_options(&read[i].options);
        encode_options(&read[i].options, &slots[i].options);
    }
    free(read);
    return count;
}

#include "module.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configuration.h"
#include "log.h"

enum { BUCKETS = 256, TICKETS = 1024 };

struct session {
    CK_SESSION_HANDLE handle;
    struct active *active[KINDS];
    struct session *next;
};

struct kept {
    const struct slot *slot;
    enum kind kind;
    unsigned char *init;
    size_t length;
    struct ticket ticket;
};

static struct {
    pid_t process; /* 0 before C_Initialize */
    struct slot slots[MAX_SLOTS];
    CK_ULONG slot_count;
    struct session *sessions[BUCKETS];
    struct kept tickets[TICKETS];
} module;

/* `starting` guards beginning and end, `lock` sessions and tickets. Neither is held while anything waits for an HSM. */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER, lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t left = PTHREAD_COND_INITIALIZER;
static unsigned inside; /* calls in progress */
static bool stopping;   /* the end waits for them */

static bool add_slot(struct configured *configured) {
    struct slot *slot = &module.slots[module.slot_count];
    memset(slot, 0, sizeof *slot);
    if (!client_init(&slot->client, &configured->cluster)) {
        return false;
    }
    slot->options = configured->options;
    configured->options = (struct wire_out){0};
    pthread_mutex_init(&slot->lock, NULL);
    module.slot_count++;
    return true;
}

static void sessions_free(const struct slot *slot);
static void tickets_free(const struct slot *slot);

static void forget_all(bool child) {
    sessions_free(NULL);
    tickets_free(NULL);
    for (CK_ULONG i = 0; i < module.slot_count; i++) {
        client_close(&module.slots[i].client, child);
        wire_free(&module.slots[i].options);
    }
    memset(&module, 0, sizeof module);
}

static bool add_slots(void) {
    struct configured *configured = calloc(MAX_SLOTS, sizeof *configured);
    int count = configured != NULL ? configuration_read(configured, MAX_SLOTS) : 0;
    bool added = count > 0;
    for (int i = 0; i < count; i++) {
        added = added && add_slot(&configured[i]);
        wire_free(&configured[i].options);
    }
    free(configured);
    return added;
}

/* A child after fork has one thread. It finds no lock held, by a thread that it has not, and nothing half changed. */

static void before_fork(void) {
    pthread_mutex_lock(&starting);
    pthread_mutex_lock(&lock);
    for (CK_ULONG i = 0; i < module.slot_count; i++) {
        pthread_mutex_lock(&module.slots[i].client.lock);
    }
    log_lock();
}

static void after_fork(void) {
    log_unlock();
    for (CK_ULONG i = 0; i < module.slot_count; i++) {
        pthread_mutex_unlock(&module.slots[i].client.lock);
    }
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&starting);
}

static void after_fork_in_child(void) {
    after_fork();
    pthread_cond_init(&left, NULL);
    inside = 0;
    stopping = false;
}

static void watch_forks(void) {
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

static CK_RV start(void) {
    while (stopping) {
        pthread_cond_wait(&left, &starting);
    }
    if (module.process == getpid()) {
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    }
    /* In a child the state is the parent's: its sockets are closed here and stay open there. */
    forget_all(true);
    if (!add_slots()) {
        forget_all(false);
        return CKR_GENERAL_ERROR;
    }
    __atomic_store_n(&module.process, getpid(), __ATOMIC_SEQ_CST);
    return CKR_OK;
}

CK_RV module_start(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&starting);
    CK_RV rv = start();
    pthread_mutex_unlock(&starting);
    return rv;
}

static bool is_ours(void) {
    return __atomic_load_n(&module.process, __ATOMIC_SEQ_CST) == getpid();
}

CK_RV module_stop(void) {
    pthread_mutex_lock(&starting);
    bool ours = is_ours();
    if (ours) {
        __atomic_store_n(&stopping, true, __ATOMIC_SEQ_CST);
        __atomic_store_n(&module.process, 0, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&inside, __ATOMIC_SEQ_CST) > 0) {
            pthread_cond_wait(&left, &starting);
        }
        forget_all(false);
        stopping = false;
        pthread_cond_broadcast(&left);
    }
    pthread_mutex_unlock(&starting);
    return ours ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
}

CK_RV module_enter(void) {
    __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    return is_ours() ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
}

void module_leave(const CK_RV *entered) {
    (void)entered;
    if (__atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST) == 0 && __atomic_load_n(&stopping, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&starting);
        pthread_cond_broadcast(&left);
        pthread_mutex_unlock(&starting);
    }
}

CK_ULONG module_slots(void) {
    return module.slot_count;
}

struct slot *module_slot(CK_SLOT_ID id) {
    return id < module.slot_count ? &module.slots[id] : NULL;
}

struct slot *module_slot_of(CK_SESSION_HANDLE handle) {
    return module_slot(handle >> SLOT_SHIFT);
}

CK_SLOT_ID module_slot_id(const struct slot *slot) {
    return (CK_SLOT_ID)(slot - module.slots);
}

/* Sessions. The lock is held in all functions below that have no other one around them. */

static struct session **place_of(CK_SESSION_HANDLE handle) {
    struct session **place = &module.sessions[handle % BUCKETS];
    while (*place != NULL && (*place)->handle != handle) {
        place = &(*place)->next;
    }
    return place;
}

static void free_at(struct session **place) {
    struct session *session = *place;
    *place = session->next;
    for (int kind = 0; kind < KINDS; kind++) {
        active_free(session->active[kind]);
    }
    free(session);
}

static void sessions_free(const struct slot *slot) {
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        struct session **place = &module.sessions[bucket];
        while (*place != NULL) {
            if (slot == NULL || module_slot_of((*place)->handle) == slot) {
                free_at(place);
            } else {
                place = &(*place)->next;
            }
        }
    }
}

CK_SESSION_HANDLE session_add(struct slot *slot, uint64_t given) {
    CK_SESSION_HANDLE handle = module_slot_id(slot) << SLOT_SHIFT | (given & 0xffffffff);
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        return handle; /* Its operations then take a request for each Init. */
    }
    session->handle = handle;
    pthread_mutex_lock(&lock);
    struct session **place = &module.sessions[handle % BUCKETS];
    session->next = *place;
    *place = session;
    pthread_mutex_unlock(&lock);
    return handle;
}

void session_remove(CK_SESSION_HANDLE handle) {
    pthread_mutex_lock(&lock);
    struct session **place = place_of(handle);
    if (*place != NULL) {
        free_at(place);
    }
    pthread_mutex_unlock(&lock);
}

void session_remove_all(const struct slot *slot) {
    pthread_mutex_lock(&lock);
    sessions_free(slot);
    tickets_free(slot);
    pthread_mutex_unlock(&lock);
}

bool session_known(CK_SESSION_HANDLE handle) {
    pthread_mutex_lock(&lock);
    bool known = *place_of(handle) != NULL;
    pthread_mutex_unlock(&lock);
    return known;
}

struct active *active_take(CK_SESSION_HANDLE handle, enum kind kind) {
    struct active *taken = NULL;
    pthread_mutex_lock(&lock);
    struct session *session = *place_of(handle);
    if (session != NULL) {
        taken = session->active[kind];
        session->active[kind] = NULL;
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

void active_put(CK_SESSION_HANDLE handle, struct active *active) {
    if (active == NULL) {
        return;
    }
    pthread_mutex_lock(&lock);
    struct session *session = *place_of(handle);
    if (session != NULL) {
        struct active *replaced = session->active[active->kind];
        session->active[active->kind] = active;
        active = replaced;
    }
    pthread_mutex_unlock(&lock);
    active_free(active);
}

struct active *active_new(enum kind kind, const unsigned char *init, size_t length) {
    struct active *active = calloc(1, sizeof *active);
    unsigned char *copy = malloc(length);
    if (active == NULL || copy == NULL) {
        free(active);
        free(copy);
        return NULL;
    }
    memcpy(copy, init, length);
    active->kind = kind;
    active->init = copy;
    active->init_length = length;
    return active;
}

bool active_hold(struct active *active, const unsigned char *data, size_t length) {
    if (length > MAX_HELD - active->held_length) {
        return false;
    }
    active->held = active->held != NULL ? active->held : malloc(MAX_HELD);
    if (active->held == NULL) {
        return false;
    }
    if (length > 0) {
        memcpy(active->held + active->held_length, data, length);
    }
    active->held_length += length;
    active->in_parts = true;
    return true;
}

void active_forget_parts(struct active *active) {
    if (active->held != NULL) {
        explicit_bzero(active->held, active->held_length);
        free(active->held);
    }
    active->held = NULL;
    active->held_length = 0;
    active->in_parts = false;
}

void active_free(struct active *active) {
    if (active != NULL) {
        active_forget_parts(active);
        explicit_bzero(active->init, active->init_length);
        free(active->init);
        free(active);
    }
}

/* Tickets. An Init call's values are a list of mechanism, list of fields, key. */

/* Tell whether two Init calls are alike in all that decides. */
static bool alike(const unsigned char *left, const unsigned char *right, size_t length, uint64_t deciding) {
    struct wire_in in = {left, left + length, false};
    const unsigned char *checked = left;
    wire_get_list(&in);
    wire_get_int(&in);
    uint32_t fields = wire_get_list(&in);
    for (uint32_t i = 0; i < fields && !in.failed; i++) {
        size_t size;
        if (wire_peek(&in) != WIRE_BYTES) {
            wire_skip(&in);
            continue;
        }
        const unsigned char *value = wire_get_bytes(&in, &size);
        if (i < 64 && deciding >> i & 1) {
            continue;
        }
        /* Everything before this value's bytes, its length included. */
        if (value == NULL || memcmp(checked, right + (checked - left), (size_t)(value - checked)) != 0) {
            return false;
        }
        checked = value + size;
    }
    return !in.failed && memcmp(checked, right + (checked - left), length - (size_t)(checked - left)) == 0;
}

/* The place of a ticket: kind, mechanism and key decide. */
static struct kept *kept_for(const struct slot *slot, enum kind kind, const unsigned char *init, size_t length) {
    uint64_t mechanism = length >= 23 ? wire_u64(init + 6) : 0, key = length >= 23 ? wire_u64(init + length - 8) : 0;
    uint64_t mixed = ((mechanism * KINDS + kind) * MAX_SLOTS + module_slot_id(slot) + key) * 0x9e3779b97f4a7c15u;
    return &module.tickets[(mixed >> 32) % TICKETS];
}

static void drop(struct kept *kept) {
    if (kept->init != NULL) {
        explicit_bzero(kept->init, kept->length);
        free(kept->init);
    }
    memset(kept, 0, sizeof *kept);
}

static void tickets_free(const struct slot *slot) {
    for (int i = 0; i < TICKETS; i++) {
        if (slot == NULL || module.tickets[i].slot == slot) {
            drop(&module.tickets[i]);
        }
    }
}

static bool holds(const struct kept *kept, const struct slot *slot, enum kind kind, const unsigned char *init,
                  size_t length) {
    return kept->init != NULL && kept->slot == slot && kept->kind == kind && kept->length == length &&
           alike(kept->init, init, length, kept->ticket.deciding);
}

bool ticket_find(const struct slot *slot, enum kind kind, const unsigned char *init, size_t length,
                 struct ticket *ticket) {
    pthread_mutex_lock(&lock);
    struct kept *kept = kept_for(slot, kind, init, length);
    bool found = holds(kept, slot, kind, init, length);
    if (found) {
        *ticket = kept->ticket;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void ticket_keep(const struct slot *slot, enum kind kind, const unsigned char *init, size_t length,
                 const struct ticket *ticket) {
    unsigned char *copy = malloc(length);
    if (copy == NULL) {
        return;
    }
    memcpy(copy, init, length);
    pthread_mutex_lock(&lock);
    struct kept *kept = kept_for(slot, kind, init, length);
    drop(kept);
    *kept = (struct kept){slot, kind, copy, length, *ticket};
    pthread_mutex_unlock(&lock);
}

void ticket_drop(const struct slot *slot, enum kind kind, const unsigned char *init, size_t length) {
    pthread_mutex_lock(&lock);
    struct kept *kept = kept_for(slot, kind, init, length);
    if (holds(kept, slot, kind, init, length)) {
        drop(kept);
    }
    pthread_mutex_unlock(&lock);
}

/* The module's state: its slots, its sessions, and the answers to Init calls that are still good. */

#ifndef HSMBRIDGE_MODULE_H
#define HSMBRIDGE_MODULE_H

#include "client.h"
#include "pkcs11.h"

enum kind { KIND_ENCRYPT, KIND_DECRYPT, KIND_SIGN, KIND_VERIFY, KIND_DIGEST, KINDS };

enum { MAX_SLOTS = 16, SLOT_SHIFT = 32 };

/* One slot: an HSM, the application there, and the token of the login. */
struct slot {
    struct client client;
    pthread_mutex_t lock; /* held while the HSM opens the application */
    uint64_t application, token;
    struct wire_out options; /* the configuration, as an encoded map */
};

/* What is needed to begin an operation again without a request. */
struct ticket {
    uint64_t token, number;
    CK_ULONG fixed, scale; /* length of the result: fixed, and per byte of data */
    uint64_t deciding;     /* bit i: field i of the parameter must be the same */
    bool gathers;          /* the parts of the data may be sent together, as a whole */
};

enum { MAX_HELD = 8 * 1024 };

/* An operation: the values of its Init call, and whether the HSM has to hear of them yet. `held` are parts of the data of
 * which it has to hear.
 */
struct active {
    enum kind kind;
    bool pending, in_parts;
    unsigned char *held;
    size_t held_length;
    unsigned char *init;
    size_t init_length;
    struct ticket ticket;
    CK_BYTE *iv; /* where the IV goes that the HSM chooses */
    CK_ULONG iv_length;
};

CK_RV module_start(void);
/* End what is begun. Calls of other threads end first. */
CK_RV module_stop(void);
/* Begin a call, which ends with module_leave, also where this refuses it: CKR_CRYPTOKI_NOT_INITIALIZED before C_Initialize,
 * after C_Finalize, and in a child after fork.
 */
CK_RV module_enter(void);
void module_leave(const CK_RV *entered);

/* Begin a call that ends where the function returns. */
#define ENTER_MODULE() \
    CK_RV entered __attribute__((cleanup(module_leave))) = module_enter(); \
    if (entered != CKR_OK) { \
        return entered; \
    }

CK_ULONG module_slots(void);
struct slot *module_slot(CK_SLOT_ID id);
/* The slot of a session handle, NULL for a handle that no slot has given. */
struct slot *module_slot_of(CK_SESSION_HANDLE handle);
CK_SLOT_ID module_slot_id(const struct slot *slot);

CK_SESSION_HANDLE session_add(struct slot *slot, uint64_t handle);
void session_remove(CK_SESSION_HANDLE handle);
void session_remove_all(const struct slot *slot);

/* Take the operation of a kind out of its session; NULL if there is none. The caller puts it back or frees it. */
struct active *active_take(CK_SESSION_HANDLE session, enum kind kind);
void active_put(CK_SESSION_HANDLE session, struct active *active);
struct active *active_new(enum kind kind, const unsigned char *init, size_t length);
void active_free(struct active *active);
/* Keep a part of the data; false where it does not fit. */
bool active_hold(struct active *active, const unsigned char *data, size_t length);
void active_forget_parts(struct active *active);

bool session_known(CK_SESSION_HANDLE session);
/* Find a ticket for the values of an Init call. */
bool ticket_find(const struct slot *slot, enum kind kind, const unsigned char *init, size_t length,
                 struct ticket *ticket);
void ticket_keep(const struct slot *slot, enum kind kind, const unsigned char *init, size_t length,
                 const struct ticket *ticket);
void ticket_drop(const struct slot *slot, enum kind kind, const unsigned char *init, size_t length);

#endif

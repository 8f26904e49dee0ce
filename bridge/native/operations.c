/* The functions of active operations.
 *
 * An Init call that is like an earlier one is answered from the ticket of that one. The next call of the operation then
 * carries the values of the Init call, so that a repeated operation in one call takes one request: a REPEAT where the
 * ticket has a number for it. Parts of the data that have no output are held and sent as one with the last call.
 */

#include <string.h>

#include "call.h"
#include "repeat.h"
#include "tables.h"

static const char *const NAMES[KINDS] = {"Encrypt", "Decrypt", "Sign", "Verify", "Digest"};

enum { NAME_BYTES = 32, LONGEST_DATA = WIRE_MAX_FRAME - 4096, LONGEST_SIGNATURE = 64 * 1024 };

/* C_<kind><step>. */
static void name_function(char *name, enum kind kind, const char *step) {
    memcpy(name, "C_", 3);
    strcat(name, NAMES[kind]);
    strcat(name, step);
}

static uint64_t own_handle(CK_SESSION_HANDLE session) {
    return session & 0xffffffff;
}

/* The last argument of a call: the values of an Init call that the HSM has not heard of yet. */
static void call_pending(struct call *call, const struct active *active) {
    if (active != NULL && active->pending) {
        call_raw(call, active->init, active->init_length);
    } else {
        call_null(call);
    }
}

static bool get_ticket(struct wire_in *in, struct ticket *ticket) {
    if (wire_get_list(in) != 6) {
        in->failed = true;
        return false;
    }
    ticket->token = wire_get_int(in);
    ticket->number = wire_get_int(in);
    ticket->fixed = wire_get_int(in);
    ticket->scale = wire_get_int(in);
    ticket->deciding = wire_get_int(in);
    ticket->gathers = wire_get_bool(in);
    return !in->failed;
}

/* After an answer to a call that carried an Init: the HSM knows the operation now, and gives a new ticket. After an error
 * the ticket is the only result; without one, the Init itself was refused.
 */
static void settle(struct call *call, struct active *active, CK_RV rv) {
    if (active == NULL || !active->pending) {
        return;
    }
    active->pending = false;
    bool begun = rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL || call->results > 0;
    if (begun && call->in != NULL && get_ticket(call->in, &active->ticket)) {
        ticket_keep(call->slot, active->kind, active->init, active->init_length, &active->ticket);
    } else {
        ticket_drop(call->slot, active->kind, active->init, active->init_length);
    }
}

static void put_init(struct wire_out *out, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
    size_t place = wire_begin_list(out);
    wire_put_int(out, mechanism->mechanism);
    put_parameter(out, mechanism);
    wire_put_int(out, key);
    wire_end_list(out, place, 3);
}

static struct active *new_active(enum kind kind, const struct wire_out *init, const CK_MECHANISM *mechanism) {
    struct active *active = active_new(kind, init->data, init->length);
    if (active != NULL && kind == KIND_ENCRYPT) {
        active->iv = iv_place(mechanism, &active->iv_length);
    }
    return active;
}

/* Begin an operation by a request. `before` is an operation that the HSM has to hear of first. */
static CK_RV begin_there(struct slot *slot, CK_SESSION_HANDLE session, enum kind kind, const CK_MECHANISM *mechanism,
                         CK_OBJECT_HANDLE key, const struct wire_out *init, struct active *before) {
    char name[NAME_BYTES];
    struct call call;
    struct ticket ticket;
    name_function(name, kind, "Init");
    call_begin(&call, slot, name);
    call_int(&call, own_handle(session));
    call_mechanism(&call, mechanism);
    call_int(&call, key);
    call_pending(&call, before);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK && get_ticket(call.in, &ticket)) {
        struct active *active = new_active(kind, init, mechanism);
        if (active != NULL) {
            active->ticket = ticket;
            active_put(session, active);
        }
        ticket_keep(slot, kind, init->data, init->length, &ticket);
        active_free(before);
    } else if (before != NULL) {
        before->pending = false;
        active_put(session, before);
    }
    return call_end(&call, rv);
}

static CK_RV begin(CK_SESSION_HANDLE session, enum kind kind, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
    ENTER_MODULE()
    CK_RV rv = CKR_OK;
    struct slot *slot = module_slot_of(session);
    if (slot == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    if (mechanism == NULL) {
        return CKR_ARGUMENTS_BAD;
    }
    struct wire_out init = {0};
    struct ticket ticket;
    put_init(&init, mechanism, key);
    if (init.failed) {
        wire_free(&init);
        return CKR_MECHANISM_PARAM_INVALID;
    }
    struct active *before = active_take(session, kind);
    struct active *active = NULL;
    if (before == NULL && session_known(session) && ticket_find(slot, kind, init.data, init.length, &ticket)) {
        active = new_active(kind, &init, mechanism);
    }
    if (active != NULL) {
        active->ticket = ticket;
        active->pending = true;
        active_put(session, active);
    } else {
        rv = begin_there(slot, session, kind, mechanism, key, &init, before);
    }
    wire_free(&init);
    return rv;
}

/* The operation goes on after a question for the length, a buffer that was too small, and a call in the wrong order. */
static CK_RV keep_or_free(CK_SESSION_HANDLE session, struct active *active, CK_RV rv, bool asked) {
    if (rv == CKR_BUFFER_TOO_SMALL || rv == CKR_OPERATION_ACTIVE || (rv == CKR_OK && asked)) {
        active_put(session, active);
    } else {
        active_free(active);
    }
    return rv;
}

static CK_RV check(CK_SESSION_HANDLE session, const void *data, CK_ULONG length, struct slot **slot) {
    *slot = module_slot_of(session);
    if (*slot == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    if (data == NULL && length > 0) {
        return CKR_ARGUMENTS_BAD;
    }
    return length > LONGEST_DATA ? CKR_DATA_LEN_RANGE : CKR_OK;
}

/* Begin a call with its data, which Final has not. The call needs the name until it ends. */
static void call_on(struct call *call, char name[NAME_BYTES], struct slot *slot, CK_SESSION_HANDLE session,
                    enum kind kind, const char *step, const CK_BYTE *data, CK_ULONG data_length) {
    name_function(name, kind, step);
    call_begin(call, slot, name);
    call_int(call, own_handle(session));
    if (strcmp(step, "Final") != 0) {
        call_bytes(call, data, data_length);
    }
}

/* A call with a result of bytes: data, the size of the caller's buffer, the pending Init. */
static CK_RV run(struct slot *slot, CK_SESSION_HANDLE session, struct active *active, enum kind kind, const char *step,
                 const CK_BYTE *data, CK_ULONG data_length, CK_BYTE *result, CK_ULONG *length) {
    char name[NAME_BYTES];
    struct call call;
    call_on(&call, name, slot, session, kind, step, data, data_length);
    call_room(&call, result, *length);
    call_pending(&call, active);
    CK_RV rv = call_send(&call);
    if (call.in != NULL && (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL)) {
        rv = get_result(&call, rv, result, length, active ? active->iv : NULL, active ? active->iv_length : 0);
    }
    settle(&call, active, rv);
    return call_end(&call, rv);
}

/* A call without a result: the data or the signature or both, the pending Init. */
static CK_RV run_plain(struct slot *slot, CK_SESSION_HANDLE session, struct active *active, enum kind kind,
                       const char *step, const CK_BYTE *data, CK_ULONG data_length, const CK_BYTE *signature,
                       const CK_ULONG *signature_length) {
    char name[NAME_BYTES];
    struct call call;
    call_on(&call, name, slot, session, kind, step, data, data_length);
    if (signature_length != NULL) {
        call_bytes(&call, signature, *signature_length);
    }
    call_pending(&call, active);
    CK_RV rv = call_send(&call);
    settle(&call, active, rv);
    return call_end(&call, rv);
}

/* Let the HSM hear of the parts that are held: something else than a part or the end follows. */
static CK_RV send_held(struct slot *slot, CK_SESSION_HANDLE session, struct active *active) {
    if (active == NULL || !active->in_parts) {
        return CKR_OK;
    }
    CK_RV rv = run_plain(slot, session, active, active->kind, "Update", active->held, active->held_length, NULL, NULL);
    active_forget_parts(active);
    return rv;
}

/* The result of an operation on all its data, in one request. */
static CK_RV whole(struct slot *slot, CK_SESSION_HANDLE session, struct active *active, enum kind kind,
                   const CK_BYTE *data, CK_ULONG data_length, CK_BYTE *result, CK_ULONG *length) {
    if (active != NULL && (active->pending || active->in_parts) && result == NULL) {
        *length = active->ticket.fixed + active->ticket.scale * data_length;
        active_put(session, active);
        return CKR_OK;
    }
    CK_RV rv;
    if (can_repeat(active) && run_repeated(slot, active, data, data_length, result, length, &rv)) {
        return keep_or_free(session, active, rv, false);
    }
    rv = run(slot, session, active, kind, "", data, data_length, result, length);
    return keep_or_free(session, active, rv, result == NULL);
}

static CK_RV once(CK_SESSION_HANDLE session, enum kind kind, const CK_BYTE *data, CK_ULONG data_length, CK_BYTE *result,
                  CK_ULONG *length) {
    ENTER_MODULE()
    struct slot *slot;
    CK_RV rv = check(session, data, data_length, &slot);
    if (rv != CKR_OK || length == NULL) {
        return rv != CKR_OK ? rv : CKR_ARGUMENTS_BAD;
    }
    struct active *active = active_take(session, kind);
    rv = send_held(slot, session, active);
    if (rv != CKR_OK) {
        active_free(active);
        return rv;
    }
    return whole(slot, session, active, kind, data, data_length, result, length);
}

static CK_RV update(CK_SESSION_HANDLE session, enum kind kind, const CK_BYTE *data, CK_ULONG data_length,
                    CK_BYTE *result, CK_ULONG *length) {
    ENTER_MODULE()
    struct slot *slot;
    CK_RV rv = check(session, data, data_length, &slot);
    if (rv != CKR_OK || length == NULL) {
        return rv != CKR_OK ? rv : CKR_ARGUMENTS_BAD;
    }
    struct active *active = active_take(session, kind);
    rv = run(slot, session, active, kind, "Update", data, data_length, result, length);
    return keep_or_free(session, active, rv, true);
}

static CK_RV final(CK_SESSION_HANDLE session, enum kind kind, CK_BYTE *result, CK_ULONG *length) {
    ENTER_MODULE()
    struct slot *slot;
    CK_RV rv = check(session, NULL, 0, &slot);
    if (rv != CKR_OK || length == NULL) {
        return rv != CKR_OK ? rv : CKR_ARGUMENTS_BAD;
    }
    struct active *active = active_take(session, kind);
    if (active != NULL && active->in_parts) {
        return whole(slot, session, active, kind, active->held, active->held_length, result, length);
    }
    rv = run(slot, session, active, kind, "Final", NULL, 0, result, length);
    return keep_or_free(session, active, rv, result == NULL);
}

static CK_RV absorb(CK_SESSION_HANDLE session, enum kind kind, const CK_BYTE *data, CK_ULONG data_length) {
    ENTER_MODULE()
    struct slot *slot;
    CK_RV rv = check(session, data, data_length, &slot);
    if (rv != CKR_OK) {
        return rv;
    }
    struct active *active = active_take(session, kind);
    if (active != NULL && active->ticket.gathers && active_hold(active, data, data_length)) {
        active_put(session, active);
        return CKR_OK;
    }
    rv = send_held(slot, session, active);
    if (rv == CKR_OK) {
        rv = run_plain(slot, session, active, kind, "Update", data, data_length, NULL, NULL);
    }
    /* From now on the HSM has parts of the data. */
    if (active != NULL) {
        active->ticket.gathers = false;
    }
    return keep_or_free(session, active, rv, true);
}

static CK_RV verify_whole(struct slot *slot, CK_SESSION_HANDLE session, struct active *active, const CK_BYTE *data,
                          CK_ULONG data_length, const CK_BYTE *signature, CK_ULONG signature_length) {
    CK_RV rv;
    if (!can_repeat(active) || active->ticket.fixed != signature_length ||
        !verify_repeated(slot, active, data, data_length, signature, signature_length, &rv)) {
        rv = run_plain(slot, session, active, KIND_VERIFY, "", data, data_length, signature, &signature_length);
    }
    return keep_or_free(session, active, rv, false);
}

CK_RV C_Verify(CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pSignature,
               CK_ULONG ulSignatureLen) {
    ENTER_MODULE()
    struct slot *slot;
    CK_RV rv = check(hSession, pData, ulDataLen, &slot);
    if (rv != CKR_OK || (pSignature == NULL && ulSignatureLen > 0) || ulSignatureLen > LONGEST_SIGNATURE) {
        return rv != CKR_OK ? rv : CKR_ARGUMENTS_BAD;
    }
    struct active *active = active_take(hSession, KIND_VERIFY);
    rv = send_held(slot, hSession, active);
    if (rv != CKR_OK) {
        active_free(active);
        return rv;
    }
    return verify_whole(slot, hSession, active, pData, ulDataLen, pSignature, ulSignatureLen);
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE hSession, CK_BYTE *pSignature, CK_ULONG ulSignatureLen) {
    ENTER_MODULE()
    struct slot *slot;
    CK_RV rv = check(hSession, pSignature, ulSignatureLen, &slot);
    if (rv != CKR_OK || ulSignatureLen > LONGEST_SIGNATURE) {
        return rv != CKR_OK ? rv : CKR_ARGUMENTS_BAD;
    }
    struct active *active = active_take(hSession, KIND_VERIFY);
    if (active != NULL && active->in_parts) {
        return verify_whole(slot, hSession, active, active->held, active->held_length, pSignature, ulSignatureLen);
    }
    rv = run_plain(slot, hSession, active, KIND_VERIFY, "Final", NULL, 0, pSignature, &ulSignatureLen);
    active_free(active);
    return rv;
}

CK_RV C_EncryptInit(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey) {
    return begin(hSession, KIND_ENCRYPT, pMechanism, hKey);
}

CK_RV C_DecryptInit(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey) {
    return begin(hSession, KIND_DECRYPT, pMechanism, hKey);
}

CK_RV C_SignInit(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey) {
    return begin(hSession, KIND_SIGN, pMechanism, hKey);
}

CK_RV C_VerifyInit(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey) {
    return begin(hSession, KIND_VERIFY, pMechanism, hKey);
}

CK_RV C_DigestInit(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism) {
    return begin(hSession, KIND_DIGEST, pMechanism, 0);
}

CK_RV C_Encrypt(CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pEncryptedData,
                CK_ULONG *pulEncryptedDataLen) {
    return once(hSession, KIND_ENCRYPT, pData, ulDataLen, pEncryptedData, pulEncryptedDataLen);
}

CK_RV C_Decrypt(CK_SESSION_HANDLE hSession, CK_BYTE *pEncryptedData, CK_ULONG ulEncryptedDataLen, CK_BYTE *pData,
                CK_ULONG *pulDataLen) {
    return once(hSession, KIND_DECRYPT, pEncryptedData, ulEncryptedDataLen, pData, pulDataLen);
}

CK_RV C_Sign(CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pSignature,
             CK_ULONG *pulSignatureLen) {
    return once(hSession, KIND_SIGN, pData, ulDataLen, pSignature, pulSignatureLen);
}

CK_RV C_Digest(CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pDigest,
               CK_ULONG *pulDigestLen) {
    return once(hSession, KIND_DIGEST, pData, ulDataLen, pDigest, pulDigestLen);
}

CK_RV C_EncryptUpdate(CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen, CK_BYTE *pEncryptedPart,
                      CK_ULONG *pulEncryptedPartLen) {
    return update(hSession, KIND_ENCRYPT, pPart, ulPartLen, pEncryptedPart, pulEncryptedPartLen);
}

CK_RV C_DecryptUpdate(CK_SESSION_HANDLE hSession, CK_BYTE *pEncryptedPart, CK_ULONG ulEncryptedPartLen, CK_BYTE *pPart,
                      CK_ULONG *pulPartLen) {
    return update(hSession, KIND_DECRYPT, pEncryptedPart, ulEncryptedPartLen, pPart, pulPartLen);
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen) {
    return absorb(hSession, KIND_SIGN, pPart, ulPartLen);
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen) {
    return absorb(hSession, KIND_VERIFY, pPart, ulPartLen);
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen) {
    return absorb(hSession, KIND_DIGEST, pPart, ulPartLen);
}

CK_RV C_EncryptFinal(CK_SESSION_HANDLE hSession, CK_BYTE *pLastPart, CK_ULONG *pulLastPartLen) {
    return final(hSession, KIND_ENCRYPT, pLastPart, pulLastPartLen);
}

CK_RV C_DecryptFinal(CK_SESSION_HANDLE hSession, CK_BYTE *pLastPart, CK_ULONG *pulLastPartLen) {
    return final(hSession, KIND_DECRYPT, pLastPart, pulLastPartLen);
}

CK_RV C_SignFinal(CK_SESSION_HANDLE hSession, CK_BYTE *pSignature, CK_ULONG *pulSignatureLen) {
    return final(hSession, KIND_SIGN, pSignature, pulSignatureLen);
}

CK_RV C_DigestFinal(CK_SESSION_HANDLE hSession, CK_BYTE *pDigest, CK_ULONG *pulDigestLen) {
    return final(hSession, KIND_DIGEST, pDigest, pulDigestLen);
}

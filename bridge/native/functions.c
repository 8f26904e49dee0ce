/* The functions about slots, tokens, sessions and objects. */

#include <string.h>

#include "call.h"
#include "tables.h"

#define CHECK(condition, code) \
    do { \
        if (!(condition)) { \
            return (code); \
        } \
    } while (0)

/* A call in a session; the handle is the first argument. */
#define CHECK_SESSION(slot, session) \
    ENTER_MODULE() \
    struct slot *slot = module_slot_of(session); \
    CHECK(slot != NULL, CKR_SESSION_HANDLE_INVALID)

static uint64_t own_handle(CK_SESSION_HANDLE session) {
    return session & 0xffffffff;
}

static void begin_in(struct call *call, struct slot *slot, const char *function, CK_SESSION_HANDLE session) {
    call_begin(call, slot, function);
    call_int(call, own_handle(session));
}

static void padded(CK_UTF8CHAR *field, size_t size, const void *text, size_t length) {
    memset(field, ' ', size);
    memcpy(field, text, length < size ? length : size);
}

static void padded_text(CK_UTF8CHAR *field, size_t size, const char *text) {
    padded(field, size, text, strlen(text));
}

CK_RV C_Initialize(void *pInitArgs) {
    const CK_C_INITIALIZE_ARGS *arguments = pInitArgs;
    if (arguments != NULL) {
        int given = (arguments->CreateMutex != NULL) + (arguments->DestroyMutex != NULL) +
                    (arguments->LockMutex != NULL) + (arguments->UnlockMutex != NULL);
        CHECK(arguments->pReserved == NULL && (given == 0 || given == 4), CKR_ARGUMENTS_BAD);
    }
    /* The locks are the system's, which serve every thread of the system, whatever functions the caller gives. */
    return module_start();
}

CK_RV C_Finalize(void *pReserved) {
    CHECK(pReserved == NULL, CKR_ARGUMENTS_BAD);
    return module_stop();
}

CK_RV C_GetInfo(CK_INFO *pInfo) {
    ENTER_MODULE()
    CHECK(pInfo != NULL, CKR_ARGUMENTS_BAD);
    memset(pInfo, 0, sizeof *pInfo);
    pInfo->cryptokiVersion = (CK_VERSION){2, 40};
    pInfo->libraryVersion = (CK_VERSION){LIBRARY_MAJOR, LIBRARY_MINOR};
    padded_text(pInfo->manufacturerID, sizeof pInfo->manufacturerID, "hsmbridge");
    padded_text(pInfo->libraryDescription, sizeof pInfo->libraryDescription, "hsmbridge PKCS #11");
    return CKR_OK;
}

CK_RV C_GetSlotList(CK_BBOOL tokenPresent, CK_SLOT_ID *pSlotList, CK_ULONG *pulCount) {
    ENTER_MODULE()
    CHECK(pulCount != NULL, CKR_ARGUMENTS_BAD);
    CK_ULONG count = 0, room = *pulCount;
    for (CK_SLOT_ID id = 0; id < module_slots(); id++) {
        if (!tokenPresent || client_reaches(&module_slot(id)->client)) {
            if (pSlotList != NULL && count < room) {
                pSlotList[count] = id;
            }
            count++;
        }
    }
    *pulCount = count;
    return pSlotList != NULL && count > room ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slotID, CK_SLOT_INFO *pInfo) {
    ENTER_MODULE()
    struct slot *slot = module_slot(slotID);
    CHECK(slot != NULL, CKR_SLOT_ID_INVALID);
    CHECK(pInfo != NULL, CKR_ARGUMENTS_BAD);
    memset(pInfo, 0, sizeof *pInfo);
    padded_text(pInfo->slotDescription, sizeof pInfo->slotDescription, slot->client.cluster.servers[0].host);
    padded_text(pInfo->manufacturerID, sizeof pInfo->manufacturerID, "hsmbridge");
    pInfo->flags = client_reaches(&slot->client) ? CKF_TOKEN_PRESENT : 0;
    return CKR_OK;
}

static void get_padded(struct wire_in *in, CK_UTF8CHAR *field, size_t size) {
    size_t length;
    const unsigned char *text = wire_get_bytes(in, &length);
    padded(field, size, text != NULL ? text : (const unsigned char *)"", length);
}

/* Read a list of exactly `count` numbers. */
static void get_numbers(struct wire_in *in, CK_ULONG *numbers, uint32_t count) {
    if (wire_get_list(in) != count) {
        in->failed = true;
    }
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        numbers[i] = wire_get_int(in);
    }
}

static void get_token_info(struct wire_in *in, CK_TOKEN_INFO *info) {
    CK_ULONG versions[4] = {0}, numbers[10] = {0};
    get_padded(in, info->label, sizeof info->label);
    get_padded(in, info->manufacturerID, sizeof info->manufacturerID);
    get_padded(in, info->model, sizeof info->model);
    get_padded(in, info->serialNumber, sizeof info->serialNumber);
    info->flags = wire_get_int(in);
    get_numbers(in, numbers, 10);
    CK_ULONG *fields[10] = {&info->ulMaxSessionCount,    &info->ulSessionCount,      &info->ulMaxRwSessionCount,
                            &info->ulRwSessionCount,     &info->ulMaxPinLen,         &info->ulMinPinLen,
                            &info->ulTotalPublicMemory,  &info->ulFreePublicMemory,  &info->ulTotalPrivateMemory,
                            &info->ulFreePrivateMemory};
    for (int i = 0; i < 10; i++) {
        *fields[i] = numbers[i];
    }
    get_numbers(in, versions, 4);
    info->hardwareVersion = (CK_VERSION){(CK_BYTE)versions[0], (CK_BYTE)versions[1]};
    info->firmwareVersion = (CK_VERSION){(CK_BYTE)versions[2], (CK_BYTE)versions[3]};
    memset(info->utcTime, ' ', sizeof info->utcTime);
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slotID, CK_TOKEN_INFO *pInfo) {
    ENTER_MODULE()
    struct slot *slot = module_slot(slotID);
    CHECK(slot != NULL, CKR_SLOT_ID_INVALID);
    CHECK(pInfo != NULL, CKR_ARGUMENTS_BAD);
    CHECK(client_reaches(&slot->client), CKR_TOKEN_NOT_PRESENT);
    struct call call;
    call_begin(&call, slot, "C_GetTokenInfo");
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        memset(pInfo, 0, sizeof *pInfo);
        get_token_info(call.in, pInfo);
    }
    return call_end(&call, rv);
}

/* Copy a list of numbers by the two-call idiom. */
static CK_RV get_list(struct wire_in *in, CK_ULONG *list, CK_ULONG *count) {
    CK_ULONG room = *count;
    uint32_t found = wire_get_list(in);
    *count = found;
    if (list == NULL) {
        return CKR_OK;
    }
    if (found > room) {
        return CKR_BUFFER_TOO_SMALL;
    }
    for (uint32_t i = 0; i < found; i++) {
        list[i] = wire_get_int(in);
    }
    return CKR_OK;
}

CK_RV C_GetMechanismList(CK_SLOT_ID slotID, CK_MECHANISM_TYPE *pMechanismList, CK_ULONG *pulCount) {
    ENTER_MODULE()
    struct slot *slot = module_slot(slotID);
    CHECK(slot != NULL, CKR_SLOT_ID_INVALID);
    CHECK(pulCount != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    call_begin(&call, slot, "C_GetMechanismList");
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        rv = get_list(call.in, pMechanismList, pulCount);
    }
    return call_end(&call, rv);
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID slotID, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *pInfo) {
    ENTER_MODULE()
    struct slot *slot = module_slot(slotID);
    CHECK(slot != NULL, CKR_SLOT_ID_INVALID);
    CHECK(pInfo != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    call_begin(&call, slot, "C_GetMechanismInfo");
    call_int(&call, type);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        pInfo->ulMinKeySize = wire_get_int(call.in);
        pInfo->ulMaxKeySize = wire_get_int(call.in);
        pInfo->flags = wire_get_int(call.in);
    }
    return call_end(&call, rv);
}

CK_RV C_OpenSession(CK_SLOT_ID slotID, CK_FLAGS flags, void *pApplication, CK_NOTIFY Notify,
                    CK_SESSION_HANDLE *phSession) {
    (void)pApplication;
    (void)Notify;
    ENTER_MODULE()
    struct slot *slot = module_slot(slotID);
    CHECK(slot != NULL, CKR_SLOT_ID_INVALID);
    CHECK(phSession != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    call_begin(&call, slot, "C_OpenSession");
    call_int(&call, flags);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        uint64_t handle = wire_get_int(call.in);
        if (!call.in->failed) {
            *phSession = session_add(slot, handle);
        }
    }
    return call_end(&call, rv);
}

CK_RV C_CloseSession(CK_SESSION_HANDLE hSession) {
    CHECK_SESSION(slot, hSession);
    struct call call;
    begin_in(&call, slot, "C_CloseSession", hSession);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID) {
        session_remove(hSession);
    }
    return call_end(&call, rv);
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slotID) {
    ENTER_MODULE()
    struct slot *slot = module_slot(slotID);
    CHECK(slot != NULL, CKR_SLOT_ID_INVALID);
    struct call call;
    call_begin(&call, slot, "C_CloseAllSessions");
    CK_RV rv = call_send(&call);
    session_remove_all(slot);
    return call_end(&call, rv);
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE hSession, CK_SESSION_INFO *pInfo) {
    CHECK_SESSION(slot, hSession);
    CHECK(pInfo != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_GetSessionInfo", hSession);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        pInfo->slotID = module_slot_id(slot);
        pInfo->state = wire_get_int(call.in);
        pInfo->flags = wire_get_int(call.in);
        pInfo->ulDeviceError = 0;
    }
    return call_end(&call, rv);
}

static void set_token(struct slot *slot, uint64_t token) {
    pthread_mutex_lock(&slot->lock);
    slot->token = token;
    pthread_mutex_unlock(&slot->lock);
}

CK_RV C_Login(CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_UTF8CHAR *pPin, CK_ULONG ulPinLen) {
    CHECK_SESSION(slot, hSession);
    struct call call;
    begin_in(&call, slot, "C_Login", hSession);
    call_int(&call, userType);
    if (pPin == NULL) {
        call_null(&call);
    } else {
        call_bytes(&call, pPin, ulPinLen);
    }
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        set_token(slot, wire_get_int(call.in));
    }
    return call_end(&call, rv);
}

CK_RV C_Logout(CK_SESSION_HANDLE hSession) {
    CHECK_SESSION(slot, hSession);
    struct call call;
    begin_in(&call, slot, "C_Logout", hSession);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        set_token(slot, 0);
    }
    return call_end(&call, rv);
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE hSession, CK_BYTE *pRandomData, CK_ULONG ulRandomLen) {
    CHECK_SESSION(slot, hSession);
    CHECK(pRandomData != NULL || ulRandomLen == 0, CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_GenerateRandom", hSession);
    call_int(&call, ulRandomLen);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        size_t length;
        const unsigned char *bytes = wire_get_bytes(call.in, &length);
        if (bytes == NULL || length != ulRandomLen) {
            rv = CKR_DEVICE_ERROR;
        } else if (length > 0) {
            memcpy(pRandomData, bytes, length);
        }
    }
    return call_end(&call, rv);
}

static CK_RV end_with_object(struct call *call, CK_RV rv, CK_OBJECT_HANDLE *object) {
    if (rv == CKR_OK) {
        uint64_t handle = wire_get_int(call->in);
        if (!call->in->failed) {
            *object = handle;
        }
    }
    return call_end(call, rv);
}

CK_RV C_CreateObject(CK_SESSION_HANDLE hSession, CK_ATTRIBUTE *pTemplate, CK_ULONG ulCount,
                     CK_OBJECT_HANDLE *phObject) {
    CHECK_SESSION(slot, hSession);
    CHECK(phObject != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_CreateObject", hSession);
    call_template(&call, pTemplate, ulCount);
    return end_with_object(&call, call_send(&call), phObject);
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject) {
    CHECK_SESSION(slot, hSession);
    struct call call;
    begin_in(&call, slot, "C_DestroyObject", hSession);
    call_int(&call, hObject);
    return call_end(&call, call_send(&call));
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE *pTemplate,
                          CK_ULONG ulCount) {
    CHECK_SESSION(slot, hSession);
    CHECK(pTemplate != NULL && ulCount <= 4096, CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_GetAttributeValue", hSession);
    call_int(&call, hObject);
    size_t place = wire_begin_list(&call.request);
    for (CK_ULONG i = 0; i < ulCount; i++) {
        wire_put_int(&call.request, pTemplate[i].type);
    }
    wire_end_list(&call.request, place, (uint32_t)ulCount);
    call.arguments++;
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        CK_RV small = CKR_OK;
        if (wire_get_list(call.in) != ulCount) {
            call.in->failed = true;
        }
        for (CK_ULONG i = 0; i < ulCount && !call.in->failed; i++) {
            CK_RV one = get_attribute(call.in, &pTemplate[i]);
            small = one == CKR_OK ? small : one;
        }
        rv = wire_get_int(call.in);
        rv = rv == CKR_OK ? small : rv;
    }
    return call_end(&call, rv);
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE hSession, CK_ATTRIBUTE *pTemplate, CK_ULONG ulCount) {
    CHECK_SESSION(slot, hSession);
    struct call call;
    begin_in(&call, slot, "C_FindObjectsInit", hSession);
    call_template(&call, pTemplate, ulCount);
    return call_end(&call, call_send(&call));
}

CK_RV C_FindObjects(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE *phObject, CK_ULONG ulMaxObjectCount,
                    CK_ULONG *pulObjectCount) {
    CHECK_SESSION(slot, hSession);
    CHECK(pulObjectCount != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_FindObjects", hSession);
    call_int(&call, ulMaxObjectCount < 65536 ? ulMaxObjectCount : 65536);
    /* Without a buffer the call tells how many objects there are, and they stay. */
    call_bool(&call, phObject == NULL);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        *pulObjectCount = ulMaxObjectCount;
        rv = get_list(call.in, phObject, pulObjectCount);
        rv = rv == CKR_OK ? rv : CKR_DEVICE_ERROR;
    }
    return call_end(&call, rv);
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE hSession) {
    CHECK_SESSION(slot, hSession);
    struct call call;
    begin_in(&call, slot, "C_FindObjectsFinal", hSession);
    return call_end(&call, call_send(&call));
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_ATTRIBUTE *pTemplate, CK_ULONG ulCount,
                    CK_OBJECT_HANDLE *phKey) {
    CHECK_SESSION(slot, hSession);
    CHECK(pMechanism != NULL && phKey != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_GenerateKey", hSession);
    call_mechanism(&call, pMechanism);
    call_template(&call, pTemplate, ulCount);
    return end_with_object(&call, call_send(&call), phKey);
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_ATTRIBUTE *pPublicKeyTemplate,
                        CK_ULONG ulPublicKeyAttributeCount, CK_ATTRIBUTE *pPrivateKeyTemplate,
                        CK_ULONG ulPrivateKeyAttributeCount, CK_OBJECT_HANDLE *phPublicKey,
                        CK_OBJECT_HANDLE *phPrivateKey) {
    CHECK_SESSION(slot, hSession);
    CHECK(pMechanism != NULL && phPublicKey != NULL && phPrivateKey != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_GenerateKeyPair", hSession);
    call_mechanism(&call, pMechanism);
    call_template(&call, pPublicKeyTemplate, ulPublicKeyAttributeCount);
    call_template(&call, pPrivateKeyTemplate, ulPrivateKeyAttributeCount);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK) {
        uint64_t public = wire_get_int(call.in), private = wire_get_int(call.in);
        if (!call.in->failed) {
            *phPublicKey = public;
            *phPrivateKey = private;
        }
    }
    return call_end(&call, rv);
}

CK_RV C_WrapKey(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hWrappingKey,
                CK_OBJECT_HANDLE hKey, CK_BYTE *pWrappedKey, CK_ULONG *pulWrappedKeyLen) {
    CHECK_SESSION(slot, hSession);
    CHECK(pMechanism != NULL && pulWrappedKeyLen != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_WrapKey", hSession);
    call_mechanism(&call, pMechanism);
    call_int(&call, hWrappingKey);
    call_int(&call, hKey);
    call_room(&call, pWrappedKey, *pulWrappedKeyLen);
    CK_RV rv = call_send(&call);
    if (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL) {
        CK_ULONG iv_length;
        CK_BYTE *iv = iv_place(pMechanism, &iv_length);
        rv = get_result(&call, rv, pWrappedKey, pulWrappedKeyLen, iv, iv_length);
    }
    return call_end(&call, rv);
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hUnwrappingKey,
                  CK_BYTE *pWrappedKey, CK_ULONG ulWrappedKeyLen, CK_ATTRIBUTE *pTemplate, CK_ULONG ulAttributeCount,
                  CK_OBJECT_HANDLE *phKey) {
    CHECK_SESSION(slot, hSession);
    CHECK(pMechanism != NULL && phKey != NULL && (pWrappedKey != NULL || ulWrappedKeyLen == 0), CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_UnwrapKey", hSession);
    call_mechanism(&call, pMechanism);
    call_int(&call, hUnwrappingKey);
    call_bytes(&call, pWrappedKey, ulWrappedKeyLen);
    call_template(&call, pTemplate, ulAttributeCount);
    return end_with_object(&call, call_send(&call), phKey);
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hBaseKey,
                  CK_ATTRIBUTE *pTemplate, CK_ULONG ulAttributeCount, CK_OBJECT_HANDLE *phKey) {
    CHECK_SESSION(slot, hSession);
    CHECK(pMechanism != NULL && phKey != NULL, CKR_ARGUMENTS_BAD);
    struct call call;
    begin_in(&call, slot, "C_DeriveKey", hSession);
    call_mechanism(&call, pMechanism);
    call_int(&call, hBaseKey);
    call_template(&call, pTemplate, ulAttributeCount);
    return end_with_object(&call, call_send(&call), phKey);
}

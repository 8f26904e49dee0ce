/* The types and numbers of PKCS #11 2.40 that the module uses, in our own words. */

#ifndef HSMBRIDGE_PKCS11_H
#define HSMBRIDGE_PKCS11_H

typedef unsigned char CK_BYTE, CK_BBOOL, CK_UTF8CHAR, CK_CHAR;
typedef unsigned long CK_ULONG, CK_FLAGS, CK_RV, CK_SLOT_ID, CK_SESSION_HANDLE, CK_OBJECT_HANDLE, CK_NOTIFICATION;
typedef unsigned long CK_MECHANISM_TYPE, CK_ATTRIBUTE_TYPE, CK_USER_TYPE, CK_STATE;

#define CK_UNAVAILABLE_INFORMATION (~0UL)

typedef struct CK_VERSION {
    CK_BYTE major, minor;
} CK_VERSION;

typedef struct CK_INFO {
    CK_VERSION cryptokiVersion;
    CK_UTF8CHAR manufacturerID[32];
    CK_FLAGS flags;
    CK_UTF8CHAR libraryDescription[32];
    CK_VERSION libraryVersion;
} CK_INFO;

typedef struct CK_SLOT_INFO {
    CK_UTF8CHAR slotDescription[64];
    CK_UTF8CHAR manufacturerID[32];
    CK_FLAGS flags;
    CK_VERSION hardwareVersion, firmwareVersion;
} CK_SLOT_INFO;

typedef struct CK_TOKEN_INFO {
    CK_UTF8CHAR label[32], manufacturerID[32], model[16];
    CK_CHAR serialNumber[16];
    CK_FLAGS flags;
    CK_ULONG ulMaxSessionCount, ulSessionCount, ulMaxRwSessionCount, ulRwSessionCount, ulMaxPinLen, ulMinPinLen;
    CK_ULONG ulTotalPublicMemory, ulFreePublicMemory, ulTotalPrivateMemory, ulFreePrivateMemory;
    CK_VERSION hardwareVersion, firmwareVersion;
    CK_CHAR utcTime[16];
} CK_TOKEN_INFO;

typedef struct CK_SESSION_INFO {
    CK_SLOT_ID slotID;
    CK_STATE state;
    CK_FLAGS flags;
    CK_ULONG ulDeviceError;
} CK_SESSION_INFO;

typedef struct CK_MECHANISM_INFO {
    CK_ULONG ulMinKeySize, ulMaxKeySize;
    CK_FLAGS flags;
} CK_MECHANISM_INFO;

typedef struct CK_ATTRIBUTE {
    CK_ATTRIBUTE_TYPE type;
    void *pValue;
    CK_ULONG ulValueLen;
} CK_ATTRIBUTE;

typedef struct CK_MECHANISM {
    CK_MECHANISM_TYPE mechanism;
    void *pParameter;
    CK_ULONG ulParameterLen;
} CK_MECHANISM;

typedef struct CK_C_INITIALIZE_ARGS {
    void *CreateMutex, *DestroyMutex, *LockMutex, *UnlockMutex;
    CK_FLAGS flags;
    void *pReserved;
} CK_C_INITIALIZE_ARGS;

typedef struct CK_RSA_PKCS_PSS_PARAMS {
    CK_ULONG hashAlg, mgf, sLen;
} CK_RSA_PKCS_PSS_PARAMS;

typedef struct CK_RSA_PKCS_OAEP_PARAMS {
    CK_ULONG hashAlg, mgf, source;
    void *pSourceData;
    CK_ULONG ulSourceDataLen;
} CK_RSA_PKCS_OAEP_PARAMS;

typedef struct CK_RSA_AES_KEY_WRAP_PARAMS {
    CK_ULONG ulAESKeyBits;
    CK_RSA_PKCS_OAEP_PARAMS *pOAEPParams;
} CK_RSA_AES_KEY_WRAP_PARAMS;

typedef struct CK_AES_CTR_PARAMS {
    CK_ULONG ulCounterBits;
    CK_BYTE cb[16];
} CK_AES_CTR_PARAMS;

typedef struct CK_GCM_PARAMS {
    CK_BYTE *pIv;
    CK_ULONG ulIvLen, ulIvBits;
    CK_BYTE *pAAD;
    CK_ULONG ulAADLen, ulTagBits;
} CK_GCM_PARAMS;

/* The structure of PKCS #11 before 2.40 errata 1, without ulIvBits. */
typedef struct CK_GCM_PARAMS_SHORT {
    CK_BYTE *pIv;
    CK_ULONG ulIvLen;
    CK_BYTE *pAAD;
    CK_ULONG ulAADLen, ulTagBits;
} CK_GCM_PARAMS_SHORT;

typedef struct CK_ECDH1_DERIVE_PARAMS {
    CK_ULONG kdf, ulSharedDataLen;
    CK_BYTE *pSharedData;
    CK_ULONG ulPublicDataLen;
    CK_BYTE *pPublicData;
} CK_ECDH1_DERIVE_PARAMS;

typedef struct CK_PRF_DATA_PARAM {
    CK_ULONG type;
    void *pValue;
    CK_ULONG ulValueLen;
} CK_PRF_DATA_PARAM;

typedef struct CK_SP800_108_KDF_PARAMS {
    CK_ULONG prftype, ulNumberOfDataParams;
    CK_PRF_DATA_PARAM *pDataParams;
} CK_SP800_108_KDF_PARAMS;

typedef CK_RV (*CK_NOTIFY)(CK_SESSION_HANDLE, CK_NOTIFICATION, void *);

enum {
    CKR_OK = 0x00,
    CKR_HOST_MEMORY = 0x02,
    CKR_SLOT_ID_INVALID = 0x03,
    CKR_GENERAL_ERROR = 0x05,
    CKR_ARGUMENTS_BAD = 0x07,
    CKR_ATTRIBUTE_VALUE_INVALID = 0x13,
    CKR_DATA_LEN_RANGE = 0x21,
    CKR_DEVICE_ERROR = 0x30,
    CKR_FUNCTION_FAILED = 0x06,
    CKR_FUNCTION_NOT_SUPPORTED = 0x54,
    CKR_MECHANISM_PARAM_INVALID = 0x71,
    CKR_OPERATION_ACTIVE = 0x90,
    CKR_SESSION_HANDLE_INVALID = 0xB3,
    CKR_SIGNATURE_INVALID = 0xC0,
    CKR_TOKEN_NOT_PRESENT = 0xE0,
    CKR_BUFFER_TOO_SMALL = 0x150,
    CKR_CRYPTOKI_NOT_INITIALIZED = 0x190,
    CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191,
};

enum { CKF_TOKEN_PRESENT = 0x1, CKF_OS_LOCKING_OK = 0x2 };

/* Every function of the standard, in the order of CK_FUNCTION_LIST: EACH(name, parameters). */
#define CK_EACH_FUNCTION(EACH) \
    EACH(C_Initialize, (void *pInitArgs)) \
    EACH(C_Finalize, (void *pReserved)) \
    EACH(C_GetInfo, (CK_INFO * pInfo)) \
    EACH(C_GetFunctionList, (struct CK_FUNCTION_LIST * *ppFunctionList)) \
    EACH(C_GetSlotList, (CK_BBOOL tokenPresent, CK_SLOT_ID *pSlotList, CK_ULONG *pulCount)) \
    EACH(C_GetSlotInfo, (CK_SLOT_ID slotID, CK_SLOT_INFO *pInfo)) \
    EACH(C_GetTokenInfo, (CK_SLOT_ID slotID, CK_TOKEN_INFO *pInfo)) \
    EACH(C_GetMechanismList, (CK_SLOT_ID slotID, CK_MECHANISM_TYPE *pMechanismList, CK_ULONG *pulCount)) \
    EACH(C_GetMechanismInfo, (CK_SLOT_ID slotID, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *pInfo)) \
    EACH(C_InitToken, (CK_SLOT_ID slotID, CK_UTF8CHAR *pPin, CK_ULONG ulPinLen, CK_UTF8CHAR *pLabel)) \
    EACH(C_InitPIN, (CK_SESSION_HANDLE hSession, CK_UTF8CHAR *pPin, CK_ULONG ulPinLen)) \
    EACH(C_SetPIN, (CK_SESSION_HANDLE hSession, CK_UTF8CHAR *pOldPin, CK_ULONG ulOldLen, CK_UTF8CHAR *pNewPin, \
                    CK_ULONG ulNewLen)) \
    EACH(C_OpenSession, (CK_SLOT_ID slotID, CK_FLAGS flags, void *pApplication, CK_NOTIFY Notify, \
                         CK_SESSION_HANDLE *phSession)) \
    EACH(C_CloseSession, (CK_SESSION_HANDLE hSession)) \
    EACH(C_CloseAllSessions, (CK_SLOT_ID slotID)) \
    EACH(C_GetSessionInfo, (CK_SESSION_HANDLE hSession, CK_SESSION_INFO *pInfo)) \
    EACH(C_GetOperationState, (CK_SESSION_HANDLE hSession, CK_BYTE *pState, CK_ULONG *pulStateLen)) \
    EACH(C_SetOperationState, (CK_SESSION_HANDLE hSession, CK_BYTE *pState, CK_ULONG ulStateLen, \
                               CK_OBJECT_HANDLE hEncryptionKey, CK_OBJECT_HANDLE hAuthenticationKey)) \
    EACH(C_Login, (CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_UTF8CHAR *pPin, CK_ULONG ulPinLen)) \
    EACH(C_Logout, (CK_SESSION_HANDLE hSession)) \
    EACH(C_CreateObject, (CK_SESSION_HANDLE hSession, CK_ATTRIBUTE *pTemplate, CK_ULONG ulCount, \
                          CK_OBJECT_HANDLE *phObject)) \
    EACH(C_CopyObject, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE *pTemplate, \
                        CK_ULONG ulCount, CK_OBJECT_HANDLE *phNewObject)) \
    EACH(C_DestroyObject, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject)) \
    EACH(C_GetObjectSize, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ULONG *pulSize)) \
    EACH(C_GetAttributeValue, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE *pTemplate, \
                               CK_ULONG ulCount)) \
    EACH(C_SetAttributeValue, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE *pTemplate, \
                               CK_ULONG ulCount)) \
    EACH(C_FindObjectsInit, (CK_SESSION_HANDLE hSession, CK_ATTRIBUTE *pTemplate, CK_ULONG ulCount)) \
    EACH(C_FindObjects, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE *phObject, CK_ULONG ulMaxObjectCount, \
                         CK_ULONG *pulObjectCount)) \
    EACH(C_FindObjectsFinal, (CK_SESSION_HANDLE hSession)) \
    EACH(C_EncryptInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey)) \
    EACH(C_Encrypt, (CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pEncryptedData, \
                     CK_ULONG *pulEncryptedDataLen)) \
    EACH(C_EncryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen, CK_BYTE *pEncryptedPart, \
                           CK_ULONG *pulEncryptedPartLen)) \
    EACH(C_EncryptFinal, (CK_SESSION_HANDLE hSession, CK_BYTE *pLastPart, CK_ULONG *pulLastPartLen)) \
    EACH(C_DecryptInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey)) \
    EACH(C_Decrypt, (CK_SESSION_HANDLE hSession, CK_BYTE *pEncryptedData, CK_ULONG ulEncryptedDataLen, CK_BYTE *pData, \
                     CK_ULONG *pulDataLen)) \
    EACH(C_DecryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pEncryptedPart, CK_ULONG ulEncryptedPartLen, \
                           CK_BYTE *pPart, CK_ULONG *pulPartLen)) \
    EACH(C_DecryptFinal, (CK_SESSION_HANDLE hSession, CK_BYTE *pLastPart, CK_ULONG *pulLastPartLen)) \
    EACH(C_DigestInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism)) \
    EACH(C_Digest, (CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pDigest, \
                    CK_ULONG *pulDigestLen)) \
    EACH(C_DigestUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen)) \
    EACH(C_DigestKey, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hKey)) \
    EACH(C_DigestFinal, (CK_SESSION_HANDLE hSession, CK_BYTE *pDigest, CK_ULONG *pulDigestLen)) \
    EACH(C_SignInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey)) \
    EACH(C_Sign, (CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pSignature, \
                  CK_ULONG *pulSignatureLen)) \
    EACH(C_SignUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen)) \
    EACH(C_SignFinal, (CK_SESSION_HANDLE hSession, CK_BYTE *pSignature, CK_ULONG *pulSignatureLen)) \
    EACH(C_SignRecoverInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey)) \
    EACH(C_SignRecover, (CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pSignature, \
                         CK_ULONG *pulSignatureLen)) \
    EACH(C_VerifyInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey)) \
    EACH(C_Verify, (CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pSignature, \
                    CK_ULONG ulSignatureLen)) \
    EACH(C_VerifyUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen)) \
    EACH(C_VerifyFinal, (CK_SESSION_HANDLE hSession, CK_BYTE *pSignature, CK_ULONG ulSignatureLen)) \
    EACH(C_VerifyRecoverInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey)) \
    EACH(C_VerifyRecover, (CK_SESSION_HANDLE hSession, CK_BYTE *pSignature, CK_ULONG ulSignatureLen, CK_BYTE *pData, \
                           CK_ULONG *pulDataLen)) \
    EACH(C_DigestEncryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen, \
                                 CK_BYTE *pEncryptedPart, CK_ULONG *pulEncryptedPartLen)) \
    EACH(C_DecryptDigestUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pEncryptedPart, CK_ULONG ulEncryptedPartLen, \
                                 CK_BYTE *pPart, CK_ULONG *pulPartLen)) \
    EACH(C_SignEncryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen, \
                               CK_BYTE *pEncryptedPart, CK_ULONG *pulEncryptedPartLen)) \
    EACH(C_DecryptVerifyUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pEncryptedPart, CK_ULONG ulEncryptedPartLen, \
                                 CK_BYTE *pPart, CK_ULONG *pulPartLen)) \
    EACH(C_GenerateKey, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_ATTRIBUTE *pTemplate, \
                         CK_ULONG ulCount, CK_OBJECT_HANDLE *phKey)) \
    EACH(C_GenerateKeyPair, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_ATTRIBUTE *pPublicKeyTemplate, \
                             CK_ULONG ulPublicKeyAttributeCount, CK_ATTRIBUTE *pPrivateKeyTemplate, \
                             CK_ULONG ulPrivateKeyAttributeCount, CK_OBJECT_HANDLE *phPublicKey, \
                             CK_OBJECT_HANDLE *phPrivateKey)) \
    EACH(C_WrapKey, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hWrappingKey, \
                     CK_OBJECT_HANDLE hKey, CK_BYTE *pWrappedKey, CK_ULONG *pulWrappedKeyLen)) \
    EACH(C_UnwrapKey, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hUnwrappingKey, \
                       CK_BYTE *pWrappedKey, CK_ULONG ulWrappedKeyLen, CK_ATTRIBUTE *pTemplate, \
                       CK_ULONG ulAttributeCount, CK_OBJECT_HANDLE *phKey)) \
    EACH(C_DeriveKey, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hBaseKey, \
                       CK_ATTRIBUTE *pTemplate, CK_ULONG ulAttributeCount, CK_OBJECT_HANDLE *phKey)) \
    EACH(C_SeedRandom, (CK_SESSION_HANDLE hSession, CK_BYTE *pSeed, CK_ULONG ulSeedLen)) \
    EACH(C_GenerateRandom, (CK_SESSION_HANDLE hSession, CK_BYTE *pRandomData, CK_ULONG ulRandomLen)) \
    EACH(C_GetFunctionStatus, (CK_SESSION_HANDLE hSession)) \
    EACH(C_CancelFunction, (CK_SESSION_HANDLE hSession)) \
    EACH(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID *pSlot, void *pReserved))

struct CK_FUNCTION_LIST;
#define CK_DECLARE(name, parameters) CK_RV name parameters;
CK_EACH_FUNCTION(CK_DECLARE)
#undef CK_DECLARE

#define CK_MEMBER(name, parameters) CK_RV(*name) parameters;
typedef struct CK_FUNCTION_LIST {
    CK_VERSION version;
    CK_EACH_FUNCTION(CK_MEMBER)
} CK_FUNCTION_LIST;
#undef CK_MEMBER

#endif

/* The functions that AWS CloudHSM's library does not have, and the list of all functions. */

#include "pkcs11.h"

#include <stddef.h>

#define UNSUPPORTED(name, parameters) \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wunused-parameter\"") CK_RV name parameters { \
        return CKR_FUNCTION_NOT_SUPPORTED; \
    } \
    _Pragma("GCC diagnostic pop")

UNSUPPORTED(C_InitToken, (CK_SLOT_ID slotID, CK_UTF8CHAR *pPin, CK_ULONG ulPinLen, CK_UTF8CHAR *pLabel))
UNSUPPORTED(C_InitPIN, (CK_SESSION_HANDLE hSession, CK_UTF8CHAR *pPin, CK_ULONG ulPinLen))
UNSUPPORTED(C_SetPIN, (CK_SESSION_HANDLE hSession, CK_UTF8CHAR *pOldPin, CK_ULONG ulOldLen, CK_UTF8CHAR *pNewPin,
                       CK_ULONG ulNewLen))
UNSUPPORTED(C_GetOperationState, (CK_SESSION_HANDLE hSession, CK_BYTE *pState, CK_ULONG *pulStateLen))
UNSUPPORTED(C_SetOperationState, (CK_SESSION_HANDLE hSession, CK_BYTE *pState, CK_ULONG ulStateLen,
                                  CK_OBJECT_HANDLE hEncryptionKey, CK_OBJECT_HANDLE hAuthenticationKey))
UNSUPPORTED(C_CopyObject, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE *pTemplate,
                           CK_ULONG ulCount, CK_OBJECT_HANDLE *phNewObject))
UNSUPPORTED(C_GetObjectSize, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ULONG *pulSize))
UNSUPPORTED(C_SetAttributeValue, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE *pTemplate,
                                  CK_ULONG ulCount))
UNSUPPORTED(C_DigestKey, (CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hKey))
UNSUPPORTED(C_SignRecoverInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey))
UNSUPPORTED(C_SignRecover, (CK_SESSION_HANDLE hSession, CK_BYTE *pData, CK_ULONG ulDataLen, CK_BYTE *pSignature,
                            CK_ULONG *pulSignatureLen))
UNSUPPORTED(C_VerifyRecoverInit, (CK_SESSION_HANDLE hSession, CK_MECHANISM *pMechanism, CK_OBJECT_HANDLE hKey))
UNSUPPORTED(C_VerifyRecover, (CK_SESSION_HANDLE hSession, CK_BYTE *pSignature, CK_ULONG ulSignatureLen, CK_BYTE *pData,
                              CK_ULONG *pulDataLen))
UNSUPPORTED(C_DigestEncryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen,
                                    CK_BYTE *pEncryptedPart, CK_ULONG *pulEncryptedPartLen))
UNSUPPORTED(C_DecryptDigestUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pEncryptedPart, CK_ULONG ulEncryptedPartLen,
                                    CK_BYTE *pPart, CK_ULONG *pulPartLen))
UNSUPPORTED(C_SignEncryptUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pPart, CK_ULONG ulPartLen,
                                  CK_BYTE *pEncryptedPart, CK_ULONG *pulEncryptedPartLen))
UNSUPPORTED(C_DecryptVerifyUpdate, (CK_SESSION_HANDLE hSession, CK_BYTE *pEncryptedPart, CK_ULONG ulEncryptedPartLen,
                                    CK_BYTE *pPart, CK_ULONG *pulPartLen))
UNSUPPORTED(C_SeedRandom, (CK_SESSION_HANDLE hSession, CK_BYTE *pSeed, CK_ULONG ulSeedLen))
UNSUPPORTED(C_GetFunctionStatus, (CK_SESSION_HANDLE hSession))
UNSUPPORTED(C_CancelFunction, (CK_SESSION_HANDLE hSession))
UNSUPPORTED(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID *pSlot, void *pReserved))

#define ENTRY(name, parameters) name,
static CK_FUNCTION_LIST functions = {{2, 40}, CK_EACH_FUNCTION(ENTRY)};

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ppFunctionList) {
    if (ppFunctionList == NULL) {
        return CKR_ARGUMENTS_BAD;
    }
    *ppFunctionList = &functions;
    return CKR_OK;
}

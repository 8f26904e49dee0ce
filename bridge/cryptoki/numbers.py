"""Public numbers of PKCS #11 2.40 (OASIS, pkcs11t.h) and of AWS CloudHSM's vendor extensions."""

from __future__ import annotations

from enum import IntEnum


class Rv(IntEnum):
    """Return codes (``CKR_`` without the prefix)."""

    OK = 0x00
    HOST_MEMORY = 0x02
    SLOT_ID_INVALID = 0x03
    GENERAL_ERROR = 0x05
    FUNCTION_FAILED = 0x06
    ARGUMENTS_BAD = 0x07
    ATTRIBUTE_READ_ONLY = 0x10
    ATTRIBUTE_SENSITIVE = 0x11
    ATTRIBUTE_TYPE_INVALID = 0x12
    ATTRIBUTE_VALUE_INVALID = 0x13
    ACTION_PROHIBITED = 0x1B
    DATA_INVALID = 0x20
    DATA_LEN_RANGE = 0x21
    DEVICE_ERROR = 0x30
    DEVICE_MEMORY = 0x31
    ENCRYPTED_DATA_INVALID = 0x40
    ENCRYPTED_DATA_LEN_RANGE = 0x41
    FUNCTION_NOT_SUPPORTED = 0x54
    KEY_HANDLE_INVALID = 0x60
    KEY_SIZE_RANGE = 0x62
    KEY_TYPE_INCONSISTENT = 0x63
    KEY_FUNCTION_NOT_PERMITTED = 0x68
    KEY_NOT_WRAPPABLE = 0x69
    KEY_UNEXTRACTABLE = 0x6A
    MECHANISM_INVALID = 0x70
    MECHANISM_PARAM_INVALID = 0x71
    OBJECT_HANDLE_INVALID = 0x82
    OPERATION_ACTIVE = 0x90
    OPERATION_NOT_INITIALIZED = 0x91
    PIN_INCORRECT = 0xA0
    PIN_LOCKED = 0xA4
    SESSION_COUNT = 0xB1
    SESSION_HANDLE_INVALID = 0xB3
    SESSION_PARALLEL_NOT_SUPPORTED = 0xB4
    SESSION_READ_ONLY = 0xB5
    SIGNATURE_INVALID = 0xC0
    SIGNATURE_LEN_RANGE = 0xC1
    TEMPLATE_INCOMPLETE = 0xD0
    TEMPLATE_INCONSISTENT = 0xD1
    UNWRAPPING_KEY_HANDLE_INVALID = 0xF0
    USER_ALREADY_LOGGED_IN = 0x100
    USER_NOT_LOGGED_IN = 0x101
    USER_TYPE_INVALID = 0x103
    USER_ANOTHER_ALREADY_LOGGED_IN = 0x104
    WRAPPED_KEY_INVALID = 0x110
    WRAPPING_KEY_HANDLE_INVALID = 0x113
    DOMAIN_PARAMS_INVALID = 0x130
    CURVE_NOT_SUPPORTED = 0x140
    BUFFER_TOO_SMALL = 0x150
    FUNCTION_REJECTED = 0x200


class ObjectClass(IntEnum):
    """Object classes (``CKO_``)."""

    CERTIFICATE = 1
    PUBLIC_KEY = 2
    PRIVATE_KEY = 3
    SECRET_KEY = 4


KEY_TYPES = {"RSA": 0x00, "EC": 0x03, "GENERIC_SECRET": 0x10, "DESEDE": 0x15, "AES": 0x1F, "EC_EDWARDS": 0x40,
             "ML_DSA": 0x4A}  # fmt: skip
"""``CKK_`` numbers by the core's KEY_TYPE; the last two are of PKCS #11 3.0 and 3.2."""

USER = 1
"""``CKU_USER``, a crypto user."""

SERIAL_SESSION, RW_SESSION = 0x4, 0x2
"""``CKF_`` flags of a session."""
STATES = {(True, False): 2, (True, True): 3, (False, False): 0, (False, True): 1}
"""``CKS_`` numbers by read-write and login."""

TOKEN_FLAGS = 0x1 | 0x4 | 0x8 | 0x400
"""``CKF_RNG``, ``CKF_LOGIN_REQUIRED``, ``CKF_USER_PIN_INITIALIZED`` and ``CKF_TOKEN_INITIALIZED``."""

UNAVAILABLE = -1
"""``CK_UNAVAILABLE_INFORMATION`` as a signed number."""
EFFECTIVELY_INFINITE = 0

HASH_MECHANISMS = {0x220: "SHA-1", 0x255: "SHA-224", 0x250: "SHA-256", 0x260: "SHA-384", 0x270: "SHA-512"}
"""Digests by ``CKM_`` number, as OAEP and PSS parameters name them."""
MASKS = {0x1: "SHA-1", 0x5: "SHA-224", 0x2: "SHA-256", 0x3: "SHA-384", 0x4: "SHA-512"}
"""Digests by ``CKG_MGF1_`` number."""
DATA_SPECIFIED = 1
"""``CKZ_DATA_SPECIFIED``."""

PART_COUNTER, PART_LABEL, PART_CONTEXT, PART_LENGTH, PART_BYTES = 4, 5, 6, 7, 8
"""Kinds of the parts of a derivation's input (AWS CloudHSM): counter, label, context, length of the key, bytes."""

SUM_OF_KEYS = 1
"""The method by which the length of a derived key is counted."""
VENDOR = 0x80000000
"""``CKM_VENDOR_DEFINED`` and its like."""
X_509 = 0
"""``CKC_X_509``."""

REPEATABLE = (
    "C_GetTokenInfo", "C_GetMechanismList", "C_GetMechanismInfo", "C_CloseAllSessions", "C_GetSessionInfo",
    "C_GenerateRandom", "C_GetAttributeValue", "C_WrapKey",
)  # fmt: skip
"""The functions that the C library may send again after a lost answer: they change nothing, or nothing more."""

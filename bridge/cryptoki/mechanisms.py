"""The table of Cryptoki mechanisms: number, form of the parameter, flags, and the core's mechanism behind each.

The C library is built with the numbers and forms of this table (``bridge.cryptoki.header``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum

from hsmcore.tables.mechanisms import DIGEST_BYTES, HASHES, KEY_SIZES, MAX_HMAC_KEY, KeyType


class Use(IntFlag):
    """``CKF_`` flags of a mechanism."""

    HARDWARE = 0x1
    """Programs prefer such mechanisms. Those with a key have it, as AWS CloudHSM's have."""
    ENCRYPT = 0x100
    DECRYPT = 0x200
    DIGEST = 0x400
    SIGN = 0x800
    VERIFY = 0x2000
    GENERATE = 0x8000
    GENERATE_KEY_PAIR = 0x10000
    WRAP = 0x20000
    UNWRAP = 0x40000
    DERIVE = 0x80000
    NAMED_CURVES = 0x100000 | 0x800000 | 0x1000000
    """Prime fields, named curves, uncompressed points."""


class Form(StrEnum):
    """Forms of a mechanism's parameter. The value is the letter by which the C library knows the form."""

    NONE = "n"
    IV = "i"
    """The bytes of an initial value."""
    COUNTER = "c"
    """``CK_AES_CTR_PARAMS``: bits of the counter, first block."""
    GCM = "g"
    """``CK_GCM_PARAMS``: IV, additional data, bits of the tag."""
    PSS = "p"
    """``CK_RSA_PKCS_PSS_PARAMS``: hash, mask generation, length of the salt."""
    OAEP = "o"
    """``CK_RSA_PKCS_OAEP_PARAMS``: hash, mask generation, source, label."""
    RSA_AES = "r"
    """``CK_RSA_AES_KEY_WRAP_PARAMS``: bits of the temporary key, then as OAEP."""
    ECDH = "e"
    """``CK_ECDH1_DERIVE_PARAMS``: KDF, shared data, public point."""
    KDF = "k"
    """``CK_SP800_108_KDF_PARAMS``: function, then a list for each part of its input."""


CRYPT = Use.ENCRYPT | Use.DECRYPT
WRAPS = Use.WRAP | Use.UNWRAP
SIGNS = Use.SIGN | Use.VERIFY


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a mechanism: their type, and the minimum and maximum of their size, in the unit of PKCS #11."""

    key_type: KeyType | None = None
    sizes: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """One mechanism.

    ``core`` is the core's mechanism; an OAEP row has only its beginning, which the hash of the parameter completes.
    ``core_signs`` replaces it for SIGN and VERIFY. ``digest`` is the hash that the row computes over the data before
    the core's mechanism, or alone. ``parts`` tells whether there are multi-part operations. A row that is not
    ``listed`` works too; the original does not list it, and AWS's own sample has no name for it.
    """

    number: int
    name: str
    uses: Use
    core: str
    keys: Keys = Keys()
    form: Form = Form.NONE
    core_signs: str = ""
    digest: str = ""
    parts: bool = True
    listed: bool = True

    @property
    def key_type(self) -> KeyType | None:
        """The type of the keys."""
        return self.keys.key_type

    def core_for(self, use: Use) -> str:
        """Return the core's mechanism for a use."""
        return self.core_signs if self.core_signs and use & SIGNS else self.core


def _sizes(key_type: KeyType, unit: int) -> tuple[int, int]:
    sizes = KEY_SIZES[key_type]
    return sizes[0] // unit, sizes[-1] // unit


_RSA, _EC = Keys(KeyType.RSA, _sizes(KeyType.RSA, 1)), Keys(KeyType.EC, (224, 521))
_AES, _DES = Keys(KeyType.AES, _sizes(KeyType.AES, 8)), Keys(KeyType.DESEDE, (24, 24))
_GENERIC = Keys(KeyType.GENERIC_SECRET, _sizes(KeyType.GENERIC_SECRET, 1))
_HMAC = Keys(KeyType.GENERIC_SECRET, (1, MAX_HMAC_KEY))
_CORE_HASHES = {digest: spelled for spelled, digest in HASHES.items()}


def _generators() -> tuple[Row, ...]:
    pair, key = Use.GENERATE_KEY_PAIR, Use.GENERATE
    return (
        Row(0x0000, "CKM_RSA_PKCS_KEY_PAIR_GEN", pair, "RSA_KEY_PAIR_GEN", _RSA),
        Row(0x000A, "CKM_RSA_X9_31_KEY_PAIR_GEN", pair, "RSA_KEY_PAIR_GEN", _RSA),
        Row(0x1040, "CKM_EC_KEY_PAIR_GEN", pair | Use.NAMED_CURVES, "EC_KEY_PAIR_GEN", _EC),
        Row(0x0350, "CKM_GENERIC_SECRET_KEY_GEN", key, "GENERIC_SECRET_KEY_GEN", _GENERIC),
        Row(0x1080, "CKM_AES_KEY_GEN", key, "AES_KEY_GEN", _AES),
        Row(0x0131, "CKM_DES3_KEY_GEN", key, "DESEDE_KEY_GEN", _DES),
    )


def _ciphers() -> tuple[Row, ...]:
    return (
        Row(0x1081, "CKM_AES_ECB", CRYPT, "AES_ECB", _AES),
        Row(0x1082, "CKM_AES_CBC", CRYPT, "AES_CBC", _AES, Form.IV),
        Row(0x1085, "CKM_AES_CBC_PAD", CRYPT, "AES_CBC_PAD", _AES, Form.IV),
        Row(0x1086, "CKM_AES_CTR", CRYPT, "AES_CTR", _AES, Form.COUNTER),
        Row(0x1087, "CKM_AES_GCM", CRYPT | WRAPS, "AES_GCM", _AES, Form.GCM, parts=False),
        Row(0x80001087, "CKM_CLOUDHSM_AES_GCM", CRYPT | WRAPS, "AES_GCM", _AES, Form.GCM, parts=False),
        Row(0x0132, "CKM_DES3_ECB", CRYPT, "DESEDE_ECB", _DES),
        Row(0x0133, "CKM_DES3_CBC", CRYPT, "DESEDE_CBC", _DES, Form.IV),
        Row(0x0136, "CKM_DES3_CBC_PAD", CRYPT, "DESEDE_CBC_PAD", _DES, Form.IV),
        Row(0x80002109, "CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD", WRAPS, "AES_KEY_WRAP_NO_PAD", _AES, Form.IV),
        Row(0x8000210A, "CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD", WRAPS, "AES_KEY_WRAP_PKCS5_PAD", _AES, Form.IV),
        Row(0x8000216F, "CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD", WRAPS, "AES_KEY_WRAP_ZERO_PAD", _AES, Form.IV),
        Row(0x80008000, "CKM_CLOUDHSM_DES3_NIST_WRAP", WRAPS, "DESEDE_KEY_WRAP", _DES, listed=False),
        Row(0x1054, "CKM_RSA_AES_KEY_WRAP", WRAPS, "RSA_AES_KEY_WRAP_", _RSA, Form.RSA_AES),
        Row(0x0009, "CKM_RSA_PKCS_OAEP", CRYPT | WRAPS, "RSA_OAEP_", _RSA, Form.OAEP, parts=False),
    )


def _signatures() -> tuple[Row, ...]:
    rsa_pkcs = {"SHA-1": 0x06, "SHA-224": 0x46, "SHA-256": 0x40, "SHA-384": 0x41, "SHA-512": 0x42}
    rsa_pss = {"SHA-1": 0x0E, "SHA-224": 0x47, "SHA-256": 0x43, "SHA-384": 0x44, "SHA-512": 0x45}
    ecdsa = {"SHA-1": 0x1042, "SHA-224": 0x1043, "SHA-256": 0x1044, "SHA-384": 0x1045, "SHA-512": 0x1046}
    rows = [
        Row(0x0001, "CKM_RSA_PKCS", CRYPT | WRAPS | SIGNS, "RSA_PKCS1", _RSA, core_signs="RSA_PKCS1_NONE",
            parts=False),
        Row(0x0003, "CKM_RSA_X_509", CRYPT | SIGNS, "RSA_X_509", _RSA, parts=False),
        Row(0x000D, "CKM_RSA_PKCS_PSS", SIGNS, "RSA_PSS", _RSA, Form.PSS, parts=False),
        Row(0x1041, "CKM_ECDSA", SIGNS, "ECDSA_P1363_NONE", _EC, parts=False),
    ]  # fmt: skip
    for digest, spelled in _CORE_HASHES.items():
        rows += (
            Row(rsa_pkcs[digest], f"CKM_{spelled}_RSA_PKCS", SIGNS, f"RSA_PKCS1_{spelled}", _RSA, digest=digest),
            Row(rsa_pss[digest], f"CKM_{spelled}_RSA_PKCS_PSS", SIGNS, f"RSA_PSS_{spelled}", _RSA, Form.PSS,
                digest=digest),
            Row(ecdsa[digest], f"CKM_ECDSA_{spelled}", SIGNS, f"ECDSA_P1363_{spelled}", _EC, digest=digest),
        )  # fmt: skip
    return tuple(rows)


def _macs_and_digests() -> tuple[Row, ...]:
    numbers = {"SHA-1": 0x220, "SHA-224": 0x255, "SHA-256": 0x250, "SHA-384": 0x260, "SHA-512": 0x270}
    rows = []
    for digest, spelled in _CORE_HASHES.items():
        name = "CKM_SHA_1" if digest == "SHA-1" else f"CKM_{spelled}"
        rows.append(Row(numbers[digest], name, Use.DIGEST, spelled, digest=digest))
        rows.append(Row(numbers[digest] + 1, f"{name}_HMAC", SIGNS, f"HMAC_{spelled}", _HMAC))
    rows.append(Row(0x108A, "CKM_AES_CMAC", SIGNS, "AES_CMAC", _AES))
    return tuple(rows)


def _derivations() -> tuple[Row, ...]:
    kdf = Keys(KeyType.GENERIC_SECRET, (1, MAX_HMAC_KEY))
    return (
        Row(0x1050, "CKM_ECDH1_DERIVE", Use.DERIVE, "ECDH", _EC, Form.ECDH),
        Row(0x80000001, "CKM_CLOUDHSM_SP800_108_COUNTER_KDF", Use.DERIVE, "HMAC_KDF_", kdf, Form.KDF),
    )


ROWS: tuple[Row, ...] = (
    *_generators(), *_ciphers(), *_signatures(), *_macs_and_digests(), *_derivations(),
)  # fmt: skip
"""Every mechanism."""
MECHANISMS: dict[int, Row] = {row.number: row for row in ROWS}
"""Every mechanism by number."""

BLOCKS = {"AES": 16, "DES": 8}
"""Bytes of a block, and of an initial value, by the beginning of the core's mechanism."""


def result_bytes(row: Row, use: Use, bits: int) -> tuple[int, int]:
    """Return the length of an operation's result: ``(fixed, per byte of data)``, an upper bound where it varies.

    Args:
        row: The mechanism.
        use: The operation.
        bits: The size of the key.
    """
    if use & Use.DIGEST:
        return DIGEST_BYTES[row.digest], 0
    if use & SIGNS:
        return _signature_bytes(row, bits), 0
    if row.key_type is KeyType.RSA:
        return bits // 8, 0
    if use & Use.DECRYPT:
        return 0, 1
    if row.form is Form.GCM:
        return (28 if row.number & 0x80000000 else 16), 1
    return (BLOCKS[row.core[:3]] if row.core.endswith("_PAD") else 0), 1


def _signature_bytes(row: Row, bits: int) -> int:
    if row.key_type is KeyType.RSA:
        return bits // 8
    if row.key_type is KeyType.EC:
        return 2 * ((bits + 7) // 8)
    return 16 if row.core == "AES_CMAC" else DIGEST_BYTES[HASHES[row.core.removeprefix("HMAC_")]]

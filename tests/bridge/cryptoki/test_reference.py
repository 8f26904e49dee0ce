"""Mechanisms and attribute rules against tables of the original's documentation (Client SDK 5), as it prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.bridge.cryptoki.test_rules import P256, Call, call, session

__all__ = ["call", "session"]

_USES = {
    "key": 0x8000, "pair": 0x10000, "sign": 0x800 | 0x2000, "digest": 0x400, "crypt": 0x100 | 0x200,
    "wrap": 0x20000 | 0x40000, "derive": 0x80000,
}  # fmt: skip
_HARDWARE, _CURVE_FLAGS = 0x1, 0x100000 | 0x800000 | 0x1000000
_MECHANISMS = """
CKM_RSA_PKCS_KEY_PAIR_GEN              0x0000      pair
CKM_RSA_X9_31_KEY_PAIR_GEN             0x000A      pair
CKM_EC_KEY_PAIR_GEN                    0x1040      pair
CKM_GENERIC_SECRET_KEY_GEN             0x0350      key
CKM_AES_KEY_GEN                        0x1080      key
CKM_DES3_KEY_GEN                       0x0131      key
CKM_RSA_X_509                          0x0003      sign crypt
CKM_RSA_PKCS                           0x0001      sign crypt wrap
CKM_RSA_PKCS_PSS                       0x000D      sign
CKM_SHA1_RSA_PKCS                      0x0006      sign
CKM_SHA224_RSA_PKCS                    0x0046      sign
CKM_SHA256_RSA_PKCS                    0x0040      sign
CKM_SHA384_RSA_PKCS                    0x0041      sign
CKM_SHA512_RSA_PKCS                    0x0042      sign
CKM_SHA1_RSA_PKCS_PSS                  0x000E      sign
CKM_SHA224_RSA_PKCS_PSS                0x0047      sign
CKM_SHA256_RSA_PKCS_PSS                0x0043      sign
CKM_SHA384_RSA_PKCS_PSS                0x0044      sign
CKM_SHA512_RSA_PKCS_PSS                0x0045      sign
CKM_ECDSA                              0x1041      sign
CKM_ECDSA_SHA1                         0x1042      sign
CKM_ECDSA_SHA224                       0x1043      sign
CKM_ECDSA_SHA256                       0x1044      sign
CKM_ECDSA_SHA384                       0x1045      sign
CKM_ECDSA_SHA512                       0x1046      sign
CKM_SHA_1_HMAC                         0x0221      sign
CKM_SHA224_HMAC                        0x0256      sign
CKM_SHA256_HMAC                        0x0251      sign
CKM_SHA384_HMAC                        0x0261      sign
CKM_SHA512_HMAC                        0x0271      sign
CKM_AES_CMAC                           0x108A      sign
CKM_SHA_1                              0x0220      digest
CKM_SHA224                             0x0255      digest
CKM_SHA256                             0x0250      digest
CKM_SHA384                             0x0260      digest
CKM_SHA512                             0x0270      digest
CKM_RSA_PKCS_OAEP                      0x0009      crypt wrap
CKM_AES_ECB                            0x1081      crypt
CKM_AES_CTR                            0x1086      crypt
CKM_AES_CBC                            0x1082      crypt
CKM_AES_CBC_PAD                        0x1085      crypt
CKM_DES3_ECB                           0x0132      crypt
CKM_DES3_CBC                           0x0133      crypt
CKM_DES3_CBC_PAD                       0x0136      crypt
CKM_AES_GCM                            0x1087      crypt wrap
CKM_CLOUDHSM_AES_GCM                   0x80001087  crypt wrap
CKM_RSA_AES_KEY_WRAP                   0x1054      wrap
CKM_CLOUDHSM_AES_KEY_WRAP_NO_PAD       0x80002109  wrap
CKM_CLOUDHSM_AES_KEY_WRAP_PKCS5_PAD    0x8000210A  wrap
CKM_CLOUDHSM_AES_KEY_WRAP_ZERO_PAD     0x8000216F  wrap
CKM_CLOUDHSM_DES3_NIST_WRAP            0x80008000  wrap
CKM_CLOUDHSM_SP800_108_COUNTER_KDF     0x80000001  derive
CKM_ECDH1_DERIVE                       0x1050      derive
"""


def test_the_mechanisms_are_those_of_the_original_with_its_uses(call: Call) -> None:
    expected = {int(number, 16): words for _, number, *words in map(str.split, _MECHANISMS.strip().splitlines())}
    # AWS's own sample ends at a mechanism that it has no name for, so the original lists none.
    assert set(call("C_GetMechanismList")[1][0]) == set(expected) - {0x80008000}
    for number, words in expected.items():
        flags = call("C_GetMechanismInfo", number)[1][2]
        uses = sum(_USES[word] for word in words)
        assert flags & ~_HARDWARE & ~_CURVE_FLAGS == uses, hex(number)
        assert bool(flags & _HARDWARE) is (words != ["digest"]), hex(number)
        assert bool(flags & _CURVE_FLAGS) is (number == 0x1040), hex(number)


# Columns: private and public EC keys, private and public RSA keys, AES, triple DES, generic secrets. Marks: + may be
# given, 1 only with its default, 2 must be given, - not supported, R read-only. As in SDK 5, MODIFIABLE is + and
# SENSITIVE is 1 where the page, which is SDK 3's, has them the other way round.
_GENERATE_PAIR = """
CLASS KEY_TYPE LABEL ID                                                       + + + +
LOCAL CHECK_VALUE                                                             R R R R
TOKEN DERIVE MODIFIABLE DESTROYABLE                                           + + + +
PRIVATE                                                                       1 1 1 1
ENCRYPT VERIFY WRAP WRAP_TEMPLATE TRUSTED                                     - + - +
DECRYPT SIGN WRAP_WITH_TRUSTED UNWRAP UNWRAP_TEMPLATE EXTRACTABLE             + - + -
SIGN_RECOVER VERIFY_RECOVER                                                   - - - -
SENSITIVE                                                                     1 - 1 -
ALWAYS_SENSITIVE NEVER_EXTRACTABLE                                            R - R -
MODULUS_BITS PUBLIC_EXPONENT                                                  - - - 2
EC_PARAMS                                                                     - 2 - -
MODULUS PRIME_1 PRIME_2 COEFFICIENT EXPONENT_1 EXPONENT_2 PRIVATE_EXPONENT    - - - -
EC_POINT VALUE VALUE_LEN                                                      - - - -
"""
_GENERATE = """
CLASS KEY_TYPE LABEL ID                                                       + + +
LOCAL NEVER_EXTRACTABLE CHECK_VALUE                                           R R R
TOKEN DERIVE MODIFIABLE DESTROYABLE SIGN VERIFY WRAP_WITH_TRUSTED EXTRACTABLE + + +
PRIVATE SENSITIVE                                                             1 1 1
ENCRYPT DECRYPT WRAP UNWRAP WRAP_TEMPLATE UNWRAP_TEMPLATE TRUSTED             + + -
SIGN_RECOVER VERIFY_RECOVER ALWAYS_SENSITIVE                                  - - -
MODULUS PUBLIC_EXPONENT PRIVATE_EXPONENT PRIME_1 EC_PARAMS EC_POINT VALUE     - - -
VALUE_LEN                                                                     2 - 2
"""
_CREATE = """
CLASS KEY_TYPE                                                                2 2 2 2 2 2 2
LABEL ID TOKEN DERIVE MODIFIABLE DESTROYABLE                                  + + + + + + +
LOCAL CHECK_VALUE                                                             R R R R R R R
PRIVATE                                                                       1 1 1 1 1 1 1
ENCRYPT WRAP                                                                  - - - + + + -
DECRYPT UNWRAP                                                                - - + - + + -
SIGN                                                                          + - + - + + +
VERIFY                                                                        - + - + + + +
SIGN_RECOVER VERIFY_RECOVER                                                   - - - - - - -
WRAP_TEMPLATE TRUSTED                                                         - + - + + + -
WRAP_WITH_TRUSTED EXTRACTABLE                                                 + - + - + + +
UNWRAP_TEMPLATE                                                               + - + - + + -
SENSITIVE                                                                     1 - 1 - 1 1 1
ALWAYS_SENSITIVE NEVER_EXTRACTABLE                                            R - R - R R R
MODULUS PUBLIC_EXPONENT                                                       - - 2 2 - - -
MODULUS_BITS VALUE_LEN                                                        - - - - - - -
PRIVATE_EXPONENT                                                              - - 2 - - - -
EC_PARAMS                                                                     2 2 - - - - -
EC_POINT                                                                      - 2 - - - - -
VALUE                                                                         2 - - - 2 2 2
"""
_UNWRAP = """
CLASS KEY_TYPE                                                                2 2 2 2 2
LABEL ID TOKEN DERIVE MODIFIABLE DESTROYABLE SIGN EXTRACTABLE                 + + + + +
LOCAL CHECK_VALUE ALWAYS_SENSITIVE NEVER_EXTRACTABLE                          R R R R R
PRIVATE SENSITIVE                                                             1 1 1 1 1
ENCRYPT WRAP                                                                  - - + + -
DECRYPT UNWRAP                                                                - + + + -
VERIFY                                                                        - - + + +
MODULUS PUBLIC_EXPONENT PRIVATE_EXPONENT EC_PARAMS EC_POINT VALUE VALUE_LEN   - - - - -
"""
_DERIVE = """
CLASS KEY_TYPE                                                                2 2 2
LABEL ID TOKEN DERIVE SIGN VERIFY EXTRACTABLE                                 + + +
LOCAL CHECK_VALUE ALWAYS_SENSITIVE NEVER_EXTRACTABLE                          R R R
PRIVATE SENSITIVE MODIFIABLE DESTROYABLE                                      1 1 1
ENCRYPT DECRYPT WRAP UNWRAP                                                   + + -
VALUE_LEN                                                                     2 - 2
"""
_READ = """
CLASS KEY_TYPE LABEL ID LOCAL TOKEN DERIVE MODIFIABLE DESTROYABLE PRIVATE     + + + + + + +
ALWAYS_SENSITIVE                                                              + + + + + + +
ENCRYPT WRAP                                                                  - - - + + + -
DECRYPT UNWRAP                                                                - - + - + + -
SIGN                                                                          + - + - + + +
VERIFY                                                                        - + - + + + +
WRAP_TEMPLATE                                                                 - + - + + + -
TRUSTED                                                                       - + - + + + +
WRAP_WITH_TRUSTED SENSITIVE EXTRACTABLE NEVER_EXTRACTABLE                     + - + - + + +
UNWRAP_TEMPLATE                                                               + - + - + + -
MODULUS PUBLIC_EXPONENT                                                       - - + + - - -
MODULUS_BITS                                                                  - - - + - - -
PRIVATE_EXPONENT PRIME_1 PRIME_2 EXPONENT_1 EXPONENT_2 COEFFICIENT            - - S - - - -
EC_PARAMS                                                                     + + - - - - -
EC_POINT                                                                      - + - - - - -
VALUE                                                                         S - - - S S S
VALUE_LEN                                                                     - - - - + - +
CHECK_VALUE                                                                   + + + + + + -
"""
_NUMBERS = {
    "CLASS": 0x0, "TOKEN": 0x1, "PRIVATE": 0x2, "LABEL": 0x3, "VALUE": 0x11, "TRUSTED": 0x86, "CHECK_VALUE": 0x90,
    "KEY_TYPE": 0x100, "ID": 0x102, "SENSITIVE": 0x103, "ENCRYPT": 0x104, "DECRYPT": 0x105, "WRAP": 0x106,
    "UNWRAP": 0x107, "SIGN": 0x108, "SIGN_RECOVER": 0x109, "VERIFY": 0x10A, "VERIFY_RECOVER": 0x10B, "DERIVE": 0x10C,
    "MODULUS": 0x120, "MODULUS_BITS": 0x121, "PUBLIC_EXPONENT": 0x122, "PRIVATE_EXPONENT": 0x123, "PRIME_1": 0x124,
    "PRIME_2": 0x125, "EXPONENT_1": 0x126, "EXPONENT_2": 0x127, "COEFFICIENT": 0x128, "VALUE_LEN": 0x161,
    "EXTRACTABLE": 0x162, "LOCAL": 0x163, "NEVER_EXTRACTABLE": 0x164, "ALWAYS_SENSITIVE": 0x165, "MODIFIABLE": 0x170,
    "DESTROYABLE": 0x172, "EC_PARAMS": 0x180, "EC_POINT": 0x181, "WRAP_WITH_TRUSTED": 0x210,
    "WRAP_TEMPLATE": 0x40000211, "UNWRAP_TEMPLATE": 0x40000212,
}  # fmt: skip
_OK, _READ_ONLY, _SENSITIVE, _TYPE_INVALID, _VALUE_INVALID = 0, 0x10, 0x11, 0x12, 0x13
_INCOMPLETE, _INCONSISTENT = 0xD0, 0xD1
_FALSE = {"TRUSTED", "WRAP_WITH_TRUSTED"}
"""Attributes that a crypto user cannot switch on, or that would make a key useless here."""
_BYTES = {
    "LABEL", "ID", "VALUE", "CHECK_VALUE", "MODULUS", "PUBLIC_EXPONENT", "PRIVATE_EXPONENT", "PRIME_1", "PRIME_2",
    "EXPONENT_1", "EXPONENT_2", "COEFFICIENT", "EC_PARAMS", "EC_POINT",
}  # fmt: skip
_NAMES = ("Ep", "Eu", "Rp", "Ru", "A", "D", "G")
_CLASSES = {"Ep": (3, 3), "Eu": (2, 3), "Rp": (3, 0), "Ru": (2, 0), "A": (4, 0x1F), "D": (4, 0x15), "G": (4, 0x10)}


def _cells(table: str, columns: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield column, attribute and mark."""
    for line in table.strip().splitlines():
        words = line.split()
        names, marks = words[: -len(columns)], words[-len(columns) :]
        for column, mark in zip(columns, marks, strict=True):
            yield from ((column, name, mark) for name in names)


def _pair(name: str, column: str, given: Mapping[str, Any]) -> list[Any]:
    """Return an attribute with a value that fits its type: that of the key if it has one."""
    value: Any = True
    if name in given:
        value = given[name]
    elif name in ("CLASS", "KEY_TYPE"):
        value = _CLASSES[column][name == "KEY_TYPE"]
    elif name in ("MODULUS_BITS", "VALUE_LEN"):
        value = 2048 if name == "MODULUS_BITS" else 32
    elif name in _BYTES:
        value = b"x"
    elif name in ("WRAP_TEMPLATE", "UNWRAP_TEMPLATE"):
        value = [[_NUMBERS["LABEL"], b"x"]]
    elif name in _FALSE:
        value = False
    return [_NUMBERS[name], value]


class Function:
    """One function that makes keys: ``make`` calls it for a column with a template and returns the code."""

    def __init__(self, table: str, columns: tuple[str, ...], make: Any, given: Mapping[str, Mapping[str, Any]]) -> None:
        self.marks: dict[str, dict[str, str]] = {column: {} for column in columns}
        for column, name, mark in _cells(table, columns):
            self.marks[column][name] = mark
        self._make, self._given = make, given

    def template(self, column: str, *marks: str) -> list[list[Any]]:
        """Return the attributes with one of these marks."""
        given = self._given.get(column, {})
        return [_pair(name, column, given) for name, mark in self.marks[column].items() if mark in marks]

    def check(self) -> None:
        for column, names in self.marks.items():
            given = self._given.get(column, {})
            needed = self.template(column, "2")
            assert self._make(column, self.template(column, "+", "1", "2")) == _OK, column
            for name, mark in names.items():
                added = _pair(name, column, given)
                if mark in "-R":
                    code = _INCONSISTENT if mark == "-" else _READ_ONLY
                    assert self._make(column, [*needed, added]) == code, (column, name)
                elif mark == "1":
                    assert self._make(column, [*needed, [added[0], False]]) == _VALUE_INVALID, (column, name)
                elif mark == "2":
                    without = [pair for pair in needed if pair[0] != added[0]]
                    assert self._make(column, without) == _INCOMPLETE, (column, name)
            assert self._make(column, [*needed, [0x7FFFFFFF, b"x"]]) == _TYPE_INVALID, column


Material = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def material() -> Material:
    """Values of a key of each column."""

    def number(value: int) -> bytes:
        return value.to_bytes((value.bit_length() + 7) // 8, "big")

    curve = ec.generate_private_key(ec.SECP256R1())
    point = curve.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    private = rsa.generate_private_key(65537, 2048).private_numbers()
    public = {"MODULUS": number(private.public_numbers.n), "PUBLIC_EXPONENT": b"\1\0\1"}
    return {
        "Ep": {"EC_PARAMS": P256, "VALUE": curve.private_numbers().private_value.to_bytes(32, "big")},
        "Eu": {"EC_PARAMS": P256, "EC_POINT": point}, "Ru": public,
        "Rp": {**public, "PRIVATE_EXPONENT": number(private.d)},
        "A": {"VALUE": bytes(32), "VALUE_LEN": 32}, "D": {"VALUE": bytes(range(24))},
        "G": {"VALUE": bytes(range(32)), "VALUE_LEN": 32},
    }  # fmt: skip


def test_templates_of_generated_secret_keys(call: Call, session: int, material: Material) -> None:
    generators = {"A": 0x1080, "D": 0x131, "G": 0x350}

    def make(column: str, template: list[Any]) -> int:
        return int(call("C_GenerateKey", session, generators[column], [], template)[0])

    Function(_GENERATE, _NAMES[4:], make, {}).check()


def test_templates_of_generated_pairs(call: Call, session: int) -> None:
    needed = {"E": [[0x180, P256]], "R": [[0x121, 2048], [0x122, b"\1\0\1"]]}

    def make(column: str, template: list[Any]) -> int:
        public = needed[column[0]] if column[1] == "p" else template
        private = template if column[1] == "p" else []
        return int(call("C_GenerateKeyPair", session, 0x1040 if column[0] == "E" else 0, [], public, private)[0])

    given = {"Eu": {"EC_PARAMS": P256}, "Ru": {"PUBLIC_EXPONENT": b"\1\0\1"}}
    Function(_GENERATE_PAIR, _NAMES[:4], make, given).check()


def test_templates_of_created_keys(call: Call, session: int, material: Material) -> None:
    def make(column: str, template: list[Any]) -> int:
        return int(call("C_CreateObject", session, template)[0])

    Function(_CREATE, _NAMES, make, material).check()


def _wrapping_key(call: Call, session: int) -> int:
    usages = [[_NUMBERS[name], True] for name in ("WRAP", "UNWRAP", "DERIVE")]
    return int(call("C_GenerateKey", session, 0x1080, [], [[0x161, 32], *usages])[1][0])


def test_templates_of_unwrapped_keys(call: Call, session: int, material: Material) -> None:
    key = _wrapping_key(call, session)
    wrapped = {}
    create = Function(_CREATE, _NAMES, None, material)
    for column in ("Ep", "Rp", "A", "D", "G"):
        target = call("C_CreateObject", session, create.template(column, "2"))[1][0]
        wrapped[column] = call("C_WrapKey", session, 0x8000216F, [], key, target, 4096)[1][0]

    def make(column: str, template: list[Any]) -> int:
        return int(call("C_UnwrapKey", session, 0x8000216F, [], key, wrapped[column], template)[0])

    Function(_UNWRAP, ("Ep", "Rp", "A", "D", "G"), make, {}).check()


def test_templates_of_derived_keys(call: Call, session: int) -> None:
    base = call("C_GenerateKey", session, 0x350, [], [[0x161, 32], [0x10C, True]])[1][0]
    fields = [0x251, [4, 32], [8, b"label"]]

    def make(column: str, template: list[Any]) -> int:
        return int(call("C_DeriveKey", session, 0x80000001, fields, base, template)[0])

    Function(_DERIVE, _NAMES[4:], make, {}).check()


def test_what_can_be_read_of_each_key(call: Call, session: int, material: Material) -> None:
    create = Function(_CREATE, _NAMES, None, material)
    marks: dict[str, dict[str, str]] = {column: {} for column in _NAMES}
    for column, name, mark in _cells(_READ, _NAMES):
        marks[column][name] = mark
    code = {"+": _OK, "-": _TYPE_INVALID, "S": _SENSITIVE}
    for column, names in marks.items():
        key = call("C_CreateObject", session, create.template(column, "2", "+"))[1][0]
        for name, mark in names.items():
            (value,), told = call("C_GetAttributeValue", session, key, [_NUMBERS[name]])[1]
            assert told == code[mark], (column, name)
            assert (value is not None) is (mark == "+"), (column, name)

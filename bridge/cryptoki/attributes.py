"""The table of attributes: number and kind of each, and the rules of AWS CloudHSM for each function and type of key.

The C library is built with the numbers and kinds of this table (``bridge.cryptoki.header``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Kinds of values. The value is the letter by which the C library knows the kind."""

    ULONG = "u"
    BOOL = "b"
    BYTES = "y"
    TEMPLATE = "t"


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute; ``name`` is that of PKCS #11 without ``CKA_``."""

    number: int
    name: str
    kind: Kind


_U, _B, _Y, _T = Kind.ULONG, Kind.BOOL, Kind.BYTES, Kind.TEMPLATE

ROWS: tuple[Row, ...] = tuple(
    Row(number, name, kind)
    for number, name, kind in (
        (0x000, "CLASS", _U),
        (0x001, "TOKEN", _B),
        (0x002, "PRIVATE", _B),
        (0x003, "LABEL", _Y),
        (0x011, "VALUE", _Y),
        (0x080, "CERTIFICATE_TYPE", _U),
        (0x081, "ISSUER", _Y),
        (0x082, "SERIAL_NUMBER", _Y),
        (0x086, "TRUSTED", _B),
        (0x087, "CERTIFICATE_CATEGORY", _U),
        (0x089, "URL", _Y),
        (0x08A, "HASH_OF_SUBJECT_PUBLIC_KEY", _Y),
        (0x08B, "HASH_OF_ISSUER_PUBLIC_KEY", _Y),
        (0x090, "CHECK_VALUE", _Y),
        (0x100, "KEY_TYPE", _U),
        (0x101, "SUBJECT", _Y),
        (0x102, "ID", _Y),
        (0x103, "SENSITIVE", _B),
        (0x104, "ENCRYPT", _B),
        (0x105, "DECRYPT", _B),
        (0x106, "WRAP", _B),
        (0x107, "UNWRAP", _B),
        (0x108, "SIGN", _B),
        (0x109, "SIGN_RECOVER", _B),
        (0x10A, "VERIFY", _B),
        (0x10B, "VERIFY_RECOVER", _B),
        (0x10C, "DERIVE", _B),
        (0x110, "START_DATE", _Y),
        (0x111, "END_DATE", _Y),
        (0x120, "MODULUS", _Y),
        (0x121, "MODULUS_BITS", _U),
        (0x122, "PUBLIC_EXPONENT", _Y),
        (0x123, "PRIVATE_EXPONENT", _Y),
        (0x124, "PRIME_1", _Y),
        (0x125, "PRIME_2", _Y),
        (0x126, "EXPONENT_1", _Y),
        (0x127, "EXPONENT_2", _Y),
        (0x128, "COEFFICIENT", _Y),
        (0x129, "PUBLIC_KEY_INFO", _Y),
        (0x161, "VALUE_LEN", _U),
        (0x162, "EXTRACTABLE", _B),
        (0x163, "LOCAL", _B),
        (0x164, "NEVER_EXTRACTABLE", _B),
        (0x165, "ALWAYS_SENSITIVE", _B),
        (0x166, "KEY_GEN_MECHANISM", _U),
        (0x170, "MODIFIABLE", _B),
        (0x171, "COPYABLE", _B),
        (0x172, "DESTROYABLE", _B),
        (0x180, "EC_PARAMS", _Y),
        (0x181, "EC_POINT", _Y),
        (0x202, "ALWAYS_AUTHENTICATE", _B),
        (0x210, "WRAP_WITH_TRUSTED", _B),
        (0x40000211, "WRAP_TEMPLATE", _T),
        (0x40000212, "UNWRAP_TEMPLATE", _T),
        (0x40000213, "DERIVE_TEMPLATE", _T),
    )
)
"""Every attribute of PKCS #11 2.40 about keys and certificates. A number without a row is no attribute here."""

BY_NUMBER: dict[int, Row] = {row.number: row for row in ROWS}
NUMBERS: dict[str, int] = {row.name: row.number for row in ROWS}
BOOLEANS = frozenset(row.name for row in ROWS if row.kind is Kind.BOOL)

Rules = dict[str, dict[str, str]]
"""Mark of each attribute by name and column.

``+``: may be given or read. ``-``: not an attribute of that key. ``1``: only the default may be given. ``2``: must be
given. ``R``: read-only. ``S``: sensitive.
"""

_COLUMNS = ("Ep", "Eu", "Rp", "Ru", "A", "D", "G")
"""Private and public EC keys, private and public RSA keys, AES, triple DES, generic secrets."""
COLUMN_OF = {
    ("PRIVATE_KEY", "EC"): "Ep", ("PUBLIC_KEY", "EC"): "Eu", ("PRIVATE_KEY", "RSA"): "Rp", ("PUBLIC_KEY", "RSA"): "Ru",
    ("SECRET_KEY", "AES"): "A", ("SECRET_KEY", "DESEDE"): "D", ("SECRET_KEY", "GENERIC_SECRET"): "G",
    ("PRIVATE_KEY", "EC_EDWARDS"): "Ep", ("PUBLIC_KEY", "EC_EDWARDS"): "Eu",
    ("PRIVATE_KEY", "ML_DSA"): "Ep", ("PUBLIC_KEY", "ML_DSA"): "Eu",
}  # fmt: skip
"""The column of a class and type. The two newer types are read as EC keys are."""


def _rules(columns: tuple[str, ...], text: str) -> Rules:
    rules: Rules = {}
    for line in text.strip().splitlines():
        *names, marks = line.split()
        for name in names:
            rules[name] = dict(zip(columns, marks, strict=True))
    return rules


GENERATE_PAIR = _rules(_COLUMNS[:4], """
    CLASS KEY_TYPE LABEL ID                               ++++
    LOCAL CHECK_VALUE                                     RRRR
    TOKEN DERIVE MODIFIABLE DESTROYABLE                   ++++
    PRIVATE                                               1111
    ENCRYPT WRAP VERIFY WRAP_TEMPLATE TRUSTED             -+-+
    DECRYPT UNWRAP SIGN UNWRAP_TEMPLATE WRAP_WITH_TRUSTED +-+-
    SENSITIVE                                             1-1-
    EXTRACTABLE                                           +-+-
    ALWAYS_SENSITIVE NEVER_EXTRACTABLE                    R-R-
    MODULUS_BITS PUBLIC_EXPONENT                          ---2
    EC_PARAMS                                             -2--
""")  # fmt: skip

GENERATE = _rules(_COLUMNS[4:], """
    CLASS KEY_TYPE LABEL ID                                    +++
    LOCAL CHECK_VALUE NEVER_EXTRACTABLE                        RRR
    TOKEN DERIVE MODIFIABLE DESTROYABLE SIGN VERIFY            +++
    PRIVATE SENSITIVE                                          111
    ENCRYPT DECRYPT WRAP UNWRAP WRAP_TEMPLATE UNWRAP_TEMPLATE  ++-
    TRUSTED                                                    ++-
    WRAP_WITH_TRUSTED EXTRACTABLE                              +++
    VALUE_LEN                                                  2-2
""")  # fmt: skip

CREATE = _rules(_COLUMNS, """
    CLASS KEY_TYPE                                     2222222
    LABEL ID TOKEN DERIVE MODIFIABLE DESTROYABLE       +++++++
    LOCAL CHECK_VALUE                                  RRRRRRR
    PRIVATE                                            1111111
    ENCRYPT WRAP                                       ---+++-
    DECRYPT UNWRAP                                     --+-++-
    SIGN                                               +-+-+++
    VERIFY                                             -+-++++
    WRAP_TEMPLATE TRUSTED                              -+-+++-
    WRAP_WITH_TRUSTED EXTRACTABLE                      +-+-+++
    UNWRAP_TEMPLATE                                    +-+-++-
    SENSITIVE                                          1-1-111
    ALWAYS_SENSITIVE NEVER_EXTRACTABLE                 R-R-RRR
    MODULUS PUBLIC_EXPONENT                            --22---
    PRIME_1 PRIME_2 COEFFICIENT EXPONENT_1 EXPONENT_2  --+----
    PRIVATE_EXPONENT                                   --2----
    EC_PARAMS                                          22-----
    EC_POINT                                           -2-----
    VALUE                                              2---222
""")  # fmt: skip

UNWRAP = _rules(("Ep", "Rp", "A", "D", "G"), """
    CLASS KEY_TYPE                                     22222
    LABEL ID TOKEN DERIVE MODIFIABLE DESTROYABLE SIGN  +++++
    EXTRACTABLE                                        +++++
    LOCAL CHECK_VALUE                                  RRRRR
    PRIVATE SENSITIVE                                  11111
    ENCRYPT WRAP                                       --++-
    DECRYPT UNWRAP                                     -+++-
    VERIFY                                             --+++
    ALWAYS_SENSITIVE NEVER_EXTRACTABLE                 RRRRR
""")  # fmt: skip

DERIVE = _rules(_COLUMNS[4:], """
    CLASS KEY_TYPE                       222
    LABEL ID TOKEN DERIVE SIGN VERIFY    +++
    EXTRACTABLE                          +++
    LOCAL CHECK_VALUE                    RRR
    PRIVATE MODIFIABLE DESTROYABLE       111
    SENSITIVE                            111
    ENCRYPT DECRYPT WRAP UNWRAP          ++-
    ALWAYS_SENSITIVE NEVER_EXTRACTABLE   RRR
    VALUE_LEN                            2-2
""")  # fmt: skip

READ = _rules(_COLUMNS, """
    CLASS KEY_TYPE LABEL ID LOCAL TOKEN DERIVE MODIFIABLE DESTROYABLE   +++++++
    PRIVATE ALWAYS_SENSITIVE                                            +++++++
    ENCRYPT WRAP                                                        ---+++-
    DECRYPT UNWRAP                                                      --+-++-
    SIGN                                                                +-+-+++
    VERIFY                                                              -+-++++
    WRAP_TEMPLATE                                                       -+-+++-
    TRUSTED                                                             -+-++++
    WRAP_WITH_TRUSTED SENSITIVE EXTRACTABLE NEVER_EXTRACTABLE           +-+-+++
    UNWRAP_TEMPLATE                                                     +-+-++-
    MODULUS PUBLIC_EXPONENT                                             --++---
    MODULUS_BITS                                                        ---+---
    PRIVATE_EXPONENT PRIME_1 PRIME_2 EXPONENT_1 EXPONENT_2 COEFFICIENT  --S----
    EC_PARAMS                                                           ++-----
    EC_POINT                                                            -+-----
    VALUE                                                               S---SSS
    VALUE_LEN                                                           ----+-+
    CHECK_VALUE                                                         ++++++-
""")  # fmt: skip

USAGES = ("ENCRYPT", "DECRYPT", "WRAP", "UNWRAP", "SIGN", "VERIFY", "DERIVE")
"""Attributes that are false in PKCS #11 unless a template says otherwise."""
DEFAULTS: dict[str, bool] = {"PRIVATE": True, "SENSITIVE": True, "MODIFIABLE": True, "DESTROYABLE": True}
"""Values of attributes with the mark ``1``."""

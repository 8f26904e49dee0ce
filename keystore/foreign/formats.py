"""Formats of key store files, recognised by content, and their readers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec

from hsmcore.errors import ForeignStoreDamaged, ForeignStorePassword
from keystore.file import MARK
from keystore.foreign import pkcs12
from keystore.foreign.model import Found, JavaReader


class Format(StrEnum):
    """A format of key stores; the value is its name."""

    JKS = "JKS"
    JCEKS = "JCEKS"
    BKS = "BKS"
    UBER = "UBER"
    PKCS12 = "PKCS #12"


@dataclass(frozen=True, slots=True)
class Store:
    """The format and the entries of a key store file."""

    format: Format
    entries: list[Found]


def _read_bks(data: bytes, password: str) -> list[Found]:
    from keystore.foreign import bouncycastle

    try:
        return bouncycastle.read_bks(data, password)
    except (ForeignStorePassword, ForeignStoreDamaged):
        # One UBER file in fifty begins like a BKS file of version 1.
        if data[3] == 1:
            with suppress(ForeignStorePassword, ForeignStoreDamaged):
                return bouncycastle.read_uber(data, password)
        raise


def _read_uber(data: bytes, password: str) -> list[Found]:
    from keystore.foreign import bouncycastle

    return bouncycastle.read_uber(data, password)


_JAVA = {Format.JKS: "CaseExactJKS", Format.JCEKS: "JCEKS"}
"""Java's names of key store types; its type JKS does not find aliases with upper-case letters."""
_BOUNCY_CASTLE: dict[Format, Callable[[bytes, str], list[Found]]] = {Format.BKS: _read_bks, Format.UBER: _read_uber}

_SALT = 20
"""Length of the salt in Bouncy Castle's BKS and UBER files, in bytes."""


def format_of(data: bytes) -> Format:
    """Return the format of a file, recognised by its first bytes.

    Raises:
        ForeignStoreDamaged: The format is unknown.
    """
    for magic, known in ((b"\xfe\xed\xfe\xed", Format.JKS), (b"\xce\xce\xce\xce", Format.JCEKS)):
        if data.startswith(magic):
            return known
    version, salt = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    if len(data) > 8 + _SALT and version in (1, 2) and salt == _SALT:
        # UBER has version 1, as BKS before 2012. The next byte is the kind of an entry in BKS, and encrypted in UBER.
        first, encrypted = data[12 + salt : 13 + salt], len(data) - 12 - salt
        return Format.UBER if version == 1 and first > b"\x04" and encrypted % 16 == 0 else Format.BKS
    if data[:1] == b"\x30" and len(data) > 16:
        return Format.PKCS12
    raise ForeignStoreDamaged("the file is not a key store of a known format: JKS, JCEKS, BKS, UBER or PKCS #12")


def read(data: bytes, password: str, java: JavaReader) -> Store:
    """Read a key store of any format, without opening its keys.

    Args:
        data: The file.
        password: The password of the file.
        java: Reads the formats of Java's own key stores.

    Raises:
        ForeignStoreDamaged: The file is damaged, of no known format or not supported, or is a CloudHSM key store.
        ForeignStorePassword: The password is wrong, or the file was changed.
    """
    known = format_of(data)
    store = Store(known, _entries(known, data, password, java))
    if any(found.alias.startswith(MARK.decode()) for found in store.entries):
        raise ForeignStoreDamaged("the file is a CloudHSM key store: its keys are in an HSM already")
    return store


def _entries(known: Format, data: bytes, password: str, java: JavaReader) -> list[Found]:
    if known is Format.PKCS12:
        return pkcs12.read(data, password, java)
    if known in _JAVA:
        return java(_JAVA[known], data, password)
    if find_spec("jks") is None:
        raise ForeignStoreDamaged(
            f"{known} files need pyjks, which is not installed: pip install pyjks"
            " (this needs a C compiler and Python's headers)"
        )
    return _BOUNCY_CASTLE[known](data, password)

"""Which format a file has, told by its content, and the reader for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from hsmcore.errors import ForeignStoreDamaged, ForeignStorePassword
from keystore.file import MARK
from keystore.foreign import java, pkcs12
from keystore.foreign.model import Found


class Format(StrEnum):
    """A format of key stores; the value is its name."""

    JKS = "JKS"
    JCEKS = "JCEKS"
    BKS = "BKS"
    UBER = "UBER"
    PKCS12 = "PKCS #12"


@dataclass(frozen=True, slots=True)
class Store:
    """What was read: the format and the entries in the file's order."""

    format: Format
    entries: list[Found]


def _read_bks(data: bytes, password: str) -> list[Found]:
    try:
        return java.read_bks(data, password)
    except (ForeignStorePassword, ForeignStoreDamaged):
        # One UBER file in fifty begins like a BKS of version 1.
        if data[3] == 1:
            with suppress(ForeignStorePassword, ForeignStoreDamaged):
                return java.read_uber(data, password)
        raise


_READERS: dict[Format, Callable[[bytes, str], list[Found]]] = {
    Format.JKS: java.read_sun,
    Format.JCEKS: java.read_sun,
    Format.BKS: _read_bks,
    Format.UBER: java.read_uber,
    Format.PKCS12: pkcs12.read,
}

_SALT = 20
"""Bytes in the salt of Bouncy Castle's BKS and UBER files."""


def format_of(data: bytes) -> Format:
    """Tell the format by the first bytes. Raises ``ForeignStoreDamaged``."""
    for magic, known in ((b"\xfe\xed\xfe\xed", Format.JKS), (b"\xce\xce\xce\xce", Format.JCEKS)):
        if data.startswith(magic):
            return known
    version, salt = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    if len(data) > 8 + _SALT and version in (1, 2) and salt == _SALT:
        # UBER has version 1, as BKS had before 2012; there the next byte is the kind of an entry, here it is encrypted.
        first, encrypted = data[12 + salt : 13 + salt], len(data) - 12 - salt
        return Format.UBER if version == 1 and first > b"\x04" and encrypted % 16 == 0 else Format.BKS
    if data[:1] == b"\x30" and len(data) > 16:
        return Format.PKCS12
    raise ForeignStoreDamaged("the file is no key store of a known format: JKS, JCEKS, BKS, UBER or PKCS #12")


def read(data: bytes, password: str) -> Store:
    """Read a key store of any of the formats; its keys stay closed.

    Raises ``ForeignStoreDamaged``, ``ForeignStorePassword``.
    """
    known = format_of(data)
    store = Store(known, _READERS[known](data, password))
    if any(found.alias.startswith(MARK.decode()) for found in store.entries):
        raise ForeignStoreDamaged(
            "the file is a CloudHSM key store: its keys are in an HSM, so that it needs no import"
        )
    return store

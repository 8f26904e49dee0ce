"""What another program's key store consists of, and why a part of it cannot go into the HSM."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from hsmcore.tables.attributes import PRIVATE, SECRET


@dataclass(frozen=True, slots=True)
class Opened:
    """A key in the clear.

    ``object_class`` is PRIVATE_KEY, with PKCS #8 (DER) as ``material``, or SECRET_KEY, with the raw key. ``algorithm``
    is the name that JCA has for a secret key's, empty for a private key, which says it itself.
    """

    object_class: str
    algorithm: str
    material: bytes = field(repr=False)


def private_key(pkcs8: bytes) -> Opened:
    """Return an opened private key."""
    return Opened(PRIVATE, "", pkcs8)


def secret_key(algorithm: str, raw: bytes) -> Opened:
    """Return an opened secret key."""
    return Opened(SECRET, algorithm, raw)


Open = Callable[[str], Opened]
"""Opens a key with its password. Raises ``ForeignKeyPassword``, ``ForeignKeyUnreadable``."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry: a key with the chain of its certificate (which may be missing), or without a key a certificate.

    ``chain`` holds DER certificates, the entry's own first.
    """

    alias: str
    chain: tuple[bytes, ...] = ()
    open: Open | None = None


JavaReader = Callable[[str, bytes, str], list[Found]]
"""Reads a file (key store type of Java, bytes, password) and leaves its keys closed.

Raises ``ForeignStoreDamaged``, ``ForeignStorePassword``.
"""


@dataclass(frozen=True, slots=True)
class JavaEntry:
    """An entry that Java is to write.

    It has a private key (``protected``, an EncryptedPrivateKeyInfo in DER) with its chain, a secret key (``secret``,
    raw, of JCA's ``algorithm``), or a certificate only. ``chain`` holds DER certificates, the entry's own first.
    """

    alias: str
    chain: tuple[bytes, ...] = ()
    protected: bytes = b""
    secret: bytes = field(default=b"", repr=False)
    algorithm: str = ""


JavaWriter = Callable[[Iterable[JavaEntry], str], bytes]
"""Writes a PKCS #12 file under a password. Raises ``KeyStoreEntry``."""


class Reason(StrEnum):
    """Why an entry cannot be taken; the values are stable."""

    ALGORITHM = "algorithm"
    """The HSM has no keys of this algorithm (DSA, Ed448, ...)."""
    SIZE = "size"
    """Nor of this size (RSA of 1024 bits)."""
    CURVE = "curve"
    """Nor on this curve."""
    KEY = "key"
    """The key is damaged, inconsistent, or in a form that is not understood."""
    KEY_PASSWORD = "key-password"
    """No password that was given opens the key."""
    ALIAS = "alias"
    """The alias cannot be a label: it is empty or too long."""
    ALIAS_TAKEN = "alias-taken"
    """The alias names another key or certificate already."""
    DUPLICATE = "duplicate"
    """The file has the alias twice, or twice but for upper and lower case."""
    CERTIFICATE = "certificate"
    """A certificate is damaged, or is not this key's, or a key has none where it needs one."""
    NOT_EXTRACTABLE = "not-extractable"
    """The HSM does not give the key out."""
    HSM = "hsm"
    """The HSM refused for a reason of its own, which the detail tells."""


class Refused(Exception):
    """An entry cannot be taken; ``args`` are the ``Reason`` and a sentence."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

"""Entries of another program's key store, and the reasons for refusing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from hsmcore.tables.attributes import PRIVATE, SECRET


@dataclass(frozen=True, slots=True)
class Opened:
    """A key in the clear.

    ``object_class`` is PRIVATE_KEY, with PKCS #8 (DER) as ``material``, or SECRET_KEY, with the raw key. ``algorithm``
    is the JCA name of a secret key's algorithm; it is empty for a private key, whose PKCS #8 has it.
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
"""Opens a key with its password.

Raises:
    ForeignKeyPassword: The password does not open the key.
    ForeignKeyUnreadable: The key is damaged, or of an unknown kind.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry: a key with its certificate chain, which may be empty, or a certificate alone.

    ``chain`` holds DER certificates, the entry's own first.
    """

    alias: str
    chain: tuple[bytes, ...] = ()
    open: Open | None = None


JavaReader = Callable[[str, bytes, str], list[Found]]
"""Reads a file (Java's key store type, content, password) without opening its keys.

Raises:
    ForeignStoreDamaged: The file is damaged or not supported.
    ForeignStorePassword: The password is wrong, or the file was changed.
"""


@dataclass(frozen=True, slots=True)
class JavaEntry:
    """An entry for Java to write.

    It has a private key (``protected``, an EncryptedPrivateKeyInfo in DER) with its chain, a secret key (``secret``,
    raw, with the JCA name ``algorithm``), or only a certificate. ``chain`` has DER certificates, the entry's own first.
    """

    alias: str
    chain: tuple[bytes, ...] = ()
    protected: bytes = b""
    secret: bytes = field(default=b"", repr=False)
    algorithm: str = ""


JavaWriter = Callable[[Iterable[JavaEntry], str], bytes]
"""Writes a PKCS #12 file under a password.

Raises:
    KeyStoreEntry: Java refuses an entry.
"""


class Reason(StrEnum):
    """Reasons for refusing an entry; the values are stable."""

    ALGORITHM = "algorithm"
    """The HSM does not support the algorithm (DSA, Ed448, ...)."""
    SIZE = "size"
    """The HSM does not support the size (RSA with 1024 bits)."""
    CURVE = "curve"
    """The HSM does not support the curve."""
    KEY = "key"
    """The key is damaged, inconsistent, or in an unknown encoding."""
    KEY_PASSWORD = "key-password"
    """No given password opens the key."""
    ALIAS = "alias"
    """The alias cannot be a label: it is empty or too long."""
    ALIAS_TAKEN = "alias-taken"
    """The alias already names another key or certificate."""
    DUPLICATE = "duplicate"
    """The file has the alias twice, perhaps in different case."""
    CERTIFICATE = "certificate"
    """A certificate is damaged or belongs to another key, or a required certificate is missing."""
    NOT_EXTRACTABLE = "not-extractable"
    """The HSM does not permit the key to be extracted."""
    HSM = "hsm"
    """The HSM refused the key; the detail has its reason."""


class Refused(Exception):
    """An entry was refused; ``args`` are the ``Reason`` and a sentence."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

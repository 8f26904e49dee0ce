"""What a key store consists of: entries as callers see them, and as the file holds them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a key store.

    ``chain`` holds DER certificates, the entry's own first: one for a trusted certificate, none for a key without.
    ``created`` is in milliseconds since 1970, ``None`` for a key that the file knows nothing of. An alias with several
    keys is neither key nor certificate, so that nothing asks for *the* key unless it must.
    """

    is_key: bool
    is_certificate: bool
    chain: tuple[bytes, ...] = ()
    created: int | None = None


class Kind(StrEnum):
    """What a chain in the file belongs to; the value is written to the file."""

    KEY = "key"
    """A private key in the HSM."""
    TRUSTED = "trusted"
    """Nothing: it is one trusted certificate."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What the file holds under one alias; fields as in ``Entry``."""

    kind: Kind
    chain: tuple[bytes, ...]
    created: int

"""Entries of a key store, as callers see them and as the file holds them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a key store.

    An alias with several keys is neither a key nor a certificate, so that callers that need one key do not ask for it.

    Attributes:
        chain: DER certificates, the entry's own first; one for a trusted certificate, none for a key without one.
        created: Milliseconds since 1970; ``None`` for a key that is not in the file.
    """

    is_key: bool
    is_certificate: bool
    chain: tuple[bytes, ...] = ()
    created: int | None = None


class Kind(StrEnum):
    """The kind of an entry in the file; the file contains the value."""

    KEY = "key"
    """A private key in the HSM."""
    TRUSTED = "trusted"
    """One trusted certificate, without a key."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """The entry of one alias in the file, with the fields of ``Entry``."""

    kind: Kind
    chain: tuple[bytes, ...]
    created: int

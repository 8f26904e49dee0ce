"""Entries of a key store: the public data that a client keeps and that a file contains."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kind of an entry; files and messages contain the value."""

    KEY = "key"
    """A private or secret key in the HSM."""
    TRUSTED = "trusted"
    """One trusted certificate, without a key."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        chain: DER certificates, the entry's own first; a file contains only entries that have one.
        created: Milliseconds since 1970.
        key: Handle of a key whose label is not the alias; no file contains it.
    """

    kind: Kind
    chain: tuple[bytes, ...]
    created: int
    key: int | None = None


@dataclass(frozen=True, slots=True)
class Entered:
    """The result of setting the key of an alias.

    Attributes:
        entry: ``None`` for a key without certificates whose label is the alias.
        to_persist: Handles of the key, first, and of its public half, to make persistent when the client saves.
    """

    entry: Entry | None
    to_persist: tuple[int, ...]

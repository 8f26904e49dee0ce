"""Key records and key entries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from hsmcore.primitives import OpenedKey
from hsmcore.tables.attributes import Value


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Public data of a key; never its secret material.

    Both keys of a pair have the pair's ``public_key_info``, a SubjectPublicKeyInfo (RFC 5280, DER).
    """

    handle: int
    attributes: Mapping[str, Value]
    public_key_info: bytes | None = None

    def fields(self) -> dict[str, Value]:
        """Return the record as the protocol sends it: the attributes, HANDLE, and PUBLIC_KEY_INFO if there is one."""
        fields = dict(self.attributes)
        fields["HANDLE"] = self.handle
        if self.public_key_info is not None:
            fields["PUBLIC_KEY_INFO"] = self.public_key_info
        return fields


@dataclass(frozen=True, slots=True)
class Sharing:
    """The crypto users with whom a key's owner shares it, in alphabetical order."""

    users: tuple[str, ...] = ()

    def encode(self) -> str:
        """Return the stored form: JSON in one canonical form, an empty text for a key that is not shared."""
        return json.dumps({"users": self.users}, separators=(",", ":")) if self.users else ""

    @classmethod
    def decode(cls, encoded: str) -> Sharing:
        """Read the stored form.

        Raises:
            ValueError: The text is not JSON.
            TypeError: The JSON has another form.
            KeyError: The JSON has another form.
        """
        return cls(tuple(json.loads(encoded)["users"])) if encoded else NOT_SHARED

    def without(self, username: str) -> Sharing:
        """Return the sharing without a user."""
        return Sharing(tuple(name for name in self.users if name != username))


NOT_SHARED = Sharing()


@dataclass(slots=True, eq=False)
class KeyEntry:
    """A key in memory. A change replaces the whole entry, so each entry is a consistent state of its key.

    A token key has its ``sealed`` material, and the plain one in the entries of a listing only. A session key has its
    plain ``material``, and in ``session`` the session token of its session. ``loaded`` is the key object, once the key
    was used. ``created`` is in ms since 1970. ``version`` is that of a token key's row.
    """

    record: KeyRecord
    owner: str
    created: int
    sharing: Sharing = NOT_SHARED
    session: int | None = None
    sealed: bytes | None = field(default=None, repr=False)
    material: bytes | None = field(default=None, repr=False)
    loaded: OpenedKey | None = field(default=None, repr=False)
    version: int = 0

    @property
    def handle(self) -> int:
        """The key's handle."""
        return self.record.handle

    def erase(self) -> None:
        """Drop the material of a destroyed key, so that an entry still held is useless."""
        self.material = self.loaded = self.sealed = None

"""Key records, and the session keys, which are in memory only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from hsmcore.primitives import OpenedKey
from hsmcore.tables.attributes import Value


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Public data of a key; never its secret material.

    ``public_key_info`` is the SubjectPublicKeyInfo (RFC 5280, DER) of both halves of a pair.
    """

    handle: int
    attributes: Mapping[str, Value]
    public_key_info: bytes | None = None

    def fields(self) -> dict[str, Value]:
        """Return the protocol's key record: the attributes, HANDLE, and PUBLIC_KEY_INFO where there is one."""
        fields = dict(self.attributes)
        fields["HANDLE"] = self.handle
        if self.public_key_info is not None:
            fields["PUBLIC_KEY_INFO"] = self.public_key_info
        return fields


@dataclass(frozen=True, slots=True)
class Sharing:
    """The crypto users whom a key's owner lets use it, in alphabetical order."""

    users: tuple[str, ...] = ()

    def encode(self) -> str:
        """Return it as it is stored: JSON in one canonical form, nothing for a key that is not shared."""
        return json.dumps({"users": self.users}, separators=(",", ":")) if self.users else ""

    @classmethod
    def decode(cls, encoded: str) -> Sharing:
        """Read what ``encode`` made. Raises ``ValueError``, ``TypeError``, ``KeyError``."""
        return cls(tuple(json.loads(encoded)["users"])) if encoded else NOT_SHARED

    def without(self, username: str) -> Sharing:
        """Return it without a user."""
        return Sharing(tuple(name for name in self.users if name != username))


NOT_SHARED = Sharing()


@dataclass(slots=True, eq=False)
class Entry:
    """A key in the HSM. It is replaced as a whole when it changes, so who holds one sees a consistent key.

    A token key has its ``sealed`` material, a session key its plain ``material`` and the ``session`` it ends with (a
    session token). ``loaded`` is the opened key object, once the key was used. ``created`` is in ms since 1970.
    """

    record: KeyRecord
    owner: str
    created: int
    sharing: Sharing = NOT_SHARED
    session: int | None = None
    sealed: bytes | None = field(default=None, repr=False)
    material: bytes | None = field(default=None, repr=False)
    loaded: OpenedKey | None = field(default=None, repr=False)

    @property
    def handle(self) -> int:
        """The key's handle."""
        return self.record.handle

    def erase(self) -> None:
        """Drop the material of a key that is no more; who still holds the entry can do nothing with it."""
        self.material = self.loaded = self.sealed = None

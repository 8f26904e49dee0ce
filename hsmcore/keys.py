"""Key records, and the session keys, which are in memory only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hsmcore.attributes import Value
from hsmcore.primitives import OpenedKey
from hsmcore.selection import Selection


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What may be known about a key: never its secret material.

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


class SessionKeys:
    """The session keys, in the order in which they were made. Whoever changes them holds the HSM's lock."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._labels: dict[str, dict[int, None]] = {}
        self._sessions: dict[int, dict[int, None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, handle: int) -> Entry | None:
        """Return the key with that handle."""
        return self._entries.get(handle)

    def put(self, entry: Entry) -> None:
        """Add a key, or replace the one with its handle in its place."""
        old = self._entries.get(entry.handle)
        if old is not None:
            self._forget_label(old)
        self._entries[entry.handle] = entry
        self._labels.setdefault(str(entry.record.attributes["LABEL"]), {})[entry.handle] = None
        if entry.session is not None:
            self._sessions.setdefault(entry.session, {})[entry.handle] = None

    def remove(self, handle: int) -> Entry:
        """Take a key out and return it."""
        entry = self._entries.pop(handle)
        self._forget_label(entry)
        self._forget_session(entry)
        return entry

    def of_session(self, session: int) -> tuple[Entry, ...]:
        """Return a session's keys."""
        return tuple(self._entries[handle] for handle in self._sessions.get(session, ()))

    def kinds(self) -> Iterator[tuple[str, str]]:
        """Yield the class and type of each key."""
        for entry in self._entries.values():
            attributes = entry.record.attributes
            yield str(attributes["OBJECT_CLASS"]), str(attributes["KEY_TYPE"])

    def shared_with(self, username: str) -> tuple[Entry, ...]:
        """Return the keys that are shared with a user."""
        return tuple(entry for entry in self._entries.values() if username in entry.sharing.users)

    def visible(self, session: int, username: str) -> tuple[Entry, ...]:
        """Return a session's keys, and those that other sessions' users share with its user."""
        return self.of_session(session) + self.shared_with(username)

    def owned_by(self, owner: str) -> bool:
        """Tell whether the user owns a session key."""
        return any(entry.owner == owner for entry in self._entries.values())

    def matching(self, session: int, username: str, wanted: Selection) -> Iterator[Entry]:
        """Yield the ``visible`` keys that are selected, each once."""
        labels = wanted.choices.get("LABEL")
        if labels is None:
            entries = self.visible(session, username)
        else:
            labelled = (self._entries[handle] for label in labels for handle in self._labels.get(str(label), ()))
            entries = tuple(
                entry for entry in labelled if entry.session == session or username in entry.sharing.users
            )  # fmt: skip
        return (entry for entry in entries if wanted.fits(entry.record.attributes))

    def _forget_label(self, entry: Entry) -> None:
        label = str(entry.record.attributes["LABEL"])
        handles = self._labels[label]
        del handles[entry.handle]
        if not handles:
            del self._labels[label]

    def _forget_session(self, entry: Entry) -> None:
        if entry.session is not None:
            handles = self._sessions[entry.session]
            del handles[entry.handle]
            if not handles:
                del self._sessions[entry.session]

"""Session keys, which are in memory and end with their session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hsmcore.errors import KeyLimit
from hsmcore.keys.records import KeyEntry
from hsmcore.keys.search import SearchTemplate

MAX_SESSION_KEYS = 65_536
"""Maximum number of session keys of one user."""


class SessionKeys:
    """The session keys, oldest first. A caller that changes them holds the HSM's lock."""

    def __init__(self) -> None:
        self._entries: dict[int, KeyEntry] = {}
        self._labels: dict[str, dict[int, None]] = {}
        self._sessions: dict[int, dict[int, None]] = {}
        self._owned: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, handle: int) -> KeyEntry | None:
        """Return a key; ``None`` where it does not exist."""
        return self._entries.get(handle)

    def require_room(self, owner: str, count: int) -> None:
        """Require that a user can have so many more keys.

        Raises:
            KeyLimit: The user cannot.
        """
        if self._owned[owner] + count > MAX_SESSION_KEYS:
            raise KeyLimit(f"user {owner!r} has {self._owned[owner]} session keys, and the limit is {MAX_SESSION_KEYS}")

    def put(self, entry: KeyEntry) -> None:
        """Add a key, or replace the entry of its handle, which keeps its place."""
        old = self._entries.get(entry.handle)
        if old is None:
            self._owned[entry.owner] += 1
        else:
            self._forget_label(old)
        self._entries[entry.handle] = entry
        self._labels.setdefault(str(entry.record.attributes["LABEL"]), {})[entry.handle] = None
        if entry.session is not None:
            self._sessions.setdefault(entry.session, {})[entry.handle] = None

    def remove(self, handle: int) -> KeyEntry:
        """Remove a key and return it."""
        entry = self._entries.pop(handle)
        self._owned[entry.owner] -= 1
        if not self._owned[entry.owner]:
            del self._owned[entry.owner]
        self._forget_label(entry)
        self._forget_session(entry)
        return entry

    def of_session(self, session: int) -> tuple[KeyEntry, ...]:
        """Return a session's keys."""
        return tuple(self._entries[handle] for handle in self._sessions.get(session, ()))

    def kinds(self) -> Iterator[tuple[str, str]]:
        """Yield the class and type of each key."""
        for entry in self._entries.values():
            attributes = entry.record.attributes
            yield str(attributes["OBJECT_CLASS"]), str(attributes["KEY_TYPE"])

    def shared_with(self, username: str) -> tuple[KeyEntry, ...]:
        """Return the keys that are shared with a user."""
        return tuple(entry for entry in self._entries.values() if username in entry.sharing.users)

    def visible(self, session: int, username: str) -> tuple[KeyEntry, ...]:
        """Return a session's keys, and those that other users share with its user."""
        return self.of_session(session) + self.shared_with(username)

    def owned_by(self, owner: str) -> list[int]:
        """Return the handles of the session keys that a user owns."""
        return [entry.handle for entry in self._entries.values() if entry.owner == owner]

    def matching(self, session: int, username: str, template: SearchTemplate) -> Iterator[KeyEntry]:
        """Yield the selected keys among the ``visible`` ones."""
        labels = template.choices.get("LABEL")
        if labels is None:
            entries = self.visible(session, username)
        else:
            labelled = (self._entries[handle] for label in labels for handle in self._labels.get(str(label), ()))
            entries = tuple(
                entry for entry in labelled if entry.session == session or username in entry.sharing.users
            )  # fmt: skip
        return (entry for entry in entries if template.fits(entry.record.attributes))

    def _forget_label(self, entry: KeyEntry) -> None:
        label = str(entry.record.attributes["LABEL"])
        handles = self._labels[label]
        del handles[entry.handle]
        if not handles:
            del self._labels[label]

    def _forget_session(self, entry: KeyEntry) -> None:
        if entry.session is not None:
            handles = self._sessions[entry.session]
            del handles[entry.handle]
            if not handles:
                del self._sessions[entry.session]

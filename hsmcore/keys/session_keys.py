"""Session keys: in memory only, and gone with their session."""

from __future__ import annotations

from collections.abc import Iterator

from hsmcore.keys.records import Entry
from hsmcore.keys.search import SearchTemplate


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

    def matching(self, session: int, username: str, wanted: SearchTemplate) -> Iterator[Entry]:
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

"""Read-only key queries; ``hsmcore.keys.keyring`` writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import merge
from threading import RLock

from hsmcore.errors import KeyNotFound
from hsmcore.keys import policy
from hsmcore.keys.description import DERIVED, KeyDescription, describe
from hsmcore.keys.records import Entry, KeyRecord
from hsmcore.keys.search import SearchTemplate
from hsmcore.keys.session_keys import SessionKeys
from hsmcore.keys.token_keys import DamagedEntry, TokenKeys, row_of
from hsmcore.primitives.keyforms import OpenedKey, open_private, open_public
from hsmcore.sessions.session import Session
from hsmcore.storage.database import Store
from hsmcore.storage.rows import KeyRow
from hsmcore.storage.sealing import Vault
from hsmcore.tables.attributes import PRIVATE, PUBLIC
from hsmcore.tables.roles import ADMIN


class KeyLookup:
    """All keys: finds, lists and opens them."""

    def __init__(self, store: Store, vault: Vault, lock: RLock) -> None:
        self._store = store
        self._vault = vault
        self._lock = lock
        self._session_keys = SessionKeys()
        self._tokens = TokenKeys(store, vault)

    def __len__(self) -> int:
        return len(self._session_keys) + len(self._tokens)

    def kinds(self) -> Counter[tuple[str, str, str]]:
        """Count the keys by token or session, class and type."""
        with self._lock:
            kinds = Counter(("session", *kind) for kind in self._session_keys.kinds())
            kinds.update({("token", *kind): count for kind, count in self._store.key_kinds().items()})
        return kinds

    def entry(self, session: Session, handle: int) -> Entry:
        """Return a key that this session sees. Raises ``KeyNotFound``, and ``StoreDamaged`` for a damaged row."""
        policy.require_alive(session)
        entry = self.present(handle)
        if entry is not None and policy.sees(session, entry):
            return entry
        raise KeyNotFound(f"there is no key {handle}")

    def present(self, handle: int) -> Entry | None:
        """Return a key, whoever may see it. Raises ``StoreDamaged`` for a damaged row."""
        entry = self._in_memory(handle)
        if entry is None:
            with self._lock:
                read = self._tokens.read(handle)
            if isinstance(read, DamagedEntry):
                raise read.error()
            entry = read
        return entry

    def _in_memory(self, handle: int) -> Entry | None:
        return self._session_keys.get(handle) or self._tokens.cached(handle)

    def find(self, session: Session, wanted: SearchTemplate, limit: int) -> list[KeyRecord]:
        """Return the records of the selected keys that this session sees; 0 is no limit.

        They come in the order in which they were made. Where a label is looked for and only a damaged row claims it,
        that is ``StoreDamaged``.
        """
        policy.require_may_find(session, wanted.choices)
        with self._lock:
            stored = self._tokens.matching(_whose(session), wanted, limit)
            found, damaged = self._seen(session, stored, limit)
            found += self._session_keys.matching(session.token, _shared_with(session), wanted)
        if not found:
            _require_whole(session, wanted, damaged)
        found.sort(key=_age)
        return [policy.view(session, entry) for entry in found[: limit or None]]

    def halves(self, session: Session, public_key_info: bytes) -> list[KeyRecord]:
        """Return the records of the halves of a pair that this session sees."""
        with self._lock:
            found, _ = self._seen(session, self._tokens.halves(_whose(session), public_key_info), 0)
            own = self._session_keys.visible(session.token, session.username)
        found += [entry for entry in own if entry.record.public_key_info == public_key_info]
        return [entry.record for entry in found]

    @staticmethod
    def _seen(
        session: Session, stored: Iterable[Entry | DamagedEntry], limit: int
    ) -> tuple[list[Entry], list[DamagedEntry]]:  # fmt: skip
        found: list[Entry] = []
        damaged: list[DamagedEntry] = []
        for entry in stored:
            if isinstance(entry, DamagedEntry):
                damaged.append(entry)
            elif policy.sees(session, entry):
                found.append(entry)
                if len(found) == limit:
                    break
        return found, damaged

    def labels(self, session: Session) -> dict[str, dict[str, int]]:
        """Return the labels that this session sees, each with how many keys of each object class have it."""
        labels: dict[str, dict[str, int]] = {}
        with self._lock:
            for label, object_class, count in self._store.labels(session.username):
                labels.setdefault(label, {})[object_class] = count
            for entry in self._session_keys.visible(session.token, session.username):
                label, object_class = (str(entry.record.attributes[name]) for name in ("LABEL", "OBJECT_CLASS"))
                if label:
                    classes = labels.setdefault(label, {})
                    classes[object_class] = classes.get(object_class, 0) + 1
        return labels

    def page(
        self, session: Session, handle: int | None, wanted: SearchTemplate, first: int, limit: int
    ) -> tuple[list[KeyDescription], int]:
        """Describe ``limit`` of the selected keys, from the ``first`` on (0 is the oldest), and count them all.

        The selection may be all that ``search_template`` lets through. A handle narrows it to that key. Where the
        database can select by itself, it counts, and only the rows of the page are read. A damaged row has its place
        and counts, but is not described; errors as ``find``.
        """
        policy.require_may_find(session, wanted.choices)
        last = first + limit if limit else None
        with self._lock:
            if handle is not None:
                entries = self._one(session, handle, wanted)
                count, entries = len(entries), entries[first:last]
            elif self._tokens.countable(wanted):
                entries, count = self._window(session, wanted, first, limit)
            else:
                entries, count = self._sifted(session, wanted, first, limit)
            found, damaged = self._seen(session, entries, 0)
            page = [self._described(session, entry) for entry in found]
        if not page:
            _require_whole(session, wanted, damaged)
        return page, count

    def _window(
        self, session: Session, wanted: SearchTemplate, first: int, limit: int
    ) -> tuple[list[Entry | DamagedEntry], int]:
        """Return a page of the keys that the database and the session keys' attributes select, and count them.

        At the place ``first`` of all, at least ``first`` less the number of session keys are token keys.
        """
        own = self._own(session, wanted)
        count = self._tokens.count(_whose(session), wanted) + len(own)
        skipped = max(first - len(own), 0)
        rows = self._tokens.rows(_whose(session), wanted, skipped, limit + first - skipped if limit else 0)
        before = [entry for entry in own if skipped and rows and _age(entry) < _age(rows[0])]
        merged: list[KeyRow | Entry] = sorted([*rows, *own[len(before) :]], key=_age)
        start = first - skipped - len(before)
        if skipped and not rows:
            start = len(merged)
        page = merged[start : start + limit if limit else None]
        return [self._tokens.opened(one) if isinstance(one, KeyRow) else one for one in page], count

    def _sifted(
        self, session: Session, wanted: SearchTemplate, first: int, limit: int
    ) -> tuple[list[Entry | DamagedEntry], int]:
        """Return a page of keys that are selected by more than that, and count them: all that may be are looked at."""
        stored, derived = wanted.without(DERIVED), wanted.within(DERIVED)
        seen = self._seen_each(session, self._tokens.matching(_whose(session), stored))
        page: list[Entry | DamagedEntry] = []
        count = 0
        for entry in merge(seen, self._own(session, stored), key=_age):
            if not derived.choices or derived.fits(self._described(session, entry).values()):
                if count >= first and (not limit or len(page) < limit):
                    page.append(entry)
                count += 1
        return page, count

    @staticmethod
    def _seen_each(session: Session, stored: Iterable[Entry | DamagedEntry]) -> Iterator[Entry]:
        for entry in stored:
            if isinstance(entry, Entry) and policy.sees(session, entry):
                yield entry

    def _own(self, session: Session, wanted: SearchTemplate) -> list[Entry]:
        """Return the selected session keys that the session sees, in the order in which they were made."""
        return sorted(self._session_keys.matching(session.token, _shared_with(session), wanted), key=_age)

    def _one(self, session: Session, handle: int, wanted: SearchTemplate) -> list[Entry | DamagedEntry]:
        try:
            entry = self.entry(session, handle)
        except KeyNotFound:
            return []
        if not wanted.without(DERIVED).fits(entry.record.attributes):
            return []
        derived = wanted.within(DERIVED)
        fits = not derived.choices or derived.fits(self._described(session, entry).values())
        return [entry] if fits else []

    def _described(self, session: Session, entry: Entry) -> KeyDescription:
        if session.role == ADMIN:
            return KeyDescription(policy.view(session, entry))
        return describe(entry, policy.view_sharing(session, entry), self.material(entry))

    def owned_by(self, username: str) -> bool:
        """Tell whether a user owns a key, or a damaged row says so."""
        return self._session_keys.owned_by(username) or self._store.owns_keys(username)

    def is_current(self, entry: Entry) -> bool:
        """Tell whether the key is in memory and has not changed since this entry was looked up."""
        return self._in_memory(entry.handle) is entry

    def open(self, entry: Entry) -> OpenedKey:
        """Return the key object to compute with; it is opened once."""
        loaded = entry.loaded
        if loaded is None:
            material = self.material(entry)
            key_class = entry.record.attributes["OBJECT_CLASS"]
            if key_class == PRIVATE:
                loaded = open_private(material)
            else:
                loaded = open_public(material) if key_class == PUBLIC else material
            entry.loaded = loaded
        return loaded

    def material(self, entry: Entry) -> bytes:
        """Return a key's material. Raises ``StoreDamaged``, and ``KeyNotFound`` if it was destroyed meanwhile."""
        material, sealed = entry.material, entry.sealed
        if material is not None:
            return material
        if sealed is None:
            raise KeyNotFound(f"there is no key {entry.handle}")
        return self._vault.open_key(replace(row_of(entry), sealed=sealed))


def _age(key: Entry | KeyRow) -> tuple[int, int]:
    """Return what keys are ordered by; the database orders them so too."""
    return key.created, key.handle


def _require_whole(session: Session, wanted: SearchTemplate, damaged: Sequence[DamagedEntry]) -> None:
    """Raise ``StoreDamaged`` where all that was found for a label is damaged, and the user's."""
    if damaged and "LABEL" in wanted.choices and damaged[0].owner == session.username:
        raise damaged[0].error()


def _shared_with(session: Session) -> str:
    """Return the name by which session keys are shared with this session's user; an admin has none."""
    return "" if session.role == ADMIN else session.username


def _whose(session: Session) -> str | None:
    """Return whose keys a session sees, ``None`` for everyone's."""
    return None if session.role == ADMIN else session.username

"""Read-only key queries; ``hsmcore.keys.keyring`` writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from heapq import merge
from threading import RLock

from hsmcore.errors import KeyNotFound
from hsmcore.keys import policy
from hsmcore.keys.description import DERIVED, KeyDescription, describe
from hsmcore.keys.records import KeyEntry, KeyRecord
from hsmcore.keys.search import SearchTemplate
from hsmcore.keys.session_keys import SessionKeys
from hsmcore.keys.token_keys import DamagedKey, TokenKeys, row_of
from hsmcore.primitives.keyforms import OpenedKey, open_private, open_public
from hsmcore.sessions.session import Session
from hsmcore.storage.database import Store
from hsmcore.storage.keys import Position
from hsmcore.storage.rows import KeyRow
from hsmcore.storage.sealing import Vault
from hsmcore.tables.attributes import CLASSES, PRIVATE, PUBLIC
from hsmcore.tables.roles import ADMIN


class KeyLookup:
    """All keys. Finds, lists and opens them."""

    def __init__(self, store: Store, vault: Vault, lock: RLock) -> None:
        self._store = store
        self._vault = vault
        self._lock = lock
        self._session_keys = SessionKeys()
        self._token_keys = TokenKeys(store, vault)

    def __len__(self) -> int:
        return len(self._session_keys) + len(self._token_keys)

    def kinds(self) -> Counter[tuple[str, str, str]]:
        """Count the keys by token or session, class and type."""
        with self._lock:
            kinds = Counter(("session", *kind) for kind in self._session_keys.kinds())
            kinds.update({("token", *kind): count for kind, count in self._store.key_kinds().items()})
        return kinds

    def entry(self, session: Session, handle: int) -> KeyEntry:
        """Return a key that the session sees.

        Raises:
            Unauthenticated: The session has ended.
            KeyNotFound: The session sees no such key.
            StoreDamaged: The stored key is damaged.
        """
        policy.require_alive(session)
        entry = self.present(handle)
        if entry is not None and policy.sees(session, entry):
            return entry
        raise KeyNotFound(f"there is no key {handle:#018x}")

    def present(self, handle: int) -> KeyEntry | None:
        """Return a key, regardless of sessions; ``None`` where it does not exist.

        Raises:
            StoreDamaged: The stored key is damaged.
        """
        entry = self._in_memory(handle)
        if entry is None:
            with self._lock:
                read = self._token_keys.read(handle)
            if isinstance(read, DamagedKey):
                raise read.error()
            entry = read
        return entry

    def _in_memory(self, handle: int) -> KeyEntry | None:
        return self._session_keys.get(handle) or self._token_keys.cached(handle)

    def find(
        self, session: Session, template: SearchTemplate, limit: int, after: Position | None = None
    ) -> tuple[list[KeyRecord], Position | None]:
        """Return the records of the selected keys that the session sees, oldest first.

        Args:
            session: A session.
            template: The search template.
            limit: The maximum number of records; 0 for no limit.
            after: The position after which to begin; ``None`` for the oldest.

        Returns:
            The records, and the position after which there may be more; ``None`` where there are no more.

        Raises:
            Unauthenticated: The session has ended.
            PermissionDenied: An admin searches by another attribute than LABEL.
            StoreDamaged: All that was found for a label is a damaged key of the user.
        """
        policy.require_may_find(session, template.choices)
        own = [entry for entry in self._own(session, template) if after is None or _age(entry) > after]
        stored = self._token_keys.matching(_owner_filter(session), template, limit, after)
        found, damaged = self._seen(session, stored, limit)
        found += _without(own, found)
        if not found and after is None:
            _require_whole(session, template, damaged)
        found.sort(key=_age)
        page = found[: limit or None]
        last = _age(page[-1]) if limit and len(page) == limit else None
        return [policy.view(session, entry) for entry in page], last

    def halves(self, session: Session, public_key_info: bytes) -> list[KeyRecord]:
        """Return the records of the keys of a pair that the session sees."""
        with self._lock:
            visible = self._session_keys.visible(session.token, session.username)
        own = [entry for entry in visible if entry.record.public_key_info == public_key_info]
        found, _ = self._seen(session, self._token_keys.halves(_owner_filter(session), public_key_info), 0)
        return [entry.record for entry in [*found, *_without(own, found)]]

    def certificates(self, session: Session) -> list[KeyRecord]:
        """Return the records of the certificates that the session sees, oldest first."""
        found, _ = self._seen(session, self._token_keys.certificates(session.username), 0)
        return [entry.record for entry in found]

    @staticmethod
    def _seen(
        session: Session, stored: Iterable[KeyEntry | DamagedKey], limit: int
    ) -> tuple[list[KeyEntry], list[DamagedKey]]:  # fmt: skip
        found: list[KeyEntry] = []
        damaged: list[DamagedKey] = []
        for entry in stored:
            if isinstance(entry, DamagedKey):
                damaged.append(entry)
            elif policy.sees(session, entry):
                found.append(entry)
                if len(found) == limit:
                    break
        return found, damaged

    def labels(self, session: Session) -> dict[str, dict[str, int]]:
        """Return the labels of the keys that the session sees, each with the number of keys by OBJECT_CLASS."""
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
        self,
        session: Session,
        handle: int | None,
        template: SearchTemplate,
        first: int,
        limit: int,
        *,
        brief: bool = False,
    ) -> tuple[list[KeyDescription], int]:
        """Return a page of descriptions of the selected keys, oldest first, and the number of all of them.

        Reads only the rows of the page where the database alone can select. A damaged row is counted and left out of
        its page.

        Args:
            session: A session.
            handle: The handle of the one key to describe; ``None`` for any.
            template: The search template; it may have derived values.
            first: The number of keys before the page.
            limit: The size of the page; 0 for no limit.
            brief: Whether to leave out owner, sharing and derived values.

        Raises:
            Unauthenticated: The session has ended.
            PermissionDenied: An admin searches by another attribute than LABEL.
            StoreDamaged: All that was found for a label is a damaged key of the user.
        """
        policy.require_may_find(session, template.choices)
        last = first + limit if limit else None
        if handle is not None:
            entries = self._one(session, handle, template)
            count, entries = len(entries), entries[first:last]
        elif self._token_keys.countable(template):
            with self._lock:
                entries, count = self._window(session, template, first, limit)
        else:
            entries, count = self._sifted(session, template, first, limit)
        found, damaged = self._seen(session, entries, 0)
        page = [_brief(session, entry) for entry in found] if brief else self._descriptions(session, found)
        if not page:
            _require_whole(session, template, damaged)
        return page, count

    def _window(
        self, session: Session, template: SearchTemplate, first: int, limit: int
    ) -> tuple[list[KeyEntry | DamagedKey], int]:
        """Return a page of keys that stored columns select, and the number of all such keys.

        Of the ``first`` keys before the page, all but the session keys are token keys: so many rows are skipped.
        """
        own = self._own(session, template)
        skipped = max(first - len(own), 0)
        rows = self._token_keys.rows(_owner_filter(session), template, skipped, limit + first - skipped if limit else 0)
        own = _without(own, rows)
        count = self._token_keys.count(_owner_filter(session), template) + len(own)
        before = [entry for entry in own if skipped and rows and _age(entry) < _age(rows[0])]
        merged: list[KeyRow | KeyEntry] = sorted([*rows, *own[len(before) :]], key=_age)
        start = first - skipped - len(before)
        if skipped and not rows:
            start = len(merged)
        page = merged[start : start + limit if limit else None]
        return [self._token_keys.opened(one) if isinstance(one, KeyRow) else one for one in page], count

    def _sifted(
        self, session: Session, template: SearchTemplate, first: int, limit: int
    ) -> tuple[list[KeyEntry | DamagedKey], int]:
        """Return a page of keys that other attributes select, and the number of all such keys. Reads all candidates."""
        stored, derived = template.without(DERIVED), template.within(DERIVED)
        seen = self._seen_each(session, self._token_keys.matching(_owner_filter(session), stored))
        page: list[KeyEntry | DamagedKey] = []
        count = 0
        last = 0
        for entry in merge(seen, self._own(session, stored), key=_age):
            if entry.handle == last:
                continue  # It was a session key before the rows were read.
            last = entry.handle
            if not derived.choices or self._has(session, entry, derived):
                if count >= first and (not limit or len(page) < limit):
                    page.append(entry)
                count += 1
        return page, count

    @staticmethod
    def _seen_each(session: Session, stored: Iterable[KeyEntry | DamagedKey]) -> Iterator[KeyEntry]:
        for entry in stored:
            if isinstance(entry, KeyEntry) and policy.sees(session, entry):
                yield entry

    def _has(self, session: Session, entry: KeyEntry, derived: SearchTemplate) -> bool:
        """Tell whether a key has the derived values. A key that was destroyed meanwhile has none."""
        return any(derived.fits(description.values()) for description in self._descriptions(session, [entry]))

    def _descriptions(self, session: Session, entries: Iterable[KeyEntry]) -> list[KeyDescription]:
        """Describe keys, without those that were destroyed meanwhile."""
        descriptions = []
        for entry in entries:
            with suppress(KeyNotFound):
                descriptions.append(self._described(session, entry))
        return descriptions

    def _own(self, session: Session, template: SearchTemplate) -> list[KeyEntry]:
        """Return the selected session keys that the session sees, oldest first."""
        with self._lock:
            return sorted(self._session_keys.matching(session.token, _shared_with(session), template), key=_age)

    def _one(self, session: Session, handle: int, template: SearchTemplate) -> list[KeyEntry | DamagedKey]:
        try:
            entry = self.entry(session, handle)
        except KeyNotFound:
            return []
        if entry.record.attributes["OBJECT_CLASS"] not in CLASSES:
            return []
        if not template.without(DERIVED).fits(entry.record.attributes):
            return []
        derived = template.within(DERIVED)
        return [entry] if not derived.choices or self._has(session, entry, derived) else []

    def _described(self, session: Session, entry: KeyEntry) -> KeyDescription:
        if session.role == ADMIN:
            return _brief(session, entry)
        return describe(entry, policy.view_sharing(session, entry), self.material(entry))

    def owned_by(self, username: str) -> list[int]:
        """Return the handles of the keys that a user owns, damaged ones included."""
        return [*self._session_keys.owned_by(username), *self._store.owned_by(username)]

    def is_current(self, entry: KeyEntry) -> bool:
        """Tell whether the entry is the one in memory, so that its key has not changed."""
        return self._in_memory(entry.handle) is entry

    def open(self, entry: KeyEntry) -> OpenedKey:
        """Return the key object for ``hsmcore.primitives``. It is opened once."""
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

    def material(self, entry: KeyEntry) -> bytes:
        """Return a key's material.

        Raises:
            KeyNotFound: The key was destroyed meanwhile.
            StoreDamaged: The stored key is damaged.
        """
        material, sealed = entry.material, entry.sealed
        if material is not None:
            return material
        if sealed is None:
            raise KeyNotFound(f"there is no key {entry.handle:#018x}")
        return self._vault.open_key(replace(row_of(entry), sealed=sealed))


def _brief(session: Session, entry: KeyEntry) -> KeyDescription:
    return KeyDescription(policy.view(session, entry))


def _age(key: KeyEntry | KeyRow) -> Position:
    """Return the sort key of keys, which is also the database's order."""
    return key.created, key.handle


def _without(own: Sequence[KeyEntry], stored: Iterable[KeyEntry | KeyRow]) -> list[KeyEntry]:
    """Return the session keys that have not become token keys since they were read.

    They are read first, so that a search misses no key that becomes a token key meanwhile.
    """
    handles = {key.handle for key in stored} if own else ()
    return [entry for entry in own if entry.handle not in handles]


def _require_whole(session: Session, template: SearchTemplate, damaged: Sequence[DamagedKey]) -> None:
    """Check that a search for a label did not find only damaged keys of the user.

    Raises:
        StoreDamaged: It did.
    """
    if damaged and "LABEL" in template.choices and damaged[0].owner == session.username:
        raise damaged[0].error()


def _shared_with(session: Session) -> str:
    """Return the name of the session's user as in ``Sharing``; empty for an admin, with whom no key is shared."""
    return "" if session.role == ADMIN else session.username


def _owner_filter(session: Session) -> str | None:
    """Return the user whose keys the session sees; ``None`` for the keys of all users."""
    return None if session.role == ADMIN else session.username

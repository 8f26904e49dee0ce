"""The keys of an HSM: session keys in memory, token keys on disk before a call returns.

Every change happens under the HSM's lock, first on disk, then in memory: what fails on disk has changed nothing.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from threading import RLock

from hsmcore import policy
from hsmcore.attributes import PRIVATE, PUBLIC, Value, changed
from hsmcore.audit import AuditLog
from hsmcore.description import DERIVED, KeyDescription, describe
from hsmcore.errors import KeyNotFound, SharingInvalid
from hsmcore.keys import NOT_SHARED, Entry, KeyRecord, SessionKeys, Sharing
from hsmcore.making import NewKey
from hsmcore.primitives.keyforms import OpenedKey, open_private, open_public
from hsmcore.sealing import KeyRow, Vault
from hsmcore.sessions import ADMIN, Session, Sessions
from hsmcore.store import Store
from hsmcore.tokens import DamagedEntry, TokenKeys, row_of


class KeyRing:
    """All keys: adds, finds, changes, destroys and opens them."""

    def __init__(self, store: Store, vault: Vault, sessions: Sessions, lock: RLock, log: AuditLog) -> None:
        self._store = store
        self._vault = vault
        self._sessions = sessions
        self._lock = lock
        self._audit = log
        self._session_keys = SessionKeys()
        self._tokens = TokenKeys(store, vault)
        self._newest = store.newest_key()

    def __len__(self) -> int:
        return len(self._session_keys) + len(self._tokens)

    def kinds(self) -> Counter[tuple[str, str, str]]:
        """Count the keys by token or session, class and type."""
        with self._lock:
            kinds = Counter(("session", *kind) for kind in self._session_keys.kinds())
            kinds.update({("token", *kind): count for kind, count in self._store.key_kinds().items()})
        return kinds

    def add(
        self, session: Session, made: Sequence[NewKey], sharing: Sharing = NOT_SHARED
    ) -> tuple[KeyRecord, ...]:  # fmt: skip
        """Add new keys of the session's user, all or none; what is shared is not the public half of a pair.

        Raises ``Unauthenticated``, ``StoreFull``.
        """
        with self._lock:
            policy.require_alive(session)
            entries = [self._entry(session, new, sharing) for new in made]
            rows = stored_rows(entries)
            self._audit.concerns(entries)
            if rows:
                self._store.add_keys(rows)
                return self._added(entries)
        # Without the lock, so that the log's entries of several threads go to the disk together.
        self._audit.record(durable=False)
        with self._lock:
            policy.require_alive(session)
            return self._added(entries)

    def _added(self, entries: Sequence[Entry]) -> tuple[KeyRecord, ...]:
        for entry in entries:
            self._put(entry)
        return tuple(entry.record for entry in entries)

    def _put(self, entry: Entry) -> None:
        if entry.session is None:
            self._tokens.put(entry)
        else:
            self._session_keys.put(entry)

    def _entry(self, session: Session, new: NewKey, sharing: Sharing) -> Entry:
        # Unique by chance: 63 random bits, and the store refuses to add a handle twice.
        handle = secrets.randbits(63) or 1
        record = KeyRecord(handle, new.attributes, new.public_key_info)
        # Distinct times keep the order in which keys were made.
        self._newest = max(time.time_ns() // 1_000_000, self._newest + 1)
        if new.attributes["OBJECT_CLASS"] == PUBLIC:
            sharing = NOT_SHARED
        entry = Entry(record, session.username, self._newest, sharing)
        return self._secured(entry, new.material, session.token)

    def _secured(self, entry: Entry, material: bytes, session: int | None) -> Entry:
        """Return the entry with its material: sealed for a token key, in memory for a session key."""
        if entry.record.attributes["TOKEN"]:
            sealed = self._vault.seal_key(row_of(entry), material).sealed
            return replace(entry, session=None, sealed=sealed, material=None)
        return replace(entry, session=session, sealed=None, material=material)

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

    def find(self, session: Session, wanted: Mapping[str, Value], limit: int) -> list[KeyRecord]:
        """Return the records of the keys that this session sees and that have all these values; 0 is no limit.

        They come in the order in which they were made. Where a label is looked for and only a damaged row claims it,
        that is ``StoreDamaged``.
        """
        policy.require_may_find(session, wanted)
        with self._lock:
            stored = self._tokens.matching(_whose(session), wanted, limit)
            found, damaged = self._seen(session, stored, limit)
            found += self._session_keys.matching(session.token, _shared_with(session), wanted)
        if damaged and not found and "LABEL" in wanted and damaged[0].owner == session.username:
            raise damaged[0].error()
        found.sort(key=lambda entry: entry.created)
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
        session: Session, stored: Iterator[Entry | DamagedEntry], limit: int
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
        self, session: Session, handle: int | None, wanted: Mapping[str, Value], first: int, limit: int
    ) -> tuple[list[KeyDescription], int]:
        """Describe ``limit`` of the keys that fit, from the ``first`` on (0 is the oldest), and count all that fit.

        ``wanted`` may name all that ``description.wanted`` lets through. A handle narrows it to that key.
        """
        policy.require_may_find(session, wanted)
        stored = {name: value for name, value in wanted.items() if name not in DERIVED}
        records = self.find(session, stored, 0) if handle is None else self._one(session, handle, stored)
        if len(stored) < len(wanted):
            fits = wanted.items()
            records = [record for record in records if fits <= self._described(session, record).values().items()]
        last = first + limit if limit else None
        return [self._described(session, record) for record in records[first:last]], len(records)

    def _one(self, session: Session, handle: int, wanted: Mapping[str, Value]) -> list[KeyRecord]:
        try:
            record = policy.view(session, self.entry(session, handle))
        except KeyNotFound:
            return []
        return [record] if wanted.items() <= record.attributes.items() else []

    def _described(self, session: Session, record: KeyRecord) -> KeyDescription:
        if session.role == ADMIN:
            return KeyDescription(record)
        entry = self.entry(session, record.handle)
        return describe(entry, policy.view_sharing(session, entry), self.material(entry))

    def change(self, session: Session, handle: int, wishes: Mapping[str, Value]) -> KeyRecord:
        """Change attributes, all or none. A session key whose TOKEN becomes true is stored."""
        with self._lock:
            entry = self.entry(session, handle)
            policy.require_may_change(session, entry, wishes)
            after = changed(entry.record.attributes, wishes, admin=session.role == ADMIN)
            return policy.view(session, self._replace(entry, after))

    def set_quorum(self, session: Session, handle: int, manage: int, use: int) -> None:
        """Set how many approvals the management and the use of a key take, once."""
        with self._lock:
            entry = self.entry(session, handle)
            policy.require_may_set_quorum(session, entry, manage, use)
            values = {"MANAGE_QUORUM": manage, "USE_QUORUM": use}
            self._replace(entry, {**entry.record.attributes, **values})

    def _replace(self, entry: Entry, attributes: Mapping[str, Value]) -> Entry:
        """Give a key other attributes, on disk first."""
        record = replace(entry.record, attributes=attributes)
        new = self._secured(replace(entry, record=record), self.material(entry), entry.session)
        self._audit.concerns([new])
        if new.sealed is not None and entry.sealed is None:
            self._store.add_keys([row_of(new)])
            self._session_keys.remove(entry.handle)
        elif new.sealed is not None:
            self._store.change_key(row_of(new))
        else:
            self._audit.record(durable=False)
        self._put(new)
        self._sessions.forget_key(entry.handle)
        return new

    def share(self, session: Session, handle: int, username: str) -> None:
        """Let another crypto user, one that exists, use a key. Raises ``PermissionDenied``, ``SharingInvalid``."""
        with self._lock:
            entry = self.entry(session, handle)
            policy.require_may_share(session, entry)
            self._change_sharing(entry, policy.sharing(entry.owner, (*entry.sharing.users, username)))

    def unshare(self, session: Session, handle: int, username: str) -> None:
        """Take the use of a key from a user. Raises ``PermissionDenied``, ``SharingInvalid``."""
        with self._lock:
            entry = self.entry(session, handle)
            policy.require_may_share(session, entry)
            if username not in entry.sharing.users:
                raise SharingInvalid(f"key {handle} is not shared with {username!r}")
            self._change_sharing(entry, entry.sharing.without(username))
            self._sessions.forget_key(handle)

    def _change_sharing(self, entry: Entry, sharing: Sharing) -> None:
        new = self._shared(entry, sharing)
        self._audit.concerns([new])
        if new.sealed is not None:
            self._store.change_key(row_of(new))
        else:
            self._audit.record(durable=False)
        self._put(new)

    def _shared(self, entry: Entry, sharing: Sharing) -> Entry:
        policy.require_enough_users(entry, sharing)
        return self._secured(replace(entry, sharing=sharing), self.material(entry), entry.session)

    def unshared_with(self, username: str) -> list[Entry]:
        """Return the keys shared with a user as they are once that user is gone; nothing is changed yet."""
        shared = (*self._tokens.shared_with(username), *self._session_keys.shared_with(username))
        return [self._shared(entry, entry.sharing.without(username)) for entry in shared]

    def replace(self, entries: Sequence[Entry]) -> None:
        """Take over keys whose change is on disk."""
        for entry in entries:
            self._put(entry)

    def destroy(self, session: Session, handle: int) -> None:
        """Destroy a key. A damaged row may be destroyed by the user that it names as its owner."""
        with self._lock:
            policy.require_alive(session)
            damaged = None if self._in_memory(handle) else self._tokens.read(handle)
            if isinstance(damaged, DamagedEntry):
                if damaged.owner != session.username:
                    raise damaged.error()
                self._store.delete_keys([handle])
                return
            entry = self.entry(session, handle)
            policy.require_owner(session, entry)
            policy.require_destroyable(entry)
            self._audit.concerns([entry])
            if entry.session is None:
                self._store.delete_keys([handle])
                self._tokens.forget(handle)
            else:
                self._audit.record(durable=False)
                self._session_keys.remove(handle).erase()
            self._sessions.forget_key(handle)

    def drop_session(self, session: Session) -> None:
        """Erase the session keys of a session that has ended."""
        with self._lock:
            for entry in self._session_keys.of_session(session.token):
                self._session_keys.remove(entry.handle).erase()
                self._sessions.forget_key(entry.handle)

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


def stored_rows(entries: Sequence[Entry]) -> list[KeyRow]:
    """Return the rows of those that are token keys."""
    return [row_of(entry) for entry in entries if entry.sealed is not None]


def _shared_with(session: Session) -> str:
    """Return the name by which session keys are shared with this session's user; an admin has none."""
    return "" if session.role == ADMIN else session.username


def _whose(session: Session) -> str | None:
    """Return whose keys a session sees, ``None`` for everyone's."""
    return None if session.role == ADMIN else session.username

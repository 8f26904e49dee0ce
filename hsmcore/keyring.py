"""The keys of an HSM: in memory to be used, token keys on disk before a call returns.

Every change happens under the HSM's lock, first on disk, then in memory: what fails on disk has changed nothing.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import RLock

from hsmcore import policy
from hsmcore.attributes import PRIVATE, PUBLIC, Value, changed
from hsmcore.errors import KeyNotFound, PermissionDenied, StoreDamaged
from hsmcore.keys import DamagedEntry, Entry, KeyIndex, KeyRecord
from hsmcore.making import NewKey
from hsmcore.primitives.keyforms import OpenedKey, open_private, open_public
from hsmcore.sealing import KeyRow, Vault, decode_attributes, encode_attributes
from hsmcore.sessions import ADMIN, Session, Sessions
from hsmcore.store import Store

_log = logging.getLogger("hsmcore.keyring")


class KeyRing:
    """All keys: adds, finds, changes, destroys and opens them."""

    def __init__(self, store: Store, vault: Vault, sessions: Sessions, lock: RLock) -> None:
        self._store = store
        self._vault = vault
        self._sessions = sessions
        self._lock = lock
        self._index = KeyIndex()
        self._damaged: dict[int, DamagedEntry] = {}
        self._newest = 0
        for row in store.token_keys():
            self._read(row)

    def __len__(self) -> int:
        return len(self._index)

    def _read(self, row: KeyRow) -> None:
        """Take a stored row into memory; one that does not open is set aside, and hurts only its own key."""
        try:
            self._vault.open_key(row)
            record = KeyRecord(row.handle, decode_attributes(row.attributes), row.public_key_info)
        except (StoreDamaged, ValueError, TypeError, KeyError, AttributeError):
            _log.error("the row of key %d is damaged or was edited; the key cannot be used", row.handle)
            self._damaged[row.handle] = DamagedEntry(row.handle, row.owner, _claimed_label(row))
            return
        self._index.put(Entry(record, row.owner, row.created, sealed=row.sealed))
        self._newest = max(self._newest, row.created)

    def add(self, session: Session, made: Sequence[NewKey]) -> tuple[KeyRecord, ...]:
        """Add new keys of the session's user, all or none. Raises ``Unauthenticated``, ``StoreFull``."""
        with self._lock:
            policy.require_alive(session)
            entries = [self._entry(session, new) for new in made]
            rows = [_row(entry) for entry in entries if entry.sealed is not None]
            if rows:
                self._store.add_keys(rows)
            for entry in entries:
                self._index.put(entry)
            return tuple(entry.record for entry in entries)

    def _entry(self, session: Session, new: NewKey) -> Entry:
        handle = secrets.randbits(63)
        while handle == 0 or self._index.get(handle) is not None or handle in self._damaged:
            handle = secrets.randbits(63)
        record = KeyRecord(handle, new.attributes, new.public_key_info)
        # Distinct times keep the order in which keys were made.
        self._newest = max(time.time_ns() // 1_000_000, self._newest + 1)
        entry = Entry(record, session.username, self._newest)
        return self._secured(entry, new.material, session.token)

    def _secured(self, entry: Entry, material: bytes, session: int | None) -> Entry:
        """Return the entry with its material: sealed for a token key, in memory for a session key."""
        if entry.record.attributes["TOKEN"]:
            sealed = self._vault.seal_key(_row(entry), material).sealed
            return replace(entry, session=None, sealed=sealed, material=None)
        return replace(entry, session=session, sealed=None, material=material)

    def entry(self, session: Session, handle: int) -> Entry:
        """Return a key that this session sees. Raises ``KeyNotFound``, and ``StoreDamaged`` for a damaged row."""
        policy.require_alive(session)
        entry = self._index.get(handle)
        if entry is not None and policy.sees(session, entry):
            return entry
        if handle in self._damaged:
            raise _damaged(handle)
        raise KeyNotFound(f"there is no key {handle}")

    def find(self, session: Session, wanted: Mapping[str, Value], limit: int) -> list[KeyRecord]:
        """Return the records of the keys that this session sees and that have all these values; 0 is no limit.

        Where a label is looked for and only a damaged row claims it, that is ``StoreDamaged``.
        """
        policy.require_alive(session)
        if session.role == ADMIN and wanted.keys() - {"LABEL"}:
            raise PermissionDenied("an admin finds keys by LABEL only")
        found: list[KeyRecord] = []
        with self._lock:
            for entry in self._index.matching(wanted):
                if policy.sees(session, entry):
                    found.append(policy.view(session, entry))
                    if len(found) == limit:
                        break
        if not found and "LABEL" in wanted:
            for damaged in list(self._damaged.values()):
                if damaged.label == wanted["LABEL"] and damaged.owner == session.username:
                    raise _damaged(damaged.handle)
        return found

    def change(self, session: Session, handle: int, wishes: Mapping[str, Value]) -> KeyRecord:
        """Change attributes, all or none. A session key whose TOKEN becomes true is stored."""
        with self._lock:
            entry = self.entry(session, handle)
            policy.require_may_change(session, entry, wishes)
            after = changed(entry.record.attributes, wishes, admin=session.role == ADMIN)
            record = replace(entry.record, attributes=after)
            new = self._secured(replace(entry, record=record), self.material(entry), entry.session)
            if new.sealed is not None and entry.sealed is None:
                self._store.add_keys([_row(new)])
            elif new.sealed is not None:
                self._store.change_key(_row(new))
            self._index.put(new)
            self._sessions.forget_key(handle)
            return policy.view(session, new)

    def destroy(self, session: Session, handle: int) -> None:
        """Destroy a key. A damaged row may be destroyed by the user that it names as its owner."""
        with self._lock:
            damaged = self._damaged.get(handle)
            if damaged is not None and damaged.owner == session.username and session.alive and session.role != ADMIN:
                self._store.delete_keys([handle])
                del self._damaged[handle]
                return
            entry = self.entry(session, handle)
            policy.require_owner(session, entry)
            policy.require_destroyable(entry)
            if entry.session is None:
                self._store.delete_keys([handle])
            self._remove(handle)

    def drop_session(self, session: Session) -> None:
        """Erase the session keys of a session that has ended."""
        with self._lock:
            for handle in self._index.of_session(session.token):
                self._remove(handle)

    def _remove(self, handle: int) -> None:
        self._index.remove(handle)
        self._sessions.forget_key(handle)

    def owned_by(self, username: str) -> bool:
        """Tell whether a user owns a key, or a damaged row says so."""
        return self._index.owned_by(username) or any(row.owner == username for row in self._damaged.values())

    def is_current(self, entry: Entry) -> bool:
        """Tell whether the key is there and has not changed since this entry was looked up."""
        return self._index.get(entry.handle) is entry

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
        return self._vault.open_key(replace(_row(entry), sealed=sealed))


def _row(entry: Entry) -> KeyRow:
    record = entry.record
    attributes = encode_attributes(record.attributes)
    return KeyRow(
        record.handle, entry.owner, entry.created, attributes, record.public_key_info, entry.sealed or b""
    )  # fmt: skip


def _claimed_label(row: KeyRow) -> str:
    try:
        return str(decode_attributes(row.attributes).get("LABEL", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""


def _damaged(handle: int) -> StoreDamaged:
    return StoreDamaged(f"the stored row of key {handle} is damaged or was edited; restore it from a backup")

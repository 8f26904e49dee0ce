"""Changes of keys. Session keys are in memory; token keys are on disk before a call returns.

Every change is made in the HSM's turn, first on disk, then in memory; a new key takes the HSM's lock alone. A failure
on disk changes nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from threading import RLock

from hsmcore.audit.log import AuditLog
from hsmcore.errors import SharingInvalid
from hsmcore.keys import policy
from hsmcore.keys.generation import NewKey
from hsmcore.keys.lookup import KeyLookup
from hsmcore.keys.records import NOT_SHARED, KeyEntry, KeyRecord, Sharing
from hsmcore.keys.token_keys import DamagedKey, row_of
from hsmcore.sessions.session import Session, Sessions
from hsmcore.storage.database import Store
from hsmcore.storage.rows import KeyRow, decode_attributes, key_subject
from hsmcore.storage.sealing import Vault
from hsmcore.tables.attributes import PUBLIC, Value, changed
from hsmcore.tables.roles import ADMIN


class KeyRing(KeyLookup):
    """All keys. Adds, changes and destroys them, and has the queries of ``KeyLookup``."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        sessions: Sessions,
        lock: RLock,
        turn: AbstractContextManager[object],
        log: AuditLog,
    ) -> None:
        super().__init__(store, vault, lock)
        self._turn = turn
        self._sessions = sessions
        self._audit = log
        self._newest = store.newest_key()

    def add(
        self, session: Session, new: Sequence[NewKey], sharing: Sharing = NOT_SHARED
    ) -> tuple[KeyRecord, ...]:  # fmt: skip
        """Store new keys of the session's user, all or none. Sharing applies to secret and private keys only.

        Raises:
            Unauthenticated: The session has ended.
            KeyLimit: The user has the maximum number of session keys.
            StoreFull: The disk is full.
        """
        with self._lock:
            policy.require_alive(session)
            entries = [self._entry(session, one, sharing) for one in new]
            rows = stored_rows(entries)
            self._session_keys.require_room(session.username, len(entries) - len(rows))
            self._concerns(entries)
            if rows:
                self._store.add_keys(rows)
                return self._added(entries)
        # Without the lock, so that the log writes the entries of several threads together.
        self._audit.record(durable=False)
        with self._lock:
            policy.require_alive(session)
            return self._added(entries)

    def insert(self, row: KeyRow, material: bytes) -> KeyEntry:
        """Store a token key of a clone, with its handle, owner and sharing.

        Args:
            row: Its row, whose seal and version do not count.
            material: Its material.

        Raises:
            StoreFull: The disk is full.
        """
        with self._lock:
            newest = self._store.newest(key_subject(row.handle))
            record = KeyRecord(row.handle, decode_attributes(row.attributes), row.public_key_info)
            entry = KeyEntry(record, row.owner, row.created, Sharing.decode(row.sharing))
            entry.version = newest.version if newest else 0
            entry = self._secured(entry, material, None)
            self._concerns([entry])
            self._store.add_keys([row_of(entry)])
            self._newest = max(self._newest, row.created)
            self._put(entry)
            return entry

    def _concerns(self, entries: Sequence[KeyEntry]) -> None:
        handles = {entry.handle: str(entry.record.attributes["OBJECT_CLASS"]) for entry in entries}
        self._audit.concerns(handles, token_key=any(entry.session is None for entry in entries))

    def _added(self, entries: Sequence[KeyEntry]) -> tuple[KeyRecord, ...]:
        for entry in entries:
            self._put(entry)
        return tuple(entry.record for entry in entries)

    def _put(self, entry: KeyEntry) -> None:
        if entry.session is None:
            self._token_keys.put(entry)
        else:
            self._session_keys.put(entry)

    def _entry(self, session: Session, new: NewKey, sharing: Sharing) -> KeyEntry:
        # 63 random bits do not collide in practice, and the store refuses to add a handle twice.
        handle = secrets.randbits(63) or 1
        record = KeyRecord(handle, new.attributes, new.public_key_info)
        # Distinct times keep the order of creation.
        self._newest = max(time.time_ns() // 1_000_000, self._newest + 1)
        if new.attributes["OBJECT_CLASS"] == PUBLIC:
            sharing = NOT_SHARED
        entry = KeyEntry(record, session.username, self._newest, sharing)
        return self._secured(entry, new.material, session.token)

    def _secured(self, entry: KeyEntry, material: bytes, session: int | None) -> KeyEntry:
        """Return the entry with its material: sealed for a token key, in memory for a session key."""
        if entry.record.attributes["TOKEN"]:
            entry = replace(entry, version=entry.version + 1)
            sealed = self._vault.seal_key(row_of(entry), material).sealed
            return replace(entry, session=None, sealed=sealed, material=None)
        return replace(entry, session=session, sealed=None, material=material)

    def change(self, session: Session, handle: int, template: Mapping[str, Value]) -> KeyRecord:
        """Change attributes, all or none. A session key is stored when its TOKEN becomes true.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user, or an attribute to another role.
            AttributeInvalid: An attribute cannot change in this way.
            StoreFull: The disk is full.
        """
        with self._turn:
            entry = self.entry(session, handle)
            policy.require_may_change(session, entry, template)
            after = changed(entry.record.attributes, template, admin=session.role == ADMIN)
            return policy.view(session, self._replace(entry, after))

    def set_quorum(self, session: Session, handle: int, manage: int, use: int) -> None:
        """Set the approvals that managing and using a key takes. They can be set once.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user.
            QuorumValueInvalid: The key is public or has its values, or a value is not possible.
            StoreFull: The disk is full.
        """
        with self._turn:
            entry = self.entry(session, handle)
            policy.require_may_set_quorum(session, entry, manage, use)
            values = {"MANAGE_QUORUM": manage, "USE_QUORUM": use}
            self._replace(entry, {**entry.record.attributes, **values})

    def _replace(self, entry: KeyEntry, attributes: Mapping[str, Value]) -> KeyEntry:
        """Replace a key's attributes, on disk first."""
        record = replace(entry.record, attributes=attributes)
        new = self._secured(replace(entry, record=record), self.material(entry), entry.session)
        self._concerns([new])
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
        """Share a key with a crypto user who exists.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user.
            SharingInvalid: The key is public, or the user owns it or has it already.
            StoreFull: The disk is full.
        """
        with self._turn:
            entry = self.entry(session, handle)
            policy.require_may_share(session, entry)
            self._change_sharing(entry, policy.sharing(entry.owner, (*entry.sharing.users, username)))

    def unshare(self, session: Session, handle: int, username: str) -> None:
        """Stop sharing a key with a user.

        Raises:
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user.
            SharingInvalid: The key is not shared with the user, or would have fewer users than it takes approvals.
            StoreFull: The disk is full.
        """
        with self._turn:
            entry = self.entry(session, handle)
            policy.require_may_share(session, entry)
            if username not in entry.sharing.users:
                raise SharingInvalid(f"key {handle:#018x} is not shared with {username!r}")
            self._change_sharing(entry, entry.sharing.without(username))
            self._sessions.forget_key(handle)

    def _change_sharing(self, entry: KeyEntry, sharing: Sharing) -> None:
        new = self._shared(entry, sharing)
        self._concerns([new])
        if new.sealed is not None:
            self._store.change_key(row_of(new))
        else:
            self._audit.record(durable=False)
        self._put(new)

    def _shared(self, entry: KeyEntry, sharing: Sharing) -> KeyEntry:
        policy.require_enough_users(entry, sharing)
        return self._secured(replace(entry, sharing=sharing), self.material(entry), entry.session)

    def unshared_with(self, username: str) -> list[KeyEntry]:
        """Return new entries, without that user, of the keys shared with a user. Changes nothing yet."""
        shared = (*self._token_keys.shared_with(username), *self._session_keys.shared_with(username))
        return [self._shared(entry, entry.sharing.without(username)) for entry in shared]

    def replace(self, entries: Sequence[KeyEntry]) -> None:
        """Replace entries in memory whose change is on disk."""
        for entry in entries:
            self._put(entry)

    def destroy(self, session: Session, handle: int) -> None:
        """Destroy a key. The user whom a damaged row names as its owner may destroy it.

        Raises:
            Unauthenticated: The session has ended.
            KeyNotFound: The session sees no such key.
            PermissionDenied: The key belongs to another user.
            KeyFunctionNotPermitted: The key's DESTROYABLE is false.
            StoreDamaged: The row is damaged and names another owner.
            StoreFull: The disk is full.
        """
        with self._turn:
            policy.require_alive(session)
            damaged = None if self._in_memory(handle) else self._token_keys.read(handle)
            if isinstance(damaged, DamagedKey):
                self._audit.concerns_token_key()
                if damaged.owner != session.username:
                    raise damaged.error()
                self._store.delete_keys([handle])
                return
            entry = self.entry(session, handle)
            self._concerns([entry])
            policy.require_owner(session, entry)
            policy.require_destroyable(entry)
            if entry.session is None:
                self._store.delete_keys([handle])
                self._token_keys.forget(handle)
            else:
                self._audit.record(durable=False)
                self._session_keys.remove(handle).erase()
            self._sessions.forget_key(handle)

    def forget(self, handle: int) -> None:
        """Remove a key from memory that is no longer on disk."""
        with self._lock:
            if self._session_keys.get(handle):
                self._session_keys.remove(handle).erase()
            self._token_keys.forget(handle)
            self._sessions.forget_key(handle)

    def refresh(self, handle: int, *, live: bool) -> bool:
        """Forget a key that another HSM has changed or destroyed.

        Returns:
            Whether operations in progress may go on: no user and no approval of the key has changed.
        """
        old = self._token_keys.cached(handle)
        if live:
            self._token_keys.drop(handle)
        else:
            self._token_keys.forget(handle)
        self._sessions.forget_key(handle)
        if old is None or not live:
            return False
        new = self._token_keys.read(handle)
        return isinstance(new, KeyEntry) and policy.as_usable(old, new)

    def forget_all(self) -> None:
        """Remove every token key from memory."""
        self._token_keys.drop_all()

    def forget_user(self, username: str) -> None:
        """Stop sharing session keys with a user whom another HSM has deleted."""
        for entry in self._session_keys.shared_with(username):
            self._session_keys.put(replace(entry, sharing=entry.sharing.without(username)))
            self._sessions.forget_key(entry.handle)

    def forget_token_keys(self) -> None:
        """Remove the token keys from memory; none is on disk any more."""
        with self._lock:
            self._token_keys.forget_all()

    def drop_session(self, session: Session) -> None:
        """Erase the session keys of a session that has ended."""
        with self._lock:
            for entry in self._session_keys.of_session(session.token):
                self._session_keys.remove(entry.handle).erase()
                self._sessions.forget_key(entry.handle)


def stored_rows(entries: Sequence[KeyEntry]) -> list[KeyRow]:
    """Return the rows of the token keys among these."""
    return [row_of(entry) for entry in entries if entry.sealed is not None]

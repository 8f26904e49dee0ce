"""The door: authorise, look up, compute, record. Everything else in this package is behind it.

All methods may be called from any thread.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import hsmcore
from hsmcore.api.crypto import Parameters, Usage
from hsmcore.api.keys import Attributes, KeyAdministration
from hsmcore.api.statistics import Statistics
from hsmcore.audit.anchor import anchored, stored
from hsmcore.audit.chain import FIRST_HEAD, linked
from hsmcore.audit.log import Verification, first_entries
from hsmcore.audit.upgrade import bring_up_to_date
from hsmcore.crypto.operations import KeyUse, foreign_keys
from hsmcore.crypto.wrapping import Wrapping
from hsmcore.errors import DataLengthInvalid, MasterKeyUnavailable, StateError
from hsmcore.keys import generation, policy
from hsmcore.keys.records import NOT_SHARED, KeyRecord, Sharing
from hsmcore.keys.search import Selection
from hsmcore.primitives.secrecy import random_bytes
from hsmcore.quorum.tokens import QuorumRules
from hsmcore.sessions import permissions
from hsmcore.sessions.permissions import guarded
from hsmcore.sessions.session import Session
from hsmcore.settings import Settings
from hsmcore.storage.audit import Record
from hsmcore.storage.database import HsmRow, Store
from hsmcore.storage.rows import AuditRow
from hsmcore.storage.sealing import Vault, new_master, open_master, seal_master
from hsmcore.storage.state_directory import StateDirectory, missing
from hsmcore.tables.attributes import PUBLIC, given
from hsmcore.tables.mechanisms import Operation
from hsmcore.tables.roles import ADMIN
from hsmcore.users.accounts import APPLIANCE, first_user

Clock = Callable[[], float]
"""Gives seconds, by which tokens expire."""

DEFAULT_SETTINGS = Settings()
MAX_RANDOM = 65536
"""Random bytes that one request draws (SP 800-90A table 3: 2 to the 19 bits)."""


class Hsm(KeyAdministration, Usage):
    """An HSM in a state directory, which this process alone has until ``close``."""

    def __init__(self, state: StateDirectory, store: Store, vault: Vault, clock: Clock) -> None:
        """Take over an unlocked state; ``initialize`` and ``open`` are the ways to get one."""
        super().__init__(store, vault, state, clock)
        self.settings = Settings.decode(vault.open_settings(store.settings()))
        self._state = state
        self._store = store
        self._use = KeyUse(self._ring, self._approvals, self._lock, self.settings)
        self._wrapping = Wrapping(self._ring, self._use, self._approvals, self.settings)

    @classmethod
    def initialize(
        cls,
        home: Path,
        *,
        admin_password: bytes | None,
        passphrase: bytes | None = None,
        settings: Settings = DEFAULT_SETTINGS,
        clock: Clock = time.monotonic,
    ) -> Self:
        """Make an HSM with the admin ``admin`` in the directory, and open it.

        Without an admin's password it is not activated: ``activate`` sets one. Without a passphrase the master key is
        sealed under the key file ``master.key``. Raises ``PasswordInvalid``, ``StateError`` if there is an HSM already,
        ``StateLocked``, ``StoreFull``; after one it may be tried again.
        """
        if passphrase == b"":
            raise MasterKeyUnavailable("the passphrase is empty; give one, or none for a key file")
        master = new_master()
        vault = Vault(master)
        admin = first_user(vault, admin_password)
        state = StateDirectory(home, create=True)
        store = None
        try:
            state.make_database()
            store = Store.in_file(state.database)
            if store.exists():
                raise StateError(f"there is an HSM in {state.home} already; it was left as it is")
            file_key = state.make_key_file() if passphrase is None else b""
            sealed = seal_master(master, passphrase, file_key)
            rules = vault.seal_quorum(QuorumRules().encode())
            entries, head = linked(first_entries(admin.username, admin.role), FIRST_HEAD, vault)
            state.write_anchor(anchored(head, vault))
            row = HsmRow(sealed, vault.seal_settings(settings.encode()), rules)
            store.initialize(row, admin, Record(entries, stored(head, vault)))
            state.sync()
            return cls(state, store, vault, clock)
        except BaseException:
            _release(state, store)
            raise

    @classmethod
    def open(cls, home: Path, *, passphrase: bytes | None = None, clock: Clock = time.monotonic) -> Self:
        """Open the HSM in the directory.

        Raises ``StateMissing``, ``StateLocked``, ``StateVersion``, ``MasterKeyUnavailable``, ``StoreDamaged``. The
        damaged row of a key does not stop it.
        """
        state = StateDirectory(home, create=False)
        store = None
        try:
            store = Store.in_file(state.database)
            if not store.exists():
                raise missing(state.home)
            vault = Vault(open_master(store.master(), passphrase, state.read_key_file))
            bring_up_to_date(store, vault, state)
            return cls(state, store, vault, clock)
        except BaseException:
            _release(state, store)
            raise

    def close(self) -> None:
        """End all sessions and let the state directory go. A second call does nothing."""
        for session in self._sessions.all():
            self.close_session(session)
        _release(self._state, self._store)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.close()

    def status(self) -> dict[str, int | str]:
        """Return what is known without a login: process, version, health, numbers of keys and sessions, directory."""
        return {
            "pid": os.getpid(),
            "version": hsmcore.__version__,
            "healthy": not self.log.trouble,
            "keys": len(self._ring),
            "sessions": len(self._sessions),
            "home": str(self._state.home),
        }

    def statistics(self) -> Statistics:
        """Return numbers for whoever watches the HSM; known without a login."""
        with self._lock:
            sessions = self._sessions.all()
            kept = [shortcut for session in sessions for shortcut in session.kept.values()]
            prepared = sum(len(uses) for session in sessions for uses in session.prepared.values())
        return Statistics(
            troubles=self._troubles(),
            keys=self._ring.kinds(),
            sessions=Counter(session.role for session in sessions),
            users=Counter((user.role, user.locked) for user in self._users.infos() if user != APPLIANCE),
            multipart=len(self._multipart),
            cached={"prepared": prepared, "shortcuts": len(kept), "foreign_keys": foreign_keys()},
            audit_entries=self.log.count,
            uses=self._use.counts.uses(kept),
            failures=self._use.counts.failures(),
        )

    def _troubles(self) -> list[str]:
        """Return what is wrong with the HSM; it may still be of use."""
        troubles = [self.log.trouble] if self.log.trouble else []
        try:
            len(self._ring)
        except StateError as error:
            troubles.append(str(error))
        return troubles

    @guarded
    def audit_entries(self, session: Session, first: int, limit: int = 0) -> list[AuditRow]:
        """Return entries of the audit log from a sequence number on, at most 1000."""
        return self.log.entries(first, limit)

    @guarded
    def verify_audit(self, session: Session, anchor: str | None = None) -> Verification:
        """Look at every entry of the audit log, and compare it with an anchor that was kept elsewhere.

        Raises ``AuditAnchorInvalid``.
        """
        return self.log.verify(anchor)

    def info(self) -> dict[str, str]:
        """Return what an administrator asks a module for, without a login: vendor, model, serial number, versions."""
        major, minor, build = hsmcore.__version__.split(".")[:3]
        return {
            "vendor": "hsmbridge",
            "model": "software HSM",
            "serial-number": self._store.serial(),
            "hardware-version-major": "0",
            "hardware-version-minor": "0",
            "firmware-version-major": major,
            "firmware-version-minor": minor,
            "firmware-build-number": build,
            "firmware-id": f"hsmbridge {hsmcore.__version__}",
            "fips-state": "0 [non-FIPS mode with single factor authentication]",
        }

    def session(self, token: int) -> Session:
        """Return the session with that token. Raises ``Unauthenticated``."""
        return self._sessions.get(token)

    def logout(self, session: Session) -> None:
        """End a session and what belongs to it: session keys, multi-part operations, tokens. An ended one is let be."""
        self._end(session, "logout")

    def abandon(self, session: Session) -> None:
        """End the session of a client that has gone without a logout."""
        self._end(session, "abandon")

    def close_session(self, session: Session) -> None:
        """End a session from the HSM's side."""
        self._end(session, "close_session")

    def _end(self, session: Session, how: str) -> None:
        with self._lock:
            if session.alive:
                self.log.record_end(how, session)
            self._sessions.end(session)
            self._ring.drop_session(session)
            self._multipart.drop_session(session)
            self._challenges.drop_session(session.token)
            self._approvals.tokens.drop_session(session)

    def authorise(self, session: Session, operation: str) -> None:
        """Raise unless this session may do what a caller makes of several operations (``permissions.PERMISSIONS``)."""
        permissions.require(session, operation)

    @guarded
    def generate_key(
        self, session: Session, mechanism: str, attributes: Attributes, sharing: Sharing = NOT_SHARED
    ) -> KeyRecord:
        """Generate a secret key, shared from the start with the users of ``sharing``.

        Raises ``MechanismInvalid``, ``AttributeInvalid``, ``KeySizeInvalid``, ``UserNotFound``, ``SharingInvalid``,
        ``StoreFull``.
        """
        return self._add(session, [generation.generate_secret(mechanism, attributes, self.settings)], sharing)[0]

    @guarded
    def generate_key_pair(
        self,
        session: Session,
        mechanism: str,
        public: Attributes,
        private: Attributes,
        sharing: Sharing = NOT_SHARED,
    ) -> tuple[KeyRecord, KeyRecord]:
        """Generate a key pair and return its public and its private half, which is the one to be shared.

        Raises as ``generate_key``.
        """
        halves = self._add(session, generation.generate_pair(mechanism, public, private, self.settings), sharing)
        return halves[0], halves[1]

    @guarded
    def import_key(
        self, session: Session, attributes: Attributes, material: bytes, sharing: Sharing = NOT_SHARED
    ) -> KeyRecord:
        """Import a key: raw bytes, PKCS #8 or SubjectPublicKeyInfo (DER), as the attribute OBJECT_CLASS says.

        Raises ``KeyMaterialInvalid``, and as ``generate_key``; ``SharingInvalid`` for a public key to be shared too.
        """
        new = generation.read(attributes, material, self.settings)
        if sharing.users:
            policy.require_sharable(str(new.attributes["OBJECT_CLASS"]))
        return self._add(session, [new], sharing)[0]

    def _add(self, session: Session, made: Sequence[generation.NewKey], sharing: Sharing) -> tuple[KeyRecord, ...]:
        """Add new keys; under the lock, so that a user to share with cannot go meanwhile."""
        with self._lock:
            return self._ring.add(session, made, self._sharing(session, sharing))

    @guarded
    def derive_key(
        self, session: Session, key: int, mechanism: str, parameters: Parameters, attributes: Attributes
    ) -> KeyRecord:
        """Derive a secret key from a key with DERIVE; the attributes name its KEY_TYPE and SIZE (bits).

        Raises as ``encrypt`` and as ``generate_key``.
        """
        with self._use.counted(Operation.DERIVE, mechanism):
            derive = self._use.operation(session, Operation.DERIVE, key, mechanism)
            base = self._ring.entry(session, key).record.attributes
            made = generation.derive_secret(partial(derive, parameters), attributes, base, self.settings)
            return self._ring.add(session, [made])[0]

    @guarded
    def random(self, session: Session, length: int) -> bytes:
        """Return that many random bytes, at most ``MAX_RANDOM``. Raises ``DataLengthInvalid``."""
        if not 0 <= length <= MAX_RANDOM:
            raise DataLengthInvalid(f"one request draws 0 to {MAX_RANDOM} random bytes, not {length}")
        return random_bytes(length)

    @guarded
    def find_keys(self, session: Session, attributes: Attributes, limit: int = 0) -> list[KeyRecord]:
        """Return the keys that this session sees and that have all these values; a limit of 0 is none.

        Raises ``AttributeInvalid`` for an unknown name or wrong type.
        """
        return self._ring.find(session, Selection.exactly(given(attributes)), limit)

    @guarded
    def find_pair(self, session: Session, public_key_info: bytes) -> list[KeyRecord]:
        """Return the halves, that this session sees, of the pair with this SubjectPublicKeyInfo (DER)."""
        return self._ring.halves(session, public_key_info)

    @guarded
    def labels(self, session: Session) -> dict[str, dict[str, int]]:
        """Return the labels that this session sees, each with how many keys of each OBJECT_CLASS have it.

        What a damaged row claims counts too; the key itself is refused when it is asked for.
        """
        return self._ring.labels(session)

    @guarded
    def get_key(self, session: Session, handle: int) -> KeyRecord:
        """Return a key's record. Raises ``KeyNotFound``, ``StoreDamaged``."""
        return policy.view(session, self._ring.entry(session, handle))

    @guarded
    def set_attributes(self, session: Session, handle: int, attributes: Attributes) -> KeyRecord:
        """Change attributes, all or none, and return the record as it is then.

        From the owner it takes approval where the key's management does. Raises ``KeyNotFound``, ``PermissionDenied``,
        ``AttributeInvalid``, ``KeyQuorumFailed``, ``StoreFull``.
        """
        entry = self._ring.entry(session, handle)
        with nullcontext() if session.role == ADMIN else self._approvals.granted_key(session, "key-management", entry):
            return self._ring.change(session, handle, given(attributes))

    @guarded
    def destroy_key(self, session: Session, handle: int) -> None:
        """Destroy a key. Raises ``KeyNotFound``, ``PermissionDenied``, ``KeyFunctionNotPermitted``, ``StoreFull``."""
        self._ring.destroy(session, handle)
        self._multipart.drop_key(handle)
        self._approvals.tokens.drop_key(handle)

    @guarded
    def clear_value(self, session: Session, handle: int) -> bytes | None:
        """Return a key's material as in an import, or ``None`` where settings, attributes or ownership forbid it."""
        entry = self._ring.entry(session, handle)
        extraction = self.settings.clear_key_extraction
        may = policy.may_extract(session, entry, clear_key_extraction=extraction)
        if not may or entry.record.attributes["OBJECT_CLASS"] == PUBLIC:
            self.log.concerns_nothing()
        return self._ring.material(entry) if may else None

    @guarded
    def wrap_key(
        self, session: Session, key: int, mechanism: str, parameters: Parameters, target: int
    ) -> tuple[bytes, dict[str, object] | None]:
        """Return the target key encrypted under another, and the parameters to unwrap with, if there are any.

        Raises ``PermissionDenied`` unless the session's user owns the target, ``KeyUnextractable``,
        ``KeyNotWrappable``, and as ``encrypt``.
        """
        return self._wrapping.wrap(session, key, mechanism, parameters, target)

    @guarded
    def unwrap_key(
        self,
        session: Session,
        key: int,
        mechanism: str,
        parameters: Parameters,
        wrapped: bytes,
        attributes: Attributes,
        sharing: Sharing = NOT_SHARED,
    ) -> KeyRecord:
        """Take in a key that was encrypted under another; attributes and sharing as in an import.

        Raises ``WrappedKeyInvalid``, ``TemplateInconsistent``, ``AttributeInvalid``, ``StoreFull``, and as ``decrypt``.
        """
        with self._lock:
            shared = self._sharing(session, sharing)
            return self._wrapping.unwrap(session, key, mechanism, parameters, wrapped, attributes, shared)


def _release(state: StateDirectory, store: Store | None) -> None:
    """Close the database before the lock goes, so that the next process finds it closed."""
    try:
        if store is not None:
            store.close()
    finally:
        state.close()

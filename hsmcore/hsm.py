"""The door: authorise, look up, compute, record. Everything else in this package is behind it.

All methods may be called from any thread.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self

import hsmcore
from hsmcore import making, policy
from hsmcore.attributes import PUBLIC, Value, given
from hsmcore.audit import AuditLog, Verification, audited, first_entries
from hsmcore.chain import FIRST_HEAD, AuditRow, linked
from hsmcore.errors import MalformedRequest, MasterKeyUnavailable, PermissionDenied, StateError, UserBusy, UserOwnsKeys
from hsmcore.heads import anchored, stored
from hsmcore.keyring import KeyRing
from hsmcore.keys import KeyRecord
from hsmcore.mechanisms import Operation
from hsmcore.multipart import MultiPart
from hsmcore.sealing import Vault, new_master, open_master, seal_master
from hsmcore.sessions import ADMIN, CRYPTO_USER, Session, Sessions
from hsmcore.settings import Settings
from hsmcore.state import StateDirectory, missing
from hsmcore.statistics import Statistics
from hsmcore.store import Record, Store
from hsmcore.use import KeyReference, KeyUse, foreign_keys
from hsmcore.users import UserInfo, Users, new_user
from hsmcore.wrapping import Wrapping

Attributes = Mapping[str, None | Value]
Parameters = Mapping[str, object] | None

_ENCRYPT, _DECRYPT, _SIGN, _VERIFY = Operation.ENCRYPT, Operation.DECRYPT, Operation.SIGN, Operation.VERIFY
DEFAULT_SETTINGS = Settings()
_KINDS = {"encrypt": _ENCRYPT, "decrypt": _DECRYPT, "sign": _SIGN}


class Hsm:
    """An HSM in a state directory, which this process alone has until ``close``."""

    def __init__(self, state: StateDirectory, store: Store, vault: Vault) -> None:
        """Take over an unlocked state; ``initialize`` and ``open`` are the ways to get one."""
        self.settings = Settings.decode(vault.open_settings(store.hsm()[1]))
        self._state = state
        self._store = store
        self._lock = RLock()
        self._sessions = Sessions()
        self.log = AuditLog(store, vault, state, self._sessions)
        self._users = Users(store, vault, self._lock, self.log)
        self._ring = KeyRing(store, vault, self._sessions, self._lock, self.log)
        self._use = KeyUse(self._ring, self._lock, strict_limits=self.settings.strict_limits)
        self._wrapping = Wrapping(self._ring, self._use, self.settings)
        self._multipart = MultiPart()

    @classmethod
    def initialize(
        cls,
        home: Path,
        *,
        admin_password: bytes,
        passphrase: bytes | None = None,
        settings: Settings = DEFAULT_SETTINGS,
    ) -> Self:
        """Make an HSM with the admin ``admin`` in the directory, and open it.

        Without a passphrase the master key is sealed under the key file ``master.key``. Raises ``PasswordInvalid``,
        ``StateError`` if there is an HSM already, ``StateLocked``, ``StoreFull``; after one it may be tried again.
        """
        if passphrase == b"":
            raise MasterKeyUnavailable("the passphrase is empty; give one, or none for a key file")
        master = new_master()
        vault = Vault(master)
        admin = new_user(vault, "admin", ADMIN, admin_password)
        state = StateDirectory(home, create=True)
        store = None
        try:
            state.make_database()
            store = Store.in_file(state.database)
            if store.exists():
                raise StateError(f"there is an HSM in {state.home} already; it was left as it is")
            file_key = state.make_key_file() if passphrase is None else b""
            entries, head = linked(first_entries(admin.username), FIRST_HEAD, vault)
            state.write_anchor(anchored(head, vault))
            sealed = seal_master(master, passphrase, file_key), vault.seal_settings(settings.encode())
            store.initialize(*sealed, admin, Record(entries, stored(head, vault)))
            state.sync()
            return cls(state, store, vault)
        except BaseException:
            _release(state, store)
            raise

    @classmethod
    def open(cls, home: Path, *, passphrase: bytes | None = None) -> Self:
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
            store.migrate()
            return cls(state, store, Vault(open_master(store.hsm()[0], passphrase, state.read_key_file)))
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
            users=Counter((user.role, user.locked) for user in self._users.infos()),
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

    @audited
    def login(self, username: str, password: bytes, role: str = CRYPTO_USER) -> Session:
        """Begin a session. Raises ``AuthenticationFailed``, ``AccountLocked``, ``StoreFull``."""
        name = self._users.authenticate(username, password, role)
        self.log.record()
        with self._lock:
            self._users.require_known(name, role)
            return self._sessions.begin(self.log.session_number, name, role)

    def session(self, token: int) -> Session:
        """Return the session with that token. Raises ``Unauthenticated``."""
        return self._sessions.get(token)

    def logout(self, session: Session) -> None:
        """End a session and what belongs to it: session keys, multi-part operations. One that has ended is let be."""
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

    @audited
    def create_user(self, session: Session, username: str, role: str, password: bytes) -> None:
        """Make a user; for admins. Raises ``UserExists``, ``UserNameInvalid``, ``PasswordInvalid``."""
        policy.require(session, ADMIN)
        self._users.add(username, role, password)

    @audited
    def delete_user(self, session: Session, username: str, role: str) -> None:
        """Delete a user; for admins.

        Raises ``UserNotFound``, ``UserBusy``, ``UserOwnsKeys``, and ``PermissionDenied`` for the last admin.
        """
        with self._lock:
            policy.require(session, ADMIN)
            name = self._users.require_known(username, role)
            self._users.require_not_last_admin(name, role)
            if self._sessions.of_user(name, role):
                raise UserBusy(f"{name!r} is logged in")
            if role == CRYPTO_USER and self._ring.owned_by(name):
                raise UserOwnsKeys(f"{name!r} owns keys; delete them first")
            self._users.delete(name, role)

    @audited
    def change_password(self, session: Session, username: str, role: str, password: bytes) -> None:
        """Set a password, the own one or as an admin anybody's, and unlock the account.

        Raises ``UserNotFound``, ``PasswordInvalid``.
        """
        policy.require_alive(session)
        if session.role != ADMIN and (username.lower(), role) != (session.username, session.role):
            raise PermissionDenied("only an admin sets another user's password")
        self._users.change_password(username, role, password)

    def list_users(self, session: Session) -> list[UserInfo]:
        """Return all users."""
        policy.require_alive(session)
        return self._users.infos()

    @audited
    def generate_key(self, session: Session, mechanism: str, attributes: Attributes) -> KeyRecord:
        """Generate a secret key.

        Raises ``MechanismInvalid``, ``AttributeInvalid``, ``KeySizeInvalid``, ``StoreFull``.
        """
        policy.require(session, CRYPTO_USER)
        return self._ring.add(session, [making.generate_secret(mechanism, attributes, self.settings)])[0]

    @audited
    def generate_key_pair(
        self, session: Session, mechanism: str, public: Attributes, private: Attributes
    ) -> tuple[KeyRecord, KeyRecord]:
        """Generate a key pair and return its public and its private half. Raises as ``generate_key``."""
        policy.require(session, CRYPTO_USER)
        halves = self._ring.add(session, making.generate_pair(mechanism, public, private, self.settings))
        return halves[0], halves[1]

    @audited
    def import_key(self, session: Session, attributes: Attributes, material: bytes) -> KeyRecord:
        """Import a key: raw bytes, PKCS #8 or SubjectPublicKeyInfo (DER), as the attribute OBJECT_CLASS says.

        Raises ``KeyMaterialInvalid``, and as ``generate_key``.
        """
        policy.require(session, CRYPTO_USER)
        return self._ring.add(session, [making.read(attributes, material, self.settings)])[0]

    def find_keys(self, session: Session, attributes: Attributes, limit: int = 0) -> list[KeyRecord]:
        """Return the keys that this session sees and that have all these values; a limit of 0 is none.

        Raises ``AttributeInvalid`` for an unknown name or wrong type.
        """
        return self._ring.find(session, given(attributes), limit)

    def find_pair(self, session: Session, public_key_info: bytes) -> list[KeyRecord]:
        """Return the halves, that this session sees, of the pair with this SubjectPublicKeyInfo (DER)."""
        return self._ring.halves(session, public_key_info)

    def labels(self, session: Session) -> dict[str, dict[str, int]]:
        """Return the labels that this session sees, each with how many keys of each OBJECT_CLASS have it.

        What a damaged row claims counts too; the key itself is refused when it is asked for.
        """
        return self._ring.labels(session)

    def get_key(self, session: Session, handle: int) -> KeyRecord:
        """Return a key's record. Raises ``KeyNotFound``, ``StoreDamaged``."""
        return policy.view(session, self._ring.entry(session, handle))

    @audited
    def set_attributes(self, session: Session, handle: int, attributes: Attributes) -> KeyRecord:
        """Change attributes, all or none, and return the record as it is then.

        Raises ``KeyNotFound``, ``PermissionDenied``, ``AttributeInvalid``, ``StoreFull``.
        """
        return self._ring.change(session, handle, given(attributes))

    @audited
    def destroy_key(self, session: Session, handle: int) -> None:
        """Destroy a key. Raises ``KeyNotFound``, ``PermissionDenied``, ``KeyFunctionNotPermitted``, ``StoreFull``."""
        self._ring.destroy(session, handle)
        self._multipart.drop_key(handle)

    @audited
    def clear_value(self, session: Session, handle: int) -> bytes | None:
        """Return a key's material as in an import, or ``None`` where settings, attributes or ownership forbid it."""
        entry = self._ring.entry(session, handle)
        policy.require(session, CRYPTO_USER)
        extraction = self.settings.clear_key_extraction
        may = policy.may_extract(session, entry, clear_key_extraction=extraction)
        if not may or entry.record.attributes["OBJECT_CLASS"] == PUBLIC:
            self.log.concerns_nothing()
        return self._ring.material(entry) if may else None

    @audited
    def wrap_key(
        self, session: Session, key: int, mechanism: str, parameters: Parameters, target: int
    ) -> tuple[bytes, dict[str, object] | None]:
        """Return the target key encrypted under another, and the parameters to unwrap with, if there are any.

        Raises ``PermissionDenied`` unless the session's user owns the target, ``KeyUnextractable``,
        ``KeyNotWrappable``, and as ``encrypt``.
        """
        return self._wrapping.wrap(session, key, mechanism, parameters, target)

    @audited
    def unwrap_key(
        self,
        session: Session,
        key: int,
        mechanism: str,
        parameters: Parameters,
        wrapped: bytes,
        attributes: Attributes,
    ) -> KeyRecord:
        """Take in a key that was encrypted under another; attributes as in an import.

        Raises ``WrappedKeyInvalid``, ``TemplateInconsistent``, ``AttributeInvalid``, ``StoreFull``, and as ``decrypt``.
        """
        return self._wrapping.unwrap(session, key, mechanism, parameters, wrapped, attributes)

    def encrypt(
        self, session: Session, key: KeyReference, mechanism: str, parameters: Parameters, data: bytes
    ) -> tuple[bytes, dict[str, object] | None]:
        """Encrypt; return the ciphertext and the parameters to decrypt with, if there are any.

        Like ``decrypt``, ``sign`` and ``verify`` it raises ``Unauthenticated``, and ``KeyUseError`` and
        ``MechanismError`` with their kinds.
        """
        result: tuple[bytes, dict[str, object] | None] = self._use.run(
            session, _ENCRYPT, key, mechanism, parameters, data
        )
        return result

    def decrypt(
        self, session: Session, key: KeyReference, mechanism: str, parameters: Parameters, data: bytes
    ) -> bytes:  # fmt: skip
        """Decrypt."""
        result: bytes = self._use.run(session, _DECRYPT, key, mechanism, parameters, data)
        return result

    def sign(
        self, session: Session, key: KeyReference, mechanism: str, parameters: Parameters, data: bytes
    ) -> bytes:  # fmt: skip
        """Sign a digest, or the data where the mechanism does not hash; or make a MAC of the data."""
        result: bytes = self._use.run(session, _SIGN, key, mechanism, parameters, data)
        return result

    def verify(
        self,
        session: Session,
        key: KeyReference,
        mechanism: str,
        parameters: Parameters,
        data: bytes,
        signature: bytes,
    ) -> bool:
        """Tell whether a signature or MAC is right; one of the wrong form is not."""
        result: bool = self._use.run(session, _VERIFY, key, mechanism, parameters, data, signature)
        return result

    def keep_shortcut(self, session: Session, name: bytes, kind: str, key: KeyReference, mechanism: str) -> None:
        """Keep a use that has been allowed under a name in ``session.shortcuts`` too, for as long as it is."""
        self._use.keep_shortcut(session, name, Operation(kind), key, mechanism)

    def begin(
        self, session: Session, kind: str, key: KeyReference, mechanism: str, parameters: Parameters
    ) -> tuple[int, dict[str, object] | None]:
        """Begin a multi-part operation of a kind (``encrypt``, ``decrypt``, ``sign``).

        Return its handle and parameters as ``encrypt`` does. Raises as ``encrypt``, and ``OperationLimit``.
        """
        operation = _KINDS.get(kind)
        if operation is None:
            raise MalformedRequest(f"a multi-part operation is one of {', '.join(_KINDS)}, not {kind[:32]!r}")
        stream, chosen = self._use.stream(session, operation, key, mechanism)(parameters)
        return self._multipart.begin(session, key, stream), chosen

    def update(self, session: Session, operation: int, data: bytes) -> bytes:
        """Give more data to a multi-part operation, return the output that is ready. Raises ``OperationNotFound``."""
        return self._multipart.update(session, operation, data)

    def finish(self, session: Session, operation: int, data: bytes) -> bytes:
        """Give the last data to a multi-part operation, return the rest of the output; the operation is over."""
        return self._multipart.finish(session, operation, data)

    def abort(self, session: Session, operation: int) -> None:
        """End a multi-part operation without its result. Raises ``OperationNotFound``."""
        self._multipart.abort(session, operation)

    def audit_entries(self, session: Session, first: int, limit: int = 0) -> list[AuditRow]:
        """Return entries of the audit log from a sequence number on, at most 1000; for admins."""
        policy.require(session, ADMIN)
        return self.log.entries(first, limit)

    def verify_audit(self, session: Session, anchor: str | None = None) -> Verification:
        """Look at every entry of the audit log, and compare it with an anchor that was kept elsewhere; for admins.

        Raises ``AuditAnchorInvalid``.
        """
        policy.require(session, ADMIN)
        return self.log.verify(anchor)


def _release(state: StateDirectory, store: Store | None) -> None:
    """Close the database before the lock goes, so that the next process finds it closed."""
    try:
        if store is not None:
            store.close()
    finally:
        state.close()

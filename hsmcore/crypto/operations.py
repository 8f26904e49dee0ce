"""Prepared operations: functions with the key bound that a session may call.

The HSM decides about permission once per session, key, mechanism and operation. It keeps the prepared operation in the
session until the key changes or the session ends. No lock is held while an operation computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from threading import RLock
from time import CLOCK_BOOTTIME, clock_gettime, perf_counter
from typing import Any

from hsmcore import primitives
from hsmcore.crypto.limits import limited, limited_stream
from hsmcore.errors import HsmError, KeyMaterialInvalid, KeySizeInvalid, KeyTypeInconsistent
from hsmcore.keys import policy
from hsmcore.keys.keyring import KeyRing
from hsmcore.keys.records import KeyEntry
from hsmcore.primitives.families import Begin, Run
from hsmcore.primitives.keyforms import PublicKey, open_public, public_facts
from hsmcore.quorum.approvals import Approvals
from hsmcore.sessions import permissions
from hsmcore.sessions.session import Session
from hsmcore.sessions.usage_counts import Counts
from hsmcore.settings import Settings
from hsmcore.storage.lease import Lease
from hsmcore.tables.attributes import PUBLIC, SECRET, TYPES, Value
from hsmcore.tables.mechanisms import MECHANISMS, Operation

KeyReference = int | bytes
"""A handle, or the SubjectPublicKeyInfo (DER) of a public key from outside the HSM."""

_USAGE = "key-usage"
_SECRET_TYPES = frozenset(TYPES[SECRET])
"""Key types whose operations take microseconds."""
_MANAGES = (Operation.WRAP, Operation.UNWRAP)
"""Operations that manage a key; ``hsmcore.crypto.wrapping`` asks for that approval."""
_ROWS = {
    Operation.ENCRYPT: "crypto.encrypt",
    Operation.DECRYPT: "crypto.decrypt",
    Operation.SIGN: "crypto.sign",
    Operation.VERIFY: "crypto.verify",
    Operation.WRAP: "keys.wrap",
    Operation.UNWRAP: "keys.unwrap",
    Operation.DERIVE: "keys.derive",
}
"""The row of each operation in the permission table."""

FOREIGN_KEYS = 512
"""Maximum number of opened public keys from outside in the cache; the least recently used is dropped first."""

PREPARED = SHORTCUTS = 4096
"""Maximum number of keys with prepared operations in a session, and of shortcuts; one more drops all."""


class PreparedOperations:
    """Prepares operations with keys, runs and counts them."""

    def __init__(
        self, ring: KeyRing, approvals: Approvals, lock: RLock, settings: Settings, lease: Lease | None = None
    ) -> None:
        """Prepare operations with keys.

        Args:
            ring: The keys.
            approvals: Approves operations that take an approval.
            lock: The HSM's lock.
            settings: The HSM's settings.
            lease: The lease of an HSM of a cluster, after which it withholds results.
        """
        self._lease = lease
        self._ring = ring
        self._approvals = approvals
        self._lock = lock
        self._strict = settings.strict_limits
        self._strong_hashes = settings.strong_hashes
        self.counts = Counts()

    def run(self, session: Session, kind: Operation, key: KeyReference, mechanism: str, *arguments: object) -> Any:
        """Run a one-shot operation, count and time it.

        Raises:
            HsmError: The operation is not permitted, or fails.
        """
        began, lease = perf_counter(), self._lease
        period = 0 if lease is None else lease.period
        try:
            result = self.operation(session, kind, key, mechanism)(*arguments)
            if lease is not None and (
                clock_gettime(CLOCK_BOOTTIME) >= lease.until or period != lease.period or lease.urgent
            ):
                lease.require(period)
        except HsmError as error:
            self.counts.add_failure(kind.value, type(error).__name__)
            raise
        self.counts.add(kind.value, mechanism, perf_counter() - began)
        return result

    @contextmanager
    def counted(self, kind: Operation, mechanism: str) -> Iterator[None]:
        """Count and time the block as one operation.

        Raises:
            HsmError: The block raised it.
        """
        began = perf_counter()
        try:
            yield
        except HsmError as error:
            self.counts.add_failure(kind.value, type(error).__name__)
            raise
        self.counts.add(kind.value, mechanism, perf_counter() - began)

    def operation(self, session: Session, kind: Operation, key: KeyReference, mechanism: str) -> Run:
        """Return the prepared operation; prepare it first if the session does not have it.

        The returned function raises ``KeyQuorumFailed`` where the key takes an approval and the session has none.

        Raises:
            Unauthenticated: The session has ended.
            PermissionDenied: The session's role may not run the operation.
            MechanismInvalid: The mechanism is unknown or lacks the operation.
            KeyNotFound: The session sees no such key.
            KeyTypeInconsistent: The key does not fit the mechanism.
            KeyFunctionNotPermitted: An attribute of the key forbids the operation.
            StoreDamaged: The stored key is damaged.
        """
        prepared = session.prepared.get(key)
        found = prepared.get((mechanism, kind.value)) if prepared else None
        return self._prepare(session, kind, key, mechanism) if found is None else found

    def _prepare(self, session: Session, kind: Operation, key: KeyReference, mechanism: str) -> Run:
        permissions.require(session, _ROWS.get(kind, kind.value))
        row = policy.mechanism(mechanism, kind)
        if isinstance(key, bytes):
            return _foreign_operation(key, mechanism, kind.value)
        entry = self._ring.entry(session, key)
        policy.require_usable(entry.record.attributes, row, kind)
        if self._strong_hashes and kind is Operation.SIGN:
            policy.require_strong_hash(entry.record.attributes, row)
        run = primitives.operation(row, kind, self._ring.open(entry))
        if self._strict and row.limit:
            run = limited(row, kind, run)
        if kind not in _MANAGES and policy.approvals_needed(entry, _USAGE):
            return self._with_approval(session, entry, run)
        with self._lock:
            if session.alive and self._ring.is_current(entry):
                if len(session.prepared) >= PREPARED:
                    session.forget()
                session.prepared.setdefault(key, {})[mechanism, kind.value] = run
        return run

    def _with_approval(self, session: Session, entry: KeyEntry, run: Run) -> Run:
        """Return a function that uses up an approved quorum token on each call. It is not kept in the session."""

        def approved(*arguments: Any) -> Any:
            with self._approvals.granted_key(session, _USAGE, entry):
                return run(*arguments)

        return approved

    def keep_shortcut(
        self,
        session: Session,
        kind: Operation,
        key: KeyReference,
        mechanism: str,
        form: Callable[[Run], Run],
        variant: object = None,
    ) -> int:
        """Add a prepared operation to the session's shortcuts.

        Args:
            session: The session that has the prepared operation.
            kind: The operation.
            key: The key.
            mechanism: The mechanism.
            form: Makes the shortcut of the prepared operation.
            variant: Tells forms of the same operation apart.

        Returns:
            The shortcut's number; 0 where the session does not have the prepared operation.
        """
        name = (key, mechanism, kind.value, variant)
        with self._lock:
            run = session.prepared.get(key, {}).get((mechanism, kind.value))
            if run is None:
                return 0
            if (kept := session.kept.get(name)) is not None and kept.remain():
                return kept.number
            if len(session.kept) >= SHORTCUTS:
                session.clear_shortcuts()
            brief = MECHANISMS[mechanism].key_types <= _SECRET_TYPES
            shortcut = form(run) if self._lease is None else self._lease.guarded(form(run))
            return session.keep_shortcut(name, self.counts.shortcut(kind.value, mechanism, shortcut), brief=brief)

    def stream(self, session: Session, kind: Operation, key: KeyReference, mechanism: str) -> Begin:
        """Return the function that begins a multi-part operation.

        The returned function raises ``KeyQuorumFailed`` where the key takes an approval and the session has none.

        Raises:
            Unauthenticated: The session has ended.
            MechanismInvalid: The mechanism is unknown or does not do this in parts.
            KeyNotFound: The session sees no such key.
            KeyTypeInconsistent: The key does not fit the mechanism.
            KeyFunctionNotPermitted: An attribute of the key forbids the operation.
            StoreDamaged: The stored key is damaged.
        """
        row = policy.mechanism(mechanism, kind)
        if isinstance(key, bytes):
            policy.require_usable(_foreign_attributes(key), row, kind)
            return primitives.stream(row, kind, _foreign(key))
        entry = self._ring.entry(session, key)
        policy.require_usable(entry.record.attributes, row, kind)
        begin = primitives.stream(row, kind, self._ring.open(entry))
        if self._strict and row.limit:
            begin = limited_stream(row, kind, begin)
        return self._with_approval(session, entry, begin) if policy.approvals_needed(entry, _USAGE) else begin


def foreign_keys() -> int:
    """Return the number of opened public keys from outside in the cache."""
    return _foreign.cache_info().currsize


@lru_cache(maxsize=FOREIGN_KEYS)
def _foreign(public_key_info: bytes) -> PublicKey:
    try:
        key = open_public(public_key_info)
        public_facts(key)
    except (KeyMaterialInvalid, KeySizeInvalid) as error:
        raise KeyTypeInconsistent(str(error)) from error
    return key


@lru_cache(maxsize=FOREIGN_KEYS)
def _foreign_operation(public_key_info: bytes, mechanism: str, kind: str) -> Run:
    """Bind a public key from outside, with the attributes of a public key of its type."""
    operation, row = Operation(kind), MECHANISMS[mechanism]
    policy.require_usable(_foreign_attributes(public_key_info), row, operation)
    return primitives.operation(row, operation, _foreign(public_key_info))


def _foreign_attributes(public_key_info: bytes) -> Mapping[str, Value]:
    """Return the attributes that decide about the use of a public key from outside."""
    attributes = dict.fromkeys((kind.value for kind in Operation), False)
    return {
        **attributes,
        "OBJECT_CLASS": PUBLIC,
        "KEY_TYPE": primitives.type_of(_foreign(public_key_info)),
        "ENCRYPT": True,
        "VERIFY": True,
    }

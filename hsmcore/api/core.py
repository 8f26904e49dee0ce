"""The parts of an open HSM, which its services share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import RLock
from typing import Self

from hsmcore.api.clock import SkewedClock
from hsmcore.audit.log import AuditLog
from hsmcore.audit.upgrade import bind_rows
from hsmcore.backup.making import Backups
from hsmcore.crypto.operations import PreparedOperations
from hsmcore.crypto.streams import MultiPartOperations
from hsmcore.crypto.wrapping import Wrapping
from hsmcore.keys.keyring import KeyRing
from hsmcore.quorum.approvals import Approvals
from hsmcore.quorum.registration import RegistrationTokens
from hsmcore.quorum.rules import StoredRules
from hsmcore.sessions.session import Sessions
from hsmcore.settings import Settings
from hsmcore.storage.cluster import Cluster
from hsmcore.storage.database import Store
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import State
from hsmcore.storage.turn import Turn
from hsmcore.users.accounts import Accounts
from hsmcore.users.mfa import Challenges


@dataclass(frozen=True, slots=True)
class Core:
    """The parts of an open HSM. ``lock`` orders every change of the memory.

    ``turn`` orders every change that depends on what others change: a cluster's turn, or the lock of an HSM alone.
    ``clock`` gives seconds, by which tokens and multi-part operations expire.
    """

    state: State
    store: Store
    vault: Vault
    settings: Settings
    lock: RLock
    turn: AbstractContextManager[object]
    cluster: Cluster | None
    clock: Callable[[], float]
    sessions: Sessions
    log: AuditLog
    accounts: Accounts
    challenges: Challenges
    ring: KeyRing
    rules: StoredRules
    approvals: Approvals
    registrations: RegistrationTokens
    operations: PreparedOperations
    streams: MultiPartOperations
    wrapping: Wrapping
    backups: Backups

    @classmethod
    def of(cls, state: State, store: Store, vault: Vault, clock: Callable[[], float], *, start: bool) -> Self:
        """Return the parts of the HSM in a locked state directory; ``start`` counts a reboot."""
        settings = Settings.decode(vault.open_settings(store.settings()))
        clock = SkewedClock(clock) if settings.allow_faults else clock
        lock, sessions = RLock(), Sessions()
        shared = state.shared_store()
        cluster = None if shared is None else store.enter_cluster(shared.url, vault, lock)
        turn = lock if cluster is None else Turn(lock, cluster)
        log = AuditLog(store, vault, state, sessions, start=start)
        bind_rows(store, vault, log)
        accounts = Accounts(store, vault, turn, log)
        ring = KeyRing(store, vault, sessions, lock, turn, log)
        rules = StoredRules(store, vault)
        approvals = Approvals(rules, store, vault, accounts, ring, lock, turn, clock, log)
        lease = None if cluster is None else cluster.lease
        operations = PreparedOperations(ring, approvals, lock, settings, lease)
        return cls(
            state=state,
            store=store,
            vault=vault,
            settings=settings,
            lock=lock,
            turn=turn,
            cluster=cluster,
            clock=clock,
            sessions=sessions,
            log=log,
            accounts=accounts,
            challenges=Challenges(clock),
            ring=ring,
            rules=rules,
            approvals=approvals,
            registrations=RegistrationTokens(vault, clock),
            operations=operations,
            streams=MultiPartOperations(clock),
            wrapping=Wrapping(ring, operations, approvals, settings),
            backups=Backups(state, store, vault, log, lock),
        )

"""``Hsm``: opens an HSM, owns its services, and closes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hsmcore
from hsmcore.api import coherence
from hsmcore.api import master_key as master_keys
from hsmcore.api.audit import AuditService
from hsmcore.api.backups import BackupService
from hsmcore.api.clock import SkewedClock
from hsmcore.api.clones import CloneService
from hsmcore.api.core import Core
from hsmcore.api.creation import create, database_of, new_state, release
from hsmcore.api.crypto import CryptoService
from hsmcore.api.keys import KeyService
from hsmcore.api.mtls import MutualTlsService
from hsmcore.api.quorum import QuorumService
from hsmcore.api.requests import RequestService
from hsmcore.api.reset import ResetService
from hsmcore.api.restoring import restore
from hsmcore.api.statistics import Statistics, gather, troubles
from hsmcore.api.status import MemberInfo, StatusService
from hsmcore.api.tls import TlsService
from hsmcore.api.users import UserService
from hsmcore.audit.events import LEFT
from hsmcore.audit.joining import joined
from hsmcore.audit.upgrade import bring_up_to_date
from hsmcore.backup.making import JOINING, LEAVING
from hsmcore.backup.schedule import RETENTION_DAYS, Schedule
from hsmcore.errors import SettingRequired, StateError, StateMissing
from hsmcore.primitives.secrecy import KEY_BYTES, random_bytes
from hsmcore.quorum.rules import Rules
from hsmcore.settings import Settings
from hsmcore.storage.database import Store
from hsmcore.storage.members import LEFT as LEFT_STATE
from hsmcore.storage.memory_state import MemoryState
from hsmcore.storage.sealing import Vault, new_secret, open_secret, seal_secret
from hsmcore.storage.state_directory import StateDirectory, no_hsm
from hsmcore.users.first_users import first_users

Clock = Callable[[], float]
"""Gives seconds, by which tokens and multi-part operations expire."""

DEFAULT_SETTINGS = Settings()


class Hsm:
    """An HSM in a state directory, which this process alone has until ``close``.

    The services ``users``, ``keys``, ``crypto``, ``quorum``, ``audit``, ``backups``, ``clones``, ``tls`` and ``mtls``
    have its operations; ``requests`` runs one of a client once. All methods may be called from any thread.
    """

    def __init__(self, core: Core) -> None:
        """Make an HSM of its parts; ``initialize`` and ``open`` call this."""
        self._core = core
        self.settings = core.settings
        self.users = UserService(core)
        self.keys = KeyService(core)
        self.crypto = CryptoService(core)
        self.quorum = QuorumService(core)
        self.requests = RequestService(core)
        self.audit = AuditService(core)
        self._reset = ResetService(core)
        self.tls = TlsService(core)
        self.mtls = MutualTlsService(core)
        self.backups = BackupService(core)
        self.clones = CloneService(core)
        self._schedule: Schedule | None = None
        self._status = StatusService(core, hsmcore.__version__)
        if core.cluster is not None:
            core.cluster.start(partial(coherence.apply, core))
            core.log.lease = core.cluster.lease

    @classmethod
    def initialize(
        cls,
        home: Path,
        *,
        admin_password: bytes | None,
        passphrase: bytes | None = None,
        settings: Settings = DEFAULT_SETTINGS,
        crypto_user: tuple[str, bytes] | None = None,
        store: str | None = None,
        clock: Clock = time.monotonic,
    ) -> Self:
        """Create an HSM with the admin ``admin`` in a directory, and open it. Can be repeated after an error.

        Args:
            home: The state directory, which is created if it is missing.
            admin_password: The admin's password; ``None`` leaves the HSM unactivated until ``users.activate``.
            passphrase: The passphrase that seals the master key; ``None`` seals it under a new key file ``master.key``.
            settings: The HSM's settings, which never change.
            crypto_user: Name and password of a crypto user to create.
            store: The URL of an empty database of PostgreSQL, which other HSMs can share; ``None`` for a file in the
                directory.
            clock: Gives seconds, by which tokens and multi-part operations expire.

        Raises:
            PasswordInvalid: A password breaks the rules for passwords.
            UserNameInvalid: The crypto user's name breaks the rules for names.
            MasterKeyUnavailable: The passphrase is empty.
            StateError: The directory or the database has an HSM already, or cannot be used.
            StateLocked: Another process has the directory.
            StoreFull: The disk is full.
            StoreUnreachable: The database does not answer.
        """
        secret = new_secret()
        vault = Vault(secret)
        users = first_users(admin_password, crypto_user, stored=True)
        with new_state(home, passphrase, store) as (state, database, file_key):
            create(seal_secret(secret, passphrase, file_key), users, settings, database, vault, state)
            state.sync()
            return cls(Core.of(state, database, vault, clock, start=False))

    @classmethod
    def ephemeral(
        cls,
        *,
        admin_password: bytes | None,
        settings: Settings = DEFAULT_SETTINGS,
        crypto_user: tuple[str, bytes] | None = None,
        clock: Clock = time.monotonic,
    ) -> Self:
        """Return a new HSM that is in memory only and ends with ``close``.

        Args:
            admin_password: The admin's password; ``None`` leaves the HSM unactivated until ``users.activate``.
            settings: The HSM's settings, which never change.
            crypto_user: Name and password of a crypto user to create.
            clock: Gives seconds, by which tokens and multi-part operations expire.

        Raises:
            PasswordInvalid: A password breaks the rules for passwords.
            UserNameInvalid: The crypto user's name breaks the rules for names.
        """
        secret = new_secret()
        vault = Vault(secret)
        users = first_users(admin_password, crypto_user, stored=False)
        state, store = MemoryState(), Store.in_memory()
        # The master key is never stored, so the key that seals it is forgotten.
        create(seal_secret(secret, None, random_bytes(KEY_BYTES)), users, settings, store, vault, state)
        return cls(Core.of(state, store, vault, clock, start=False))

    @classmethod
    def open(
        cls, home: Path, *, passphrase: bytes | None = None, clock: Clock = time.monotonic, start: bool = True
    ) -> Self:  # fmt: skip
        """Open the HSM in a directory. A damaged key does not prevent it.

        Args:
            home: The state directory.
            passphrase: The passphrase that seals the master key; ``None`` where a key file does.
            clock: Gives seconds, by which tokens and multi-part operations expire.
            start: Count a reboot in the audit log; a command that opens the HSM for a moment does not.

        Raises:
            StateMissing: The directory has no HSM.
            StateLocked: Another process has the directory.
            StateVersion: A newer version made the HSM.
            StoreUnreachable: The database does not answer.
            MasterKeyUnavailable: The passphrase or the key file is missing or wrong.
            StoreDamaged: Something that every operation needs is damaged.
        """
        state = StateDirectory(home, create=False)
        store = None
        try:
            store = database_of(state)
            if not store.exists():
                raise StateMissing(no_hsm(state.home))
            vault = Vault(open_secret(store.master(), passphrase, state.read_key_file), store.number)
            bring_up_to_date(store, vault, state, vault.seal_quorum(Rules().encode(), 0))
            return cls(Core.of(state, store, vault, clock, start=start))
        except BaseException:
            release(state, store)
            raise

    @classmethod
    def join(
        cls,
        home: Path,
        store: str,
        *,
        passphrase: bytes | None = None,
        key_file: bytes | None = None,
        clock: Clock = time.monotonic,
    ) -> Self:
        """Add an HSM to the cluster in a database, and open it.

        Args:
            home: The new HSM's state directory, which is created if it is missing.
            store: The URL of the database of PostgreSQL.
            passphrase: The passphrase that seals the master key; ``None`` where a key file does.
            key_file: The content of that key file; ``None`` where the directory has it.
            clock: Gives seconds, by which tokens and multi-part operations expire.

        Raises:
            StateMissing: The database has no HSM.
            StateError: The directory has an HSM already, or cannot be used.
            StateLocked: Another process has the directory.
            MasterKeyUnavailable: The passphrase or the key file is missing or wrong.
            StoreUnreachable: The database does not answer.
        """
        state = StateDirectory(home, create=True)
        database = None
        try:
            if state.shared_store() is not None:
                raise StateError(f"the HSM in {state.home} is in a cluster already; choose another directory")
            shared = joined(state, store, passphrase, key_file)
            if key_file is not None:
                state.keep_key_file(key_file)
            state.keep_shared_store(shared)
            database = database_of(state)
            vault = Vault(open_secret(database.master(), passphrase, state.read_key_file), database.number)
            hsm = cls(Core.of(state, database, vault, clock, start=False))
        except BaseException:
            release(state, database)
            raise
        hsm._core.backups.make_at(JOINING)
        return hsm

    def leave(self) -> None:
        """Take the HSM out of its cluster, and close it for good. Its audit log stays in the database.

        Raises:
            StateError: The HSM is in no cluster, or is the last one in it.
            NotCaughtUp: The HSM has no contact with its cluster.
        """
        core = self._core
        if core.cluster is None:
            raise StateError("this HSM is in no cluster")
        if len(core.cluster.members()) < 2:
            raise StateError("this is the last HSM of its cluster; without it nothing opens the keys in the database")
        core.backups.make_at(LEAVING)
        with core.log.command(LEFT, {}):
            core.log.record()
        for session in core.sessions.all():
            self.users.close_session(session)
        core.cluster.close(LEFT_STATE)
        core.state.forget_shared_store()
        self.close()

    def members(self) -> list[MemberInfo]:
        """Return the HSMs of the cluster; an HSM alone is the only one. Needs no login.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        return self._status.members()

    def alive_members(self) -> int:
        """Return how many HSMs of the cluster are alive, as far as this HSM has seen. Needs no login."""
        return self._status.alive_members()

    def require_current(self) -> None:
        """Check that this HSM knows every change of its cluster. Needs no login.

        Raises:
            NotCaughtUp: It may not.
        """
        self._core.log.require_current()

    def set_address(self, address: str) -> None:
        """Set where clients reach this HSM, which the other HSMs of its cluster tell them too.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        self._status.set_address(address)

    restore = staticmethod(restore)

    @classmethod
    def rekey(
        cls, home: Path, *, passphrase: bytes | None, new_passphrase: bytes | None, master_key: bool = False
    ) -> None:  # fmt: skip
        """Seal the master key of a closed HSM anew, and on request replace it by a new one.

        Args:
            home: The state directory.
            passphrase: The passphrase of now; ``None`` for a key file.
            new_passphrase: The passphrase from now on; ``None`` for the key file, which is made if it is missing.
            master_key: Make a new master key, and seal everything under it.

        Raises:
            MasterKeyUnavailable: The passphrase or the key file of now is missing or wrong, or the new one is empty.
            StateError: The HSM cannot be opened or changed; the error is usually of a subclass.
        """
        with cls.open(home, passphrase=passphrase, start=False) as hsm:
            master_keys.rekey(hsm._core, passphrase, new_passphrase, master_key=master_key)

    def start_backups(self, days: int = RETENTION_DAYS, worker: Sequence[str] = ()) -> None:
        """Make a backup each day from now on, and remove old ones, until ``close``.

        Args:
            days: The age in days above which a backup is removed.
            worker: The command line of a process that runs ``hsmcore.backup.worker.main`` for a large backup; empty to
                make each in this process.
        """
        self._core.backups.worker = worker
        if self._schedule is None:
            self._schedule = Schedule(self._core.backups, days)

    def close(self) -> None:
        """End all sessions and unlock the state directory. Every later operation fails; a second call has no effect."""
        if self._schedule is not None:
            self._schedule.close()
        self._core.backups.close()
        if self._core.cluster is not None:
            # Before the lock is taken, which the thread that renews the lease takes too.
            self._core.cluster.close()
        with self._core.lock:
            for session in self._core.sessions.all():
                self.users.close_session(session)
            release(self._core.state, self._core.store)

    def skew_clock(self, ahead: Callable[[], float]) -> None:
        """Set the clock forward by which tokens and multi-part operations expire.

        Args:
            ahead: Returns the number of seconds, at each look at the clock.

        Raises:
            SettingRequired: The HSM was made without ``Settings.allow_faults``.
        """
        clock = self._core.clock
        if not isinstance(clock, SkewedClock):
            raise SettingRequired("this HSM was made without --allow-faults")
        clock.ahead = ahead

    def reset(self) -> None:
        """Destroy all keys, restore the first users and quorum values, and end all sessions. Needs no login.

        Raises:
            SettingRequired: The HSM was made without ``Settings.allow_reset``.
            StoreFull: The disk is full.
        """
        self._reset.run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.close()

    def status(self) -> dict[str, Any]:
        """Return process, version, health, numbers of keys and sessions, and directory. Needs no login.

        An HSM of a cluster adds ``hsms``, with each member as in ``members``.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        return self._status.status()

    def statistics(self) -> Statistics:
        """Return numbers for monitoring. Needs no login."""
        return gather(self._core, self.tls.end())

    def troubles(self) -> list[str]:
        """Return the HSM's troubles as sentences; none where all is well. Needs no login."""
        return troubles(self._core)

    def warnings(self) -> list[str]:
        """Return what will be a trouble as sentences; none where there is nothing to do. Needs no login."""
        ending = self.tls.ending() if self._status.address else ""
        return [ending] if ending else []

    def info(self) -> dict[str, Any]:
        """Return vendor, model, serial number and versions. Needs no login.

        An HSM of a cluster adds ``members``, with name, number, address and state of each.
        """
        return self._status.info()

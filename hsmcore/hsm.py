"""``Hsm``: opens an HSM, owns its services, and closes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hsmcore
from hsmcore.api import coherence
from hsmcore.api import master_key as master_keys
from hsmcore.api.audit import AuditService
from hsmcore.api.backups import BackupService
from hsmcore.api.clones import CloneService
from hsmcore.api.core import Core
from hsmcore.api.crypto import CryptoService
from hsmcore.api.keys import KeyService
from hsmcore.api.quorum import QuorumService
from hsmcore.api.requests import RequestService
from hsmcore.api.reset import ResetService
from hsmcore.api.statistics import Statistics, gather, troubles
from hsmcore.api.tls import TlsService
from hsmcore.api.users import UserService
from hsmcore.audit.anchor import anchored, stored
from hsmcore.audit.chain import FIRST_HEAD, linked
from hsmcore.audit.commands import first_entries
from hsmcore.audit.events import LEFT
from hsmcore.audit.joining import joined
from hsmcore.audit.upgrade import bring_up_to_date
from hsmcore.backup.directory import opened
from hsmcore.backup.opening import NO_CREDENTIALS, Credentials
from hsmcore.backup.restoring import Opened, Restored, restore
from hsmcore.backup.schedule import RETENTION_DAYS, Schedule
from hsmcore.errors import MasterKeyUnavailable, StateError, StateMissing
from hsmcore.primitives.secrecy import KEY_BYTES, random_bytes
from hsmcore.quorum.tokens import QuorumRules
from hsmcore.settings import FirstUser, Settings
from hsmcore.storage.audit import Record
from hsmcore.storage.database import FIRST_HSM, Part, Store
from hsmcore.storage.members import LEFT as LEFT_STATE
from hsmcore.storage.memory_state import MemoryState
from hsmcore.storage.rows import QUORUM, Change
from hsmcore.storage.sealing import Vault, new_secret, open_secret, seal_secret
from hsmcore.storage.snapshot import HsmRow
from hsmcore.storage.state_directory import SharedStore, State, StateDirectory, no_hsm
from hsmcore.users.first_users import first_rows, first_users

Clock = Callable[[], float]
"""Gives seconds, by which tokens and multi-part operations expire."""

DEFAULT_SETTINGS = Settings()


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """An HSM of a cluster. ``alive``: it runs and has renewed its lease lately. ``own``: it is the one that was asked.

    ``address`` is where clients reach it; empty where it listens on no network.
    """

    number: int
    name: str
    address: str
    alive: bool
    own: bool


class Hsm:
    """An HSM in a state directory, which this process alone has until ``close``.

    The services ``users``, ``keys``, ``crypto``, ``quorum``, ``audit``, ``backups``, ``clones`` and ``tls`` have its
    operations. All methods may be called from any thread.
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
        self.backups = BackupService(core)
        self.clones = CloneService(core)
        self._schedule: Schedule | None = None
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
        if passphrase == b"":
            raise MasterKeyUnavailable("the passphrase is empty; give one, or none for a key file")
        secret = new_secret()
        vault = Vault(secret)
        users = first_users(admin_password, crypto_user)
        state = StateDirectory(home, create=True)
        database = None
        try:
            database = _new_database(state, store)
            file_key = state.make_key_file() if passphrase is None else b""
            sealed = seal_secret(secret, passphrase, file_key)
            _create(sealed, users, settings, database, vault, state)
            state.sync()
            return cls(Core.of(state, database, vault, clock, start=False))
        except BaseException:
            _release(state, database)
            raise

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
        users = first_users(admin_password, crypto_user)
        state, store = MemoryState(), Store.in_memory()
        # The master key is never stored, so the key that seals it is forgotten.
        _create(seal_secret(secret, None, random_bytes(KEY_BYTES)), users, settings, store, vault, state)
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
            store = _database(state)
            if not store.exists():
                raise StateMissing(no_hsm(state.home))
            vault = Vault(open_secret(store.master(), passphrase, state.read_key_file), store.number)
            bring_up_to_date(store, vault, state, vault.seal_quorum(QuorumRules().encode(), 0))
            return cls(Core.of(state, store, vault, clock, start=start))
        except BaseException:
            _release(state, store)
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
                raise StateError(f"the HSM in {state.home} is in a cluster already; choose another HSM_HOME")
            shared = joined(state, store, passphrase, key_file)
            if key_file is not None:
                state.keep_key_file(key_file)
            state.keep_shared_store(shared)
            database = _database(state)
            vault = Vault(open_secret(database.master(), passphrase, state.read_key_file), database.number)
            return cls(Core.of(state, database, vault, clock, start=False))
        except BaseException:
            _release(state, database)
            raise

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
        cluster = self._core.cluster
        if cluster is None:
            return [MemberInfo(FIRST_HSM, f"hsm-{self._core.store.serial()[:11]}", "", alive=True, own=True)]
        return [
            MemberInfo(one.number, one.name, one.address, alive=cluster.alive(one), own=one.number == cluster.number)
            for one in cluster.members()
        ]

    def set_address(self, address: str) -> None:
        """Tell the other HSMs of the cluster where clients reach this one. Has no effect on an HSM alone.

        Raises:
            StoreUnreachable: The database does not answer.
        """
        if self._core.cluster is not None:
            self._core.cluster.set_address(address)

    @classmethod
    def restore(
        cls,
        file: Path,
        home: Path,
        credentials: Credentials = NO_CREDENTIALS,
        *,
        passphrase: bytes | None = None,
        store: str | None = None,
    ) -> Restored:
        """Create an HSM in a directory from a backup. Can be repeated after an error.

        The HSM has the users, keys, settings and quorum values of the backup, and a new serial number, master key and
        audit log. It is of the security domain of the HSM that was backed up.

        Args:
            file: The backup.
            home: The state directory of the new HSM, which is created if it is missing.
            credentials: The ways to open the backup.
            passphrase: The passphrase that seals the new master key; ``None`` seals it under a new key file.
            store: The URL of an empty database of PostgreSQL; ``None`` for a file in the directory.

        Raises:
            MasterKeyUnavailable: The backup's passphrase or key file is missing or wrong, or the new one is empty.
            BackupDamaged: The backup is cut short, or was changed, or is not a backup.
            StateVersion: A newer version made the backup.
            StateError: The directory or the database has an HSM already, or cannot be used.
            StateLocked: Another process has the directory.
            StoreFull: The disk is full.
            StoreUnreachable: The database does not answer.
        """
        if passphrase == b"":
            raise MasterKeyUnavailable("the passphrase is empty; give one, or none for a key file")
        with opened(file) as source:
            backup = Opened(source, credentials)
            state = StateDirectory(home, create=True)
            database = None
            try:
                database = _new_database(state, store)
                file_key = state.make_key_file() if passphrase is None else b""
                restored = restore(
                    backup,
                    database,
                    lambda secret: seal_secret(secret, passphrase, file_key),
                    lambda head, vault: state.write_anchor(anchored(head, vault)),
                )
                state.sync()
                return restored
            finally:
                _release(state, database)

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
        if new_passphrase == b"":
            raise MasterKeyUnavailable("the new passphrase is empty")
        with cls.open(home, passphrase=passphrase, start=False) as hsm:
            core, state = hsm._core, hsm._core.state
            if not isinstance(state, StateDirectory):
                raise StateError("an HSM in memory has no stored master key")
            secret = open_secret(core.store.master(), passphrase, state.read_key_file)
            if master_key:
                secret = new_secret(core.vault.domain)
            file_key = state.make_key_file() if new_passphrase is None else b""
            sealed = seal_secret(secret, new_passphrase, file_key)
            if master_key:
                master_keys.change(core, secret, sealed)
            else:
                master_keys.reseal(core, sealed)

    def start_backups(self, days: int = RETENTION_DAYS) -> None:
        """Make a backup each day from now on, and remove those that are older than so many days, until ``close``."""
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
            _release(self._core.state, self._core.store)

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
        core = self._core
        found: dict[str, Any] = {
            "pid": os.getpid(),
            "version": hsmcore.__version__,
            "healthy": not core.log.trouble,
            "keys": len(core.ring),
            "sessions": len(core.sessions),
            "home": str(core.state.home or ""),
        }
        return found if core.cluster is None else found | {"hsms": [asdict(member) for member in self.members()]}

    def statistics(self) -> Statistics:
        """Return numbers for monitoring. Needs no login."""
        return gather(self._core)

    def troubles(self) -> list[str]:
        """Return the HSM's troubles as sentences; none where all is well. Needs no login."""
        return troubles(self._core)

    def info(self) -> dict[str, Any]:
        """Return vendor, model, serial number and versions. Needs no login.

        An HSM of a cluster adds ``members``, with name, number, address and state of each.
        """
        major, minor, build = hsmcore.__version__.split(".")[:3]
        found = {
            "vendor": "hsmbridge",
            "model": "software HSM",
            "serial-number": self._core.store.serial(),
            "hardware-version-major": "0",
            "hardware-version-minor": "0",
            "firmware-version-major": major,
            "firmware-version-minor": minor,
            "firmware-build-number": build,
            "firmware-id": f"hsmbridge {hsmcore.__version__}",
            "fips-state": "0 [non-FIPS mode with single factor authentication]",
        }
        return found if self._core.cluster is None else found | {"members": [_shown(one) for one in self.members()]}


def _shown(member: MemberInfo) -> dict[str, str]:
    state = "ACTIVE" if member.alive else "NOT RESPONDING"
    return {"hsm-id": member.name, "number": str(member.number), "address": member.address, "state": state}


def _create(
    sealed: bytes, users: Sequence[FirstUser], settings: Settings, store: Store, vault: Vault, state: State
) -> None:  # fmt: skip
    """Write a new HSM with these users to an empty database.

    Args:
        sealed: The sealed master key.
        users: The first users.
        settings: The settings.
        store: The database.
        vault: The vault of the master key.
        state: Takes the anchor of the audit log.
    """
    rows = first_rows(users, vault)
    changes = [Change(QUORUM, 1), *(row.change() for row in rows)]
    entries, head = linked(first_entries(rows, changes), FIRST_HEAD, vault)
    state.write_anchor(anchored(head, vault))
    if settings.allow_reset:
        settings = replace(settings, first_users=tuple(users))
    rules = vault.seal_quorum(QuorumRules().encode(), 1)
    row = HsmRow(sealed, vault.seal_settings(settings.encode()), rules, 1)
    store.initialize(row, [Part(Record(entries, stored(head, vault), changes=changes), rows)])


def _database(state: StateDirectory) -> Store:
    """Return the database of the HSM in a directory."""
    shared = state.shared_store()
    return Store.in_file(state.database) if shared is None else Store.at(shared.url, shared.number)


def _new_database(state: StateDirectory, url: str | None) -> Store:
    """Return the empty database of a new HSM.

    Raises:
        StateError: The directory or the database has an HSM already.
    """
    here = f"there is an HSM in {state.home} already, which was not changed; choose another HSM_HOME"
    shared = state.shared_store()
    if shared is not None and shared.url != url:
        before = Store.at(shared.url, shared.number)
        try:
            if url is None or before.exists():
                raise StateError(here)
        finally:
            before.close()
    if url is None:
        state.make_database()
    database = Store.in_file(state.database) if url is None else Store.at(url, FIRST_HSM)
    try:
        if database.exists():
            there = "there is an HSM in that database already, which was not changed; `hsm join` adds another to it"
            raise StateError(here if url is None else there)
        if url is not None:
            state.keep_shared_store(SharedStore(url, FIRST_HSM))
    except BaseException:
        database.close()
        raise
    return database


def _release(state: State, store: Store | None) -> None:
    """Close the database before the lock is released, so that the next process finds it closed."""
    try:
        if store is not None:
            store.close()
    finally:
        state.close()

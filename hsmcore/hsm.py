"""``Hsm``: opens an HSM, owns its services, and closes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import hsmcore
from hsmcore.api.audit import AuditService
from hsmcore.api.core import Core
from hsmcore.api.crypto import CryptoService
from hsmcore.api.keys import KeyService
from hsmcore.api.quorum import QuorumService
from hsmcore.api.reset import ResetService
from hsmcore.api.statistics import Statistics, gather, troubles
from hsmcore.api.users import UserService
from hsmcore.audit.anchor import anchored, stored
from hsmcore.audit.chain import FIRST_HEAD, linked
from hsmcore.audit.commands import first_entries
from hsmcore.audit.upgrade import bring_up_to_date
from hsmcore.errors import MasterKeyUnavailable, StateError, StateMissing
from hsmcore.quorum.tokens import QuorumRules
from hsmcore.settings import FirstUser, Settings
from hsmcore.storage.audit import Record
from hsmcore.storage.database import HsmRow, Store
from hsmcore.storage.memory_state import MemoryState
from hsmcore.storage.rows import QUORUM, Change
from hsmcore.storage.sealing import Vault, new_master, open_master, seal_master
from hsmcore.storage.state_directory import State, StateDirectory, no_hsm
from hsmcore.users.first_users import first_rows, first_users

Clock = Callable[[], float]
"""Gives seconds, by which tokens and multi-part operations expire."""

DEFAULT_SETTINGS = Settings()


class Hsm:
    """An HSM in a state directory, which this process alone has until ``close``.

    The services ``users``, ``keys``, ``crypto``, ``quorum`` and ``audit`` have its operations. All methods may be
    called from any thread.
    """

    def __init__(self, core: Core) -> None:
        """Make an HSM of its parts; ``initialize`` and ``open`` call this."""
        self._core = core
        self.settings = core.settings
        self.users = UserService(core)
        self.keys = KeyService(core)
        self.crypto = CryptoService(core)
        self.quorum = QuorumService(core)
        self.audit = AuditService(core)
        self._reset = ResetService(core)

    @classmethod
    def initialize(
        cls,
        home: Path,
        *,
        admin_password: bytes | None,
        passphrase: bytes | None = None,
        settings: Settings = DEFAULT_SETTINGS,
        crypto_user: tuple[str, bytes] | None = None,
        clock: Clock = time.monotonic,
    ) -> Self:
        """Create an HSM with the admin ``admin`` in a directory, and open it. Can be repeated after an error.

        Args:
            home: The state directory, which is created if it is missing.
            admin_password: The admin's password; ``None`` leaves the HSM unactivated until ``users.activate``.
            passphrase: The passphrase that seals the master key; ``None`` seals it under a new key file ``master.key``.
            settings: The HSM's settings, which never change.
            crypto_user: Name and password of a crypto user to create.
            clock: Gives seconds, by which tokens and multi-part operations expire.

        Raises:
            PasswordInvalid: A password breaks the rules for passwords.
            UserNameInvalid: The crypto user's name breaks the rules for names.
            MasterKeyUnavailable: The passphrase is empty.
            StateError: The directory has an HSM already, or cannot be used.
            StateLocked: Another process has the directory.
            StoreFull: The disk is full.
        """
        if passphrase == b"":
            raise MasterKeyUnavailable("the passphrase is empty; give one, or none for a key file")
        master = new_master()
        vault = Vault(master)
        users = first_users(admin_password, crypto_user)
        state = StateDirectory(home, create=True)
        store = None
        try:
            state.make_database()
            store = Store.in_file(state.database)
            if store.exists():
                raise StateError(
                    f"there is an HSM in {state.home} already, which was not changed; choose another HSM_HOME"
                )
            file_key = state.make_key_file() if passphrase is None else b""
            sealed = seal_master(master, passphrase, file_key)
            _create(sealed, users, settings, store, vault, state)
            state.sync()
            return cls(Core.of(state, store, vault, clock, start=False))
        except BaseException:
            _release(state, store)
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
        master = new_master()
        vault = Vault(master)
        users = first_users(admin_password, crypto_user)
        state, store = MemoryState(), Store.in_memory()
        # The master key is never stored, so the key that seals it is forgotten.
        _create(seal_master(master, None, new_master()), users, settings, store, vault, state)
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
            MasterKeyUnavailable: The passphrase or the key file is missing or wrong.
            StoreDamaged: Something that every operation needs is damaged.
        """
        state = StateDirectory(home, create=False)
        store = None
        try:
            store = Store.in_file(state.database)
            if not store.exists():
                raise StateMissing(no_hsm(state.home))
            vault = Vault(open_master(store.master(), passphrase, state.read_key_file))
            bring_up_to_date(store, vault, state, vault.seal_quorum(QuorumRules().encode(), 0))
            return cls(Core.of(state, store, vault, clock, start=start))
        except BaseException:
            _release(state, store)
            raise

    def close(self) -> None:
        """End all sessions and unlock the state directory. Every later operation fails; a second call has no effect."""
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

    def status(self) -> dict[str, int | str]:
        """Return process, version, health, numbers of keys and sessions, and directory. Needs no login."""
        core = self._core
        return {
            "pid": os.getpid(),
            "version": hsmcore.__version__,
            "healthy": not core.log.trouble,
            "keys": len(core.ring),
            "sessions": len(core.sessions),
            "home": str(core.state.home or ""),
        }

    def statistics(self) -> Statistics:
        """Return numbers for monitoring. Needs no login."""
        return gather(self._core)

    def troubles(self) -> list[str]:
        """Return the HSM's troubles as sentences; none where all is well. Needs no login."""
        return troubles(self._core)

    def info(self) -> dict[str, str]:
        """Return vendor, model, serial number and versions. Needs no login."""
        major, minor, build = hsmcore.__version__.split(".")[:3]
        return {
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
    store.initialize(row, rows, Record(entries, stored(head, vault), changes=changes))


def _release(state: State, store: Store | None) -> None:
    """Close the database before the lock is released, so that the next process finds it closed."""
    try:
        if store is not None:
            store.close()
    finally:
        state.close()

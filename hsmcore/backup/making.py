"""Makes, lists, verifies and removes the backups of an open HSM.

A backup is made from the rows of one moment, which a database connection of its own reads, so uses and changes of keys
go on. It is written under another name, synced to the disk, read back as a restore reads it, and only then published.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from threading import Event, Lock, RLock
from typing import BinaryIO

from hsmcore.audit.commands import event_of
from hsmcore.audit.events import BACKUP_BEGIN
from hsmcore.audit.log import AuditLog
from hsmcore.backup import identity
from hsmcore.backup.content import ContentReader, Totals
from hsmcore.backup.directory import BackupDirectory, Unfinished, new_name
from hsmcore.backup.format import Header, is_whole, read_header, read_parts
from hsmcore.backup.opening import open_in_domain
from hsmcore.backup.pace import Pace
from hsmcore.backup.production import Order, Product, produce
from hsmcore.backup.worker import produce_apart
from hsmcore.errors import (
    BackupDamaged,
    BackupError,
    BackupForeign,
    BackupKept,
    BackupNotFound,
    BackupRunning,
    HsmError,
    StateError,
    StateVersion,
)
from hsmcore.keys import policy
from hsmcore.primitives.secrecy import KEY_BYTES, random_bytes
from hsmcore.sessions.session import Session
from hsmcore.storage.database import Store
from hsmcore.storage.keys import KeyQuery
from hsmcore.storage.sealing import Vault
from hsmcore.storage.state_directory import State

_log = logging.getLogger("hsmcore.backup.making")

_LARGE = 2000
"""Token keys from which on a backup is worth the start of a process."""
DAY_MS = 24 * 60 * 60 * 1000

MANUAL, AUTOMATIC, ACTIVATION, JOINING, LEAVING = "manual", "automatic", "activation", "joining", "leaving"
"""Reasons for a backup."""


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """A backup as its header describes it. ``state`` is ``ready``, ``foreign`` or ``damaged``.

    A foreign one is of another security domain. ``created`` is in ms since 1970; ``size`` in bytes.
    """

    name: str
    path: str
    size: int
    state: str
    created: int = 0
    reason: str = ""
    serial: str = ""
    domain: str = ""
    passphrase: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """A backup that was read from its first byte to its last."""

    info: BackupInfo
    totals: Totals
    anchor: str


class Backups:
    """The backups of one HSM. All methods may be called from any thread; one backup is made at a time."""

    def __init__(self, state: State, store: Store, vault: Vault, log: AuditLog, lock: RLock) -> None:
        self._files = BackupDirectory(state.backups) if state.backups else None
        self._state = state
        self._lock = lock
        self._store = store
        self._vault = vault
        self._log = log
        self._making = Lock()
        self._closed = Event()
        self.worker: Sequence[str] = ()
        """The command line of a process for large backups; empty where this process makes all."""
        self.outcomes = Counter[str]()
        """The number of backups that this process made or failed to make, by ``made`` and ``failed``."""
        self.newest_made = 0.0
        """The time of the newest of them, in seconds since 1970; 0 without one."""

    @property
    def _directory(self) -> BackupDirectory:
        """The directory of the backups.

        Raises:
            StateError: The HSM is in memory.
        """
        if self._files is None:
            raise StateError("an HSM in memory has no backups, because nothing of it is on a disk")
        return self._files

    def close(self) -> None:
        """End a backup that is being made. No other one can be made."""
        self._closed.set()
        with self._making:
            pass

    def make(self, session: Session | None, reason: str, passphrase: bytes | None = None) -> Verified:
        """Make a backup and return it, verified.

        Args:
            session: The session of the user who asked for it, which must not end before the backup does; ``None`` for
                the HSM itself.
            reason: The reason, for the header.
            passphrase: A passphrase of the backup itself; ``None`` for that of the HSM.

        Raises:
            BackupRunning: Another backup is being made.
            Unauthenticated: The session has ended.
            StoreFull: The disk is full, or would be.
            StateError: The directory or the database cannot be used.
            BackupDamaged: The disk did not return what was written.
        """
        if not self._making.acquire(blocking=False):
            raise BackupRunning("another backup is being made; wait until it is done")
        try:
            arguments = {"session": session} if session is not None else {}
            with self._log.separately(), self._log.command(BACKUP_BEGIN, arguments):
                self._log.record()
            with self._log.command(event_of("backups.create"), arguments):
                made = self._made(self._proceeding(session), reason, passphrase)
        except BaseException:
            self.outcomes["failed"] += 1
            raise
        else:
            self.outcomes["made"] += 1
            self.newest_made = made.info.created / 1000
            return made
        finally:
            self._making.release()

    def make_at(self, occasion: str) -> None:
        """Make a backup at the activation, or when the HSM joins or leaves a cluster. A failure is logged."""
        try:
            self.make(None, occasion)
        except HsmError as error:
            _log.error("the backup at %s failed: %s", occasion, error)

    def _proceeding(self, session: Session | None) -> Callable[[], None]:
        def proceed() -> None:
            if self._closed.is_set():
                raise StateError("the HSM is closed")
            if session is not None:
                policy.require_alive(session)

        return proceed

    def _made(self, proceed: Callable[[], None], reason: str, passphrase: bytes | None) -> Verified:
        proceed()
        with self._directory.writing() as unfinished:
            own = identity.read(self._state, self._vault)
            order = Order(new_name(), reason, self._store.serial(), random_bytes(KEY_BYTES), passphrase, own)
            product = self._product(unfinished, order, proceed)
            unfinished.file.seek(0)
            info = self._info(order.name, unfinished.file, "ready", read_header(unfinished.file))
            verified = Verified(info, product.totals, product.anchor)
            # Under the lock no session ends between the check and the entry.
            with self._lock:
                proceed()
                self._log.describe(_described(order.name, verified))
                self._log.record()
                self._directory.publish(unfinished, order.name)
        return verified

    def _product(self, unfinished: Unfinished, order: Order, proceed: Callable[[], None]) -> Product:
        if self.worker and self._store.count_keys(KeyQuery(None)) >= _LARGE:
            return produce_apart(self.worker, unfinished, self._store, self._vault, order, proceed)
        pace, room = Pace(proceed), self._directory.room()

        def step() -> None:
            room()
            pace.step()

        return produce(unfinished.file, self._store, self._vault, order, step)

    def infos(self) -> list[BackupInfo]:
        """Return all backups in the directory, the oldest first."""
        found = []
        for name in self._directory.names():
            with suppress(BackupNotFound), self._directory.reading(name) as file:
                found.append(self._judged(name, file))
        return sorted(found, key=lambda info: (info.created, info.name))

    def _judged(self, name: str, file: BinaryIO) -> BackupInfo:
        """Return a backup after a check of its header, its length and its first part."""
        header = None
        try:
            header = read_header(file)
            content, key = file.tell(), open_in_domain(header, self._vault.domain)
            whole = header.text("name") == name and is_whole(file, os.fstat(file.fileno()).st_size)
            file.seek(content)
            ContentReader(read_parts(file, header, key))
            return self._info(name, file, "ready" if whole else "damaged", header if whole else None)
        except (BackupForeign, StateVersion):
            return self._info(name, file, "foreign", header)
        except BackupError:
            return self._info(name, file, "damaged", None)

    def _info(self, name: str, file: BinaryIO, state: str, header: Header | None) -> BackupInfo:
        size, path = os.fstat(file.fileno()).st_size, str(self._directory.file(name))
        if header is None:
            return BackupInfo(name, path, size, state)
        return BackupInfo(
            name, path, size, state, header.number("created"), header.text("reason"), header.text("serial"),
            header.text("domain"), "passphrase_key" in header.fields,
        )  # fmt: skip

    def newest(self) -> int | None:
        """Return the time of the newest whole backup that this HSM made, in ms since 1970; ``None`` without one."""
        own = self._own()
        return own[-1].created if own else None

    def _own(self) -> list[BackupInfo]:
        serial = self._store.serial()
        return [info for info in self.infos() if info.state == "ready" and info.serial == serial]

    def verify(self, name: str) -> Verified:
        """Read a backup of this security domain from its first byte to its last.

        Raises:
            BackupNotFound: There is none with that name.
            BackupForeign: It was made in another security domain.
            BackupDamaged: It is cut short, or was changed.
            StateVersion: A newer version made it.
        """
        pace = Pace(self._proceeding(None))
        with self._directory.reading(name) as file:
            header = read_header(file)
            key = open_in_domain(header, self._vault.domain)
            if header.text("name") != name:
                raise BackupDamaged(f"the file of {name} is that of {header.text('name')[:64]!r}")
            return _verified(self._info(name, file, "ready", header), file, header, key, pace.step)

    def delete(self, name: str, record: Callable[[], None]) -> None:
        """Delete a backup after ``record`` has recorded it.

        Raises:
            BackupNotFound: There is none with that name.
            BackupKept: It is the last whole one of this HSM's domain.
            BackupRunning: A backup is being made.
            StoreFull: The file system refuses.
        """
        if not self._making.acquire(blocking=False):
            raise BackupRunning("a backup is being made; wait until it is done")
        try:
            infos = {info.name: info for info in self.infos()}
            if name not in infos:
                raise BackupNotFound(f"there is no backup {name[:64]!r} in {self._directory.path}")
            if [info.name for info in infos.values() if info.state == "ready"] == [name]:
                raise BackupKept(f"{name} is the last whole backup of this HSM; make another one first")
            record()
            self._directory.remove(name)
        finally:
            self._making.release()

    def expire(self, days: int) -> list[str]:
        """Delete the backups that this HSM made more than so many days before its last but one; return their names.

        The age is that before an older backup and not before the clock, which may be wrong: one jump of the clock
        deletes nothing before the next day.
        """
        own = self._own()
        old = [info.name for info in own[:-2] if own[-2].created - info.created > days * DAY_MS]
        for name in old:
            self._directory.remove(name)
        return old


def _verified(info: BackupInfo, file: BinaryIO, header: Header, key: bytes, step: Callable[[], None]) -> Verified:
    content = ContentReader(read_parts(file, header, key))
    for _ in content.pages():
        step()
    return Verified(info, content.totals, content.hsm.anchor)


def _described(name: str, verified: Verified) -> str:
    totals = {name: count for name, count in asdict(verified.totals).items() if name != "damaged" and count}
    return ", ".join([name, *(f"{count} {what.replace('_', ' ')}" for what, count in totals.items())])

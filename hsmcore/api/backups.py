"""The backups of the HSM, as an admin makes and removes them."""

from __future__ import annotations

from hsmcore.api.core import Core
from hsmcore.api.guard import guarded
from hsmcore.backup.making import MANUAL, BackupInfo, Verified
from hsmcore.errors import MasterKeyUnavailable
from hsmcore.sessions.session import Session


class BackupService:
    """Makes, lists, verifies and deletes backups. ``Hsm.restore`` restores one."""

    def __init__(self, core: Core) -> None:
        self._log = core.log
        self._backups = core.backups

    @guarded
    def create(self, session: Session, passphrase: bytes | None = None) -> Verified:
        """Make a backup while the HSM is in use, and return it when it has been read back.

        Args:
            session: A session of an admin.
            passphrase: A passphrase of the backup itself; ``None`` for the passphrase or the key file of the HSM.

        Raises:
            BackupRunning: Another backup is being made.
            MasterKeyUnavailable: The passphrase is empty.
            Unauthenticated: The session ended before the backup was done.
            StoreFull: The disk is full, or would be.
            BackupDamaged: The disk did not return what was written.
        """
        if passphrase == b"":
            raise MasterKeyUnavailable("the passphrase is empty; give one, or none for that of the HSM")
        return self._backups.make(session, MANUAL, passphrase)

    @guarded
    def all(self, session: Session) -> list[BackupInfo]:
        """Return all backups in the HSM's directory, the oldest first.

        Checks of each the header, the length and the first part; ``verify`` checks all of one.
        """
        return self._backups.infos()

    @guarded
    def verify(self, session: Session, name: str) -> Verified:
        """Read a backup from its first byte to its last.

        Raises:
            BackupNotFound: There is none with that name.
            BackupForeign: It was made in another security domain.
            BackupDamaged: It is cut short, or was changed.
            StateVersion: A newer version made it.
        """
        return self._backups.verify(name)

    @guarded
    def delete(self, session: Session, name: str) -> None:
        """Delete a backup, also a damaged or foreign one.

        Raises:
            BackupNotFound: There is none with that name.
            BackupKept: It is the last whole one.
            BackupRunning: A backup is being made.
            StoreFull: The audit log cannot be written, or the file system refuses.
        """
        self._log.describe(name[:64])
        self._backups.delete(name, self._log.record)

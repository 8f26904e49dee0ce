"""The directory with the backups of an HSM: ``backups`` in its state directory.

A backup has its name only when it is whole and verified. An unfinished one has another name and is locked by the
process that writes it; the next backup removes one that no process has locked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hsmcore.errors import BackupNotFound, StoreFull
from hsmcore.files import sync_directory
from hsmcore.storage.state_directory import require_private

RESERVE = 16 * 1024 * 1024
"""Bytes of the file system that a backup leaves free, because a full disk stops the HSM."""
_ROWS = 256
"""Rows between checks of the room."""
_SUFFIX = ".hsmbackup"
_UNFINISHED = ".unfinished-"
_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
_NAME = re.compile(r"backup-[2-7a-z]{11}", re.ASCII)


def new_name() -> str:
    """Return a new name, in the form of CloudHSM's."""
    return "backup-" + "".join(secrets.choice(_DIGITS) for _ in range(11))


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A file that is being written."""

    file: BinaryIO
    path: Path


class BackupDirectory:
    """The files of the backups, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, name: str) -> Path:
        """Return the path of a backup."""
        return self.path / (name + _SUFFIX)

    def names(self) -> list[str]:
        """Return the names of all backups."""
        with suppress(FileNotFoundError):
            return [path.stem for path in self.path.iterdir() if path.suffix == _SUFFIX and _NAME.fullmatch(path.stem)]
        return []

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """Open a backup for reading.

        Raises:
            BackupNotFound: There is none with that name.
        """
        if not _NAME.fullmatch(name):
            raise BackupNotFound(f"there is no backup {name[:64]!r}")
        try:
            file = opened(self.file(name))
        except OSError as error:
            raise BackupNotFound(f"there is no backup {name!r} in {self.path}") from error
        with file:
            yield file

    @contextmanager
    def writing(self) -> Iterator[Unfinished]:
        """Yield a new unfinished file, private to its owner. It is removed at the end unless it was published.

        Raises:
            StateError: Other users may write in the directory.
            StoreFull: The file system refuses.
        """
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            require_private(self.path)
            self._clean()
            descriptor, unfinished = tempfile.mkstemp(prefix=_UNFINISHED, dir=self.path)
        except OSError as error:
            raise StoreFull(f"{self.path} cannot be written: {error.strerror}") from error
        try:
            with os.fdopen(descriptor, "w+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield Unfinished(file, Path(unfinished))
        except OSError as error:
            raise StoreFull(f"the backup in {self.path} cannot be written: {error.strerror}") from error
        finally:
            Path(unfinished).unlink(missing_ok=True)

    def publish(self, unfinished: Unfinished, name: str) -> None:
        """Give an unfinished file its name, for good.

        Raises:
            OSError: The file system refuses.
        """
        unfinished.path.rename(self.file(name))
        sync_directory(self.path)

    def remove(self, name: str) -> None:
        """Delete a backup.

        Raises:
            StoreFull: The file system refuses.
        """
        try:
            self.file(name).unlink(missing_ok=True)
            sync_directory(self.path)
        except OSError as error:
            raise StoreFull(f"the backup {name!r} cannot be deleted: {error.strerror}") from error

    def require_room(self) -> None:
        """Check that the file system has room beyond what the HSM needs.

        Raises:
            StoreFull: It has not.
        """
        found = os.statvfs(self.path)
        free = found.f_bavail * found.f_frsize
        if free < RESERVE:
            raise StoreFull(
                f"the disk of {self.path} has {free} bytes free; the backup was not made, so that the HSM can go on"
            )

    def room(self) -> Callable[[], None]:
        """Return a function to call after each row, which checks the room now and then as ``require_room`` does."""
        rows = 0

        def step() -> None:
            nonlocal rows
            rows += 1
            if rows % _ROWS == 1:
                self.require_room()

        return step

    def _clean(self) -> None:
        """Remove the unfinished files of processes that have ended."""
        for path in self.path.iterdir():
            if path.name.startswith(_UNFINISHED):
                with suppress(OSError), opened(path) as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()


def opened(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        OSError: The file system refuses, or it is another kind of file.
    """
    # A pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file

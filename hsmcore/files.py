"""Whole files, written all or nothing and read up to a limit."""

from __future__ import annotations

import errno
import io
import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

PRIVATE = 0o600
"""Mode of a file that only its owner reads and writes."""
PIPE_SECONDS = 60
"""Longest wait for bytes from a pipe, in seconds."""


def write_whole(path: Path, content: bytes, *, mode: int = PRIVATE, replace: bool = True) -> None:
    """Write a file and sync it to the disk. At every moment either the old or the new file exists.

    Raises:
        FileExistsError: There is a file, and ``replace`` is false.
        OSError: The file system refuses.
    """
    # No class path pattern matches the unfinished file's name.
    # Imported here: most commands write no file.
    import tempfile

    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name[:200]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if replace:
            Path(unfinished).replace(path)
        else:
            path.hardlink_to(unfinished)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Sync the names of new files in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file or a pipe for reading.

    Raises:
        OSError: The file system refuses, it is a device, which might never end, or a pipe into which nobody writes.
    """
    # Opening a pipe without O_NONBLOCK waits for a process that writes into it.
    with io.FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)) as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode):
            yield io.BufferedReader(_Pipe(file, path))
        elif stat.S_ISREG(mode):
            yield io.BufferedReader(file)
        else:
            raise OSError(errno.EINVAL, "neither a file nor a pipe", str(path))


class _Pipe(io.RawIOBase):
    """A pipe whose reads fail when nothing arrives for ``PIPE_SECONDS``."""

    def __init__(self, pipe: io.FileIO, path: Path) -> None:
        self._pipe = pipe
        self._path = path
        self._ready = select.poll()
        self._ready.register(pipe, select.POLLIN)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._pipe.fileno()

    def readinto(self, buffer: Buffer) -> int | None:
        if not self._ready.poll(PIPE_SECONDS * 1000):
            raise OSError(errno.ETIMEDOUT, f"nothing came from the pipe for {PIPE_SECONDS} seconds", str(self._path))
        return self._pipe.readinto(buffer)


def read_whole(path: Path, limit: int) -> bytes:
    """Return the content of a regular file or a pipe.

    Raises:
        OSError: The file system refuses, it is a device, or it has more than ``limit`` bytes.
    """
    with reading(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"longer than {limit} bytes", str(path))
    return content

"""Whole files, written all or nothing and read up to a limit."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
"""Mode of a file that only its owner reads and writes."""


def write_whole(path: Path, content: bytes, *, mode: int = PRIVATE, replace: bool = True) -> None:
    """Write a file and sync it to the disk. At every moment either the old or the new file exists.

    Raises:
        FileExistsError: There is a file, and ``replace`` is false.
        OSError: The file system refuses.
    """
    # No class path pattern matches the unfinished file's name.
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
        OSError: The file system refuses, or it is a device, which might never end.
    """
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise OSError(errno.EINVAL, "neither a file nor a pipe", str(path))
        yield file


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

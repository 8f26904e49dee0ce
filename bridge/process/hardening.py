"""Keeps the keys in a process's memory out of core files, swap and other processes (Linux; docs/threat-model.md)."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

_PR_SET_DUMPABLE = 4
"""prctl(2)."""
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
"""mlockall(2)."""
_CAP_IPC_LOCK = 14
"""capabilities(7)."""
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""mallopt(3)."""
_LARGE = 1024 * 1024
"""Size of a block that is returned to the operating system when it is freed, in bytes.

By default glibc raises this limit above the 19 MiB of a password check. The next blocks then come from arenas, where
they leave holes that small objects fill.
"""
_ARENAS = 4


def no_core_dump() -> None:
    """Disable core dumps of this process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def harden() -> list[str]:
    """Harden a process that runs only the HSM, and return a message for each measure that failed.

    Disables core dumps. Makes the process not dumpable, so that no other process of the user can read its memory,
    attach to it or open its files under ``/proc``. Locks its memory, so that none of it is swapped out, and keeps that
    memory small. Makes new files private.
    """
    os.umask(0o077)
    no_core_dump()
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
    left = []
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        left.append(f"the process stays dumpable: {os.strerror(ctypes.get_errno())}")
    if not _may_lock():
        left.append("memory is not locked: RLIMIT_MEMLOCK is not unlimited")
    elif libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        left.append(f"memory is not locked: {os.strerror(ctypes.get_errno())}")
    return left


def _may_lock() -> bool:
    """Return whether the process may lock all its memory; under a limit, a later allocation would fail."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False

"""Paths in a state directory that clients and the daemon need."""

from __future__ import annotations

import os
from pathlib import Path

from hsmcore.errors import StateError

_LONGEST = 107
"""Longest path of a Unix socket on Linux, in bytes (``sockaddr_un.sun_path`` has 108 with the final NUL)."""


def default_home() -> Path:
    """Return ``$HSM_HOME``, or else ``hsmbridge`` in the XDG data directory, as the Java side does."""
    named = os.environ.get("HSM_HOME")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "hsmbridge"


def socket_path(home: Path) -> Path:
    """Return the path of the daemon's socket.

    Raises:
        StateError: The path is too long for a socket.
    """
    path = home.absolute() / "hsm.sock"
    length = len(os.fsencode(path))
    if length > _LONGEST:
        raise StateError(f"{path} has {length} bytes and a socket's path at most {_LONGEST}; choose a shorter HSM_HOME")
    return path


def log_path(home: Path) -> Path:
    """Return the path of the daemon's log."""
    return home / "hsm.log"

"""Where things are in a state directory, as far as the ways in need to know."""

from __future__ import annotations

import os
from pathlib import Path

from hsmcore.errors import StateError

_LONGEST = 107
"""Longest path of a Unix socket on Linux, in bytes (``sockaddr_un.sun_path`` is 108 with its end mark)."""


def default_home() -> Path:
    """Return ``$HSM_HOME``, else ``hsmbridge`` in the XDG data directory, where the Java side looks too."""
    named = os.environ.get("HSM_HOME")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "hsmbridge"


def socket_path(home: Path) -> Path:
    """Return the daemon's socket. Raises ``StateError`` where the path is too long for one."""
    path = home.absolute() / "hsm.sock"
    length = len(os.fsencode(path))
    if length > _LONGEST:
        raise StateError(f"{path} has {length} bytes and a socket's path at most {_LONGEST}; choose a shorter HSM_HOME")
    return path


def log_path(home: Path) -> Path:
    """Return the daemon's log."""
    return home / "hsm.log"

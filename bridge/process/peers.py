"""The process at the other end of a Unix socket, and who may put a socket in its place."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import socket
import stat
import struct
from pathlib import Path

_SO_PEERGROUPS = 59
"""Option of socket(7) that Python does not name: the supplementary groups of the peer."""
_MOST_GROUPS = 65536
"""Maximum number of groups of a process (credentials(7), ``NGROUPS_MAX``)."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def peer_user(connected: socket.socket) -> int:
    """Return the user id of the process at the other end, from the kernel (unix(7), ``SO_PEERCRED``)."""
    return _credentials(connected)[1]


def peer_in_group(connected: socket.socket, group: int) -> bool:
    """Tell whether a group is the primary or a supplementary one of the process at the other end.

    The kernel answers, as it does for files: a process has the groups with which it was started.

    Raises:
        OSError: The kernel does not know the process.
    """
    if _credentials(connected)[2] == group:
        return True
    # Python's getsockopt returns at most 1024 bytes, which are 256 groups.
    groups = (ctypes.c_uint32 * _MOST_GROUPS)()
    size = ctypes.c_uint32(ctypes.sizeof(groups))
    library = ctypes.CDLL(None, use_errno=True)
    level = socket.SOL_SOCKET
    if library.getsockopt(connected.fileno(), level, _SO_PEERGROUPS, ctypes.byref(groups), ctypes.byref(size)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return group in groups[: size.value // ctypes.sizeof(ctypes.c_uint32)]


def _credentials(connected: socket.socket) -> tuple[int, int, int]:
    layout = struct.Struct("3i")
    process, user, group = layout.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size))
    return process, user, group


def user_name(user: int) -> str:
    """Return the name of an operating-system user, or the number of one without a name."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def group_name(group: int) -> str:
    """Return the name of an operating-system group, or the number of one without a name."""
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def replaceable(directory: Path, server: int, *trusted: int) -> str:
    """Return the reason why another user could have put a socket into a directory; empty if none could.

    Only root, the server's user and the trusted ones may write in the directory and in those above it. Everybody may
    make a directory in one with the sticky bit, such as /tmp; there it must belong to root or a trusted user.

    Args:
        directory: The directory.
        server: The user id of the process that serves the socket.
        trusted: Further user ids.

    Raises:
        OSError: A directory cannot be read.
    """
    real = directory.resolve()
    if real != directory.absolute():
        return f"{directory} is reached through a symbolic link or `..`; its own path is {real}"
    child = -1
    for folder in (real, *real.parents):
        found = folder.lstat()
        if found.st_uid not in (0, server, *trusted):
            return f"{folder} belongs to the operating-system user {user_name(found.st_uid)}"
        if not stat.S_ISDIR(found.st_mode):
            return f"{folder} is not a directory"
        sticky = folder != real and found.st_mode & stat.S_ISVTX and child in (0, *trusted)
        if found.st_mode & _OTHERS_WRITE and not sticky:
            return f"other users may write in {folder} (mode {stat.S_IMODE(found.st_mode):o})"
        child = found.st_uid
    return ""

"""The process at the other end of a Unix socket."""

from __future__ import annotations

import socket
import struct


def peer_user(connected: socket.socket) -> int:
    """Return the user id of the process at the other end, from the kernel (unix(7), ``SO_PEERCRED``)."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return int(user)

"""Byte streams to clients of the daemon, which a peer reads and writes in the same way, encrypted or not."""

from __future__ import annotations

import socket
import struct
from enum import Enum
from typing import Protocol

CHUNK = 64 * 1024
"""Longest read, in bytes; so a frame that claims more costs no more memory than was sent.

From 128 KiB on glibc maps fresh memory for each read, whatever arrives: seven times the cost of reading a short frame.
"""
FIRST = 2 * 1024
"""Longest first read of a frame, in bytes. Most frames are shorter.

A waiting thread holds a block of this size, which Python shortens when the bytes arrive. Small objects then divide what
is free, and no later block of the same size fits there: with reads of ``CHUNK`` 32 busy clients cost 50 MiB a minute.
"""
NOW = socket.MSG_DONTWAIT


class Origin(Enum):
    """The listener to which a client connects. A value is its name in the metrics; each has a limit of connections."""

    OWN = "own"
    """The socket in the state directory, for the daemon's user and root."""
    GROUP = "group"
    """The socket of a group."""
    TLS = "tls"


class Stream(Protocol):
    """A connection's bytes. One thread at a time uses it, except that any may call ``end_receiving``."""

    @property
    def origin(self) -> Origin:
        """The listener to which the client is connected."""

    @property
    def user(self) -> int | None:
        """The client's operating-system user; ``None`` where the kernel does not know it."""

    @property
    def certificate(self) -> bytes:
        """The client's certificate in DER, which a trust anchor has signed; empty for none."""

    def fileno(self) -> int:
        """Return the descriptor, which is ready when there may be something to receive."""

    def recv(self, length: int, flags: int = 0, /) -> bytes:
        """Return bytes of the client; empty at their end.

        A stream keeps no whole record of its own back, so that the descriptor tells whether there is more.

        Args:
            length: About the maximum number of bytes.
            flags: ``NOW`` to fail with BlockingIOError where there are none yet.
        """

    def sendall(self, data: bytes, /) -> None:
        """Send all of the data."""

    def send_now(self, data: bytes, /) -> bytes:
        """Send the data without waiting, and return what ``send_rest`` still has to send."""

    def send_rest(self, rest: bytes, /) -> None:
        """Send what ``send_now`` has returned."""

    def end_receiving(self) -> None:
        """Let ``recv`` return the bytes that have arrived, and then the end."""

    def close(self) -> None:
        """Close the connection."""


def limit_waits(connected: socket.socket, seconds: int) -> None:
    """Limit each wait of a blocking socket.

    These are the kernel's time-outs, not ``settimeout``, which costs a poll(2) for every read and write.
    """
    limit = struct.pack("ll", seconds, 0)
    connected.setblocking(True)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


class PlainStream:
    """A stream over a socket as it is."""

    __slots__ = ("_send", "_socket", "fileno", "origin", "recv", "send_rest", "sendall", "user")

    certificate = b""

    def __init__(self, connected: socket.socket, seconds: int, origin: Origin, user: int) -> None:
        """Take a socket.

        Args:
            connected: The socket, whose waits get a limit.
            seconds: The limit.
            origin: The listener to which the client is connected.
            user: The client's operating-system user.
        """
        limit_waits(connected, seconds)
        self._socket = connected
        self.origin = origin
        self.user: int | None = user
        self._send = connected.send
        self.fileno = connected.fileno
        self.recv = connected.recv
        self.sendall = self.send_rest = connected.sendall

    def send_now(self, data: bytes, /) -> bytes:
        """Send the data without waiting, and return the rest."""
        try:
            return data[self._send(data, NOW) :]
        except OSError:
            return data

    def end_receiving(self) -> None:
        """Let ``recv`` return the bytes that have arrived, and then the end."""
        self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

"""The daemon's Unix socket. A client must have this process's user id, or be root (``SO_PEERCRED``, unix(7))."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

from bridge.carriers import peer
from bridge.carriers.streams import PlainStream
from bridge.process.peers import peer_user

_log = logging.getLogger("hsmbridge.daemon")


class UnixListener:
    """Listens at a path. The caller holds the lock of the state directory, so a socket that is there is stale."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.socket = _listen(path)
        self._bound = _identity(path)

    def accept(self) -> PlainStream | None:
        """Accept one connection; ``None`` if it is another user's.

        Raises:
            OSError: The kernel has no connection, or the process no descriptor for it.
        """
        connected, _ = self.socket.accept()
        if peer_user(connected) not in (os.geteuid(), 0):
            _log.warning("refused a connection of another user")
            connected.close()
            return None
        return PlainStream(connected, peer.FRAME_SECONDS)

    def close(self) -> None:
        """Stop listening, and remove the socket."""
        self.socket.close()
        # Another daemon's socket may be there now, if the state directory was moved and another one made.
        if _identity(self._path) == self._bound:
            self._path.unlink(missing_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and number of a file; ``None`` where it does not exist."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must be right from the first moment, so it comes from the mask and not from a later chmod.
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(128)
    listener.setblocking(False)
    return listener

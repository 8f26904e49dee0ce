"""A socket that another operating-system user's process serves."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

NOBODY = 65534


@contextmanager
def foreign_server(path: Path, user: int = NOBODY) -> Iterator[socket.socket]:
    """Serve a socket in another user's process, and yield a stream of the bytes that it receives.

    It ends a connection after the first bytes, so that a client that has sent a password does not wait.
    """
    received, told = socket.socketpair()
    process = get_context("fork").Process(target=_serve, args=(path, told, user))
    with received, told:
        process.start()
        try:
            assert received.recv(16) == b"ready"
            yield received
        finally:
            process.kill()
            process.join()


def _serve(path: Path, told: socket.socket, user: int) -> None:
    os.setgroups([])
    os.setuid(user)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o777)
        told.send(b"ready")
        while True:
            connected, _ = listener.accept()
            with connected:
                told.send(connected.recv(65536))

"""A relay between clients and a server: it delays every byte, or takes bytes and passes nothing on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue

_LIMIT = 60.0
"""Seconds after which a relayed connection without bytes ends."""

Queue = SimpleQueue[tuple[float, bytes]]


class Relay:
    """``delay`` is in seconds, one way. ``hole`` makes all connections half-open: the other end seems to be gone."""

    def __init__(self, listener: socket.socket, target: tuple[str, int]) -> None:
        self.delay = 0.0
        self.hole = False
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        self._target = target

    def serve(self) -> None:
        """Relay connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target, _LIMIT)
                client.settimeout(_LIMIT)
                for source, end in ((client, server), (server, client)):
                    queue: Queue = SimpleQueue()
                    for work in (self._receive, self._send):
                        threading.Thread(target=work, args=(source, end, queue), daemon=True).start()

    def _receive(self, source: socket.socket, _end: socket.socket, queue: Queue) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                queue.put((time.monotonic() + self.delay, data))
        queue.put((time.monotonic() + self.delay, b""))

    def _send(self, _source: socket.socket, end: socket.socket, queue: Queue) -> None:
        with suppress(OSError):
            while True:
                due, data = queue.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                if not self.hole:
                    end.sendall(data)
        if not self.hole:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relaying(host: str, target: tuple[str, int]) -> Iterator[Relay]:
    """Give a relay at a free port of a host."""
    with socket.create_server((host, 0)) as listener:
        relay = Relay(listener, target)
        thread = threading.Thread(target=relay.serve, daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)

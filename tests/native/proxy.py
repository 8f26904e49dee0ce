"""A socket between the library and an HSM: it counts the requests, and answers where a test wants it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.process.paths import socket_path
from bridge.protocol import codec

HELLO = 1
Answer = Callable[[bytes], bytes | None]
"""Returns the answer to a request, after which the connection closes; ``None`` to pass the request on."""


class Proxy:
    """Listens in a directory of its own and passes each frame on to the HSM of another one."""

    def __init__(self, home: Path, target: Path) -> None:
        self.home = home
        self._target = target
        self.requests: list[int] = []
        """The operation of each request but HELLO."""
        self.answer: Answer = lambda _request: None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._open: set[socket.socket] = set()
        self._stopped = False

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        self._listener.bind(str(socket_path(self.home)))
        self._listener.listen(64)
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stopped = True
            self._listener.shutdown(socket.SHUT_RDWR)
            thread.join(20)
            self._listener.close()
            self.disconnect()

    def disconnect(self) -> None:
        """Break every connection."""
        for connected in list(self._open):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def count(self) -> int:
        """Return how many requests there were, and forget them."""
        count = len(self.requests)
        self.requests.clear()
        return count

    def _accept(self) -> None:
        while not self._stopped:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            self._open.add(client)
            try:
                server.connect(str(socket_path(self._target)))
                while request := _frame(client):
                    operation = codec.decode_header(request)[0]
                    if operation != HELLO:
                        self.requests.append(operation)
                    answer = self.answer(request)
                    if answer is not None:
                        client.sendall(answer)
                        return
                    server.sendall(request)
                    client.sendall(_frame(server))
            except OSError:
                return
            finally:
                self._open.discard(client)


def _frame(connected: socket.socket) -> bytes:
    prefix = _exactly(connected, 4)
    return prefix + _exactly(connected, codec.frame_length(prefix) - 4) if prefix else b""


def _exactly(connected: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = connected.recv(length - len(received))
        if not part:
            return b""
        received += part
    return received

"""Worker threads of the daemon: each serves one connection at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.carriers.peer import Peer

SPARE = 16
"""Most workers that wait for a connection; any further one ends."""

Work = tuple["Peer", bytes, bytes]
"""A connection, the bytes that it has received, and the rest of an answer to send."""


class Workers:
    """Threads, as many as there are connections to serve. Each method may be called from any thread."""

    def __init__(self, serve: Callable[[Peer, bytes, bytes], None]) -> None:
        """Begin without threads; each will call ``serve``, which raises nothing, for one connection after another."""
        self._serve = serve
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = Lock()
        self._threads: set[Thread] = set()
        self._idle = 0
        self._closed = False

    def take(self, peer: Peer, received: bytes, unsent: bytes) -> None:
        """Serve a connection in a thread.

        Raises:
            RuntimeError: No further thread can be started.
        """
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._queue.put((peer, received, unsent))
                return
            thread = Thread(target=self._run, args=((peer, received, unsent),), name="worker", daemon=True)
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            self._threads.discard(thread)
            raise

    def _run(self, work: Work | None) -> None:
        while work is not None:
            self._serve(*work)
            with self._lock:
                if self._closed or self._idle >= SPARE:
                    break
                self._idle += 1
            work = self._queue.get()
        self._threads.discard(current_thread())

    def close(self, deadline: float) -> None:
        """End the threads, each after the connection that it serves.

        Args:
            deadline: End of the wait for them, as ``time.monotonic`` tells it.
        """
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            for _ in range(self._idle):
                self._queue.put(None)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

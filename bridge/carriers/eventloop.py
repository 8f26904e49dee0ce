"""Threads that serve many connections each, as long as these send nothing but repeated uses of keys.

Where every one of many connections has a thread, these take Python's lock from one another at each system call: eight
clients got half of what two got. So a connection's own thread lends it to a loop when it sees no other requests, and
has it back with the first bytes of anything else. Uses that take microseconds hold the lock from beginning to end, so
one thread serves all of them. Those that take longer let it go while they compute: they have a thread a processor. As
many connections as a loop has threads are served faster by their own, and not lent.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from threading import Lock, Thread
from typing import TYPE_CHECKING

from bridge.protocol import repeat
from bridge.protocol.repeat import Span

if TYPE_CHECKING:
    from hsmcore.sessions.session import Session

LOOK = 8
"""One in so many requests is looked at; two of a kind make a connection one to lend, which costs as much as a few."""
CHUNK = 64 * 1024
"""What is read at a time, in bytes; so a frame that claims more costs no more memory than was sent.

From 128 KiB on glibc maps fresh memory for each read, whatever arrives: seven times the cost of reading a short frame.
"""

_log = logging.getLogger("hsmbridge.eventloop")


class EventLoops:
    """A loop for each span of time that a use may take."""

    def __init__(self) -> None:
        self._loops = {Span.MICROSECONDS: _EventLoop(Span.MICROSECONDS, 1)}
        self._loops[Span.MILLISECONDS] = _EventLoop(Span.MILLISECONDS, max(2, os.cpu_count() or 0))

    def start(self) -> None:
        """Begin to take connections."""
        for loop in self._loops.values():
            loop.start()

    def close(self) -> None:
        """Give every connection back, and take no more."""
        for loop in self._loops.values():
            loop.close()

    def serve(self, connected: socket.socket, sessions: dict[int, Session], span: Span) -> bytes:
        """Answer on this connection until something else comes than repeated uses of this span; return that.

        Returns nothing where the peer has ended or the caller must look for itself. Raises ``OSError`` as ``sendall``.
        """
        return self._loops[span].serve(_Lent(connected, sessions))

    def leave(self, connected: socket.socket) -> None:
        """Count this connection no longer among those that ``serve`` was called for."""
        for loop in self._loops.values():
            loop.regulars.discard(connected.fileno())


class _EventLoop:
    def __init__(self, span: Span, threads: int) -> None:
        self._span = span
        self.regulars: set[int] = set()
        """The descriptors of connections with such uses only, lent or not."""
        self._lent: dict[int, _Lent] = {}
        self._lock = Lock()
        self._epoll = select.epoll()
        self._ender = os.eventfd(0)
        self._epoll.register(self._ender, select.EPOLLIN)
        # With several threads, one that has an event must be the only one, so each event is told once.
        self._events = select.EPOLLIN | (select.EPOLLONESHOT if threads > 1 else 0)
        self._threads = [Thread(target=self._run, name="event-loop", daemon=True) for _ in range(threads)]
        self._running = 0

    def start(self) -> None:
        self._running = len(self._threads)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        os.eventfd_write(self._ender, 1)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._epoll.close()
        os.close(self._ender)

    def serve(self, lent: _Lent) -> bytes:
        self.regulars.add(lent.descriptor)
        with self._lock:
            if self._running < len(self._threads) or not self._crowded():
                return b""
            # Before it is registered: the first event may come at once.
            self._lent[lent.descriptor] = lent
            try:
                self._epoll.register(lent.descriptor, self._events)
            except OSError:
                del self._lent[lent.descriptor]
                raise
        lent.back.acquire()
        if lent.unsent:
            lent.socket.sendall(lent.unsent)
        return lent.received

    def _crowded(self) -> bool:
        return len(self.regulars) > len(self._threads)

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:
            # Every connection has a thread of its own, so clients lose no more than some speed.
            _log.error("an event loop failed with %s", type(error).__qualname__)
            os.eventfd_write(self._ender, 1)
        finally:
            with self._lock:
                self._running -= 1
                for descriptor in () if self._running else tuple(self._lent):
                    self._give_back(descriptor)

    def _serve(self) -> None:
        poll, modify, lent, events = self._epoll.poll, self._epoll.modify, self._lent, self._events
        alone = len(self._threads) == 1
        while True:
            for descriptor, _ in poll(maxevents=-1 if alone else 1):
                if descriptor == self._ender:
                    return
                if not self._answered(lent[descriptor]):
                    self._give_back(descriptor)
                elif not alone:
                    modify(descriptor, events)

    def _answered(self, lent: _Lent) -> bool:
        """Answer what this connection has received; return false where its own thread must go on."""
        try:
            received = lent.receive(CHUNK, socket.MSG_DONTWAIT)
        except OSError:
            return False  # The thread meets the same error, and knows what to do.
        if repeat.span(received, lent.sessions) is not self._span:
            lent.received = received
            return False
        answer = b"".join(repeat.answer(memoryview(received), lent.sessions))
        try:
            sent = lent.send(answer, socket.MSG_DONTWAIT)
        except OSError:
            sent = 0
        lent.unsent = answer[sent:]
        return not lent.unsent and self._crowded()

    def _give_back(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)
        self._lent.pop(descriptor).back.release()


class _Lent:
    """A connection that a loop has, and what it goes back with: bytes that were received, and bytes to be sent."""

    __slots__ = ("back", "descriptor", "receive", "received", "send", "sessions", "socket", "unsent")

    def __init__(self, connected: socket.socket, sessions: dict[int, Session]) -> None:
        self.socket = connected
        self.descriptor = connected.fileno()
        self.receive = connected.recv
        self.send = connected.send
        self.sessions = sessions
        self.received = b""
        self.unsent = b""
        self.back = Lock()
        self.back.acquire()

"""The daemon: one HSM behind a Unix socket, a thread a connection, and event loops for many busy ones.

A peer must have this process's user id, or be root (``SO_PEERCRED``, unix(7)). What a peer sends or does not send costs
its own connection only: frames are read in bounded steps, an unfinished one has 30 seconds, and there are at most 256
connections.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from bridge.carriers.eventloop import CHUNK, LOOK, EventLoops
from bridge.process.hardening import harden
from bridge.process.logs import logging_to
from bridge.process.metrics import LOOPBACK, served
from bridge.process.paths import log_path, socket_path
from bridge.process.peers import peer_user
from bridge.protocol import codec, repeat
from bridge.protocol.codec import Value
from bridge.protocol.operations import NUMBERS
from bridge.protocol.repeat import Span
from bridge.server.dispatch import Dispatcher
from hsmcore import Hsm
from hsmcore.errors import HsmError, OperationLimit, RequestError

MAX_CONNECTIONS = 256
RESERVED_CONNECTIONS = 4
"""Connections above the maximum that answer HELLO and STATUS only, so that ``hsm status`` and ``hsm stop`` work."""
RESERVED_SECONDS = 5
"""How long such a connection may be idle, in seconds."""
FRAME_SECONDS = 30
"""How long a peer may take to send a frame it has begun, or to take an answer, in seconds."""
STOP_SECONDS = 5.0
"""How long answers under way are waited for at the end, in seconds."""

_CONTROL = (NUMBERS["HELLO"], NUMBERS["STATUS"])
_FULL = f"the daemon has {MAX_CONNECTIONS} connections; close some"

_log = logging.getLogger("hsmbridge.daemon")


def run(
    home: Path,
    *,
    passphrase: bytes | None = None,
    ready: Callable[[], None] | None = None,
    log_level: str = "info",
    metrics_port: int | None = None,
) -> None:
    """Serve the HSM in ``home`` until SIGTERM or SIGINT; call ``ready`` once the socket answers.

    Must be called in the main thread; hardens the process. Metrics are served where there is a port for them, 0 for any
    that is free. Raises ``StateError`` and its kinds, and ``OSError``, before ``ready``; logs to ``hsm.log``.
    """
    left = harden()
    with Hsm.open(home, passphrase=passphrase) as hsm, logging_to(log_path(home), log_level):
        for lack in left:
            _log.warning(lack)
        with served(hsm, metrics_port) as port:
            facts: dict[str, Value] = {"memory_locked": not left}
            if port is not None:
                facts["metrics"] = f"http://{LOOPBACK}:{port}/metrics"
                _log.info("metrics at %s", facts["metrics"])
            with closing(Server(hsm, socket_path(home), facts)) as server, _stopped_by_signals(server):
                _log.info("serving, pid %d", os.getpid())
                if ready is not None:
                    ready()
                server.serve()
        _log.info("stopped")


class Server:
    """Listens at ``path``. The caller holds the state directory's lock, so a socket that is there already is stale."""

    def __init__(self, hsm: Hsm, path: Path, facts: Mapping[str, Value] | None = None) -> None:
        """Listen; ``facts`` are what STATUS says besides."""
        self._path = path
        self._dispatcher = Dispatcher(hsm, facts)
        self._loops = EventLoops()
        self._peers: dict[_Peer, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._listener = _listen(path)
        self._bound = _identity(path)
        # Accepting is woken through a pipe: closing a listening socket does not wake accept(2) on Linux.
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)

    def serve(self) -> None:
        """Accept until ``stop``, then end every connection after the answer it is at and remove the socket."""
        try:
            self._loops.start()
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._wake_reader, selectors.EVENT_READ)
                while not self._stopping.is_set():
                    for key, _ in selector.select():
                        if key.fileobj is self._listener:
                            self._accept()
                        else:
                            self._wake_reader.recv(64)
        finally:
            self._end()

    @property
    def waker(self) -> int:
        """A file descriptor; whatever is written there lets ``serve`` look whether it is to stop."""
        return self._wake_writer.fileno()

    def stop(self) -> None:
        """Ask ``serve`` to return; may be called from a signal handler or any thread, more than once."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._wake_writer.send(b"\0")

    def _accept(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except OSError as error:
            # Out of descriptors: the peer stays in the queue; waiting keeps this loop from burning the processor.
            _log.warning("accept failed: %s", error)
            self._stopping.wait(0.1)
            return
        peer = _Peer(connected, self._dispatcher, self._loops, self._forget)
        if peer_user(connected) not in (os.geteuid(), 0):
            _log.warning("refused a connection of another user")
            peer.refuse(None)
            return
        with self._lock:
            peer.reserve(len(self._peers) >= MAX_CONNECTIONS)
            full = len(self._peers) >= MAX_CONNECTIONS + RESERVED_CONNECTIONS
            if not full:
                thread = threading.Thread(target=peer.run, name="connection", daemon=True)
                self._peers[peer] = thread
        if full:
            _log.warning("refused a connection: there are %d", MAX_CONNECTIONS)
            peer.refuse(OperationLimit(_FULL))
            return
        try:
            thread.start()
        except RuntimeError:
            _log.warning("refused a connection: no further thread can be started")
            self._forget(peer)
            peer.refuse(OperationLimit("the daemon cannot start a thread for the connection"))

    def _forget(self, peer: _Peer) -> None:
        with self._lock:
            self._peers.pop(peer, None)

    def _end(self) -> None:
        self._listener.close()
        # Another daemon's socket may be there now, if the state directory was moved and another one made.
        if _identity(self._path) == self._bound:
            self._path.unlink(missing_ok=True)
        with self._lock:
            remaining = dict(self._peers)
        for peer in remaining:
            peer.hang_up()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in remaining.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        self._loops.close()

    def close(self) -> None:
        """Let go of what ``stop`` and ``waker`` need; ``serve`` has returned."""
        self._wake_reader.close()
        self._wake_writer.close()


class _Peer:
    """One connection and the thread that serves it."""

    def __init__(
        self, connected: socket.socket, dispatcher: Dispatcher, loops: EventLoops, gone: Callable[[_Peer], None]
    ) -> None:
        self._socket = connected
        self._connection = dispatcher.connect()
        self._loops = loops
        self._gone = gone
        self._span: Span | None = None
        self._lend: Span | None = None
        self._reserved = False
        # The kernel's time-outs, not settimeout: that costs a poll(2) for every read and write.
        limit = struct.pack("ll", FRAME_SECONDS, 0)
        connected.setblocking(True)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def reserve(self, reserved: bool) -> None:
        """Answer HELLO and STATUS only, and end when idle; this connection is above the maximum."""
        self._reserved = reserved
        if reserved:
            limit = struct.pack("ll", RESERVED_SECONDS, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    def refuse(self, error: HsmError | None) -> None:
        """Close without serving, with an error response where the peer may know why."""
        if error is not None:
            self._send(codec.encode_error(0, 0, error.code, str(error)))
        self._socket.close()

    def hang_up(self) -> None:
        """Let no further request in; the answer that is under way is still sent."""
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            _log.debug("the peer was gone already")

    def run(self) -> None:
        """Answer frames until the peer ends, breaks the protocol, or is too slow."""
        try:
            self._serve()
        except RequestError as error:
            self._send(codec.encode_error(0, 0, error.code, str(error)))
        except OSError as error:
            _log.debug("connection ended: %s", error)
        except Exception as error:
            _log.error("connection failed with %s", type(error).__qualname__)
        finally:
            self._loops.leave(self._socket)
            self._socket.close()
            self._connection.close()
            self._gone(self)

    def _serve(self) -> None:
        send, connection = self._socket.sendall, self._connection
        for count, frame in enumerate(self._frames()):
            if self._reserved and codec.decode_header(frame)[0] not in _CONTROL:
                send(codec.encode_error(*codec.correlation(frame), OperationLimit.code, _FULL))
                return
            send(connection.answer(frame))
            if connection.broken:
                return
            if not count % LOOK:
                self._look(frame)

    def _look(self, frame: bytes) -> None:
        """Note what the peer is doing: what it was doing at the last look too makes it one to lend."""
        span = repeat.span(frame, self._connection.sessions)
        self._lend = span if span is self._span else None
        if span is not self._span:
            self._loops.leave(self._socket)
            self._span = span

    def _frames(self) -> Iterator[bytes]:
        """Yield whole frames; end with the stream. Raises ``RequestError`` where it cannot be followed further."""
        pending = b""
        while True:
            if not pending:
                pending = self._receive()
                if not pending:
                    return
            if len(pending) < 4:
                pending = self._complete(pending, 4)
            length = codec.frame_length(pending)
            if len(pending) < length:
                pending = self._complete(pending, length)
            if len(pending) == length:
                frame, pending = pending, b""
            else:
                frame, pending = pending[:length], pending[length:]
            yield frame

    def _receive(self) -> bytes:
        """Return what comes next, nothing at the end of the stream."""
        span, self._lend = self._lend, None
        if span is not None and (received := self._loops.serve(self._socket, self._connection.sessions, span)):
            return received
        while True:
            try:
                return self._socket.recv(CHUNK)
            except BlockingIOError:
                if self._reserved:
                    return b""
                continue  # Idle between frames, which is allowed.

    def _complete(self, pending: bytes, length: int) -> bytes:
        """Return at least ``length`` bytes. Raises ``OSError`` where the peer ends or takes too long."""
        deadline = time.monotonic() + FRAME_SECONDS
        buffer = bytearray(pending)
        while len(buffer) < length:
            part = self._socket.recv(min(length - len(buffer), CHUNK))
            if not part:
                raise ConnectionResetError("the peer ended inside a frame")
            if time.monotonic() > deadline:
                raise TimeoutError("the peer took too long over a frame")
            buffer += part
        return bytes(buffer)

    def _send(self, frame: bytes) -> None:
        try:
            self._socket.sendall(frame)
        except OSError as error:
            _log.debug("the peer did not take the answer: %s", error)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and number of a file, ``None`` where it does not exist."""
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


@contextmanager
def _stopped_by_signals(server: Server) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        server.stop()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    # Python runs a handler between two instructions; for a signal that comes right before `select` that is too late.
    waker = signal.set_wakeup_fd(server.waker)
    try:
        yield
    finally:
        signal.set_wakeup_fd(waker)
        for number, handler in previous.items():
            signal.signal(number, handler)

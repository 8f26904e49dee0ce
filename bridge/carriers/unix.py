"""The daemon: one HSM behind a Unix socket.

A client must have this process's user id, or be root (``SO_PEERCRED``, unix(7)). A client that sends garbage, half a
frame or nothing affects its own connection only: the daemon reads frames in bounded steps, waits 30 seconds for the
rest of one, has at most 256 connections, and ends the oldest one without a login for one more.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from bridge.carriers.peer import Peer, turns
from bridge.carriers.workers import Workers
from bridge.process.hardening import harden
from bridge.process.logs import logging_to
from bridge.process.metrics import LOOPBACK, served
from bridge.process.paths import log_path, socket_path
from bridge.process.peers import peer_user
from bridge.protocol.codec import Value
from bridge.server.dispatch import Dispatcher
from hsmcore import Hsm
from hsmcore.errors import OperationLimit

MAX_CONNECTIONS = 256
RESERVED_CONNECTIONS = 4
"""Connections above the maximum. They answer HELLO and STATUS of commands, so that ``hsm status`` and ``stop`` work."""
STOP_SECONDS = 5.0
"""Longest wait at the end for the answers in progress, in seconds."""
ACCEPT_SECONDS = 0.1
"""Pause after a connection that could not be accepted, in seconds."""

_log = logging.getLogger("hsmbridge.daemon")


def run(
    home: Path,
    *,
    passphrase: bytes | None = None,
    ready: Callable[[], None] | None = None,
    log_level: str = "info",
    metrics_port: int | None = None,
    backup_days: int | None = None,
) -> None:
    """Serve an HSM until SIGTERM or SIGINT, and log to ``hsm.log``. Hardens the process; runs in the main thread only.

    Args:
        home: The state directory.
        passphrase: Passphrase of the master key, ``None`` if it has none.
        ready: Called once the socket answers.
        log_level: A name of ``bridge.process.logs.LEVELS``.
        metrics_port: Port for the metrics, 0 for a free one, ``None`` for no metrics.
        backup_days: Days for which automatic backups are kept, ``None`` for no automatic backups.

    Raises:
        StateError: The HSM cannot be opened; raised before ``ready`` is called.
        OSError: The socket, the log or the port cannot be opened; raised before ``ready`` is called.
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
                if backup_days is not None:
                    hsm.start_backups(backup_days)
                if ready is not None:
                    ready()
                server.serve()
        _log.info("stopped")


class Server:
    """Listens at a path and serves each client that connects.

    The thread that calls ``serve`` waits for all connections, and answers the repeated operations that take
    microseconds. A worker thread serves a connection that sends anything else.
    """

    def __init__(self, hsm: Hsm, path: Path, facts: Mapping[str, Value] | None = None) -> None:
        """Listen.

        Args:
            hsm: The HSM. The caller holds the lock of its state directory, so a socket at ``path`` is stale.
            path: Path of the socket.
            facts: Fields to add to the answer to STATUS.
        """
        self._path = path
        self._dispatcher = Dispatcher(hsm, facts)
        self._workers = Workers(self._work)
        self._turns = turns()
        self._peers: dict[int, Peer] = {}
        """All connections by descriptor; ``_epoll`` has those that no worker serves."""
        self._due: float | None = None
        """Time of ``time.monotonic`` at which the wait for connections ends."""
        self._stopping = False
        self._reserved: list[Peer] = []
        """The connections above the maximum, the oldest first."""
        self._listener = _listen(path)
        self._bound = _identity(path)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._epoll = select.epoll()
        for own in (self._listener, self._wake_reader):
            self._epoll.register(own, select.EPOLLIN)

    def serve(self) -> None:
        """Serve until ``stop``, then end every connection after the answer in progress and remove the socket."""
        deadline = 0.0
        try:
            while not self._stopping:
                self._serve_ready()
                if self._due is not None and time.monotonic() >= self._due:
                    self._due = None
                    self._epoll.modify(self._listener, select.EPOLLIN)
            self._epoll.unregister(self._listener)
            self._due = deadline = time.monotonic() + STOP_SECONDS
            for peer in list(self._peers.values()):
                peer.hang_up()
            while self._peers and time.monotonic() < deadline:
                self._serve_ready()
        finally:
            self._listener.close()
            # Another daemon's socket may be there now, if the state directory was moved and another one made.
            if _identity(self._path) == self._bound:
                self._path.unlink(missing_ok=True)
            self._workers.close(deadline)
            self._epoll.close()

    @property
    def waker(self) -> int:
        """A file descriptor; any byte written to it makes ``serve`` check whether to stop."""
        return self._wake_writer.fileno()

    def stop(self) -> None:
        """Ask ``serve`` to return. May be called from a signal handler or any thread, more than once."""
        self._stopping = True
        self._wake()

    def close(self) -> None:
        """Close the file descriptors that ``stop`` and ``waker`` use; call it after ``serve`` has returned."""
        self._wake_reader.close()
        self._wake_writer.close()

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            _log.debug("serve is awake, or has returned")

    def _serve_ready(self) -> None:
        """Wait until clients have sent something, and answer it or hand it over to workers."""
        timeout = -1 if self._due is None else max(0.0, self._due - time.monotonic())
        peers = self._peers
        for descriptor, _ in self._epoll.poll(timeout, 64):
            peer = peers.get(descriptor)
            if peer is not None:
                if (work := peer.answer_now()) is not None:
                    self._hand_over(peer, *work)
            elif descriptor == self._listener.fileno():
                self._accept()
            else:
                self._wake_reader.recv(64)

    def _accept(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except OSError as error:
            # Out of descriptors: the client stays in the queue. Without a pause the loop would keep a processor busy.
            _log.warning("accept failed: %s", error)
            self._epoll.modify(self._listener, 0)
            self._due = time.monotonic() + ACCEPT_SECONDS
            return
        if peer_user(connected) not in (os.geteuid(), 0):
            _log.warning("refused a connection of another user")
            connected.close()
            return
        full = len(self._peers) >= MAX_CONNECTIONS and not self._make_room()
        limit = OperationLimit(f"the daemon has {MAX_CONNECTIONS} connections; close some") if full else None
        peer = Peer(connected, self._dispatcher.connect(), limit)
        if limit is not None and not self._reserve(peer):
            _log.warning("refused a connection: there are %d", MAX_CONNECTIONS)
            peer.send_error(limit)
            peer.close()
            return
        self._peers[peer.descriptor] = peer
        self._watch(peer)

    def _make_room(self) -> bool:
        """End the oldest connection without a login; return whether there was one."""
        # A list, because workers end connections meanwhile.
        for peer in list(self._peers.values()):
            if peer.anonymous:
                peer.hang_up()
                return True
        return False

    def _reserve(self, peer: Peer) -> bool:
        """Add a connection above the maximum, and end the oldest such connection if there are too many.

        Returns:
            Whether there is room.
        """
        self._reserved = [one for one in self._reserved if self._peers.get(one.descriptor) is one]
        if len(self._reserved) >= 2 * RESERVED_CONNECTIONS:
            return False
        self._reserved.append(peer)
        for oldest in self._reserved[:-RESERVED_CONNECTIONS]:
            oldest.hang_up()
        return True

    def _watch(self, peer: Peer) -> None:
        try:
            self._epoll.register(peer.descriptor, select.EPOLLIN)
        except (OSError, ValueError) as error:
            _log.warning("ended a connection: %s", error)
            self._end(peer)

    def _hand_over(self, peer: Peer, received: bytes, unsent: bytes) -> None:
        self._epoll.unregister(peer.descriptor)
        try:
            self._workers.take(peer, received, unsent)
        except RuntimeError:
            _log.warning("ended a connection: no further thread can be started")
            peer.send_error(OperationLimit("the daemon cannot start a thread for the connection"))
            self._end(peer)

    def _work(self, peer: Peer, received: bytes, unsent: bytes) -> None:
        """Serve a connection in a worker's thread."""
        if peer.serve(received, unsent, self._turns):
            self._watch(peer)
        else:
            self._end(peer)

    def _end(self, peer: Peer) -> None:
        # Forgotten before it is closed: the next connection can get the same descriptor.
        del self._peers[peer.descriptor]
        peer.close()
        if self._stopping:
            self._wake()


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

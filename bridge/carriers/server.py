"""The daemon: one HSM behind a Unix socket and, if wanted, a socket for a group, and TLS on TCP ports.

A client that sends garbage, half a frame or nothing affects its own connection only: the daemon reads frames in bounded
steps, waits 30 seconds for the rest of one, has at most 256 connections of each origin, and ends the oldest one of the
same origin without a login for one more.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Thread
from types import FrameType

from bridge.carriers.peer import Peer, turns
from bridge.carriers.streams import CHUNK, Origin, Stream
from bridge.carriers.tls import Handshakes, TlsListener, TlsStream, reminding
from bridge.carriers.unix import GroupSocket, UnixListener
from bridge.carriers.workers import Workers
from bridge.process import backing_up
from bridge.process.addresses import Address
from bridge.process.hardening import harden
from bridge.process.logs import logging_to
from bridge.process.metrics import LOOPBACK, served
from bridge.process.paths import log_path, socket_path
from bridge.process.peers import group_name, user_name
from bridge.protocol.codec import Value
from bridge.server.dispatch import Dispatcher
from bridge.server.faults import Faults
from hsmcore import Hsm
from hsmcore.errors import OperationLimit

MAX_CONNECTIONS = 256
RESERVED_CONNECTIONS = 4
"""Connections of each origin above the maximum.

They answer HELLO and STATUS of commands, so that ``hsm status`` and ``stop`` work.
"""
STOP_SECONDS = 5.0
"""Longest wait at the end for the answers in progress, in seconds."""
ACCEPT_SECONDS = 0.1
"""Pause after a connection that could not be accepted, in seconds."""

_log = logging.getLogger("hsmbridge.daemon")


def run(
    home: Path,
    *,
    passphrase: bytes | None = None,
    make: Callable[[], Hsm] | None = None,
    ready: Callable[[], None] | None = None,
    log_level: str = "info",
    metrics_port: int | None = None,
    backup_days: int | None = None,
    listen: Sequence[Address] = (),
    group: GroupSocket | None = None,
    until_eof: bool = False,
) -> None:
    """Serve an HSM until SIGTERM or SIGINT, and log to ``hsm.log``. Hardens the process; runs in the main thread only.

    Args:
        home: The state directory, or that of the socket of an HSM in memory.
        passphrase: Passphrase of the master key, ``None`` if it has none.
        make: Returns an HSM in memory, which has no log; ``None`` opens that of the state directory.
        ready: Called once the socket answers.
        log_level: A name of ``bridge.process.logs.LEVELS``.
        metrics_port: Port for the metrics, 0 for a free one, ``None`` for no metrics.
        backup_days: Days for which automatic backups are kept, ``None`` for no automatic backups.
        listen: TCP addresses for TLS; port 0 is a free one.
        group: A socket for a group beside that of the state directory, ``None`` for none.
        until_eof: Also end when standard input ends, as it does at the end of the process that has its other side.

    Raises:
        StateError: The HSM cannot be opened, or an address not used; raised before ``ready`` is called.
        CertificateMissing: The HSM has no certificate for TLS; raised before ``ready`` is called.
        OSError: The socket, the log or the port cannot be opened; raised before ``ready`` is called.
    """
    left = harden()
    log = logging_to(log_path(home), log_level) if make is None else nullcontext()
    with make() if make else Hsm.open(home, passphrase=passphrase) as hsm, log:
        for lack in left:
            _log.warning(lack)
        faults = Faults.of(hsm)
        with ExitStack() as stack:
            facts: dict[str, Value] = {"memory_locked": not left, "ephemeral": make is not None, "home": str(home)}
            further = stack.enter_context(_listening(hsm, listen, group, facts))
            server = stack.enter_context(closing(Server(hsm, socket_path(home), facts, further, faults)))
            port = stack.enter_context(served(hsm, metrics_port, lambda: faults.hits, server.connections))
            if port is not None:
                facts["metrics"] = f"http://{LOOPBACK}:{port}/metrics"
                _log.info("metrics at %s", facts["metrics"])
            stack.enter_context(_stopped_by_signals(server))
            _log.info("serving, pid %d", os.getpid())
            if until_eof:
                Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
            if backup_days is not None and make is None:
                hsm.start_backups(backup_days, backing_up.COMMAND)
            if ready is not None:
                ready()
            server.serve()
        _log.info("stopped")


@contextmanager
def _listening(
    hsm: Hsm, listen: Sequence[Address], group: GroupSocket | None, facts: dict[str, Value]
) -> Iterator[list[UnixListener | TlsListener]]:
    """Listen for TLS and for a group, and add the places to the answer to STATUS."""
    with ExitStack() as stack:
        remote = [stack.enter_context(closing(TlsListener(hsm, address))) for address in listen]
        if remote:
            stack.enter_context(reminding(hsm))
            facts["listen"] = ", ".join(str(listener.address) for listener in remote)
            _log.info("TLS at %s", facts["listen"])
        hsm.set_address(", ".join(place for listener in remote if (place := listener.reachable())))
        if group is None:
            yield [*remote]
            return
        local = stack.enter_context(closing(UnixListener.for_group(group)))
        facts["group_socket"] = str(socket_path(group.directory))
        _log.info("the group %s at %s", group_name(group.group), facts["group_socket"])
        yield [local, *remote]


class Server:
    """Listens at a path, and at TCP ports, and serves each client that connects.

    The thread that calls ``serve`` waits for all connections, and answers the repeated operations that take
    microseconds. A worker thread serves a connection that sends anything else.
    """

    def __init__(
        self,
        hsm: Hsm,
        path: Path,
        facts: Mapping[str, Value] | None = None,
        further: Sequence[UnixListener | TlsListener] = (),
        faults: Faults | None = None,
    ) -> None:
        """Listen.

        Args:
            hsm: The HSM. The caller holds the lock of its state directory, so a socket at ``path`` is stale.
            path: Path of the socket.
            facts: Fields to add to the answer to STATUS.
            further: Listeners for TLS and for a group, which the caller closes.
            faults: The faults of the HSM, ``None`` for new ones.
        """
        self._mtls = hsm.mtls
        self._dispatcher = Dispatcher(hsm, facts, faults)
        self._workers = Workers(self._work)
        self._turns = turns()
        self._peers: dict[int, Peer] = {}
        """All connections by descriptor; ``_epoll`` has those that no worker serves."""
        self._due: float | None = None
        """Time of ``time.monotonic`` at which the wait for connections ends."""
        self._stopping = False
        self._reserved: list[Peer] = []
        """The connections above the maximum, the oldest first."""
        self._unix = UnixListener(path)
        listeners: list[UnixListener | TlsListener] = [self._unix, *further]
        self._listeners = {listener.socket.fileno(): listener for listener in listeners}
        self._handshakes = Handshakes()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._epoll = select.epoll()
        for own in (*self._listeners, self._wake_reader.fileno()):
            self._epoll.register(own, select.EPOLLIN)
        hsm.mtls.on_change(self._expel)

    def serve(self) -> None:
        """Serve until ``stop``, then end every connection after the answer in progress and remove the socket."""
        deadline = 0.0
        try:
            while not self._stopping:
                self._serve_ready()
                if self._due is not None and time.monotonic() >= self._due:
                    self._due = None
                    for listener in self._listeners:
                        self._epoll.modify(listener, select.EPOLLIN)
            for listener in self._listeners:
                self._epoll.unregister(listener)
            self._handshakes.end_all()
            self._due = deadline = time.monotonic() + STOP_SECONDS
            for peer in list(self._peers.values()):
                peer.hang_up()
            while self._peers and time.monotonic() < deadline:
                self._serve_ready()
        finally:
            self._unix.close()
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

    def connections(self) -> Counter[tuple[str, str]]:
        """Count the connections by origin and operating-system user, who is empty over TLS."""
        peers = list(self._peers.values())
        return Counter((peer.origin.value, "" if peer.user is None else user_name(peer.user)) for peer in peers)

    def close(self) -> None:
        """Remove the socket, and close the descriptors that ``stop`` and ``waker`` use, after ``serve`` or without."""
        self._unix.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            _log.debug("serve is awake, or has returned")

    def _serve_ready(self) -> None:
        """Wait until clients have sent something, and answer it or hand it over to workers."""
        peers = self._peers
        for descriptor, _ in self._epoll.poll(self._timeout(), 64):
            peer = peers.get(descriptor)
            if peer is not None:
                if (work := peer.answer_now()) is not None:
                    self._hand_over(peer, *work)
            elif descriptor in self._handshakes:
                if (stream := self._handshakes.go_on(descriptor)) is not None:
                    self._admit(stream)
            elif (listener := self._listeners.get(descriptor)) is not None:
                self._accept(listener)
            else:
                self._wake_reader.recv(64)
        if self._handshakes:
            self._handshakes.end_late()

    def _timeout(self) -> float:
        """Return the seconds until the next thing to do without a client; -1 for none."""
        due = self._due
        if self._handshakes:
            due = min(self._handshakes.deadline(), due or float("inf"))
        return -1 if due is None else max(0.0, due - time.monotonic())

    def _accept(self, listener: UnixListener | TlsListener) -> None:
        try:
            stream = listener.accept()
        except OSError as error:
            # Out of descriptors: the client stays in the queue. Without a pause the loop would keep a processor busy.
            _log.warning("accept failed: %s", error)
            self._epoll.modify(listener.socket, 0)
            self._due = time.monotonic() + ACCEPT_SECONDS
            return
        if isinstance(stream, TlsStream):
            self._handshakes.add(stream)
            self._epoll.register(stream.fileno(), select.EPOLLIN)
        elif stream is not None:
            self._admit(stream)

    def _admit(self, stream: Stream) -> None:
        """Serve a connection from now on, or refuse it if there are too many."""
        full = self._count(stream.origin) >= MAX_CONNECTIONS and not self._make_room(stream.origin)
        limit = OperationLimit(f"the daemon has {MAX_CONNECTIONS} connections; close some") if full else None
        responder = self._dispatcher.connect(
            guest=stream.origin is not Origin.OWN,
            mutual=bool(stream.certificate),
            user=stream.user if stream.origin is Origin.GROUP else None,
        )
        peer = Peer(stream, responder, limit)
        if limit is not None and not self._reserve(peer):
            _log.warning("refused a connection: there are %d", MAX_CONNECTIONS)
            peer.send_error(limit)
            peer.close()
            return
        self._peers[peer.descriptor] = peer
        if isinstance(stream, TlsStream) and stream.rules != self._mtls.generation:
            self._expel()
        if stream.origin is not Origin.TLS:
            self._watch(peer)
        elif (work := peer.answer_now()) is None:
            # The first request may have arrived with the end of the handshake, so that the descriptor never tells.
            return
        else:
            self._hand_over(peer, *work)

    def _expel(self) -> None:
        """End the connections that the trust anchors of clients no longer allow. Any thread may call it."""
        for peer in list(self._peers.values()):
            if peer.origin is Origin.TLS and not self._mtls.admits(peer.certificate):
                peer.expel()

    def _count(self, origin: Origin) -> int:
        # A list, because workers end connections meanwhile.
        return sum(peer.origin is origin for peer in list(self._peers.values()))

    def _make_room(self, origin: Origin) -> bool:
        """End the oldest connection of an origin without a login; return whether there was one."""
        for peer in list(self._peers.values()):
            if peer.anonymous and peer.origin is origin:
                peer.hang_up()
                return True
        return False

    def _reserve(self, peer: Peer) -> bool:
        """Add a connection above the maximum, and end the oldest one of its origin if there are too many.

        Returns:
            Whether there is room.
        """
        self._reserved = [one for one in self._reserved if self._peers.get(one.descriptor) is one]
        alike = [one for one in self._reserved if one.origin is peer.origin]
        if len(alike) >= 2 * RESERVED_CONNECTIONS:
            return False
        self._reserved.append(peer)
        for oldest in [*alike, peer][:-RESERVED_CONNECTIONS]:
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


def _stop_at_eof(server: Server) -> None:
    with suppress(OSError):
        while os.read(0, CHUNK):
            pass
    server.stop()


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

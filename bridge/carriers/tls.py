"""TLS 1.3 for the daemon: a TCP listener, handshakes that never wait, and the encrypted stream.

A handshake has ten seconds. There are at most 64 at a time, and a further one ends the oldest. The kernel ends a
connection whose client has vanished within two minutes.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from bridge.carriers import peer
from bridge.carriers.streams import CHUNK, FIRST, NOW, Origin, limit_waits
from bridge.process.addresses import Address
from hsmcore import Hsm
from hsmcore.errors import HsmError, StateError

HANDSHAKE_SECONDS = 10.0
"""Time limit of a handshake, in seconds."""
MAX_HANDSHAKES = 64
"""Maximum number of handshakes at a time."""
_KEEP_ALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}
"""Seconds of silence before the first probe, seconds between probes, and lost probes that end a connection (tcp(7))."""
_PEM_END = "-----END CERTIFICATE-----"
_EVERY = ("0.0.0.0", "::")  # noqa: S104  # compared, not listened at
REMINDER_SECONDS = 24 * 3600.0
"""Time between warnings about the end of the certificate, in seconds."""

_log = logging.getLogger("hsmbridge.tls")


class TlsListener:
    """Listens at a TCP port, with the certificate that the HSM has at the time of each connection."""

    def __init__(self, hsm: Hsm, address: Address) -> None:
        """Listen at an address; port 0 is any free port.

        Raises:
            CertificateMissing: The HSM has no certificate.
            StateError: The address cannot be used.
        """
        self._hsm = hsm
        self._generation = self._newest()
        self._rules = hsm.mtls.generation
        """The generation of the trust anchors in the context."""
        self._context = server_context(hsm)
        self.socket = _listen(address)
        self.address = Address(address.host, self.socket.getsockname()[1])

    def reachable(self) -> str:
        """Return the address for clients: that of the listener or, if it listens at every address, a certified name."""
        if self.address.host not in _EVERY:
            return str(self.address)
        facts = self._hsm.tls.certificate()
        return str(Address(facts.names[0], self.address.port)) if facts is not None and facts.names else ""

    def accept(self) -> TlsStream:
        """Accept one connection, whose handshake is still to be made.

        Raises:
            OSError: The kernel has no connection, or the process no descriptor for it.
        """
        connected, _ = self.socket.accept()
        if self._generation != self._newest():
            self._renew()
        return TlsStream(connected, self._context, self._rules)

    def _newest(self) -> tuple[int, int]:
        return self._hsm.tls.generation, self._hsm.mtls.generation

    def _renew(self) -> None:
        self._generation = self._newest()
        rules = self._hsm.mtls.generation
        try:
            self._context, self._rules = server_context(self._hsm), rules
        except (HsmError, OSError) as error:
            _log.error("the new certificates cannot be used, and the earlier ones go on: %s", error)

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


@contextmanager
def reminding(hsm: Hsm) -> Iterator[None]:
    """Warn in the log, now and every day until the end of the block, if the HSM's certificate ends soon."""
    ended = Event()

    def remind() -> None:
        while True:
            if ending := hsm.tls.ending():
                _log.warning("%s", ending)
            if ended.wait(REMINDER_SECONDS):
                return

    thread = Thread(target=remind, name="certificate", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def server_context(hsm: Hsm) -> ssl.SSLContext:
    """Return the TLS settings of a server with the HSM's certificate and its trust anchors of clients.

    Raises:
        CertificateMissing: The HSM has no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Connections last, so there are no sessions to resume; each handshake checks the client's certificate.
    context.num_tickets = 0
    password = os.urandom(24).hex()
    identity = hsm.tls.identity(password.encode())
    # The ssl module reads files only. This one has no name on a disk, and the key in it is encrypted.
    descriptor = os.memfd_create("identity")
    try:
        os.write(descriptor, identity.chain + identity.key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=password)
    finally:
        os.close(descriptor)
    _ask_clients(context, hsm)
    return context


def _ask_clients(context: ssl.SSLContext, hsm: Hsm) -> None:
    """Ask clients for a certificate, if there are trust anchors."""
    anchors = hsm.mtls.anchors().values()
    if hsm.mtls.enforced or anchors:
        # Without enforcement a client may have no certificate; one that it has must be good.
        context.verify_mode = ssl.CERT_REQUIRED if hsm.mtls.enforced else ssl.CERT_OPTIONAL
        # An anchor need not be self-signed. The certificates of its issuers prove it, and are trusted for nothing else.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        for chain in anchors:
            context.load_verify_locations(cadata=chain[: chain.index(_PEM_END) + len(_PEM_END)])


def _listen(address: Address) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(place[:2], family=family, backlog=128)
    except OSError as error:
        raise StateError(f"the daemon cannot listen at {address}: {error.strerror}; choose another --listen") from error
    listener.setblocking(False)
    return listener


class TlsStream:
    """An encrypted stream. ``handshake`` never waits; the rest is as ``bridge.carriers.streams.Stream`` has it."""

    __slots__ = ("_incoming", "_outgoing", "_socket", "_tls", "_unread", "client", "deadline", "fileno", "rules")

    origin = Origin.TLS
    user = None

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, rules: int) -> None:
        """Take an accepted TCP connection; ``rules`` is the generation of the trust anchors in the context."""
        self._socket = connected
        self.rules = rules
        self.fileno = connected.fileno
        limit_waits(connected, peer.FRAME_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE.items():
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._unread = True
        """True until records that arrived with the end of the handshake are read."""
        self.deadline = time.monotonic() + HANDSHAKE_SECONDS
        """Time of ``time.monotonic`` at which the handshake must be done."""
        self.client = str(_peer_address(connected))
        """The client's address, for the log."""

    def handshake(self) -> bool:
        """Go on with the handshake as far as the client has sent it, and return whether it is done.

        Raises:
            ConnectionResetError: The client ended.
            OSError: The handshake failed.
        """
        try:
            received = self._socket.recv(CHUNK, NOW)
        except BlockingIOError:
            return False
        if not received:
            raise ConnectionResetError("the client ended in the handshake")
        self._incoming.write(received)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            # The answers of a handshake fit into the empty buffer of a new connection.
            if self._outgoing.pending:
                self._socket.send(self._outgoing.read(), NOW)
        return True

    @property
    def certificate(self) -> bytes:
        """The client's certificate in DER, which a trust anchor has signed; empty if it has shown none."""
        return self._tls.getpeercert(binary_form=True) or b""

    def recv(self, length: int, flags: int = 0, /) -> bytes:
        """Return decrypted bytes, all of the whole records that have arrived; empty at the client's end.

        Raises:
            BlockingIOError: No whole record is there, and ``flags`` say not to wait.
            TimeoutError: A record took too long to arrive.
        """
        # Blocks of one small size for almost every record: ``FIRST`` of ``streams`` says why.
        length = max(length, FIRST)
        data = b""
        if self._unread:
            self._unread = False
            data = self._decrypted(length)
        deadline = 0.0
        while not data:
            # So that a thread that waits has no block at all.
            if not flags and not self._socket.recv(1, socket.MSG_PEEK):
                return b""
            received = self._socket.recv(length, flags)
            if not received:
                return b""
            self._incoming.write(received)
            data = self._decrypted(length)
            if data or self._incoming.eof:
                break
            # Records may arrive in parts, or have no data. One that is longer than a small block comes with the next.
            if flags:
                raise BlockingIOError
            length = CHUNK
            now = time.monotonic()
            deadline = deadline or now + peer.FRAME_SECONDS
            if now > deadline:
                raise TimeoutError("the client took too long over a record")
        return data

    def _decrypted(self, length: int) -> bytes:
        parts = []
        try:
            data = self._tls.read(length)
            # A record may be longer than what was asked for.
            if not self._incoming.pending and len(data) < length:
                return data
            parts.append(data)
            while self._incoming.pending or self._tls.pending():
                parts.append(self._tls.read(length))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._incoming.write_eof()
        except ssl.SSLError:
            self._alert()
            raise
        return b"".join(parts)

    def _encrypted(self, data: bytes) -> bytes:
        written = self._tls.write(data)
        if written < len(data):
            view = memoryview(data)
            while written < len(data):
                written += self._tls.write(view[written:])
        return self._outgoing.read()

    def sendall(self, data: bytes, /) -> None:
        """Encrypt and send all of the data."""
        if len(data) <= CHUNK:
            self._socket.sendall(self._encrypted(data))
            return
        view = memoryview(data)
        for start in range(0, len(data), CHUNK):
            self._socket.sendall(self._encrypted(bytes(view[start : start + CHUNK])))

    def send_now(self, data: bytes, /) -> bytes:
        """Encrypt the data, send without waiting, and return the encrypted rest."""
        encrypted = self._encrypted(data)
        try:
            return encrypted[self._socket.send(encrypted, NOW) :]
        except OSError:
            return encrypted

    def send_rest(self, rest: bytes, /) -> None:
        """Send what ``send_now`` has returned."""
        self._socket.sendall(rest)

    def end_receiving(self) -> None:
        """Let ``recv`` return the bytes that have arrived, and then the end."""
        self._socket.shutdown(socket.SHUT_RD)

    def _alert(self) -> None:
        """Send what TLS has to say about the end, if the client takes it at once."""
        try:
            if self._outgoing.pending:
                self._socket.send(self._outgoing.read(), NOW)
        except OSError:
            _log.debug("the client did not take the end of TLS")

    def close(self) -> None:
        """Close the connection, and tell the client so."""
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):
            # The client's own end of TLS is not waited for.
            self._alert()
        self._socket.close()


def _peer_address(connected: socket.socket) -> Address | str:
    try:
        name = connected.getpeername()
    except OSError:
        return "a client that is gone"
    return Address(name[0], name[1])


class Handshakes:
    """The streams whose handshake is not done, by descriptor, the oldest first. One thread uses it."""

    def __init__(self) -> None:
        self._streams: dict[int, TlsStream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._streams

    def deadline(self) -> float:
        """Return the time of ``time.monotonic`` at which ``end_late`` has something to do; there is a handshake."""
        return next(iter(self._streams.values())).deadline

    def add(self, stream: TlsStream) -> None:
        """Take a new stream. Ends the oldest if there are too many."""
        if len(self._streams) >= MAX_HANDSHAKES:
            self._end(next(iter(self._streams)), "there are too many handshakes")
        self._streams[stream.fileno()] = stream

    def go_on(self, descriptor: int) -> TlsStream | None:
        """Go on with one handshake, and return the stream if it is done, which is then no longer here."""
        stream = self._streams[descriptor]
        try:
            if not stream.handshake():
                return None
        except OSError as error:
            self._end(descriptor, str(error))
            return None
        return self._streams.pop(descriptor)

    def end_late(self) -> None:
        """End the handshakes that have reached their time limit."""
        now = time.monotonic()
        while self._streams and self.deadline() <= now:
            self._end(next(iter(self._streams)), f"it took more than {HANDSHAKE_SECONDS:.0f} seconds")

    def end_all(self) -> None:
        """End all handshakes."""
        for descriptor in list(self._streams):
            self._end(descriptor, "the daemon stops")

    def _end(self, descriptor: int, why: str) -> None:
        stream = self._streams.pop(descriptor)
        _log.info("the TLS handshake with %s failed: %s", stream.client, why)
        stream.close()

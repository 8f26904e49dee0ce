"""Python client of an HSM: calls operations by name, over the daemon's socket, TLS, or in the same process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from bridge.process.addresses import Address
from bridge.process.configuration import Certificates, Servers, named, servers
from bridge.process.environment import answer_seconds, passphrase
from bridge.process.paths import socket_path
from bridge.process.peers import group_name, peer_user, replaceable, user_name
from bridge.protocol import codec
from bridge.protocol.codec import Value
from bridge.protocol.operations import NUMBERS
from hsmcore.errors import HsmError, MalformedRequest

if TYPE_CHECKING:
    from bridge.server.dispatch import Responder
    from hsmcore.hsm import Hsm

TIMEOUT = 120.0
"""Longest wait for one answer, in seconds; generating a 4096-bit RSA key takes a few."""


class DaemonUnreachable(HsmError):
    """No daemon answers on the socket, or the connection broke before the answer."""


class DaemonSilent(DaemonUnreachable):
    """The daemon has not answered in time."""


class DaemonForeign(HsmError):
    """Another operating-system user serves the socket."""


class DaemonClosed(HsmError):
    """This operating-system user may not connect to the socket."""


class Channel(Protocol):
    """Carrier of one connection."""

    def exchange(self, frame: bytes) -> bytes:
        """Send one request frame and return the response frame."""

    def close(self) -> None:
        """Close the connection."""


class Client:
    """One connection to an HSM.

    Every call after ``LOGIN`` or ``LOGIN_MFA`` uses that session, until ``LOGOUT``. Use it as a context manager, from
    one thread at a time.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._request = 0
        self.session = 0
        """Token of the session, 0 before login."""

    @classmethod
    def connect(cls, home: Path, timeout: float | None = None) -> Self:
        """Connect to the daemon of a state directory.

        Args:
            home: The state directory.
            timeout: Longest wait for one answer, in seconds; ``None`` for that of HSM_TIMEOUT, or ``TIMEOUT``.

        Raises:
            DaemonUnreachable: No daemon answers.
        """
        return cls._greeted(SocketChannel.at(socket_path(home), _seconds(timeout)))

    @classmethod
    def connect_to(cls, servers: Servers, timeout: float | None = None) -> Self:
        """Connect to the first server of a configuration that answers.

        Args:
            servers: The servers.
            timeout: Longest wait for one answer, in seconds; ``None`` as in ``connect``.

        Raises:
            DaemonUnreachable: No server answers.
        """
        refusals = []
        for place in servers.places:
            try:
                return cls._greeted(SocketChannel.of(place, servers.certificates, _seconds(timeout)))
            except DaemonUnreachable as error:
                refusals.append(str(error))
        raise DaemonUnreachable("; ".join(refusals))

    @classmethod
    def local(cls, hsm: Hsm) -> Self:
        """Return a client of an HSM that is open in this process."""
        # Imported here, so that a client of a daemon does not load the key store and its libraries.
        from bridge.server.dispatch import Dispatcher

        return cls._greeted(LocalChannel(Dispatcher(hsm).connect()))

    @classmethod
    def _greeted(cls, channel: Channel) -> Self:
        client = cls(channel)
        try:
            client.call("HELLO", codec.VERSION, codec.VERSION, "hsm")
        except BaseException:
            channel.close()
            raise
        return client

    def call(self, operation_name: str, *fields: Value) -> tuple[Value, ...]:
        """Call one operation and return its results.

        Args:
            operation_name: A name of the operations table.
            fields: The request's fields in order.

        Raises:
            HsmError: The HSM refused; the class is that of ``hsmcore.errors`` with the error's code.
            MalformedRequest: The answer is not understood.
            DaemonUnreachable: The connection broke; the HSM may have executed the operation.
        """
        self._request += 1
        frame = codec.encode_request(NUMBERS[operation_name], self.session, self._request, fields)
        results = self._results(self.channel.exchange(frame))
        if operation_name in ("LOGIN", "LOGIN_MFA") and isinstance(results[0], int):
            self.session = results[0]
        elif operation_name == "LOGOUT":
            self.session = 0
        return results

    def found_keys(self, search_template: Mapping[str, Value]) -> list[Mapping[str, Value]]:
        """Return the records of all keys that a search template selects, page by page.

        Args:
            search_template: The attributes to look for.

        Raises:
            HsmError: The HSM refused.
        """
        found: list[Mapping[str, Value]] = []
        after: Value = None
        while True:
            page, after = self.call("FIND_KEYS", dict(search_template), 0, after)
            found += [record for record in page if isinstance(record, dict)] if isinstance(page, list) else []
            if after is None:
                return found

    def _results(self, frame: bytes) -> tuple[Value, ...]:
        status, _, request = codec.decode_header(frame)
        values = tuple(codec.decode_values(frame))
        if status:
            message = str(values[0]) if values else ""
            raise _ERRORS.get(status, HsmError)(message)
        if request != self._request:
            raise MalformedRequest("the response belongs to another request")
        return values

    def close(self) -> None:
        """Close the connection; the session ends with it unless another connection uses it."""
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _seconds(timeout: float | None) -> float:
    return answer_seconds(TIMEOUT) if timeout is None else timeout


@contextmanager
def connected(
    home: Path, timeout: float | None = None, configuration: Path | None = None, cluster_id: str = ""
) -> Iterator[Client]:
    """Yield a client of the daemon or, if no daemon runs, of the HSM opened in this process.

    Args:
        home: The state directory.
        timeout: Longest wait for one answer of the daemon, in seconds; ``None`` as in ``Client.connect``.
        configuration: A configuration file, whose servers are used instead; ``None`` for that of HSM_CONFIG, if
            HSM_HOME is not set.
        cluster_id: The id of a cluster in that file; empty for the first one.

    Raises:
        DaemonSilent: A daemon runs and does not answer.
    """
    if (configuration := configuration or named()) is not None:
        with Client.connect_to(servers(configuration, cluster_id), timeout) as client:
            yield client
        return
    try:
        client = Client.connect(home, timeout)
    except DaemonSilent:
        raise
    except DaemonUnreachable:
        from hsmcore import Hsm

        with Hsm.open(home, passphrase=passphrase(), start=False) as hsm, Client.local(hsm) as local:
            yield local
    else:
        with client:
            yield client


class LocalChannel:
    """Channel to a responder in the same process; the calling thread runs the operation."""

    def __init__(self, responder: Responder) -> None:
        self.exchange = responder.answer
        self.close = responder.close


class SocketChannel:
    """Channel to a daemon over a connected socket."""

    def __init__(
        self, connected: socket.socket, peer: str, refusal: Callable[[socket.socket, OSError], str] = lambda *_: ""
    ) -> None:  # fmt: skip
        """Take a socket.

        Args:
            connected: The socket.
            peer: The name of the other end in messages.
            refusal: Returns the reason why the other end refuses the connection, after an error; empty if it does not.
        """
        self._socket = connected
        self._peer = peer
        self._refusal = refusal

    @classmethod
    def at(cls, path: Path, timeout: float) -> Self:
        """Connect to a Unix socket; ``timeout`` is the longest wait for one answer, in seconds.

        Raises:
            DaemonUnreachable: No daemon answers at ``path``.
            DaemonForeign: Another user serves it.
            DaemonClosed: This user may not connect.
        """
        return cls(_unix(path, timeout), f"the daemon at {path}")

    @classmethod
    def of(cls, place: Path | Address, certificates: Certificates, timeout: float) -> Self:
        """Connect to a server of a configuration; ``timeout`` is the longest wait for one answer, in seconds.

        Raises:
            DaemonUnreachable: No HSM answers there, or its certificate is refused.
            DaemonForeign: Another user serves the socket.
            DaemonClosed: This user may not connect to the socket.
        """
        if isinstance(place, Path):
            return cls.at(place, timeout)
        # Imported here, so that a client of a daemon on this machine does not load TLS.
        from bridge.carriers import remote

        return cls(remote.connected(place, certificates, timeout), f"the HSM at {place}", remote.refusal)

    def exchange(self, frame: bytes) -> bytes:
        """Send one request frame and return the response frame.

        Raises:
            DaemonUnreachable: The connection broke.
            DaemonSilent: The answer took too long.
        """
        try:
            self._socket.sendall(frame)
            prefix = self._read(4)
            return prefix + self._read(codec.frame_length(prefix) - 4)
        except TimeoutError as error:
            self.close()
            raise DaemonSilent(
                f"{self._peer} has not answered for {self._socket.gettimeout():g} s; it may execute the operation yet"
            ) from error
        except OSError as error:
            reason = self._refusal(self._socket, error)
            self.close()
            if reason:
                raise DaemonUnreachable(f"{self._peer} refuses the connection: {reason}") from error
            raise DaemonUnreachable(
                f"{self._peer} went away before it answered ({error}); it may have executed the operation"
            ) from error

    def _read(self, length: int) -> bytes:
        buffer = bytearray()
        while len(buffer) < length:
            part = self._socket.recv(min(length - len(buffer), 1 << 20))
            if not part:
                raise ConnectionResetError("connection closed")
            buffer += part
        return bytes(buffer)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _unix(path: Path, timeout: float) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(timeout)
    try:
        connected.connect(str(path))
    except PermissionError as error:
        connected.close()
        raise DaemonClosed(_closed(path)) from error
    except OSError as error:
        connected.close()
        raise DaemonUnreachable(f"no daemon answers at {path} ({error.strerror}); `hsm start` starts one") from error
    try:
        _require_trusted(path, peer_user(connected))
    except BaseException:
        connected.close()
        raise
    return connected


def _closed(path: Path) -> str:
    """Return the message about a socket to which this user may not connect."""
    user = user_name(os.geteuid())
    try:
        group = group_name(path.stat().st_gid)
    except OSError:
        return f"the operating-system user {user} may not enter {path.parent}, the directory of the socket"
    return f"the operating-system user {user} may not connect to {path}; the members of its group, {group}, may"


def _require_trusted(path: Path, server: int) -> None:
    """Check the user of a daemon, before a password is sent to it.

    This user and root are trusted. So is the owner of the socket's directory if nobody else could have made it.

    Raises:
        DaemonForeign: The user is not trusted.
    """
    own = os.geteuid()
    if server in (own, 0):
        return
    try:
        owner = path.parent.lstat().st_uid
        reason = replaceable(path.parent, server, own) if server == owner else ""
    except OSError as error:
        owner, reason = -1, f"{path.parent}: {error.strerror}"
    if server != owner or reason:
        raise DaemonForeign(
            f"the operating-system user {user_name(server)} serves {path}, not user {user_name(own)}"
            f"{f', and {reason}' if reason else ''}; nothing was sent there"
        )


def _coded(base: type[HsmError]) -> Iterator[tuple[int, type[HsmError]]]:
    for kind in base.__subclasses__():
        if "code" in vars(kind):
            yield kind.code, kind
        yield from _coded(kind)


_ERRORS: dict[int, type[HsmError]] = dict(_coded(HsmError))

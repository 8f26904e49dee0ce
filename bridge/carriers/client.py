"""Python client of an HSM: calls operations by name, over the daemon's socket or in the same process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from bridge.process.environment import passphrase
from bridge.process.paths import socket_path
from bridge.process.peers import peer_user
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


class DaemonForeign(HsmError):
    """Another operating-system user serves the socket."""


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
    def connect(cls, home: Path, timeout: float = TIMEOUT) -> Self:
        """Connect to the daemon of a state directory.

        Args:
            home: The state directory.
            timeout: Longest wait for one answer, in seconds.

        Raises:
            DaemonUnreachable: No daemon answers.
        """
        return cls._greeted(SocketChannel(socket_path(home), timeout))

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


@contextmanager
def connected(home: Path, timeout: float = TIMEOUT) -> Iterator[Client]:
    """Yield a client of the daemon or, if no daemon runs, of the HSM opened in this process.

    Args:
        home: The state directory.
        timeout: Longest wait for one answer of the daemon, in seconds.
    """
    try:
        client = Client.connect(home, timeout)
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
    """Channel to the daemon at a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        """Connect; ``timeout`` is the longest wait for one answer, in seconds.

        Raises:
            DaemonUnreachable: No daemon answers at ``path``.
        """
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise DaemonUnreachable(
                f"no daemon answers at {path} ({error.strerror}); `hsm start` starts one"
            ) from error
        self._require_own_server()

    def _require_own_server(self) -> None:
        """Check that this user, root or, for root, the directory's owner serves the socket, before a password is sent.

        Raises:
            DaemonForeign: Another user serves it.
        """
        own = os.geteuid()
        server, owner = peer_user(self._socket), self._path.parent.stat().st_uid
        if server not in (own, 0) and (own, server) != (0, owner):
            self._socket.close()
            raise DaemonForeign(
                f"the operating-system user {server} serves {self._path}, not user {own}; nothing was sent there"
            )

    def exchange(self, frame: bytes) -> bytes:
        """Send one request frame and return the response frame.

        Raises:
            DaemonUnreachable: The connection broke, or the answer took too long.
        """
        try:
            self._socket.sendall(frame)
            prefix = self._read(4)
            return prefix + self._read(codec.frame_length(prefix) - 4)
        except OSError as error:
            self.close()
            raise DaemonUnreachable(
                f"the daemon at {self._path} went away before it answered ({error}); it may have executed the operation"
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


def _coded(base: type[HsmError]) -> Iterator[tuple[int, type[HsmError]]]:
    for kind in base.__subclasses__():
        if "code" in vars(kind):
            yield kind.code, kind
        yield from _coded(kind)


_ERRORS: dict[int, type[HsmError]] = dict(_coded(HsmError))

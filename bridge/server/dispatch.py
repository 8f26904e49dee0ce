"""Request bytes to a call of the HSM to response bytes, whatever the carrier; which connection uses which session."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock, Timer
from typing import TYPE_CHECKING

from bridge.protocol import repeat
from bridge.protocol.codec import (
    Value,
    correlation,
    decode_header,
    decode_values,
    encode_bytes_response,
    encode_error,
    encode_frame,
    encode_values,
)
from bridge.protocol.operations import OPERATIONS, Operation, Result
from bridge.server.handlers import Connection as Joined
from bridge.server.handlers import Handlers
from bridge.server.keystores import Stores
from hsmcore.errors import HsmError, MalformedRequest, RequestError, Unauthenticated, UnknownOperation

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session

GRACE = 10.0
"""How long a session waits for a client that reconnects, after its last connection has closed, in seconds."""

_log = logging.getLogger("hsmbridge.dispatch")

Answer = Callable[[int, int, object], bytes]
"""Makes a response of session token, request id and what the handler returned."""


@dataclass(frozen=True, slots=True)
class _Route:
    """A row of the operations table with its handler bound to one HSM."""

    operation: Operation
    signatures: frozenset[tuple[type, ...]]
    call: Callable[..., object]
    needs_session: bool
    repeats: bool
    answer: Answer


class Dispatcher:
    """Answers the requests of every connection to one HSM. All methods may be called from any thread."""

    def __init__(self, hsm: Hsm, facts: Mapping[str, Value] | None = None) -> None:
        """Serve this HSM; ``facts`` are what STATUS says besides."""
        self._hsm = hsm
        self.facts = facts or {}
        self._stores = Stores(hsm)
        self._lock = Lock()
        self._connections: dict[int, set[Joined]] = {}
        self._deserted: dict[int, float] = {}
        """When the sessions end whose last connection has closed, by token."""
        self._timer: Timer | None = None
        handlers = Handlers(hsm, self)
        self.routes = {row.number: self._route(row, handlers) for row in OPERATIONS}

    def _route(self, row: Operation, handlers: Handlers) -> _Route:
        call = self._handler(row, handlers)
        return _Route(row, row.signatures(), call, row.needs_session, row.number in repeat.KINDS, _ANSWERS[row.result])

    def _handler(self, row: Operation, handlers: Handlers) -> Callable[..., object]:
        service, _, method = row.handler.rpartition(".")
        owner: object = self._stores if method.startswith("store_") else handlers
        if service:
            owner = getattr(self._hsm, service, None)
        handler: Callable[..., object] | None = getattr(owner, method, None)
        if handler is None:
            raise LookupError(f"operation {row.name} names the handler {row.handler!r}, which does not exist")
        return handler

    def connect(self) -> Connection:
        """Return the state of a new connection; close it when its peer is gone."""
        return Connection(self)

    def join(self, token: int, connection: Joined) -> Session:
        """Count the connection among those that keep the session alive. Raises ``Unauthenticated``."""
        with self._lock:
            if connection.closed:
                raise Unauthenticated("the connection is closed")
            session = self._hsm.users.session(token)
            self._connections.setdefault(token, set()).add(connection)
            self._deserted.pop(token, None)
            connection.sessions[token] = session
            return session

    def keep(self, session: Session, operation: int, fields: list[Value]) -> int:
        """Return the number with which a request that was answered can be repeated with other data, or 0."""
        return repeat.keep(self._hsm, session, operation, fields)

    def end(self, token: int) -> None:
        """End the session for every connection; unknown ones are let be."""
        with self._lock:
            for connection in self._connections.get(token, ()):
                connection.sessions.pop(token, None)
            self._end(token, self._hsm.users.logout)

    def leave(self, connection: Connection) -> None:
        """Take the connection away; end the sessions that no other has used, at once or after ``GRACE``."""
        with self._lock:
            connection.closed = True
            tokens = list(connection.sessions)
            connection.sessions.clear()
            for token in tokens:
                others = self._connections[token]
                others.discard(connection)
                if not others and connection.reconnects:
                    self._deserted[token] = time.monotonic() + GRACE
                    self._end_later()
                elif not others:
                    self._end(token, self._hsm.users.abandon)

    def _end_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._deserted:
            return
        self._timer = Timer(max(0.0, min(self._deserted.values()) - time.monotonic()), self._end_deserted)
        self._timer.daemon = True
        try:
            self._timer.start()
        except RuntimeError:
            _log.warning("no thread can be started for the end of a session; it ends after the next one's")

    def _end_deserted(self) -> None:
        with self._lock:
            now = time.monotonic()
            for token in [token for token, end in self._deserted.items() if end <= now]:
                self._end(token, self._hsm.users.abandon)
            self._end_later()

    def _end(self, token: int, end: Callable[[Session], None]) -> None:
        self._connections.pop(token, None)
        self._deserted.pop(token, None)
        try:
            end(self._hsm.users.session(token))
        except Unauthenticated:
            _log.debug("a session had ended before its connections")


class Connection:
    """One client's connection: the sessions it has used.

    ``broken`` is set once a frame was so damaged that the bytes after it cannot be trusted; a carrier with a stream
    then sends the answer and closes. ``reconnects`` is set where the client connects again after one has broken.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._routes = dispatcher.routes
        self.sessions: dict[int, Session] = {}
        self.closed = False
        self.broken = False
        self.reconnects = False

    def close(self) -> None:
        """End the connection, and each session that no other connection uses, as ``Dispatcher.leave`` says."""
        self._dispatcher.leave(self)

    def answer(self, frame: bytes) -> bytes:
        """Answer one frame. Never raises an ``Exception``: whatever happens becomes an error response."""
        if frame[4:8] == repeat.MARK:
            return b"".join(repeat.answer(memoryview(frame), self.sessions))
        return self.answer_values(frame)

    def answer_values(self, frame: bytes) -> bytes:
        """Answer one frame whose body is values, which is any but a REPEAT. Never raises an ``Exception``."""
        try:
            operation, token, request = decode_header(frame)
        except RequestError as error:
            self.broken = True
            return encode_error(*correlation(frame), error.code, str(error))
        try:
            route = self._routes.get(operation)
            if route is None:
                raise UnknownOperation(f"there is no operation {operation}")
            fields = decode_values(frame)
            if tuple(map(type, fields)) not in route.signatures:
                raise MalformedRequest(f"{route.operation.name} takes {route.operation.expected()}")
            if route.needs_session:
                session = self.sessions.get(token) or self._dispatcher.join(token, self)
                result = route.call(session, *fields)
                if route.repeats and not request:
                    request = self._dispatcher.keep(session, operation, fields)
                return route.answer(token, request, result)
            return route.answer(token, request, route.call(self, *fields))
        except HsmError as error:
            return encode_error(token, request, error.code, str(error))
        except Exception as error:
            _log_defect(operation, error)
            return encode_error(token, request, HsmError.code, "internal error; the HSM's log says where")


def _log_defect(operation: int, error: Exception) -> None:
    """Log type and place of an unexpected exception; not its message and no values, which might be secret."""
    places = "".join(traceback.format_tb(error.__traceback__))
    _log.error("operation %d failed with %s\n%s", operation, type(error).__qualname__, places)


def _answer_bytes(token: int, request: int, result: object) -> bytes:
    if type(result) is not bytes:
        raise TypeError(f"the handler returned {type(result).__name__} for bytes")
    return encode_bytes_response(token, request, result)


def _answer_value(token: int, request: int, result: Value) -> bytes:
    return encode_frame(0, token, request, encode_values((result,)))


def _answer_values(token: int, request: int, result: object) -> bytes:
    if type(result) is not tuple:
        raise TypeError(f"the handler returned {type(result).__name__} for several values")
    return encode_frame(0, token, request, encode_values(result))


def _answer_nothing(token: int, request: int, result: object) -> bytes:
    return encode_frame(0, token, request, b"")


_ANSWERS: dict[Result, Answer] = {
    Result.BYTES: _answer_bytes,
    Result.VALUE: _answer_value,
    Result.VALUES: _answer_values,
    Result.NOTHING: _answer_nothing,
}

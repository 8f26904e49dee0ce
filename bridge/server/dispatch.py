"""Dispatcher of requests: decodes a frame, calls the HSM, and encodes the answer. All carriers share it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    with_request,
)
from bridge.protocol.operations import OPERATIONS, Operation, Result
from bridge.server.changes import REPEATED, UNIQUE, identified, rebuilt
from bridge.server.connections import Connection, Connections
from bridge.server.cryptoki import Cryptoki
from bridge.server.faults import ConnectionCut, CutAfterwards, Faults
from bridge.server.handlers import Handlers
from bridge.server.keystores import Stores
from hsmcore.errors import (
    ChangeMade,
    HsmError,
    MalformedRequest,
    PermissionDenied,
    RequestError,
    Unauthenticated,
    UnknownOperation,
)

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session

_log = logging.getLogger("hsmbridge.dispatch")

Answer = Callable[[int, int, object], bytes]
"""Encodes a response from session token, request id and the handler's result."""


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
    """Answers the requests of every connection to one HSM. Each method may be called from any thread."""

    def __init__(self, hsm: Hsm, facts: Mapping[str, Value] | None = None, faults: Faults | None = None) -> None:
        """Serve this HSM.

        Args:
            hsm: The HSM.
            facts: Fields to add to the answer to STATUS.
            faults: The faults of the HSM, ``None`` for new ones.
        """
        self.hsm = hsm
        self._stores = Stores(hsm)
        self.connections = Connections(hsm)
        self._cryptoki = Cryptoki(hsm, self.connections)
        self.faults = faults or Faults.of(hsm)
        handlers = Handlers(hsm, self.connections, facts or {}, self.faults)
        self.routes = {row.number: self._route(row, handlers) for row in OPERATIONS}

    def _route(self, row: Operation, handlers: Handlers) -> _Route:
        call = self.faults.wrapped(row.name, self._handler(row, handlers))
        return _Route(row, row.signatures(), call, row.needs_session, row.number in repeat.KINDS, _ANSWERS[row.result])

    def _handler(self, row: Operation, handlers: Handlers) -> Callable[..., object]:
        service, _, method = row.handler.rpartition(".")
        owner: object = handlers
        for prefix, own in (("store_", self._stores), ("cryptoki", self._cryptoki)):
            if method.startswith(prefix):
                owner = own
        if service:
            owner = getattr(self.hsm, service, None)
        handler: Callable[..., object] | None = getattr(owner, method, None)
        if handler is None:
            raise LookupError(f"operation {row.name} names the handler {row.handler!r}, which does not exist")
        return handler

    def connect(self, *, guest: bool = False, mutual: bool = False, user: int | None = None) -> Responder:
        """Open a connection, which the caller closes, and return its responder.

        Args:
            guest: The client is neither the owner of the state directory nor root, and gets no local operations.
            mutual: The client has shown a certificate of a trust anchor.
            user: The operating-system user, for the audit log; ``None`` for none.
        """
        return Responder(self, Connection(guest=guest, mutual=mutual, user=user))

    def has_session(self, token: int) -> bool:
        """Tell whether a session with this token is alive."""
        try:
            return self.hsm.users.session(token).alive
        except Unauthenticated:
            return False

    def keep(self, session: Session, operation: int, fields: list[Value]) -> int:
        """Return the number that repeats a request with other data, 0 if it cannot be repeated."""
        if self.faults.active:
            return 0
        return repeat.keep(self.hsm, session, operation, fields)


class Responder:
    """Answers the frames of one connection.

    ``broken`` is true after a frame with a damaged header: the bytes after it cannot be trusted, so a carrier with a
    stream sends the answer and closes the connection.
    """

    def __init__(self, dispatcher: Dispatcher, connection: Connection) -> None:
        self._dispatcher = dispatcher
        self._routes = dispatcher.routes
        self._connection = connection
        self.sessions = self._connection.sessions
        self.broken = False
        self.cut = b""
        """Bytes in place of an answer, before the carrier closes the connection."""

    def has_session(self, token: int) -> bool:
        """Tell whether a session with this token is alive, whichever connection uses it."""
        return self._dispatcher.has_session(token)

    @property
    def reconnects(self) -> bool:
        """True after the HELLO of a program, which connects again when a connection breaks; a command does not."""
        return self._connection.reconnects

    def close(self) -> None:
        """Close the connection, which ends each session that no other connection uses."""
        self._dispatcher.connections.close(self._connection)

    def answer(self, frame: bytes) -> bytes:
        """Answer one frame. Every ``Exception`` becomes an error response."""
        if frame[4:8] == repeat.MARK:
            return b"".join(repeat.answer(memoryview(frame), self.sessions))
        return self.answer_values(frame)

    def answer_values(self, frame: bytes) -> bytes:
        """Answer one frame with values in its body, as all but REPEAT have. Every ``Exception`` becomes a response."""
        try:
            operation, token, request = decode_header(frame)
        except RequestError as error:
            self.broken = True
            return encode_error(*correlation(frame), error.code, str(error))
        try:
            return self._respond(operation, token, request, frame)
        except HsmError as error:
            return encode_error(token, request, error.code, str(error))
        except ConnectionCut:
            self.broken = True
            return self.cut
        except Exception as error:
            _log_defect(operation, error)
            return encode_error(token, request, HsmError.code, "internal error; the HSM's log says where")

    def _respond(self, operation: int, token: int, request: int, frame: bytes) -> bytes:
        """Run the operation and return its response.

        Raises:
            UnknownOperation: There is no operation with this number.
            MalformedRequest: The fields do not fit the operation.
            PermissionDenied: The operation is local, and the client a guest.
        """
        route = self._routes.get(operation)
        if route is None:
            raise UnknownOperation(f"there is no operation {operation}")
        fields = decode_values(frame)
        if tuple(map(type, fields)) not in route.signatures:
            raise MalformedRequest(f"{route.operation.name} takes {route.operation.expected()}")
        if route.needs_session:
            session = self.sessions.get(token) or self._dispatcher.connections.join(token, self._connection)
            if request & UNIQUE:
                return self._once(route, session, request, fields)
            result = route.call(session, *fields)
            if route.repeats and not request:
                request = self._dispatcher.keep(session, operation, fields)
            return route.answer(token, request, result)
        if route.operation.local and self._connection.guest:
            raise PermissionDenied(f"{route.operation.name} is for the owner of the state directory, and for root")
        return route.answer(token, request, route.call(self._connection, *fields))

    def _once(self, route: _Route, session: Session, request: int, fields: list[Value]) -> bytes:
        """Run a request, or return its first answer.

        Raises:
            ConnectionCut: The connection closes after the work. The answer is kept.
        """
        cut: list[ConnectionCut] = []
        number, repeated = request & ~REPEATED, bool(request & REPEATED)

        def run() -> bytes:
            try:
                with identified(self._dispatcher.hsm, session, route.operation, number, repeated=repeated):
                    result = route.call(session, *fields)
            except CutAfterwards as error:
                cut.append(error)
                result = error.result
            except ChangeMade as error:
                result = rebuilt(self._dispatcher.hsm, session, route.operation, error)
            return route.answer(session.token, number, result)

        response = self._dispatcher.connections.changes.once(session.token, number, run)
        if cut:
            raise cut[0]
        return with_request(response, request) if repeated else response


def _log_defect(operation: int, error: Exception) -> None:
    """Log the type and the place of an unexpected exception, without message and values, which might be secret."""
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

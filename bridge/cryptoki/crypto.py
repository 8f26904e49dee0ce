"""The functions of active operations: Init, one call, Update, Final.

Each of them takes as its last argument the operation to begin first: the C library answers a repeated Init call
itself, from the ticket of an earlier one, and sends it along with the next call. The last result is then a new ticket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.cryptoki import operations
from bridge.cryptoki.application import Application, CryptokiSession
from bridge.cryptoki.failures import Refused, code_of
from bridge.cryptoki.numbers import Rv
from bridge.cryptoki.operations import KINDS, Operation
from hsmcore.errors import HsmError, NotCaughtUp

Init = list[object] | None
"""Mechanism, parameter and object handle of an operation to begin."""
Outputs = list[object]

LONGEST_HELD = 64 * 1024
"""Longest data of a part, in bytes, that is processed where its output clearly does not fit the caller's buffer."""


class TooSmall(Refused):
    """The caller's buffer is too small. The operation goes on."""

    def __init__(self, outputs: Outputs) -> None:
        super().__init__(Rv.BUFFER_TOO_SMALL, outputs)


def begin(app: Application, session: CryptokiSession, kind: str, init: list[object]) -> list[object]:
    """Begin an operation and return its ticket.

    Raises:
        Refused: The session has one of this kind, or the operation is refused.
    """
    if kind in session.operations:
        raise Refused(Rv.OPERATION_ACTIVE)
    match init:
        case [int(number), list(fields), int(key)]:
            pass
        case _:
            raise Refused(Rv.ARGUMENTS_BAD)
    operation = operations.begin(app, KINDS[kind], number, fields, key)
    session.operations[kind] = operation
    return operations.ticket(app, operation)


def init(kind: str) -> Callable[..., Outputs]:
    """Return ``C_<kind>Init``."""

    def run(app: Application, handle: int, number: int, fields: list[object], key: int, pending: Init) -> Outputs:
        with app.session(handle) as session:
            if pending is not None:
                begin(app, session, kind, pending)
            return [begin(app, session, kind, [number, fields, key])]

    return run


@contextmanager
def _active(
    app: Application, handle: int, kind: str, pending: Init
) -> Iterator[tuple[CryptokiSession, Operation, Outputs]]:
    """Yield a session with its active operation, and the ticket if that begins now, which errors then have as result.

    Raises:
        Refused: ``CKR_OPERATION_NOT_INITIALIZED``, or an error of the block.
        TooSmall: An error of the block.
        NotCaughtUp: An error of the block.
    """
    with app.session(handle) as session:
        ticket: Outputs = [] if pending is None else [begin(app, session, kind, pending)]
        operation = session.operations.get(kind)
        if operation is None:
            raise Refused(Rv.OPERATION_NOT_INITIALIZED)
        try:
            yield session, operation, ticket
        except (TooSmall, NotCaughtUp):
            raise
        except Refused as refused:
            raise Refused(refused.rv, ticket) from None
        except HsmError as error:
            raise Refused(code_of(error), ticket) from None


def _ending(app: Application, session: CryptokiSession, kind: str, run: Callable[[], Outputs]) -> Outputs:
    """Run the end of an operation, which is over whatever happens, unless the buffer is too small.

    Raises:
        TooSmall: The output does not fit, and the operation goes on.
    """
    try:
        outputs = run()
    except TooSmall:
        raise
    except Exception:
        session.operations.pop(kind).abort(app)
        raise
    del session.operations[kind]
    return outputs


def _require_whole(operation: Operation) -> None:
    if operation.parts is not None:
        raise Refused(Rv.OPERATION_ACTIVE)


def once(kind: str) -> Callable[..., Outputs]:
    """Return ``C_<kind>``: result, its length, the IV that the HSM chose."""

    def run(app: Application, handle: int, data: bytes, capacity: int | None, pending: Init) -> Outputs:
        with _active(app, handle, kind, pending) as (session, operation, ticket):
            _require_whole(operation)
            if capacity is None:
                return [None, operation.result_bytes(len(data)), b"", *ticket]

            def end() -> Outputs:
                result, iv = operations.run_once(app, operation, data)
                return [*_fitting(result, capacity, ticket), iv, *ticket]

            return _ending(app, session, kind, end)

    return run


def _fitting(result: bytes, capacity: int, ticket: Outputs) -> Outputs:
    if len(result) > capacity:
        raise TooSmall([None, len(result), b"", *ticket])
    return [result, len(result)]


def update(kind: str) -> Callable[..., Outputs]:
    """Return ``C_<kind>Update`` of a kind that has output."""

    def run(app: Application, handle: int, data: bytes, capacity: int | None, pending: Init) -> Outputs:
        with _active(app, handle, kind, pending) as (session, operation, ticket):
            if capacity is None:
                _require_parts(app, session, kind, operation)
                return [None, len(data) + operations.MARGIN, b"", *ticket]
            _require_parts(app, session, kind, operation)
            if capacity < len(data) > LONGEST_HELD:
                # So much output is not kept for a second call.
                raise TooSmall([None, len(data), b"", *ticket])
            output = _continued(app, session, kind, lambda: operations.update(app, operation, data))
            if len(output) > capacity and operation.parts is not None:
                operation.parts.held, operation.parts.repeated = output, data
                raise TooSmall([None, len(output), b"", *ticket])
            return [output, len(output), b"", *ticket]

    return run


def _require_parts(app: Application, session: CryptokiSession, kind: str, operation: Operation) -> None:
    try:
        operations.require_parts(operation)
    except Refused:
        session.operations.pop(kind).abort(app)
        raise


def _continued(app: Application, session: CryptokiSession, kind: str, run: Callable[[], bytes]) -> bytes:
    """Run a part of an operation, which an error ends."""
    try:
        return run()
    except Exception:
        session.operations.pop(kind).abort(app)
        raise


def absorb(kind: str) -> Callable[..., Outputs]:
    """Return ``C_<kind>Update`` of a kind without output."""

    def run(app: Application, handle: int, data: bytes, pending: Init) -> Outputs:
        with _active(app, handle, kind, pending) as (session, operation, ticket):
            _continued(app, session, kind, lambda: operations.update(app, operation, data))
            return ticket

    return run


def final(kind: str) -> Callable[..., Outputs]:
    """Return ``C_<kind>Final``."""

    def run(app: Application, handle: int, capacity: int | None, pending: Init) -> Outputs:
        with _active(app, handle, kind, pending) as (session, operation, ticket):
            if capacity is None:
                _require_parts(app, session, kind, operation)
                return [None, _final_bytes(operation), b"", *ticket]

            def end() -> Outputs:
                result = operations.finish(app, operation)
                if operation.parts is not None:
                    operation.parts.final = result
                return [*_fitting(result, capacity, ticket), b"", *ticket]

            return _ending(app, session, kind, end)

    return run


def _final_bytes(operation: Operation) -> int:
    held = len(operation.parts.held) if operation.parts is not None else 0
    if operation.use in {KINDS["Sign"], KINDS["Digest"]}:
        return operation.result_bytes(0)
    return operations.MARGIN + held


def verify(app: Application, handle: int, data: bytes, signature: bytes, pending: Init) -> Outputs:
    """``C_Verify``."""
    with _active(app, handle, "Verify", pending) as (session, operation, ticket):
        _require_whole(operation)

        def end() -> Outputs:
            operations.verify_once(app, operation, data, signature)
            return ticket

        return _ending(app, session, "Verify", end)


def verify_final(app: Application, handle: int, signature: bytes, pending: Init) -> Outputs:
    """``C_VerifyFinal``."""
    with _active(app, handle, "Verify", pending) as (session, operation, ticket):

        def end() -> Outputs:
            operations.finish_verify(app, operation, signature)
            return ticket

        return _ending(app, session, "Verify", end)

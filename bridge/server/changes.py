"""Answers to changes, for a client that has lost the answer and sends the same request again.

A session has its last answers in memory. What another HSM of the cluster has answered, or this one in an earlier
session, is not known; the database then has the rows that the request changed, and ``rebuilt`` makes an answer of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from threading import Event, Lock
from typing import TYPE_CHECKING

from bridge.protocol.operations import Operation, Result
from hsmcore.errors import ChangeMade, KeyNotFound, OperationLimit, RepetitionUnknown
from hsmcore.storage.rows import Change, read_changes

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session

UNIQUE = 1 << 62
"""A request id with this bit belongs to one request of its user only."""
REPEATED = 1 << 61
"""Another HSM, or this one in an earlier session, may have got the request, with this bit clear."""
_KEPT = 32
"""Answers that are kept for a session; one more drops the oldest. Requests that run are kept besides."""
_LARGEST = 16 * 1024
"""Longest answer that is kept, in bytes: longer than the records of a key pair."""
_SECONDS = 60.0
"""Longest wait for the first request, in seconds."""


class _Answer:
    __slots__ = ("done", "made", "response")

    def __init__(self) -> None:
        self.done = Event()
        self.made = False
        self.response: bytes | None = None
        """``None`` while the request runs, after it has failed, and where the answer is too long to keep."""


class Changes:
    """The last answers of each session. Each method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sessions: dict[int, dict[int, _Answer]] = {}

    def once(self, token: int, request: int, run: Callable[[], bytes]) -> bytes:
        """Run a request, unless the same one has succeeded in the session; return its first answer then.

        Args:
            token: The session token.
            request: The request id.
            run: Runs the request, and raises its error.

        Raises:
            OperationLimit: The same request runs already and does not end, or its answer was too long to keep.
        """
        while True:
            with self._lock:
                kept = self._sessions.setdefault(token, {})
                known = kept.get(request)
                if known is None:
                    own = kept[request] = _Answer()
                    answered = [number for number, answer in kept.items() if answer.done.is_set()]
                    for number in answered[:-_KEPT]:
                        del kept[number]
                    break
            if not known.done.wait(_SECONDS):
                raise OperationLimit("the same request has been running for a minute")
            if known.response is not None:
                return known.response
            if known.made:
                raise OperationLimit("the change was made, and its answer is too long to be given again")
            self._drop(token, request, known)
        try:
            response = run()
            own.made = True
            if len(response) <= _LARGEST:
                own.response = response
            return response
        finally:
            if not own.made:
                self._drop(token, request, own)
            own.done.set()

    def forget(self, token: int) -> None:
        """Drop the answers of a session that has ended."""
        with self._lock:
            self._sessions.pop(token, None)

    def _drop(self, token: int, request: int, answer: _Answer) -> None:
        with self._lock:
            kept = self._sessions.get(token, {})
            if kept.get(request) is answer:
                del kept[request]
            if not kept:
                self._sessions.pop(token, None)


def identified(
    hsm: Hsm, session: Session, operation: Operation, number: int, *, repeated: bool
) -> AbstractContextManager[None]:
    """Return a block in which a request is run as ``hsm.requests.once`` does.

    A key store's operation can have several transactions, of which the loss of an HSM may leave some. So none is known
    to another HSM.

    Raises:
        RepetitionUnknown: A key store's operation is repeated.
    """
    if not operation.name.startswith("STORE_"):
        return hsm.requests.once(session, number, repeated=repeated)
    if repeated:
        raise RepetitionUnknown(f"an HSM does not know what another one has done of {operation.name}")
    return nullcontext()


def rebuilt(hsm: Hsm, session: Session, operation: Operation, made: ChangeMade) -> object:
    """Return what the handler of an operation returned, from the rows that it changed.

    Args:
        hsm: The HSM.
        session: The session of the user who repeats the request.
        operation: The operation.
        made: The error that names the rows.

    Raises:
        ChangeMade: The answer cannot be made again.
    """
    changes = read_changes(made.changes)
    if operation.result is Result.NOTHING:
        return None
    rebuild = _REBUILT.get(operation.name)
    if rebuild is None:
        raise made
    try:
        return rebuild(hsm, session, changes)
    except KeyNotFound as error:
        raise made from error


def _record(hsm: Hsm, session: Session, changes: list[Change]) -> object:
    (change,) = changes
    return hsm.keys.get(session, _handle(change)).fields()


def _records(hsm: Hsm, session: Session, changes: list[Change]) -> object:
    records = [hsm.keys.get(session, _handle(change)).fields() for change in changes]
    # The public key first.
    return tuple(sorted(records, key=lambda record: str(record["OBJECT_CLASS"]), reverse=True))


def _destroyed(_hsm: Hsm, _session: Session, changes: list[Change]) -> object:
    return sum(change.subject.startswith("key/") and not change.live for change in changes)


def _handle(change: Change) -> int:
    return int(change.subject.removeprefix("key/"))


_REBUILT: dict[str, Callable[[Hsm, Session, list[Change]], object]] = {
    "GENERATE_KEY": _record,
    "GENERATE_KEY_PAIR": _records,
    "IMPORT_KEY": _record,
    "UNWRAP_KEY": _record,
    "DERIVE_KEY": _record,
    "SET_ATTRIBUTES": _record,
    "USER_DELETE": _destroyed,
}

"""Multi-part operations: each has a handle and processes its data in parts.

``begin`` starts an operation, ``update`` continues it any number of times. ``finish``, ``abort``, the end of its
session, the end of its key, and 15 minutes without a message end it. One operation more than a session may have ends
the one that has been quiet longest. After that its handle is unknown.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from hsmcore.errors import OperationLimit, OperationNotFound, Unauthenticated
from hsmcore.primitives import Stream
from hsmcore.sessions import permissions
from hsmcore.sessions.session import NO_SESSION, Session

MAX_OPERATIONS = 1000
"""Maximum number of unfinished operations in one session (CloudHSM's session pool)."""
MAX_AGE = 15 * 60
"""Seconds after its last message until an operation expires."""
_UNKNOWN = "there is no such operation; it was finished or aborted, or has expired"


@dataclass(slots=True, eq=False)
class _Unfinished:
    """One operation. ``guard`` orders the messages of several threads."""

    key: int | bytes
    stream: Stream
    last: float
    finished: bool = False
    guard: Lock = field(default_factory=Lock)


class MultiPartOperations:
    """The unfinished operations of all sessions. In each session, the one without a message for longest comes first.

    ``clock`` gives seconds, from any beginning.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._operations: dict[int, dict[int, _Unfinished]] = {}
        self._displaced: dict[int, deque[int]] = {}

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._operations.values()))

    def begin(self, session: Session, key: int | bytes, stream: Stream) -> int:
        """Add an operation and return its handle (63 random bits), in place of the quietest if there are too many.

        Args:
            session: The session that continues the operation.
            key: The handle of its key, or a public key from outside.
            stream: The operation.

        Raises:
            Unauthenticated: The session has ended.
            OperationLimit: The session has the maximum number of operations, each with a message in progress.
        """
        with self._lock:
            if not session.alive:
                raise Unauthenticated(NO_SESSION)
            operations = self._operations.setdefault(session.token, {})
            self._expire(operations)
            if len(operations) >= MAX_OPERATIONS:
                self._displace(session, operations)
            handle = secrets.randbits(63) or 1
            operations[handle] = _Unfinished(key, stream, self._clock())
            return handle

    def update(self, session: Session, handle: int, data: bytes) -> bytes:
        """Process more data and return the output that is ready.

        Raises:
            Unauthenticated: The session has ended.
            PermissionDenied: The session's role has no multi-part operations.
            OperationNotFound: The operation is finished, aborted or expired.
        """
        with self._lock:
            operation = self._take(session, handle)
            operation.last = self._clock()
            self._operations[session.token][handle] = operation
        with operation.guard:
            if operation.finished:
                raise OperationNotFound(_UNKNOWN)
            return operation.stream.update(data)

    def finish(self, session: Session, handle: int, data: bytes) -> bytes:
        """Process the last data, return the rest of the output and end the operation, also after an error.

        Raises:
            Unauthenticated: The session has ended.
            PermissionDenied: The session's role has no multi-part operations.
            OperationNotFound: The operation is finished, aborted or expired.
        """
        with self._lock:
            operation = self._take(session, handle)
        with operation.guard:
            operation.finished = True
            return operation.stream.finish(data)

    def abort(self, session: Session, handle: int) -> None:
        """End an operation without a result.

        Raises:
            Unauthenticated: The session has ended.
            PermissionDenied: The session's role has no multi-part operations.
            OperationNotFound: The operation is finished, aborted or expired.
        """
        with self._lock:
            self._take(session, handle)

    def drop_session(self, session: Session) -> None:
        """End all operations of a session."""
        with self._lock:
            self._operations.pop(session.token, None)
            self._displaced.pop(session.token, None)

    def drop_key(self, key: int) -> None:
        """End all operations with a key that was destroyed."""
        with self._lock:
            for operations in self._operations.values():
                for handle in [handle for handle, operation in operations.items() if operation.key == key]:
                    del operations[handle]

    def _take(self, session: Session, handle: int) -> _Unfinished:
        if not session.alive:
            raise Unauthenticated(NO_SESSION)
        operations = self._operations.get(session.token, {})
        self._expire(operations)
        operation = operations.pop(handle, None)
        if operation is None:
            # A session with an operation was authorised to begin it, so only a session without one is checked.
            permissions.require(session, "crypto.begin")
            if handle in self._displaced.get(session.token, ()):
                raise OperationNotFound(
                    f"the operation was ended: its session began more than {MAX_OPERATIONS} and it was quiet longest"
                )
            raise OperationNotFound(_UNKNOWN)
        return operation

    def _displace(self, session: Session, operations: dict[int, _Unfinished]) -> None:
        quiet = next((handle for handle, operation in operations.items() if not operation.guard.locked()), None)
        if quiet is None:
            raise OperationLimit(
                "There are too many operations happening at the same time: "
                f"Reached max number of sessions in session pool: {MAX_OPERATIONS}"
            )
        del operations[quiet]
        self._displaced.setdefault(session.token, deque(maxlen=MAX_OPERATIONS)).append(quiet)

    def _expire(self, operations: dict[int, _Unfinished]) -> None:
        oldest = self._clock() - MAX_AGE
        while operations:
            handle = next(iter(operations))
            if operations[handle].last >= oldest:
                return
            del operations[handle]

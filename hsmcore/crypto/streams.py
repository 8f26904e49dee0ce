"""Multi-part operations: data that comes in parts, under a handle.

An operation begins with ``begin``, takes any number of ``update`` and ends with ``finish``, ``abort``, the end of its
session, the end of its key, or 15 minutes without a message. One more operation than a session may have ends the one
that has been quiet longest. After that its handle is unknown.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from hsmcore.errors import OperationLimit, OperationNotFound
from hsmcore.primitives import Stream
from hsmcore.sessions import permissions
from hsmcore.sessions.session import Session, ended

MAX_OPERATIONS = 1000
"""Unfinished operations of one session (CloudHSM's session pool)."""
MAX_AGE = 15 * 60
"""Seconds that an operation lives after its last message."""


@dataclass(slots=True, eq=False)
class _Part:
    """One operation. ``guard`` orders the messages of several threads."""

    key: int | bytes
    stream: Stream
    last: float
    finished: bool = False
    guard: Lock = field(default_factory=Lock)


class MultiPart:
    """The unfinished operations of all sessions; in each session the one that was quiet longest comes first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._parts: dict[int, dict[int, _Part]] = {}
        self._displaced: dict[int, deque[int]] = {}

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._parts.values()))

    def begin(self, session: Session, key: int | bytes, stream: Stream) -> int:
        """Keep an operation and return its handle (63 random bits), in place of the quietest where there are too many.

        Raises:
            OperationLimit: Every operation of the session has a message in progress.
            Unauthenticated: The session has ended.
        """
        with self._lock:
            if not session.alive:
                raise ended()
            parts = self._parts.setdefault(session.token, {})
            self._expire(parts)
            if len(parts) >= MAX_OPERATIONS:
                self._displace(session, parts)
            handle = secrets.randbits(63) or 1
            parts[handle] = _Part(key, stream, self._clock())
            return handle

    def update(self, session: Session, handle: int, data: bytes) -> bytes:
        """Take more data and return the output that is ready. Raises ``OperationNotFound``."""
        with self._lock:
            part = self._take(session, handle)
            part.last = self._clock()
            self._parts[session.token][handle] = part
        with part.guard:
            if part.finished:
                raise _unknown()
            return part.stream.update(data)

    def finish(self, session: Session, handle: int, data: bytes) -> bytes:
        """Take the last data and return the rest of the output; the operation is over, whether that works or not."""
        with self._lock:
            part = self._take(session, handle)
        with part.guard:
            part.finished = True
            return part.stream.finish(data)

    def abort(self, session: Session, handle: int) -> None:
        """End an operation without its result. Raises ``OperationNotFound``."""
        with self._lock:
            self._take(session, handle)

    def drop_session(self, session: Session) -> None:
        """End all operations of a session."""
        with self._lock:
            self._parts.pop(session.token, None)
            self._displaced.pop(session.token, None)

    def drop_key(self, key: int) -> None:
        """End all operations with a key that was destroyed."""
        with self._lock:
            for parts in self._parts.values():
                for handle in [handle for handle, part in parts.items() if part.key == key]:
                    del parts[handle]

    def _take(self, session: Session, handle: int) -> _Part:
        if not session.alive:
            raise ended()
        parts = self._parts.get(session.token, {})
        self._expire(parts)
        part = parts.pop(handle, None)
        if part is None:
            # Who has one was allowed to begin it, so that going on is not authorised each time.
            permissions.require(session, "crypto.begin")
            if handle in self._displaced.get(session.token, ()):
                raise OperationNotFound(
                    f"the operation was ended: its session began more than {MAX_OPERATIONS} and it was quiet longest"
                )
            raise _unknown()
        return part

    def _displace(self, session: Session, parts: dict[int, _Part]) -> None:
        quiet = next((handle for handle, part in parts.items() if not part.guard.locked()), None)
        if quiet is None:
            raise OperationLimit(
                "There are too many operations happening at the same time: "
                f"Reached max number of sessions in session pool: {MAX_OPERATIONS}"
            )
        del parts[quiet]
        self._displaced.setdefault(session.token, deque(maxlen=MAX_OPERATIONS)).append(quiet)

    def _expire(self, parts: dict[int, _Part]) -> None:
        oldest = self._clock() - MAX_AGE
        while parts:
            handle = next(iter(parts))
            if parts[handle].last >= oldest:
                return
            del parts[handle]


def _unknown() -> OperationNotFound:
    return OperationNotFound("there is no such operation: it was finished or aborted, or has expired")

"""Connections to one HSM, and the sessions that each of them uses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from hsmcore.errors import Unauthenticated

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session

_log = logging.getLogger("hsmbridge.connections")


class Connection:
    """One client's connection: the sessions that it has used, by session token."""

    __slots__ = ("closed", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[int, Session] = {}
        self.closed = False


class Connections:
    """The open connections to one HSM. Each method may be called from any thread.

    A session ends when the last connection that used it closes.
    """

    def __init__(self, hsm: Hsm) -> None:
        """Begin without connections."""
        self._hsm = hsm
        self._lock = Lock()
        self._users: dict[int, set[Connection]] = {}
        """The connections that have used a session, by session token."""

    def join(self, token: int, connection: Connection) -> Session:
        """Return a session, and record that the connection uses it.

        Raises:
            Unauthenticated: No session has this token, or the connection is closed.
        """
        with self._lock:
            if connection.closed:
                raise Unauthenticated("the connection is closed")
            session = self._hsm.users.session(token)
            self._users.setdefault(token, set()).add(connection)
            connection.sessions[token] = session
            return session

    def end_session(self, token: int) -> None:
        """Log a session out for every connection. Has no effect on a session that has already ended."""
        with self._lock:
            for connection in self._users.get(token, ()):
                connection.sessions.pop(token, None)
            self._end(token, self._hsm.users.logout)

    def close(self, connection: Connection) -> None:
        """Close a connection, and end the sessions that no other connection uses."""
        with self._lock:
            connection.closed = True
            tokens = list(connection.sessions)
            connection.sessions.clear()
            for token in tokens:
                others = self._users[token]
                others.discard(connection)
                if not others:
                    self._end(token, self._hsm.users.abandon)

    def _end(self, token: int, end: Callable[[Session], None]) -> None:
        self._users.pop(token, None)
        try:
            end(self._hsm.users.session(token))
        except Unauthenticated:
            _log.debug("a session had ended before its connections")

"""Connections to one HSM, and the sessions that each of them uses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock, Timer
from typing import TYPE_CHECKING

from bridge.process.peers import user_name
from bridge.server.changes import Changes
from hsmcore.errors import Unauthenticated

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session

GRACE = 10.0
"""How long a session waits for a client that reconnects, after its last connection has closed, in seconds."""

_log = logging.getLogger("hsmbridge.connections")


class Connection:
    """One client's connection: the sessions that it has used, by session token.

    ``reconnects`` is set if the client connects again after a connection has broken, ``guest`` unless it is the owner
    of the state directory or root, ``mutual`` if it has shown a certificate of a trust anchor. ``user`` is the
    operating-system user of a member of the socket's group, ``None`` for other clients. ``closing`` is called when the
    connection closes.
    """

    __slots__ = ("closed", "closing", "guest", "mutual", "reconnects", "sessions", "user")

    def __init__(self, *, guest: bool = False, mutual: bool = False, user: int | None = None) -> None:
        self.guest = guest
        self.mutual = mutual
        self.user = user
        self.sessions: dict[int, Session] = {}
        self.closed = False
        self.closing: Callable[[], None] | None = None
        self.reconnects = False

    @property
    def remote(self) -> bool:
        """True for a client over TLS, which may be on another machine."""
        return self.guest and self.user is None

    @property
    def detail(self) -> str:
        """The detail of a login in the audit log: the operating-system user of a member of the socket's group."""
        return "" if self.user is None else f"operating-system user {user_name(self.user)}"


class Connections:
    """The open connections to one HSM. Each method may be called from any thread.

    A session ends when the last connection that used it closes, or ``GRACE`` seconds later if its client reconnects.
    The end of a session waits for the disk, and no lock is held meanwhile.
    """

    def __init__(self, hsm: Hsm) -> None:
        """Begin without connections."""
        self._hsm = hsm
        self._lock = Lock()
        self._users: dict[int, set[Connection]] = {}
        """The connections that have used a session, by session token."""
        self._deserted: dict[int, float] = {}
        """The times at which sessions end whose last connection has closed, by session token."""
        self._timer: Timer | None = None
        self.changes = Changes()

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
            self._deserted.pop(token, None)
            connection.sessions[token] = session
            return session

    def mutual(self, token: int) -> bool:
        """Tell whether every connection that uses a session has shown a certificate of a trust anchor."""
        with self._lock:
            return all(connection.mutual for connection in self._users.get(token, ()))

    def end_session(self, token: int) -> None:
        """Log a session out for every connection. Has no effect on a session that has already ended."""
        with self._lock:
            for connection in self._users.get(token, ()):
                connection.sessions.pop(token, None)
            self._forget(token)
        self._end([token], self._hsm.users.logout)

    def forget_ended(self) -> None:
        """Forget the sessions that the HSM has ended."""
        with self._lock:
            for token, connections in list(self._users.items()):
                if not any(connection.sessions[token].alive for connection in connections):
                    self._deserted.pop(token, None)
                    for connection in self._users.pop(token):
                        del connection.sessions[token]

    def close(self, connection: Connection) -> None:
        """Close a connection, and end the sessions that no other connection uses, at once or after ``GRACE``."""
        ended = []
        with self._lock:
            connection.closed = True
            tokens = list(connection.sessions)
            connection.sessions.clear()
            for token in tokens:
                others = self._users[token]
                others.discard(connection)
                if not others and connection.reconnects:
                    self._deserted[token] = time.monotonic() + GRACE
                    self._end_later()
                elif not others:
                    self._forget(token)
                    ended.append(token)
        self._end(ended, self._hsm.users.abandon)
        if connection.closing is not None:
            connection.closing()

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
            ended = [token for token, end in self._deserted.items() if end <= now]
            for token in ended:
                self._forget(token)
            self._end_later()
        self._end(ended, self._hsm.users.abandon)

    def _forget(self, token: int) -> None:
        self._users.pop(token, None)
        self._deserted.pop(token, None)
        self.changes.forget(token)

    def _end(self, tokens: list[int], end: Callable[[Session], None]) -> None:
        for token in tokens:
            try:
                end(self._hsm.users.session(token))
            except Unauthenticated:
                _log.debug("a session had ended before its connections")

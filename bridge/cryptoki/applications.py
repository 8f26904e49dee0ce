"""The applications of all clients, by a secret number."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING

from bridge.cryptoki.application import Application
from hsmcore.errors import OperationLimit, OperationNotFound

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session

MAX_APPLICATIONS = 4
"""Applications that one connection may open."""
GRACE = 10.0
"""Seconds for which an application waits for its client after its last connection has closed."""
MAX_DESERTED = 256
"""Maximum number of applications that wait; one more ends the oldest."""


class Applications:
    """The applications. Each method may be called from any thread."""

    def __init__(self, hsm: Hsm) -> None:
        self._hsm = hsm
        self._lock = Lock()
        self._open: dict[int, Application] = {}
        self._users: dict[int, set[object]] = {}
        """The connections of each application."""
        self._deserted: dict[int, float] = {}
        """When the last connection of an application closed, the oldest first."""

    def __len__(self) -> int:
        return len(self._open)

    def open(
        self, connection: object, login: Callable[[str, bytes], Session], logout: Callable[[Session], None],
        options: Mapping[str, object], needed_hsms: int = 1,
    ) -> int:  # fmt: skip
        """Begin an application and return its number (63 random bits).

        Raises:
            OperationLimit: The connection has opened too many.
        """
        with self._lock:
            self._reap()
            if sum(connection in users for users in self._users.values()) >= MAX_APPLICATIONS:
                raise OperationLimit(f"a connection opens at most {MAX_APPLICATIONS} applications")
            number = secrets.randbits(63) or 1
            self._open[number] = Application(self._hsm, login, logout, options, needed_hsms)
            self._users[number] = {connection}
            return number

    def join(self, number: int, connection: object) -> Application:
        """Return an application, which lives as long as one of its connections.

        Raises:
            OperationNotFound: There is none with this number.
        """
        application = self._open.get(number)
        if application is None:
            raise OperationNotFound("there is no such application; it has ended, or the HSM was started again")
        users = self._users.get(number, set())
        if connection not in users:
            with self._lock:
                if number not in self._open:
                    raise OperationNotFound("the application has ended")
                self._users[number].add(connection)
                self._deserted.pop(number, None)
        return application

    def leave(self, connection: object) -> None:
        """Forget a connection that has closed."""
        with self._lock:
            for number, users in self._users.items():
                if connection in users:
                    users.discard(connection)
                    if not users:
                        self._deserted[number] = time.monotonic()
            self._reap()

    def _reap(self) -> None:
        """End the applications whose clients did not come back. Their logins end with the connections."""
        oldest = time.monotonic() - GRACE
        for number, left in list(self._deserted.items()):
            if left < oldest or len(self._deserted) > MAX_DESERTED:
                del self._deserted[number], self._open[number], self._users[number]

"""Handlers of the operations of the PKCS #11 library."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bridge.cryptoki import functions
from bridge.cryptoki.application import CHECKED_HSMS
from bridge.cryptoki.applications import Applications
from bridge.protocol.codec import Value
from bridge.protocol.values import Fields
from bridge.server.connections import Connection, Connections
from hsmcore.tables.roles import CRYPTO_USER

if TYPE_CHECKING:
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session


class Cryptoki:
    """Handlers of the PKCS #11 operations; the rows of ``bridge.protocol.operations`` name the methods."""

    def __init__(self, hsm: Hsm, connections: Connections) -> None:
        """Make the handlers."""
        self._hsm = hsm
        self._connections = connections
        self._applications = Applications(hsm)

    def cryptoki_open(self, connection: Connection, options: Fields) -> int:
        """Begin an application and return its number. The key availability check applies to TLS.

        Raises:
            NotCaughtUp: This HSM has no contact with its cluster, so that the client uses another.
        """
        self._hsm.require_current()
        checked = connection.remote and options.get("disable_key_availability_check") is not True
        number = self._applications.open(
            connection, partial(self._login, connection.detail, connection.guest),
            lambda session: self._connections.end_session(session.token), options, CHECKED_HSMS if checked else 1,
        )  # fmt: skip
        self._remember(connection)
        return number

    def _login(self, detail: str, guest: bool, user: str, password: bytes) -> Session:
        return self._hsm.users.login(user, password, CRYPTO_USER, detail, guest=guest)

    def _remember(self, connection: Connection) -> None:
        connection.closing = partial(self._applications.leave, connection)

    def cryptoki(
        self, connection: Connection, application: int, function: str, arguments: list[Value]
    ) -> tuple[int, list[Value]]:
        """Call a Cryptoki function; return its return code and its results."""
        app = self._applications.join(application, connection)
        if connection.closing is None:
            self._remember(connection)
        self._join(app.login, connection)
        answer = functions.call(app, function, arguments)
        self._join(app.login, connection)
        return answer

    def _join(self, session: Session | None, connection: Connection) -> None:
        """Make the connection one of the login's, so that the login lives as long as it."""
        if session is not None and session.token not in connection.sessions:
            self._connections.join(session.token, connection)

"""The logins of the page: each has a session of the HSM on a connection of its own."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from bridge.carriers.client import Client
from hsmcore.errors import HsmError, Unauthenticated

IDLE_SECONDS = 600.0
"""A login ends after this time without a request of its user; refreshes of the page do not count."""
LONGEST_SECONDS = 8 * 3600.0
"""A login ends after this time."""
MAX_LOGINS = 16
_ANSWER_SECONDS = 60.0
"""Longest wait for one answer of the HSM."""


class ConsoleFull(HsmError):
    """The console has the maximum number of logins."""


@dataclass(eq=False)
class Login:
    """A user of the page. ``token`` is the secret that the page sends with each request.

    One request of a login runs at a time, under ``lock``. ``audit_count`` is a number of entries that the
    audit log has had.
    """

    username: str
    role: str
    client: Client = field(repr=False)
    began: float
    used: float
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    lock: Lock = field(default_factory=Lock, repr=False)
    audit_count: int = 0


class Logins:
    """The present logins, by the hash of their token."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._clock = clock
        self._lock = Lock()
        self._logins: dict[bytes, Login] = {}

    def begin(self, username: str, role: str, password: str) -> Login:
        """Log in to the HSM and return the new login.

        Raises:
            ConsoleFull: There are too many logins.
            HsmError: The HSM refused the login, or does not answer.
        """
        self.end_expired()
        client = Client.connect(self._home, _ANSWER_SECONDS)
        try:
            client.call("LOGIN", username, password.encode(), role)
            now = self._clock()
            login = Login(username.lower(), role, client, now, now)
            with self._lock:
                if len(self._logins) >= MAX_LOGINS:
                    raise ConsoleFull(f"the console has {MAX_LOGINS} logins, which is the limit; log out elsewhere")
                self._logins[_digest(login.token)] = login
        except BaseException:
            client.close()
            raise
        return login

    def find(self, token: str, *, by_user: bool) -> Login:
        """Return the login of a token.

        Args:
            token: The token that the page sent.
            by_user: Whether the request is an action of the user, which lengthens the login.

        Raises:
            Unauthenticated: There is no such login, or it has ended.
        """
        self.end_expired()
        with self._lock:
            login = self._logins.get(_digest(token))
            if login is None:
                raise Unauthenticated("the login has ended; log in again")
            if by_user:
                login.used = self._clock()
            return login

    def log_out(self, login: Login) -> None:
        """Log out of the HSM and end the login."""
        with login.lock, suppress(HsmError):
            login.client.call("LOGOUT")
        self.end(login)

    def end(self, login: Login) -> None:
        """End a login; the HSM ends its session with the connection. No effect on a login that has ended."""
        with self._lock:
            self._logins.pop(_digest(login.token), None)
        login.client.close()

    def end_expired(self) -> None:
        """End the logins that have lasted or been idle too long."""
        now = self._clock()
        with self._lock:
            over = [
                login
                for login in self._logins.values()
                if now - login.used > IDLE_SECONDS or now - login.began > LONGEST_SECONDS
            ]
        for login in over:
            self.end(login)

    def end_all(self) -> None:
        """End every login."""
        with self._lock:
            logins = list(self._logins.values())
        for login in logins:
            self.end(login)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()

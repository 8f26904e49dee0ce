"""One program that uses Cryptoki: its sessions, its login, its handles."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING

from bridge.cryptoki.failures import Refused
from bridge.cryptoki.numbers import Rv
from hsmcore.errors import HsmError

if TYPE_CHECKING:
    from bridge.cryptoki.operations import Operation
    from hsmcore.hsm import Hsm
    from hsmcore.sessions.session import Session

MAX_SESSIONS = 1024
"""Cryptoki sessions of one application."""
CHECKED_HSMS = 2
"""HSMs that must be alive for the use of a token key, where the key availability check is on."""


@dataclass(slots=True, eq=False)
class CryptokiSession:
    """One Cryptoki session. Its lock orders the calls of several threads.

    ``operations`` are the active operations by kind; ``found`` is what is left of a search; ``objects`` are the
    handles of the session keys that were made here, which end with it.
    """

    handle: int
    read_write: bool
    operations: dict[str, Operation] = field(default_factory=dict)
    found: list[int] | None = None
    objects: set[int] = field(default_factory=set)
    lock: RLock = field(default_factory=RLock)


class Application:
    """The state of one program. Each method may be called from any thread.

    An object handle is a key's handle, masked with a number of this application: it means nothing in another run.
    """

    def __init__(
        self, hsm: Hsm, login: Callable[[str, bytes], Session], logout: Callable[[Session], None],
        options: Mapping[str, object], needed_hsms: int = 1,
    ) -> None:  # fmt: skip
        """Begin without sessions.

        Args:
            hsm: The HSM.
            login: Logs a crypto user in.
            logout: Ends a login.
            options: The configuration of the C library, by option.
            needed_hsms: HSMs of the cluster that must be alive for the use of a token key.
        """
        self.hsm = hsm
        self.options = options
        self.needed_hsms = needed_hsms
        self._login, self._logout = login, logout
        self._lock = RLock()
        self._sessions: dict[int, CryptokiSession] = {}
        self._next = secrets.randbelow(1 << 30) + 1
        self._mask = secrets.randbits(62) | 1 << 62
        self._user: Session | None = None

    def object_of(self, key: int) -> int:
        """Return the object handle of a key."""
        return key ^ self._mask

    def key_of(self, handle: int) -> int:
        """Return the key's handle of an object handle."""
        return (handle ^ self._mask) & ((1 << 63) - 1)

    def require_available(self, key: int | None = None) -> None:
        """Check that enough HSMs are alive for the use of a token key.

        Args:
            key: The key's handle, ``None`` for a new key.

        Raises:
            Refused: ``CKR_FUNCTION_FAILED``, with the reason for the client's log.
        """
        if self.needed_hsms > 1 and self.hsm.alive_members() < self.needed_hsms:
            name = "of this request" if key is None else f"{key:#018x}"
            reason = f"The key must be available on at least {self.needed_hsms} HSMs before being used."
            raise Refused(Rv.FUNCTION_FAILED, [f"Key {name} does not meet the availability requirements - {reason}"])

    @property
    def login(self) -> Session | None:
        """The login, if there is one."""
        user = self._user
        return user if user is not None and user.alive else None

    def user(self) -> Session:
        """Return the login.

        Raises:
            Refused: ``CKR_USER_NOT_LOGGED_IN``.
        """
        user = self.login
        if user is None:
            raise Refused(Rv.USER_NOT_LOGGED_IN)
        return user

    def log_in(self, name: str, password: bytes) -> Session:
        """Log in.

        Raises:
            Refused: ``CKR_USER_ALREADY_LOGGED_IN``.
        """
        with self._lock:
            if self.login is not None:
                raise Refused(Rv.USER_ALREADY_LOGGED_IN)
            self._user = user = self._login(name, password)
            return user

    def log_out(self) -> None:
        """Log out, which ends all active operations and session keys. Has no effect without a login."""
        with self._lock:
            user, self._user = self.login, None
            for session in self._sessions.values():
                session.operations.clear()
                session.objects.clear()
                session.found = None
        if user is not None:
            self._logout(user)

    def open_session(self, *, read_write: bool) -> int:
        """Open a session and return its handle.

        Raises:
            Refused: ``CKR_SESSION_COUNT``.
        """
        with self._lock:
            if len(self._sessions) >= MAX_SESSIONS:
                raise Refused(Rv.SESSION_COUNT)
            handle, self._next = self._next, self._next + 1
            self._sessions[handle] = CryptokiSession(handle, read_write)
            return handle

    @contextmanager
    def session(self, handle: int) -> Iterator[CryptokiSession]:
        """Yield a session, which no other thread uses meanwhile.

        Raises:
            Refused: ``CKR_SESSION_HANDLE_INVALID``.
        """
        session = self._sessions.get(handle)
        if session is None:
            raise Refused(Rv.SESSION_HANDLE_INVALID)
        with session.lock:
            if self._sessions.get(handle) is not session:
                raise Refused(Rv.SESSION_HANDLE_INVALID)
            yield session

    def close_session(self, handle: int) -> None:
        """Close a session and destroy its session keys. The end of the last session logs out.

        Raises:
            Refused: ``CKR_SESSION_HANDLE_INVALID``.
        """
        with self.session(handle) as session:
            with self._lock:
                self._sessions.pop(handle, None)
                last = not self._sessions
            if last:
                self.log_out()
            elif self.login is not None:
                self._destroy_all(session)
            for operation in session.operations.values():
                operation.abort(self)

    def _destroy_all(self, session: CryptokiSession) -> None:
        for key in session.objects:
            with suppress(HsmError):
                self.hsm.keys.destroy(self.user(), key)

    def close_all(self) -> None:
        """Close every session, which logs out."""
        with self._lock:
            self._sessions.clear()
        self.log_out()

    @property
    def session_count(self) -> int:
        """The number of open sessions."""
        return len(self._sessions)

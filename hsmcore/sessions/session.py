"""Sessions, by session token.

A session is alive from login to logout. Its prepared operations, multi-part operations and session keys end with it.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from typing import Any

from hsmcore.errors import OperationLimit, Unauthenticated
from hsmcore.sessions.usage_counts import Shortcut

MAX_SESSIONS = 1024
"""Maximum number of sessions of one user."""
NO_SESSION = "there is no such session; log in"
"""The message about a session that does not exist or has ended."""


class Session:
    """One login. ``token`` is the secret session token, 63 random bits; ``number`` names the session in the audit log.

    ``prepared`` maps a key's handle, then mechanism and operation, to a prepared operation, so that a repetition costs
    two look-ups. ``shortcuts`` maps numbers to iterators that yield prepared operations
    (``hsmcore.sessions.usage_counts``), which costs one; no number is used twice. A change of a key clears its part of
    both.
    """

    __slots__ = ("_numbers", "alive", "brief", "kept", "number", "prepared", "role", "shortcuts", "token", "username")

    def __init__(self, token: int, number: int, username: str, role: str) -> None:
        self.token = token
        self.number = number
        self.username = username
        self.role = role
        self.alive = True
        self.prepared: dict[object, dict[tuple[str, str], Callable[..., Any]]] = {}
        self.shortcuts: dict[int, Iterator[Callable[..., Any]]] = {}
        self.kept: dict[object, Shortcut] = {}
        """The shortcuts by key, mechanism and operation."""
        self.brief: set[int] = set()
        """The numbers of shortcuts that take microseconds with short data."""
        self._numbers = itertools.count(1)

    def keep_shortcut(self, name: object, kept: Shortcut, *, brief: bool) -> int:
        """Add a shortcut, in place of one of the same name, and return its number."""
        if (old := self.kept.get(name)) is not None:
            old.settle()
            del self.shortcuts[old.number]
            self.brief.discard(old.number)
        kept.number = next(self._numbers)
        self.kept[name] = kept
        self.shortcuts[kept.number] = kept.turns
        if brief:
            self.brief.add(kept.number)
        return kept.number

    def clear_shortcuts(self) -> None:
        """Drop all shortcuts after their counts are settled."""
        self.shortcuts.clear()
        self.brief.clear()
        for kept in self.kept.values():
            kept.settle()
        self.kept.clear()

    def forget(self) -> None:
        """Drop all prepared operations and shortcuts."""
        self.prepared.clear()
        self.clear_shortcuts()

    def __repr__(self) -> str:
        return f"Session({self.username!r}, {self.role!r}, alive={self.alive})"


class Sessions:
    """The sessions that are alive. A caller that changes them holds the HSM's lock."""

    def __init__(self) -> None:
        self._alive: dict[int, Session] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._alive)

    def number_after(self, number: int) -> None:
        """Number the next logins from ``number`` + 1 on.

        The number of audit entries is large enough: each login has an entry. So commands that open the HSM one after
        another number their sessions differently.
        """
        self._numbers = itertools.count(number + 1)

    def next_number(self) -> int:
        """Return the number of a login, which is that of its session if the login succeeds."""
        return next(self._numbers)

    def require_room(self, username: str, role: str) -> None:
        """Check that a user may have a further session.

        Raises:
            OperationLimit: The user has the maximum number of sessions.
        """
        if len(self.of_user(username, role)) >= MAX_SESSIONS:
            raise OperationLimit(f"{username!r} has {MAX_SESSIONS} sessions, which is the limit; log out of some")

    def begin(self, number: int, username: str, role: str) -> Session:
        """Begin a session of a user who was authenticated."""
        token = secrets.randbits(63)
        while token == 0 or token in self._alive:
            token = secrets.randbits(63)
        session = self._alive[token] = Session(token, number, username, role)
        return session

    def get(self, token: int) -> Session:
        """Return the session with that session token.

        Raises:
            Unauthenticated: It does not exist or has ended.
        """
        session = self._alive.get(token)
        if session is None:
            raise Unauthenticated(NO_SESSION)
        return session

    def end(self, session: Session) -> bool:
        """End the session; return whether it was alive."""
        session.alive = False
        session.forget()
        return self._alive.pop(session.token, None) is not None

    def all(self) -> tuple[Session, ...]:
        """Return the sessions that are alive."""
        return tuple(self._alive.values())

    def of_user(self, username: str, role: str) -> tuple[Session, ...]:
        """Return the sessions of a user."""
        return tuple(one for one in self._alive.values() if one.username == username and one.role == role)

    def forget_key(self, handle: int) -> None:
        """Drop the prepared operations of a key in every session."""
        for session in self._alive.values():
            if session.prepared.pop(handle, None) is not None:
                session.clear_shortcuts()

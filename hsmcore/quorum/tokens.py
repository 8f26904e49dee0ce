"""Quorum (M of N): the quorum tokens that collect approvals.

A session requests a quorum token, approvers sign it outside the HSM, the session presents the signatures, and one
successful operation uses the token up. A token is in memory and ends with its session; in a cluster it is the user's
(see ``hsmcore.quorum.shared``). ``TRANSITIONS`` has every change of its state; any other is refused.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import RLock

from hsmcore.errors import (
    ApprovalRequired,
    KeyQuorumFailed,
    QuorumTokenLimit,
    QuorumTokenRefused,
    TokenUnknown,
)
from hsmcore.sessions.session import Session
from hsmcore.tables.quorum_services import SERVICES

MAX_TOKENS = 1024
"""Maximum number of quorum tokens (CloudHSM's quota)."""
MAX_TOKENS_OF_USER = 64
"""Maximum number of quorum tokens of one user."""
MAX_TIMEOUT = 24 * 60 * 60

_UNKNOWN = "this session has no such token: it was used or deleted, has expired, or is of another session"
BLOCK = struct.Struct(">HHIQ16s36sI8x")
"""A token's raw data, whose hash approvers sign, 80 bytes: kind (1 admin service, 2 key service), service, token id,
key handle or 0, random bytes, requester padded with zeros, time of creation in seconds since 1970."""


class State(Enum):
    """The state of a quorum token."""

    GENERATED = auto()
    APPROVED = auto()
    IN_USE = auto()
    GONE = auto()


class Event(Enum):
    """A change of a quorum token's state."""

    APPROVE = auto()
    USE = auto()
    SUCCEED = auto()
    FAIL = auto()
    END = auto()


TRANSITIONS: Mapping[Event, Mapping[State, State]] = {
    Event.APPROVE: {State.GENERATED: State.APPROVED, State.APPROVED: State.APPROVED},
    Event.USE: {State.APPROVED: State.IN_USE},
    Event.SUCCEED: {State.IN_USE: State.GONE, State.GONE: State.GONE},
    Event.FAIL: {State.IN_USE: State.APPROVED, State.GONE: State.GONE},
    Event.END: dict.fromkeys(State, State.GONE),
}
"""States by event and state before. A token that ends while it is in use cannot be used again."""

_TIMEOUT = {State.GENERATED: "generated", State.APPROVED: "approved"}
"""The timeout of each state that has one; a token in use does not expire."""


@dataclass(slots=True, eq=False)
class QuorumToken:
    """A quorum token. ``key`` is the handle of the key that a token of a key service concerns.

    ``session`` is the only session that has the token; ``None`` where every session of the user has it. ``approvals``
    has the public key (SubjectPublicKeyInfo) of each signature by approver's name.
    """

    data: bytes
    service: str
    key: int | None
    username: str
    role: str
    session: Session | None
    since: float
    timeout: float
    state: State = State.GENERATED
    approvals: dict[str, bytes] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        """The 32 bytes that approvers sign."""
        return hashlib.sha256(self.data).digest()

    def is_of(self, session: Session) -> bool:
        """Tell whether a session has the token."""
        if self.session is None:
            return (self.username, self.role) == (session.username, session.role)
        return self.session is session

    def remaining(self, now: float) -> float:
        """Return the seconds until the token expires; a negative number if it has, or if the clock went back."""
        return self.timeout - (now - self.since) if now >= self.since else -1.0

    def happens(self, event: Event) -> None:
        """Go to the next state.

        Raises:
            TokenUnknown: The event is not possible in this state.
        """
        after = TRANSITIONS[event].get(self.state)
        if after is None:
            raise TokenUnknown(_UNKNOWN)
        self.state = after


def approval_data(username: str, service: str, key: int | None = None) -> bytes:
    """Return new raw data for a token of a user. The number of a name that is no service's is 0."""
    return BLOCK.pack(
        1 if key is None else 2,
        SERVICES[service].number if service in SERVICES else 0,
        secrets.randbits(32),
        key or 0,
        secrets.token_bytes(16),
        username.encode(),
        int(time.time()) & 0xFFFFFFFF,
    )


def requester(data: bytes) -> str:
    """Return the user's name in raw data; empty where there is none, or the data is too short."""
    if len(data) < BLOCK.size:
        return ""
    name: bytes = BLOCK.unpack_from(data)[5]
    return name.rstrip(b"\0").decode("utf-8", "replace")


class QuorumTokens:
    """The quorum tokens of all sessions, under the HSM's lock."""

    def __init__(self, lock: RLock, clock: Callable[[], float], *, shared: bool = False) -> None:
        """Begin without tokens.

        Args:
            lock: The HSM's lock.
            clock: Gives seconds, by which tokens expire.
            shared: Whether a token belongs to its user rather than to a session.
        """
        self._shared = shared
        self._lock = lock
        self._clock = clock
        self._tokens: dict[bytes, QuorumToken] = {}

    def require_room(self, session: Session, service: str, key: int | None) -> None:
        """Check that the session may have another token.

        Raises:
            QuorumTokenRefused: The user has an active token for the admin service.
            QuorumTokenLimit: The user or the HSM has the maximum number of tokens.
        """
        with self._lock:
            alive = self.alive()
            own = sum(token.username == session.username for token in alive)
            if own >= MAX_TOKENS_OF_USER:
                raise QuorumTokenLimit(
                    f"{session.username!r} has {MAX_TOKENS_OF_USER} quorum tokens, which is the limit for a user; use "
                    "them or delete them"
                )
            if key is None and any((token.service, token.username) == (service, session.username) for token in alive):
                raise QuorumTokenRefused(
                    f"{session.username!r} has an active token for the service {service}; use it or delete it first"
                )
            if len(alive) >= MAX_TOKENS:
                raise QuorumTokenLimit(f"there are {MAX_TOKENS} quorum tokens, which is the limit")

    def add(self, session: Session, service: str, key: int | None, timeout: float) -> QuorumToken:
        """Add a new token, after ``require_room``."""
        with self._lock:
            data, own = approval_data(session.username, service, key), None if self._shared else session
            token = QuorumToken(data, service, key, session.username, session.role, own, self._clock(), timeout)
            self._tokens[token.digest] = token
            return token

    def find(self, session: Session, digest: bytes) -> QuorumToken:
        """Return a token of the session that is not in use.

        Raises:
            TokenUnknown: The session has no such token.
        """
        with self._lock:
            self.alive()
            token = self._tokens.get(digest)
            if token is None or not token.is_of(session) or token.state not in _TIMEOUT:
                raise TokenUnknown(_UNKNOWN)
            return token

    def approve(self, token: QuorumToken, timeout: float) -> None:
        """Mark a token as approved.

        Args:
            token: The token.
            timeout: Seconds in which it can be used, from the first approval on.

        Raises:
            TokenUnknown: The token has ended.
        """
        first = token.state is State.GENERATED
        token.happens(Event.APPROVE)
        if first:
            token.since, token.timeout = self._clock(), timeout

    @contextmanager
    def using(
        self, session: Session, service: str, key: int | None, enough: Callable[[QuorumToken], bool]
    ) -> Iterator[None]:  # fmt: skip
        """Run the block with an approved token, which a success uses up.

        Args:
            session: The session that has the token.
            service: The quorum service.
            key: The handle of the key, for a key service.
            enough: Tells whether the token has enough approvals.

        Raises:
            ApprovalRequired: The session has no approved token for the admin service.
            KeyQuorumFailed: The session has no approved token for the key.
        """
        token = self.take(session, service, key, enough)
        try:
            yield
        except BaseException:
            self.put_back(token)
            raise
        self.finish(token)

    def take(
        self, session: Session, service: str, key: int | None, enough: Callable[[QuorumToken], bool]
    ) -> QuorumToken:  # fmt: skip
        """Take out an approved token, to use it; the arguments are those of ``using``.

        Raises:
            ApprovalRequired: The user has no approved token for the admin service.
            KeyQuorumFailed: The user has no approved token for the key.
        """
        with self._lock:
            found = (
                token for token in self.alive()
                if (token.service, token.key, token.state) == (service, key, State.APPROVED)
                and token.is_of(session) and enough(token)
            )  # fmt: skip
            token = next(found, None)
            if token is None and key is None:
                raise ApprovalRequired(
                    f"Quorum approval is required for this operation: an approved token of the service {service}"
                )
            if token is None:
                raise KeyQuorumFailed(
                    f"Quorum Failed: key {key:#018x} takes an approved token of the service {service}"
                )
            token.happens(Event.USE)
            return token

    def finish(self, token: QuorumToken) -> None:
        """Note that an operation has used up a token that was taken out."""
        with self._lock:
            token.happens(Event.SUCCEED)
            self._tokens.pop(token.digest, None)

    def put_back(self, token: QuorumToken) -> None:
        """Make a token that was taken out usable again, unless it has ended meanwhile."""
        with self._lock:
            token.happens(Event.FAIL)

    def alive(self) -> list[QuorumToken]:
        """Drop the tokens that have expired, and return the others."""
        with self._lock:
            now = self._clock()
            self._end(lambda token: token.state in _TIMEOUT and token.remaining(now) < 0)
            return list(self._tokens.values())

    def end_of_user(self, username: str, role: str) -> None:
        """Delete the tokens of a user."""
        with self._lock:
            self._end(lambda token: (token.username, token.role) == (username, role))

    def end_all(self) -> None:
        """Delete every token."""
        with self._lock:
            self._end(lambda _: True)

    def drop_key(self, key: int) -> None:
        """Delete the tokens for a key that was destroyed."""
        with self._lock:
            self._end(lambda token: token.key == key)

    def drop_session(self, session: Session) -> None:
        """Delete the tokens of a session that has ended, unless they are the user's."""
        with self._lock:
            self._end(lambda token: token.session is session)

    def replace(self, tokens: Sequence[QuorumToken]) -> None:
        """Replace all tokens that are not in use by those that the HSMs of a cluster share."""
        with self._lock:
            used = {digest: token for digest, token in self._tokens.items() if token.state is State.IN_USE}
            self._tokens = {token.digest: token for token in tokens} | used

    def _end(self, which: Callable[[QuorumToken], bool]) -> None:
        for digest, token in list(self._tokens.items()):
            if which(token):
                token.happens(Event.END)
                del self._tokens[digest]

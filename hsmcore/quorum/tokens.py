"""Quorum (M of N): the services whose operations take approvals, and the tokens that collect them.

A token is asked for in a session, signed by approvers outside the HSM, approved, and used up by one operation that
succeeds. It lives in memory and ends with its session. ``TRANSITIONS`` is its whole life; what is not there is refused.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from threading import RLock

from hsmcore.errors import (
    ApprovalRequired,
    KeyQuorumFailed,
    QuorumError,
    QuorumTokenLimit,
    QuorumTokenRefused,
    StoreDamaged,
    TokenUnknown,
)
from hsmcore.sessions.session import Session
from hsmcore.tables.quorum_services import SERVICES

REGISTRATION = "registration"
"""Not a service that takes approvals: its token serves to register an approver's key."""
NO_QUORUM = 1
"""The value of an admin service that takes no approval."""
MAX_TOKENS = 1024
"""Tokens that an HSM holds (CloudHSM's quota)."""
DEFAULT_TIMEOUT = 600
"""Seconds that a token may collect approvals, and that an approved one may be used."""
MAX_TIMEOUT = 24 * 60 * 60

_BLOCK = struct.Struct(">HHIQ16s36sI8x")
"""What an approver signs the hash of, 80 bytes: kind (1 admin services, 2 key services), service, token id, key handle
or 0, random bytes, requester padded with zeros, time of creation in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class QuorumRules:
    """Approvals that each admin service takes, and the tokens' timeouts in seconds; stored sealed."""

    values: Mapping[str, int] = field(
        default_factory=lambda: {name: NO_QUORUM for name, service in SERVICES.items() if not service.attribute}
    )
    timeouts: Mapping[str, int] = field(
        default_factory=lambda: dict.fromkeys(("generated", "approved"), DEFAULT_TIMEOUT)
    )

    def encode(self) -> bytes:
        """Return the rules as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, encoded: bytes) -> QuorumRules:
        """Read what ``encode`` made. Raises ``StoreDamaged``."""
        plain = cls()
        try:
            read = json.loads(encoded)
            rules = cls(values=dict(read["values"]), timeouts=dict(read["timeouts"]))
        except (ValueError, TypeError, KeyError) as error:
            raise StoreDamaged("the quorum values of this HSM are not readable; restore the state directory") from error
        if rules.values.keys() == plain.values.keys() and rules.timeouts.keys() == plain.timeouts.keys():
            return rules
        raise StoreDamaged("the quorum values of this HSM are not those of this version; restore the state directory")


class State(Enum):
    """Where a token is."""

    GENERATED = auto()
    APPROVED = auto()
    IN_USE = auto()
    GONE = auto()


class Event(Enum):
    """What happens to a token."""

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
"""States by event and state before. A token that ends while it is in use is not there for another operation."""

_TIMEOUT = {State.GENERATED: "generated", State.APPROVED: "approved"}
"""The timeout that runs in a state; an operation that has begun is not cut off."""


@dataclass(slots=True, eq=False)
class Token:
    """A token; ``key`` is the handle that one of a key service is for.

    ``approvals`` are the keys (SubjectPublicKeyInfo) that signed it, by approver's name.
    """

    data: bytes
    service: str
    key: int | None
    session: Session
    since: float
    timeout: float
    state: State = State.GENERATED
    approvals: dict[str, bytes] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        """The 32 bytes that approvers sign."""
        return hashlib.sha256(self.data).digest()

    def remaining(self, now: float) -> float:
        """Return the seconds that are left; none where the clock went back, which makes no token younger."""
        return self.timeout - (now - self.since) if now >= self.since else -1.0

    def happens(self, event: Event) -> None:
        """Go to the next state. Raises ``TokenUnknown`` where there is none."""
        after = TRANSITIONS[event].get(self.state)
        if after is None:
            raise unknown()
        self.state = after


def approval_data(session: Session, service: str, key: int | None = None) -> bytes:
    """Return new raw data for a token of a session's user; 0 is the number of ``registration``."""
    return _BLOCK.pack(
        1 if key is None else 2,
        SERVICES[service].number if service in SERVICES else 0,
        secrets.randbits(32),
        key or 0,
        secrets.token_bytes(16),
        session.username.encode(),
        int(time.time()) & 0xFFFFFFFF,
    )


class Tokens:
    """The tokens of all sessions, under the HSM's lock."""

    def __init__(self, lock: RLock, clock: Callable[[], float]) -> None:
        self._lock = lock
        self._clock = clock
        self._tokens: dict[bytes, Token] = {}

    def require_room(self, session: Session, service: str, key: int | None) -> None:
        """Raise ``QuorumTokenLimit`` where there are too many, ``QuorumTokenRefused`` for a second of a user.

        That is for admin services, of which a user has one token at a time.
        """
        with self._lock:
            alive = self.alive()
            if key is None and any(
                (token.service, token.session.username) == (service, session.username) for token in alive
            ):
                raise QuorumTokenRefused(
                    f"{session.username!r} has an active token for the service {service}; use it or delete it first"
                )
            if len(alive) >= MAX_TOKENS:
                raise QuorumTokenLimit(f"there are {MAX_TOKENS} quorum tokens, which is the limit")

    def add(self, session: Session, service: str, key: int | None, timeout: float) -> Token:
        """Make a token, for which there must be room."""
        with self._lock:
            token = Token(approval_data(session, service, key), service, key, session, self._clock(), timeout)
            self._tokens[token.digest] = token
            return token

    def find(self, session: Session, digest: bytes) -> Token:
        """Return a token of a session that waits for approvals or use. Raises ``TokenUnknown``."""
        with self._lock:
            self.alive()
            token = self._tokens.get(digest)
            if token is None or token.session is not session or token.state not in _TIMEOUT:
                raise unknown()
            return token

    def approve(self, token: Token, timeout: float) -> None:
        """Let an approved token be used for that many seconds from now. Raises ``TokenUnknown``."""
        first = token.state is State.GENERATED
        token.happens(Event.APPROVE)
        if first:
            token.since, token.timeout = self._clock(), timeout

    @contextmanager
    def using(
        self, session: Session, service: str, key: int | None, enough: Callable[[Token], bool]
    ) -> Iterator[None]:  # fmt: skip
        """Use an approved token up by what is done inside, if that succeeds.

        Raises ``ApprovalRequired``, for a key ``KeyQuorumFailed``.
        """
        with self._lock:
            found = (
                token for token in self.alive()
                if (token.session, token.service, token.key, token.state) == (session, service, key, State.APPROVED)
                and enough(token)
            )  # fmt: skip
            token = next(found, None)
            if token is None:
                raise _missing(service, key)
            token.happens(Event.USE)
        try:
            yield
        except BaseException:
            with self._lock:
                token.happens(Event.FAIL)
            raise
        with self._lock:
            token.happens(Event.SUCCEED)
            self._tokens.pop(token.digest, None)

    def alive(self) -> list[Token]:
        """Return the tokens that are there, after those whose time is over have gone."""
        with self._lock:
            now = self._clock()
            self._end(lambda token: token.state in _TIMEOUT and token.remaining(now) < 0)
            return list(self._tokens.values())

    def end_of_user(self, username: str, role: str) -> None:
        """Delete the tokens of a user."""
        with self._lock:
            self._end(lambda token: (token.session.username, token.session.role) == (username, role))

    def end_all(self) -> None:
        """Delete every token."""
        with self._lock:
            self._end(lambda _: True)

    def drop_key(self, key: int) -> None:
        """Forget the tokens for a key that was destroyed."""
        with self._lock:
            self._end(lambda token: token.key == key)

    def drop_session(self, session: Session) -> None:
        """Forget the tokens of a session that has ended."""
        with self._lock:
            self._end(lambda token: token.session is session)

    def _end(self, which: Callable[[Token], bool]) -> None:
        for digest, token in list(self._tokens.items()):
            if which(token):
                token.happens(Event.END)
                del self._tokens[digest]


def _missing(service: str, key: int | None) -> QuorumError:
    if key is None:
        return ApprovalRequired(
            f"Quorum approval is required for this operation: an approved token of the service {service}"
        )
    return KeyQuorumFailed(f"Quorum Failed: key {key} takes an approved token of the service {service}")


def unknown() -> TokenUnknown:
    """Return the error for a token that this session does not have."""
    return TokenUnknown("this session has no such token: it was used or deleted, has expired, or is of another session")

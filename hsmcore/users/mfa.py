"""The key by which a user proves to be there: what it is registered for, and the tokens it is asked to sign.

A user has one key at most. It is the second factor of a login (MFA), or signs approvals (quorum), or both: whoever
registers one for MFA approves with it too, and a user with MFA approves with no other. ``TRANSITIONS`` is the whole of
it: what is not there is refused and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from threading import Lock
from typing import NamedTuple

from hsmcore.errors import MfaNotEnabled, MfaSharesKey, TokenSignatureInvalid, TokenUnknown
from hsmcore.primitives.proofs import proves, read_user_key
from hsmcore.storage.rows import UserRow
from hsmcore.users.token_files import read_token

TOKEN_LIFETIME = 600
"""Seconds in which a token for MFA or registration is to be signed and brought back."""
MAX_TOKENS = 1024
"""Such tokens that wait; one more makes the oldest unknown."""


class Uses(Enum):
    """What a user's key is registered for."""

    NOTHING = (False, False)
    QUORUM = (False, True)
    MFA = (True, False)
    BOTH = (True, True)


class Event(Enum):
    """What changes it."""

    REGISTER_MFA = auto()
    DEREGISTER_MFA = auto()
    REGISTER_QUORUM = auto()
    DEREGISTER_QUORUM = auto()
    CHANGE_PASSWORD = auto()


TRANSITIONS: Mapping[Event, Mapping[Uses, Uses]] = {
    Event.REGISTER_MFA: dict.fromkeys(Uses, Uses.BOTH),
    Event.DEREGISTER_MFA: {Uses.MFA: Uses.NOTHING, Uses.BOTH: Uses.NOTHING},
    Event.REGISTER_QUORUM: {
        Uses.NOTHING: Uses.QUORUM, Uses.QUORUM: Uses.QUORUM, Uses.MFA: Uses.BOTH, Uses.BOTH: Uses.BOTH,
    },
    Event.DEREGISTER_QUORUM: {
        Uses.NOTHING: Uses.NOTHING, Uses.QUORUM: Uses.NOTHING, Uses.MFA: Uses.MFA, Uses.BOTH: Uses.MFA,
    },
    Event.CHANGE_PASSWORD: {
        Uses.NOTHING: Uses.NOTHING, Uses.QUORUM: Uses.QUORUM, Uses.MFA: Uses.MFA, Uses.BOTH: Uses.MFA,
    },
}  # fmt: skip
"""Uses by event and uses before. A new password takes the approvals of a user with MFA away, as CloudHSM does."""

KEEPS_KEY = {(Event.REGISTER_MFA, Uses.QUORUM), (Event.REGISTER_QUORUM, Uses.MFA), (Event.REGISTER_QUORUM, Uses.BOTH)}
"""Registrations that are for the key that the user has, since another use of it stays."""


class RegisteredKeys(NamedTuple):
    """A user's public key (SubjectPublicKeyInfo, DER) under each use; where there are both they are equal."""

    mfa: bytes | None
    quorum: bytes | None


NO_KEYS = RegisteredKeys(None, None)


def keys_after(
    event: Event, keys: RegisteredKeys, key: bytes | None = None, *, change_quorum: bool = False
) -> RegisteredKeys:
    """Return what is registered after an event; ``key`` is the one to register.

    ``change_quorum`` lets it replace the key of the other use too. Raises ``MfaNotEnabled``, and ``MfaSharesKey`` for
    a second key.
    """
    before = Uses((keys.mfa is not None, keys.quorum is not None))
    uses = TRANSITIONS[event].get(before)
    if uses is None:
        raise MfaNotEnabled("the user has no second factor to deregister")
    old = keys.mfa or keys.quorum
    if (event, before) in KEEPS_KEY and key != old and not change_quorum:
        raise MfaSharesKey(
            "MFA and quorum share one key, and the user has registered another; give that one, or change both by "
            "registering for MFA with --change-quorum"
        )
    mfa, quorum = uses.value
    current = old if key is None else key
    return RegisteredKeys(current if mfa else None, current if quorum else None)


class Purpose(Enum):
    """What a token is signed for."""

    LOGIN = auto()
    MFA = auto()
    QUORUM = auto()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A token that was given out: for what, for whom (name and role), in which session (0 before login), and when."""

    purpose: Purpose
    subject: tuple[str, str]
    session: int
    since: float


class Challenges:
    """Tokens to be signed with a user's key. Each is brought back once, for what and by whom it was asked for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._waiting: dict[bytes, _Waiting] = {}

    def issue(self, token: bytes, purpose: Purpose, subject: tuple[str, str], session: int = 0) -> None:
        """Remember a new token."""
        with self._lock:
            if len(self._waiting) >= MAX_TOKENS:
                del self._waiting[next(iter(self._waiting))]
            self._waiting[token] = _Waiting(purpose, subject, session, self._clock())

    def redeem(self, token: bytes, purpose: Purpose, subject: tuple[str, str], session: int = 0) -> None:
        """Use a token up, whether its signature then holds or not. Raises ``TokenUnknown``."""
        with self._lock:
            waiting = self._waiting.pop(token, None)
            # A clock that goes back makes no token younger.
            if (
                waiting is None
                or (waiting.purpose, waiting.subject, waiting.session) != (purpose, subject, session)
                or not 0 <= self._clock() - waiting.since <= TOKEN_LIFETIME
            ):
                raise TokenUnknown("the token was used, has expired, or was given out for something else; get another")

    def prove(self, purpose: Purpose, row: UserRow, session: int, token_file: bytes, public_key: bytes) -> bytes:
        """Use a token up and return the key with which the user has signed it, as SubjectPublicKeyInfo (DER).

        Args:
            purpose: The purpose that the token was issued for.
            row: The user.
            session: The session token of the session that the token was issued in.
            token_file: The signed token file.
            public_key: The key in PEM.

        Raises:
            PublicKeyInvalid: The key is not an RSA-2048 key in PEM.
            TokenFileInvalid: The token file is not well-formed.
            TokenUnknown: The token was used, has expired, or was issued for another user, session or purpose.
            TokenSignatureInvalid: The signature is not of this key.
        """
        key = read_user_key(public_key)
        signed = read_token(token_file)
        self.redeem(signed.token, purpose, (row.username, row.role), session)
        if not proves(key, signed.token, signed.signature):
            raise TokenSignatureInvalid("the token is not signed with this key (RSA PKCS #1 v1.5, token as the digest)")
        return key

    def drop_session(self, session: int) -> None:
        """Forget the tokens of a session that has ended."""
        with self._lock:
            for token in [token for token, waiting in self._waiting.items() if waiting.session == session]:
                del self._waiting[token]

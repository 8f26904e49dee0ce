"""The public key that a user registers for MFA, quorum or both, and the tokens that prove its possession.

A user has at most one key. A key that is registered for MFA, the second factor of a login, also signs approvals, and a
user with MFA approves with no other key. ``TRANSITIONS`` has every change; any other is refused.
"""

from __future__ import annotations

import hmac
import struct
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from threading import Lock
from typing import NamedTuple

from hsmcore.errors import MfaNotEnabled, MfaSharesKey, TokenSignatureInvalid, TokenUnknown
from hsmcore.primitives.proofs import proves, read_user_key
from hsmcore.primitives.secrecy import KEY_BYTES, Authenticator, random_bytes
from hsmcore.storage.rows import UserRow, context
from hsmcore.users.token_files import SignedToken, read_token

TOKEN_LIFETIME = 600
"""Seconds until a token for MFA or registration expires."""
MAX_USED = 1 << 18
"""Maximum number of used tokens that have not expired; one more is refused.

Nobody reaches it at an HSM on a disk: a login uses a token up, and the HSM computes few password hashes at a time
(``hsmcore.users.passwords.HASHING``), each of which takes more than 5 ms.
"""
_MOMENT = struct.Struct(">Q8s")
"""Beginning of a token: time of issue in ms, random bytes. The rest authenticates it."""


class Purposes(Enum):
    """The purposes (MFA, quorum) for which a user's key is registered."""

    NOTHING = (False, False)
    QUORUM = (False, True)
    MFA = (True, False)
    BOTH = (True, True)


class Event(Enum):
    """A change of the registration."""

    REGISTER_MFA = auto()
    DEREGISTER_MFA = auto()
    REGISTER_QUORUM = auto()
    DEREGISTER_QUORUM = auto()
    CHANGE_PASSWORD = auto()


_UNKNOWN = "the token was used, has expired, or was issued for another purpose; get another"
_NOTHING, _QUORUM, _MFA, _BOTH = Purposes

TRANSITIONS: Mapping[Event, Mapping[Purposes, Purposes]] = {
    Event.REGISTER_MFA: dict.fromkeys(Purposes, _BOTH),
    Event.DEREGISTER_MFA: {_MFA: _NOTHING, _BOTH: _NOTHING},
    Event.REGISTER_QUORUM: {_NOTHING: _QUORUM, _QUORUM: _QUORUM, _MFA: _BOTH, _BOTH: _BOTH},
    Event.DEREGISTER_QUORUM: {_NOTHING: _NOTHING, _QUORUM: _NOTHING, _MFA: _MFA, _BOTH: _MFA},
    Event.CHANGE_PASSWORD: {_NOTHING: _NOTHING, _QUORUM: _QUORUM, _MFA: _MFA, _BOTH: _MFA},
}
"""Purposes by event and purposes before. A new password removes quorum from a user with MFA, as in CloudHSM."""

KEEPS_KEY = {(Event.REGISTER_MFA, _QUORUM), (Event.REGISTER_QUORUM, _MFA), (Event.REGISTER_QUORUM, _BOTH)}
"""Registrations that must keep the user's key, because it stays registered for the other purpose."""


class RegisteredKeys(NamedTuple):
    """A user's public key (SubjectPublicKeyInfo, DER) by purpose. Both are equal where there are two."""

    mfa: bytes | None
    quorum: bytes | None


NO_KEYS = RegisteredKeys(None, None)


def keys_after(
    event: Event, keys: RegisteredKeys, key: bytes | None = None, *, change_quorum: bool = False
) -> RegisteredKeys:
    """Return the registered keys after an event.

    Args:
        event: The event.
        keys: The registered keys before.
        key: The key to register (SubjectPublicKeyInfo, DER).
        change_quorum: Also replace a different key of the other purpose.

    Raises:
        MfaNotEnabled: The user has no second factor to deregister.
        MfaSharesKey: A different key is registered for the other purpose.
    """
    before = Purposes((keys.mfa is not None, keys.quorum is not None))
    registered = TRANSITIONS[event].get(before)
    if registered is None:
        raise MfaNotEnabled("the user has no second factor to deregister")
    old = keys.mfa or keys.quorum
    if (event, before) in KEEPS_KEY and key != old and not change_quorum:
        raise MfaSharesKey(
            "MFA and quorum share one key, and the user has registered another; give that one, or change both by "
            "registering for MFA with --change-quorum"
        )
    mfa, quorum = registered.value
    current = old if key is None else key
    return RegisteredKeys(current if mfa else None, current if quorum else None)


class Purpose(Enum):
    """The purpose of a token that a user signs."""

    LOGIN = auto()
    MFA = auto()


class Challenges:
    """Tokens to sign with a user's key. Each can be redeemed once, for its purpose, by its user, in its session.

    A token authenticates itself, so that the HSM keeps nothing for it: anybody may ask for tokens, before a login too.
    Only used tokens are kept, until they expire.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._authenticator = Authenticator(random_bytes(KEY_BYTES), b"hsmbridge tokens to sign")
        self._used: dict[bytes, float] = {}

    def issue(self, purpose: Purpose, subject: tuple[str, str], session: int = 0) -> bytes:
        """Return a new token, 32 bytes.

        Args:
            purpose: Its purpose.
            subject: Name and role of its user.
            session: The session token of its session; 0 before login.
        """
        moment = _MOMENT.pack(int(self._clock() * 1000), random_bytes(8))
        return moment + self._tag(moment, purpose, subject, session)

    def _tag(self, moment: bytes, purpose: Purpose, subject: tuple[str, str], session: int) -> bytes:
        names = [name.encode("utf-8", "surrogateescape") for name in subject]
        return self._authenticator.code(context(purpose.name, moment, *names, session.to_bytes(8, "big")))[:16]

    def redeem(self, token: bytes, purpose: Purpose, subject: tuple[str, str], session: int = 0) -> None:
        """Use a token up, before the check of its signature.

        Raises:
            TokenUnknown: The token was used, has expired, or was issued for another user, session or purpose.
        """
        moment, now = token[: _MOMENT.size], self._clock()
        genuine = len(token) > _MOMENT.size and hmac.compare_digest(
            token[_MOMENT.size :], self._tag(moment, purpose, subject, session)
        )
        # A clock that went back does not extend the life of a token.
        if not genuine or not 0 <= now - _MOMENT.unpack(moment)[0] / 1000 <= TOKEN_LIFETIME:
            raise TokenUnknown(_UNKNOWN)
        with self._lock:
            while self._used and next(iter(self._used.values())) < now - TOKEN_LIFETIME:
                del self._used[next(iter(self._used))]
            if token in self._used or len(self._used) >= MAX_USED:
                raise TokenUnknown(_UNKNOWN)
            self._used[token] = now

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
        require_signed(signed, key)
        return key


def require_signed(signed: SignedToken, key: bytes) -> None:
    """Check the signature of a token.

    Args:
        signed: The token.
        key: The user's key (SubjectPublicKeyInfo, DER).

    Raises:
        TokenSignatureInvalid: The signature is not of this key.
    """
    if not proves(key, signed.token, signed.signature):
        raise TokenSignatureInvalid("the token is not signed with this key (RSA PKCS #1 v1.5, token as the digest)")

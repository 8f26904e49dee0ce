"""Tokens with which users register the key for their approvals.

The HSM stores no such token before its use, because anyone may request one without a login. A token file proves itself:
``approval_data`` is a block as in a quorum token, the time of the request in milliseconds, and a code over both that
only the HSM can make (HMAC-SHA256). So it is valid in every connection and every process that opens the HSM.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import Lock

from hsmcore.errors import TokenUnknown
from hsmcore.quorum.tokens import BLOCK, approval_data, requester
from hsmcore.storage.sealing import Vault
from hsmcore.users import token_files
from hsmcore.users.mfa import TOKEN_LIFETIME
from hsmcore.users.token_files import SignedToken

REGISTRATION = "registration"
"""The name, in place of a service, of a token that registers an approver's key."""
MAX_USED = 1024
"""Maximum number of used tokens that are remembered; one more drops the oldest."""

_LIFETIME = TOKEN_LIFETIME * 1000
_TIME = slice(BLOCK.size, BLOCK.size + 8)
_CODE = slice(BLOCK.size + 8, BLOCK.size + 40)
_REFUSED = "the token was used, has expired, or was issued for another user or purpose; get another"


class RegistrationTokens:
    """Issues registration tokens and redeems each of them once."""

    def __init__(self, vault: Vault, clock: Callable[[], float]) -> None:
        self._vault = vault
        self._clock = clock
        self._lock = Lock()
        self._used: dict[bytes, int] = {}

    def issue(self, username: str = "", role: str = "") -> bytes:
        """Return the token file of a new token for a user; without a user, for the one who presents it."""
        data = approval_data(username, REGISTRATION) + self._now().to_bytes(8, "big")
        data += self._vault.registration_code(data, role)
        return token_files.encode_token(hashlib.sha256(data).digest(), data)

    def redeem(self, signed: SignedToken, username: str, role: str) -> None:
        """Use a token up, before the check of its signature.

        Raises:
            TokenUnknown: The token was used, has expired, or was issued for another user or purpose.
        """
        data, owner, now = signed.data, requester(signed.data), self._now()
        age = now - int.from_bytes(data[_TIME], "big")
        genuine = (
            len(data) == _CODE.stop
            and hashlib.sha256(data).digest() == signed.token
            and self._vault.is_registration_code(data[: _TIME.stop], role if owner else "", data[_CODE])
            and owner in ("", username)
        )
        # A clock that went back does not extend the life of a token.
        if not genuine or not 0 <= age <= _LIFETIME or not self._use(signed.token, now):
            raise TokenUnknown(_REFUSED)

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _use(self, token: bytes, now: int) -> bool:
        with self._lock:
            for old, used in list(self._used.items()):
                if now - used > _LIFETIME or len(self._used) >= MAX_USED:
                    del self._used[old]
            fresh = token not in self._used
            self._used.setdefault(token, now)
            return fresh

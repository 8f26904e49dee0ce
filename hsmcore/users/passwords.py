"""Passwords of users: the rules for new ones, and checks, of which few run at a time.

A password has 8 to 32 characters and no colon, because Java programs pass ``user:password``.
"""

from __future__ import annotations

from threading import BoundedSemaphore

from hsmcore.errors import PasswordInvalid
from hsmcore.primitives.secrecy import hash_password, password_matches

HASHING = 2
"""Maximum number of password hashes that are computed at a time; other logins wait for their turn.

Guests have as many places of their own, so that a guest who guesses passwords does not delay the owner of the state
directory.
"""


def check_password(password: bytes) -> None:
    """Check the rules for passwords.

    Raises:
        PasswordInvalid: The bytes are not UTF-8 of 8 to 32 characters without a colon.
    """
    try:
        text = password.decode()
    except UnicodeDecodeError:
        # Without the cause, which has the password.
        raise PasswordInvalid("a password is UTF-8 text") from None
    if not 8 <= len(text) <= 32:
        raise PasswordInvalid(f"a password has 8 to 32 characters, not {len(text)}")
    if ":" in text:
        raise PasswordInvalid("a password has no colon")


def new_verifier(password: bytes, *, stored: bool) -> str:
    """Return the hash of a new password.

    Args:
        password: The password.
        stored: Whether the hash will be on a disk.

    Raises:
        PasswordInvalid: The password breaks the rules for passwords.
    """
    check_password(password)
    return hash_password(password, stored=stored)


class PasswordChecks:
    """Checks passwords, ``HASHING`` at a time of guests and as many of the owner of the state directory."""

    def __init__(self) -> None:
        self._places = {guest: BoundedSemaphore(HASHING) for guest in (False, True)}

    def match(self, password: bytes, verifier: str, *, guest: bool) -> bool:
        """Tell whether a password is the one of a hash, when there is a place.

        Args:
            password: The password.
            verifier: The hash.
            guest: Whether the client is another than the owner of the state directory.
        """
        with self._places[guest]:
            return password_matches(password, verifier)

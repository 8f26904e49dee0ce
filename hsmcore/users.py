"""Users: names, roles, passwords, lock-out.

A name has 1 to 31 letters, digits and underscores; its case does not count. A password has 8 to 32 characters and no
colon, since Java programs hand over ``user:password``. The sixth wrong password in a row locks the account; an admin
unlocks it by setting a new one. An unknown user costs as much time as a known one.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from threading import Lock, RLock

from hsmcore.audit import AuditLog
from hsmcore.errors import (
    AccountLocked,
    AuthenticationFailed,
    PasswordInvalid,
    PermissionDenied,
    StoreFull,
    UserExists,
    UserNameInvalid,
    UserNotFound,
    UserUnknown,
)
from hsmcore.primitives.secrecy import hash_password, password_matches
from hsmcore.sealing import Vault
from hsmcore.sessions import ADMIN, ROLES
from hsmcore.store import Store, UserRow

MAX_FAILURES = 5
"""Wrong passwords in a row that an account survives (CloudHSM: more than 5 lock it)."""

_WRONG = "wrong user name, role or password"
_NAME = re.compile(r"[A-Za-z0-9_]{1,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class UserInfo:
    """What may be known about a user."""

    username: str
    role: str
    locked: bool


@dataclass(slots=True, eq=False)
class _User:
    """A user in memory. ``guard`` lets one password at a time be tried, so that guesses in parallel all count."""

    username: str
    role: str
    verifier: bytes = field(repr=False)
    failures: int
    guard: Lock = field(default_factory=Lock, repr=False)

    @property
    def locked(self) -> bool:
        return self.failures > MAX_FAILURES


def normal_name(username: str) -> str:
    """Return the name in lower case. Raises ``UserNameInvalid``."""
    if not _NAME.fullmatch(username):
        raise UserNameInvalid("a user name has 1 to 31 letters, digits and underscores")
    return username.lower()


def check_password(password: bytes) -> None:
    """Raise ``PasswordInvalid`` unless the bytes are UTF-8 of 8 to 32 characters without a colon."""
    try:
        text = password.decode()
    except UnicodeDecodeError:
        # No cause: it would carry the password.
        raise PasswordInvalid("a password is UTF-8 text") from None
    if not 8 <= len(text) <= 32:
        raise PasswordInvalid(f"a password has 8 to 32 characters, not {len(text)}")
    if ":" in text:
        raise PasswordInvalid("a password has no colon")


def new_user(vault: Vault, username: str, role: str, password: bytes) -> UserRow:
    """Return the row of a new user. Raises ``UserNameInvalid``, ``PasswordInvalid``."""
    if role not in ROLES:
        raise UserNameInvalid(f"there is no role {role[:32]!r}; there are {' and '.join(ROLES)}")
    check_password(password)
    name = normal_name(username)
    return UserRow(name, role, vault.seal_verifier(name, role, hash_password(password)), 0)


class Users:
    """The users of an HSM, by name and role. Adding, changing and deleting is done under the HSM's lock."""

    def __init__(self, store: Store, vault: Vault, lock: RLock, log: AuditLog) -> None:
        self._store = store
        self._audit = log
        self._vault = vault
        self._lock = lock
        self._users = {(row.username, row.role): _user(row) for row in store.users()}
        # Tried in place of the hash of a user that does not exist; nobody knows its password.
        self._nobody = hash_password(secrets.token_bytes(32))

    def infos(self) -> list[UserInfo]:
        """Return all users, by name and role."""
        return [UserInfo(user.username, user.role, user.locked) for _, user in sorted(self._users.items())]

    def authenticate(self, username: str, password: bytes, role: str) -> str:
        """Return the user's name. Raises ``AuthenticationFailed``, ``AccountLocked``, ``StoreDamaged``."""
        user = self._users.get((username.lower(), role)) if _NAME.fullmatch(username) else None
        if user is None:
            password_matches(password, self._nobody)
            raise UserUnknown(_WRONG)
        with user.guard:
            verifier = self._vault.open_verifier(user.username, user.role, user.verifier)
            right = password_matches(password, verifier)
            if user.locked:
                raise AccountLocked(f"the account {user.username!r} is locked; an admin unlocks it with a new password")
            failure = None if right else AuthenticationFailed(_WRONG)
            self._count(user, failure)
        if failure is not None:
            raise failure
        return user.username

    def _count(self, user: _User, failure: AuthenticationFailed | None) -> None:
        """Count wrong passwords, on disk too; a right one starts again. On a full disk, memory keeps the count."""
        failures = 0 if failure is None else user.failures + 1
        if failure is not None:
            self._audit.refuse(failure)
        if failures == user.failures:
            return
        user.failures = failures
        try:
            self._store.change_user(_row(user))
        except StoreFull:
            return

    def require_known(self, username: str, role: str) -> str:
        """Return the name of a user that exists. Raises ``UserNotFound``."""
        return self._find(username, role).username

    def add(self, username: str, role: str, password: bytes) -> None:
        """Add a user. Raises ``UserExists``, ``UserNameInvalid``, ``PasswordInvalid``."""
        row = new_user(self._vault, username, role, password)
        with self._lock:
            if (row.username, role) in self._users:
                raise UserExists(f"there is a {role} {row.username!r} already")
            self._store.add_user(row)
            self._users[row.username, row.role] = _user(row)

    def change_password(self, username: str, role: str, password: bytes) -> None:
        """Set a new password and unlock the account. Raises ``UserNotFound``, ``PasswordInvalid``."""
        user = self._find(username, role)
        row = new_user(self._vault, user.username, user.role, password)
        with user.guard:
            self._store.change_user(row)
            user.verifier, user.failures = row.verifier, 0

    def require_not_last_admin(self, username: str, role: str) -> None:
        """Raise ``PermissionDenied`` for the last admin."""
        if role == ADMIN and sum(other.role == ADMIN for other in self._users.values()) == 1:
            raise PermissionDenied(f"{username!r} is the last admin and cannot be deleted")

    def delete(self, username: str, role: str) -> None:
        """Delete a user. Raises ``UserNotFound``."""
        with self._lock:
            user = self._find(username, role)
            self._store.delete_user(user.username, user.role)
            del self._users[user.username, user.role]

    def _find(self, username: str, role: str) -> _User:
        user = self._users.get((username.lower(), role))
        if user is None:
            raise UserNotFound(f"there is no {role[:32]} {username[:64]!r}")
        return user


def _user(row: UserRow) -> _User:
    return _User(row.username, row.role, row.verifier, row.failures)


def _row(user: _User) -> UserRow:
    return UserRow(user.username, user.role, user.verifier, user.failures)

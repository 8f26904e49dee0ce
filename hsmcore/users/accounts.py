"""Accounts: names, roles, lock-out.

A name has 1 to 31 letters, digits and underscores; its case does not matter. An admin and a crypto user may have the
same name. The sixth wrong password in a row locks the account; an admin unlocks it by setting a new one. The check of
an unknown user takes as long as that of a known one.

A new HSM that is not activated has one user: ``admin`` with the role ``unactivated-admin`` and the empty password,
which no other user can have. Activation sets a password and makes this user an admin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock

from hsmcore.audit.log import AuditLog
from hsmcore.errors import (
    AccountLocked,
    AuthenticationFailed,
    MfaRequired,
    PermissionDenied,
    PublicKeyInvalid,
    StateError,
    StoreFull,
    UserExists,
    UserLimit,
    UserNameInvalid,
    UserNotFound,
    UserUnknown,
)
from hsmcore.primitives.proofs import proves
from hsmcore.primitives.secrecy import unknown_password_hash
from hsmcore.storage.database import Store
from hsmcore.storage.rows import KeyRow, UserRow
from hsmcore.storage.sealing import Vault
from hsmcore.tables.roles import ADMIN, APPLIANCE_NAME, APPLIANCE_USER, ROLES
from hsmcore.users.passwords import PasswordChecks, new_verifier
from hsmcore.users.token_files import SignedToken

MAX_FAILURES = 5
"""Wrong passwords in a row that do not lock an account (CloudHSM: more than 5 do)."""
MAX_USERS = 1024
"""Maximum number of users (CloudHSM's quota for hsm2m.medium)."""
FIRST_ADMIN = "admin"
"""The name of a new HSM's user."""

_APPLIANCE_NUMBER = 2
_WRONG = "wrong user name, role or password"
_NAME = re.compile(r"[A-Za-z0-9_]{1,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class UserInfo:
    """A user as everybody sees it; ``mfa`` and ``quorum`` tell whether a key is registered for them."""

    number: int
    username: str
    role: str
    locked: bool = False
    mfa: bool = False
    quorum: bool = False


APPLIANCE = UserInfo(_APPLIANCE_NUMBER, APPLIANCE_NAME, APPLIANCE_USER)
"""The account that every CloudHSM lists. It only synchronises HSMs, which a single HSM does not need."""


@dataclass(slots=True, eq=False)
class _User:
    """A user in memory. ``guard`` serialises the checks of passwords, so that parallel guesses are all counted.

    The HSM's turn is taken after the guard where both are needed.
    """

    row: UserRow
    guard: Lock = field(default_factory=Lock, repr=False)

    @property
    def locked(self) -> bool:
        return self.row.failures > MAX_FAILURES


def normal_name(username: str) -> str:
    """Return the name in lower case.

    Raises:
        UserNameInvalid: The name breaks the rules for names.
    """
    if not _NAME.fullmatch(username):
        raise UserNameInvalid("a user name has 1 to 31 letters, digits and underscores")
    return username.lower()


class Accounts:
    """The users of an HSM, by name and role. Every change is made in the HSM's turn."""

    def __init__(self, store: Store, vault: Vault, turn: AbstractContextManager[object], log: AuditLog) -> None:
        self._store = store
        self._audit = log
        self._vault = vault
        self._turn = turn
        self._users = {(row.username, row.role): _User(_newest(row)) for row in store.users()}
        log.known_user = lambda username, role: (username.lower(), role) in self._users
        # Checked in place of the hash of a user who does not exist.
        self._nobody = unknown_password_hash(stored=store.stored)
        self._passwords = PasswordChecks()

    def __len__(self) -> int:
        return len(self._users)

    def new_verifier(self, password: bytes) -> str:
        """Return the hash of a new password of a user.

        Raises:
            PasswordInvalid: The password breaks the rules for passwords.
        """
        return new_verifier(password, stored=self._store.stored)

    def infos(self) -> list[UserInfo]:
        """Return all users in order of creation."""
        infos = [_info(user) for user in list(self._users.values())]
        return sorted([*infos, APPLIANCE], key=lambda info: (info.number, info.username, info.role))

    def authenticate(
        self, username: str, password: bytes, role: str, signed: SignedToken | None = None, *, guest: bool = False
    ) -> UserRow:  # fmt: skip
        """Check a password, and for a user with MFA a signed token, and return the user's row at that moment.

        Args:
            username: The user.
            password: The password.
            role: The role.
            signed: The signed token, ``None`` for none.
            guest: Whether the client is another than the owner of the state directory.

        Raises:
            UserUnknown: The user does not exist; an ``AuthenticationFailed``.
            AuthenticationFailed: The password or the signature is wrong.
            AccountLocked: The account is locked.
            MfaRequired: The user has a second factor, and no signed token was given.
            StoreDamaged: The user's row is damaged.
        """
        user = self._users.get((username.lower(), role)) if _NAME.fullmatch(username) else None
        if user is None:
            self._passwords.match(password, self._nobody, guest=guest)
            raise UserUnknown(_WRONG)
        with user.guard:
            if self._users.get((user.row.username, user.row.role)) is not user:
                raise UserUnknown(_WRONG)
            before = user.row
            verifier, key = self._credentials(before)
            if key is not None and (signed is None or not signed.signature):
                # Before the check of the password, so that the answer does not depend on it, and not counted.
                raise MfaRequired(
                    f"{user.row.username!r} logs in with a second factor, and no signed token was given; programs that "
                    "use the JCE provider log in as a user without one"
                )
            right = self._passwords.match(password, verifier, guest=guest)
            if key is not None and signed is not None:
                right &= proves(key, signed.token, signed.signature)
            if user.locked:
                raise AccountLocked(_locked(user.row))
            failure = None if right else AuthenticationFailed(_WRONG)
            self._count(user, before, failure)
            if failure is not None:
                raise failure
            return user.row

    def _count(self, user: _User, before: UserRow, failure: AuthenticationFailed | None) -> None:
        """Count wrong passwords in memory and on disk; a right one resets the count. A full disk is tolerated.

        Raises:
            AccountLocked: Another HSM has counted too many wrong passwords meanwhile.
        """
        if failure is not None:
            self._audit.refuse(failure)
        if failure is None and not before.failures and self._is_newest(before):
            return
        with self._turn:
            self.require_unchanged(before)
            if user.locked:
                raise AccountLocked(_locked(user.row))
            self._put_count(user, 0 if failure is None else user.row.failures + 1)

    def _is_newest(self, row: UserRow) -> bool:
        """Tell whether no other HSM has changed a user's row."""
        return self._store.cluster is None or self._store.newest(row.change().subject) == row.change()

    def _put_count(self, user: _User, failures: int) -> None:
        old = user.row
        if failures == old.failures:
            return
        new = replace(old, failures=failures, version=old.version + 1)
        user.row = self._vault.seal_user(new, self._vault.open_user(old))
        try:
            self._store.change_user(old, user.row)
        except StoreFull:
            return
        except StateError:
            user.row = old
            raise

    def require_unchanged(self, row: UserRow) -> None:
        """Check that a user's row is still current.

        Raises:
            AuthenticationFailed: The user was deleted, or has another password or key.
        """
        user = self._users.get((row.username, row.role))
        if user is None or self._credentials(user.row) != self._credentials(row):
            raise AuthenticationFailed(_WRONG)

    def _credentials(self, row: UserRow) -> tuple[str, bytes | None]:
        return self._vault.open_user(row), row.mfa_key

    def known(self, username: str, role: str) -> UserRow:
        """Return a user's row.

        Raises:
            UserNotFound: The user does not exist.
        """
        return self._find(username, role).row

    def add(self, username: str, role: str, password: bytes) -> None:
        """Add a user.

        Raises:
            UserExists: A user has that name and role.
            UserNameInvalid: The name breaks the rules for names, or the role does not exist.
            PasswordInvalid: The password breaks the rules for passwords.
            UserLimit: The HSM has the maximum number of users.
            StoreFull: The disk is full.
        """
        if role not in ROLES:
            raise UserNameInvalid(f"there is no role {role[:32]!r} to create; there are {' and '.join(ROLES)}")
        name = normal_name(username)
        verifier = self.new_verifier(password)
        with self._turn:
            if (name, role) in self._users:
                raise UserExists(f"there is a {role} {name!r} already")
            self._put_new(UserRow(0, name, role), verifier)

    def _put_new(self, row: UserRow, verifier: str) -> UserRow:
        """Store a new user under the next number.

        Raises:
            UserLimit: The HSM has the maximum number of users.
        """
        if len(self._users) >= MAX_USERS:
            raise UserLimit(f"there are {MAX_USERS} users, which is the limit; delete one first")
        number = max((user.row.number for user in self._users.values()), default=_APPLIANCE_NUMBER)
        version = self.next_version(row.username, row.role)
        row = self._vault.seal_user(replace(row, number=max(number, _APPLIANCE_NUMBER) + 1, version=version), verifier)
        self._store.add_user(row)
        self._users[row.username, row.role] = _User(row)
        return row

    def insert(self, row: UserRow, verifier: str) -> UserInfo:
        """Add a user of a clone, with password hash, registered keys and lock.

        Raises:
            PublicKeyInvalid: Another user has registered the user's key.
            UserLimit: The HSM has the maximum number of users.
            UserNameInvalid: Users in that role are not copied.
            StoreFull: The disk is full.
        """
        if row.role not in ROLES:
            raise UserNameInvalid(f"a user in the role {row.role[:32]!r} is not copied")
        with self._turn:
            for key in (row.mfa_key, row.quorum_key):
                if key is not None:
                    self.require_own_key(row, key)
            return self.info(self._put_new(row, verifier))

    def info(self, row: UserRow) -> UserInfo:
        """Return a user as everybody sees it."""
        return _info(_User(row))

    def next_version(self, username: str, role: str) -> int:
        """Return the version of the next row of a user, who need not exist."""
        newest = self._store.newest(UserRow(0, username, role).change().subject)
        return newest.version + 1 if newest else 1

    @contextmanager
    def all_changing(self) -> Iterator[None]:
        """Hold the guards of all users and the HSM's turn."""
        with ExitStack() as held:
            users: list[_User] | None = None
            while users != (found := list(self._users.values())):
                # Users that were added before the lock was taken have guards too.
                held.close()
                users = found
                for user in users:
                    held.enter_context(user.guard)
                held.enter_context(self._turn)
            yield

    def restore(self, rows: Sequence[UserRow]) -> None:
        """Replace all users, who are ``all_changing``, by those of rows that are on disk."""
        before = dict(self._users)
        self._users.clear()
        for row in rows:
            user = self._users[row.username, row.role] = before.get((row.username, row.role)) or _User(row)
            user.row = row

    @contextmanager
    def changing(self, username: str, role: str) -> Iterator[UserRow]:
        """Hold the HSM's turn and the user's guard, and yield the user's row.

        Raises:
            UserNotFound: The user does not exist.
        """
        user = self._find(username, role)
        with user.guard, self._turn:
            if self._find(username, role) is not user:
                raise UserNotFound(_no_user(username, role))
            yield user.row

    def put(self, old: UserRow, new: UserRow, verifier: str | None = None) -> None:
        """Replace a row that is ``changing``. A new password's hash also unlocks the account."""
        user = self._users[old.username, old.role]
        if verifier is None:
            verifier = self._vault.open_user(old)
        else:
            new = replace(new, failures=0)
        row = self._vault.seal_user(replace(new, version=old.version + 1), verifier)
        self._store.change_user(old, row)
        user.row = row
        if row.role != old.role:
            self._users[row.username, row.role] = user
            del self._users[old.username, old.role]

    def refresh(self, username: str, role: str) -> None:
        """Read a user again whom another HSM has changed, added or deleted."""
        row, user = self._store.user(username, role), self._users.get((username, role))
        if row is None:
            self._users.pop((username, role), None)
        elif user is None:
            self._users[username, role] = _User(_newest(row))
        else:
            user.row = _newest(row)

    def refresh_all(self) -> None:
        """Read all users again."""
        rows = {(row.username, row.role): row for row in self._store.users()}
        for name, role in {*rows, *self._users}:
            self.refresh(name, role)

    def exists(self, username: str, role: str) -> bool:
        """Tell whether a user exists."""
        return (username, role) in self._users

    def require_not_last_admin(self, row: UserRow) -> None:
        """Check that a user is not the last admin.

        Raises:
            PermissionDenied: It is.
        """
        if row.role == ADMIN and sum(user.row.role == ADMIN for user in self._users.values()) == 1:
            raise PermissionDenied(f"{row.username!r} is the last admin and cannot be deleted")

    def require_own_key(self, row: UserRow, key: bytes) -> None:
        """Check that no other user in the same role has registered the key; one key could then approve twice.

        Raises:
            PublicKeyInvalid: Another user has.
        """
        for user in self._users.values():
            other = user.row
            if other.role == row.role and other.username != row.username and key in (other.mfa_key, other.quorum_key):
                raise PublicKeyInvalid(
                    f"the {row.role} {other.username!r} has registered this key; each user needs a different one"
                )

    def quorum_key(self, username: str, role: str) -> bytes | None:
        """Return the key with which a user approves; ``None`` where there is no key or no such user."""
        user = self._users.get((username, role))
        return user.row.quorum_key if user else None

    def approvers(self, role: str) -> int:
        """Return the number of users in a role who have registered a key for quorum."""
        return sum(user.row.role == role and user.row.quorum_key is not None for user in self._users.values())

    def delete(self, row: UserRow, unshared: Sequence[KeyRow], owned: Sequence[int]) -> None:
        """Delete a user whose row is ``changing`` and the keys ``owned``, and store rows that are no longer shared."""
        self._store.delete_user(row, unshared, owned)
        del self._users[row.username, row.role]

    def _find(self, username: str, role: str) -> _User:
        user = self._users.get((username.lower(), role))
        if user is None:
            raise UserNotFound(_no_user(username, role))
        return user


def _newest(row: UserRow) -> UserRow:
    """Return a stored row; one that is not the newest has no password hash, so that it does not open."""
    return row if row.version == row.newest else replace(row, verifier=b"", version=max(row.version, row.newest))


def _info(user: _User) -> UserInfo:
    row = user.row
    mfa, quorum = row.mfa_key is not None, row.quorum_key is not None
    return UserInfo(row.number, row.username, row.role, user.locked, mfa, quorum)


def _locked(row: UserRow) -> str:
    return f"the account {row.username!r} is locked; an admin unlocks it with a new password"


def _no_user(username: str, role: str) -> str:
    return f"there is no {role[:32]} {username[:64]!r}"

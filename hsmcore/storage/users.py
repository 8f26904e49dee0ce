"""Queries of the stored users."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, Update, text, update

from hsmcore.storage.rows import UNKNOWN, UserRow
from hsmcore.storage.schema import USERS

# As text, without conversions: one damaged value would otherwise prevent the reading of all rows.
_SELECT = (
    "SELECT number, username, role, verifier, failures, mfa_key, quorum_key, users.version,"
    " CASE WHEN live THEN versions.version END"
    " FROM users LEFT JOIN versions ON subject = 'user/' || role || '/' || username"
)
_EVERY = text(_SELECT)
_ONE = text(f"{_SELECT} WHERE username = :username AND role = :role")
_HOLD = text("SELECT number FROM users WHERE username = :username AND role = :role FOR UPDATE")
_SHARE = text("SELECT number FROM users WHERE username = :username AND role = 'crypto-user' FOR SHARE")


def every(connection: Connection) -> list[UserRow]:
    """Return all users."""
    return [_row(*row) for row in connection.execute(_EVERY)]


def one(connection: Connection, username: str, role: str) -> UserRow | None:
    """Return a user; ``None`` where there is none."""
    found = connection.execute(_ONE, {"username": username, "role": role}).first()
    return None if found is None else _row(*found)


def hold(connection: Connection, username: str, role: str) -> None:
    """Lock a user's row until the end of the transaction, also for ``share``."""
    connection.execute(_HOLD, {"username": username, "role": role})


def share(connection: Connection, username: str) -> bool:
    """Let no other transaction delete a crypto user before the end of this one; return whether the user exists."""
    return connection.execute(_SHARE, {"username": username}).first() is not None


def _row(
    number: object, username: object, role: object, verifier: object, failures: object, mfa: object, quorum: object,
    version: object, newest: object,
) -> UserRow:  # fmt: skip
    """Return a row; a value of the wrong type becomes one that does not open, or that locks the account."""
    return UserRow(
        number if isinstance(number, int) and 0 <= number < 2**63 else 0,
        str(username),
        str(role),
        verifier if isinstance(verifier, bytes) else b"",
        failures if isinstance(failures, int) and failures >= 0 else sys.maxsize,
        mfa if isinstance(mfa, bytes) or mfa is None else b"",
        quorum if isinstance(quorum, bytes) or quorum is None else b"",
        version if isinstance(version, int) and 0 <= version < 2**63 else 0,
        newest if isinstance(newest, int) else UNKNOWN,
    )


def reseal(connection: Connection, users: Sequence[UserRow]) -> None:
    """Replace the sealed password hashes of users."""
    for user in users:
        connection.execute(update_of(user).values(verifier=user.verifier))


def values(user: UserRow) -> dict[str, object]:
    """Return the columns of a row."""
    columns = asdict(user)
    del columns["newest"]
    return columns


def update_of(user: UserRow) -> Update:
    """Return the update of a user's row."""
    return update(USERS).where(USERS.c.username == user.username, USERS.c.role == user.role)

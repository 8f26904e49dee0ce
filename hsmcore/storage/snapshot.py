"""The rows of one moment, on a connection of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from hsmcore.storage import audit, keys, users
from hsmcore.storage.audit import StoredHead
from hsmcore.storage.rows import Change, KeyRow, UserRow


@dataclass(frozen=True, slots=True)
class HsmRow:
    """The stored row of the HSM itself: sealed master key, settings, quorum values and timeouts."""

    master: bytes = field(repr=False)
    settings: bytes
    quorum: bytes
    quorum_version: int


class Snapshot:
    """The rows of the moment of the first call. Its methods are as those of ``Store``."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._number = number

    def hsm(self) -> HsmRow:
        """Return the row of the HSM itself."""
        master, settings = self._connection.execute(text("SELECT master, settings FROM hsm")).one()
        return HsmRow(blob(master), blob(settings), *quorum(self._connection))

    def newest(self, subject: str) -> Change | None:
        """Return the newest change of a row; ``None`` where there was none."""
        return audit.newest(self._connection, subject)

    def audit_rows(self, first: int, limit: int) -> list[tuple[object, ...]]:
        """Return the stored rows of the HSM's log from a sequence number on, also edited ones."""
        return audit.rows(self._connection, self._number, first, limit)

    def head(self) -> StoredHead | None:
        """Return the stored head of the log."""
        return audit.head(self._connection, self._number)

    def users(self) -> list[UserRow]:
        """Return all users."""
        return users.every(self._connection)

    def keys_after(self, handle: int, limit: int) -> list[KeyRow]:
        """Return the token keys with the next greater handles."""
        return keys.after(self._connection, handle, limit)


def quorum(connection: Connection) -> tuple[bytes, int]:
    """Return the sealed quorum values and timeouts, and their version."""
    sealed, version = connection.execute(text("SELECT quorum, quorum_version FROM hsm")).one()
    return blob(sealed), version if isinstance(version, int) and 0 <= version < 2**63 else 0


def blob(value: object) -> bytes:
    """Return a sealed value; one of the wrong type becomes bytes that do not open."""
    return value if isinstance(value, bytes) else b""

"""Queries of the audit log's two tables."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import Connection, Dialect, delete, insert, text, update

from hsmcore.storage.rows import COLUMNS, AuditRow
from hsmcore.storage.schema import AUDIT, AUDIT_HEAD

StoredHead = tuple[object, object, object]
"""Number of entries, reboot counter, sealed hash; of any type where somebody edited them."""


class Record(NamedTuple):
    """What the log gets in one transaction: entries, the head after them, and whether to wait for the disk."""

    rows: Sequence[AuditRow]
    head: StoredHead
    durable: bool = True


# As text, so that the columns' types convert nothing: an edited row is to be shown as it is.
_ROWS = text(f"SELECT {', '.join(COLUMNS)} FROM audit WHERE sequence >= :first ORDER BY sequence LIMIT :limit")  # noqa: S608  # constants only
_LAST = text(f"SELECT {', '.join(COLUMNS)} FROM audit WHERE sequence < :end ORDER BY sequence DESC LIMIT 1")  # noqa: S608  # constants only
_HEAD = text("SELECT count, reboot, sealed FROM audit_head")
_END = 2**62
"""A row beyond is nobody's: the log does not go on after it."""
_HEAD_COLUMNS = ("count", "reboot", "sealed")
_values = attrgetter(*COLUMNS)


class Appender:
    """Writes to the log. Its statements are compiled once, since every session key has an entry.

    The driver must take parameters by position, as that of SQLite does.
    """

    def __init__(self, dialect: Dialect) -> None:
        update_head = update(AUDIT_HEAD).where(text("id = 1")).values(dict.fromkeys(_HEAD_COLUMNS))
        self._insert = str(insert(AUDIT).compile(dialect=dialect))
        self._update = str(update_head.compile(dialect=dialect))

    def append(self, connection: Connection, record: Record) -> None:
        """Add entries and replace the head, in the transaction of the connection."""
        if record.rows:
            connection.exec_driver_sql(self._insert, [_values(row) for row in record.rows])
        if connection.exec_driver_sql(self._update, record.head).rowcount != 1:
            connection.execute(delete(AUDIT_HEAD))
            values = dict(zip(_HEAD_COLUMNS, record.head, strict=True))
            connection.execute(insert(AUDIT_HEAD), [{"id": 1, **values}])


def rows(connection: Connection, first: int, limit: int) -> list[tuple[object, ...]]:
    """Return stored rows from a sequence number on."""
    return [tuple(row) for row in connection.execute(_ROWS, {"first": first, "limit": limit})]


def last(connection: Connection) -> tuple[object, ...] | None:
    """Return the stored row with the highest sequence number."""
    row = connection.execute(_LAST, {"end": _END}).first()
    return None if row is None else tuple(row)


def head(connection: Connection) -> StoredHead | None:
    """Return the stored head."""
    row = connection.execute(_HEAD).first()
    return None if row is None else (row[0], row[1], row[2])

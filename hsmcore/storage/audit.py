"""Queries of the audit log's two tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import Connection, Dialect, delete, insert, text, true, update

from hsmcore.storage.rows import COLUMNS, AuditRow, Change
from hsmcore.storage.schema import AUDIT, AUDIT_HEAD, VERSIONS

StoredHead = tuple[object, object, object]
"""Number of entries, reboot counter, sealed hash. An edited value can have any type."""


class Record(NamedTuple):
    """The log's part of one transaction: entries, the head after them, and whether to wait for the disk.

    ``changes`` are those that the entries name.
    """

    rows: Sequence[AuditRow]
    head: StoredHead
    durable: bool = True
    changes: Sequence[Change] = ()


# As text, without conversions, so that an edited row is read as it is.
_ROWS = text(f"SELECT {', '.join(COLUMNS)} FROM audit WHERE sequence >= :first ORDER BY sequence LIMIT :limit")  # noqa: S608  # constants only
_LAST = text(f"SELECT {', '.join(COLUMNS)} FROM audit WHERE sequence < :end ORDER BY sequence DESC LIMIT 1")  # noqa: S608  # constants only
_HEAD = text("SELECT count, reboot, sealed FROM audit_head")
_END = 2**62
"""The log does not continue after a sequence number from here on, which nobody but a forger writes."""
_HEAD_COLUMNS = ("count", "reboot", "sealed")
_PUT_VERSION = text(
    "INSERT INTO versions (subject, version, live) VALUES (:subject, :version, :live)"
    " ON CONFLICT (subject) DO UPDATE SET version = excluded.version, live = excluded.live"
)
_VERSION = text("SELECT version, live FROM versions WHERE subject = :subject")
_values = attrgetter(*COLUMNS)


class Appender:
    """Writes the log with statements that are compiled once, because every session key has an entry.

    The driver must take parameters by position, as SQLite's does.
    """

    def __init__(self, dialect: Dialect) -> None:
        update_head = update(AUDIT_HEAD).where(text("id = 1")).values(dict.fromkeys(_HEAD_COLUMNS))
        self._insert = str(insert(AUDIT).compile(dialect=dialect))
        self._update = str(update_head.compile(dialect=dialect))

    def append(self, connection: Connection, record: Record) -> None:
        """Add entries and replace the head, in the transaction of the connection."""
        if record.rows:
            connection.exec_driver_sql(self._insert, [_values(row) for row in record.rows])
        if record.changes:
            connection.execute(_PUT_VERSION, [asdict(change) for change in record.changes])
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


def end_others(connection: Connection, subjects: Sequence[str]) -> None:
    """Give every subject but these a version more, after which its row is gone."""
    others = VERSIONS.c.live.is_(true()) & VERSIONS.c.subject.not_in(subjects)
    connection.execute(update(VERSIONS).where(others).values(version=VERSIONS.c.version + 1, live=False))


def newest(connection: Connection, subject: str) -> Change | None:
    """Return the newest change of a subject, as the index of versions has it; ``None`` where it has none."""
    row = connection.execute(_VERSION, {"subject": subject}).first()
    if row is None:
        return None
    version, live = row
    return Change(subject, version if isinstance(version, int) else 0, bool(live))

"""Queries of the audit log's two tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, bindparam, delete, insert, text, true, update

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
_OWN = f"SELECT {', '.join(COLUMNS)} FROM audit WHERE hsm = :hsm"  # noqa: S608  # constants only
_ROWS = text(f"{_OWN} AND sequence >= :first ORDER BY sequence LIMIT :limit")
_LAST = text(f"{_OWN} AND sequence < :end ORDER BY sequence DESC LIMIT 1")
_HEAD = text("SELECT count, reboot, sealed FROM audit_head WHERE id = :hsm")
_CHAINS = text("SELECT id FROM audit_head UNION SELECT hsm FROM audit ORDER BY 1")
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
    """Writes the log of one HSM with statements that are compiled once, because every session key has an entry."""

    def __init__(self, dialect: Dialect, hsm: int) -> None:
        self._hsm = hsm
        self._positional = dialect.positional
        update_head = update(AUDIT_HEAD).where(text(f"id = {hsm:d}")).values(dict.fromkeys(_HEAD_COLUMNS))
        self._insert = str(insert(AUDIT).compile(dialect=dialect))
        self._update = str(update_head.compile(dialect=dialect))

    def append(self, connection: Connection, record: Record) -> None:
        """Add entries and replace the head, in the transaction of the connection."""
        if record.rows:
            connection.exec_driver_sql(self._insert, [self._parameters(row) for row in record.rows])
        if record.changes:
            connection.execute(_PUT_VERSION, [asdict(change) for change in record.changes])
        head: Any = record.head if self._positional else dict(zip(_HEAD_COLUMNS, record.head, strict=True))
        if connection.exec_driver_sql(self._update, head).rowcount != 1:
            connection.execute(delete(AUDIT_HEAD).where(AUDIT_HEAD.c.id == self._hsm))
            values = dict(zip(_HEAD_COLUMNS, record.head, strict=True))
            connection.execute(insert(AUDIT_HEAD), [{"id": self._hsm, **values}])

    def _parameters(self, row: AuditRow) -> Any:
        values = (self._hsm, *_values(row))
        return values if self._positional else dict(zip(("hsm", *COLUMNS), values, strict=True))


def reseal(connection: Connection, hsm: int, seals: Sequence[tuple[int, bytes]]) -> None:
    """Replace the seals of entries of an HSM, by sequence number."""
    if seals:
        entry = (AUDIT.c.hsm == hsm) & (AUDIT.c.sequence == bindparam("of"))
        statement = update(AUDIT).where(entry).values(seal=bindparam("new"))
        connection.execute(statement, [{"of": sequence, "new": seal} for sequence, seal in seals])


def put_head(connection: Connection, hsm: int, head: StoredHead) -> None:
    """Replace the head of an HSM."""
    values = dict(zip(_HEAD_COLUMNS, head, strict=True))
    connection.execute(update(AUDIT_HEAD).where(AUDIT_HEAD.c.id == hsm).values(**values))


def rows(connection: Connection, hsm: int, first: int, limit: int) -> list[tuple[object, ...]]:
    """Return stored rows of an HSM from a sequence number on."""
    return [tuple(row) for row in connection.execute(_ROWS, {"hsm": hsm, "first": first, "limit": limit})]


def last(connection: Connection, hsm: int) -> tuple[object, ...] | None:
    """Return the stored row of an HSM with the highest sequence number."""
    row = connection.execute(_LAST, {"hsm": hsm, "end": _END}).first()
    return None if row is None else tuple(row)


def head(connection: Connection, hsm: int) -> StoredHead | None:
    """Return the stored head of an HSM."""
    row = connection.execute(_HEAD, {"hsm": hsm}).first()
    return None if row is None else (row[0], row[1], row[2])


def chains(connection: Connection) -> list[int]:
    """Return the numbers of the HSMs that have entries or a head."""
    return [int(number) for (number,) in connection.execute(_CHAINS)]


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

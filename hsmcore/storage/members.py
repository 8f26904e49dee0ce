"""Rows that the HSMs of a cluster share: which HSMs there are, and which changes they have made.

A code that only a holder of the master key can make authenticates each row. A row with a wrong code counts as no news.
So an administrator of the database can delay a change, but not have it confirmed by an HSM that does not know it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from sqlalchemy import Connection, text

from hsmcore.storage.rows import context

OPEN, CLOSED, LEFT = "open", "closed", "left"
"""States of an HSM: it runs, it does not, it is no longer a member."""
CHANGED, APPLIED = "changed", "applied"
"""Notifications: an HSM has changed something; an HSM has applied what others changed."""
KEPT = 4096
"""Changes that stay in the table. An HSM that missed more empties its memory."""


class Codes(Protocol):
    """Makes and checks the codes of rows."""

    def cluster_code(self, data: bytes) -> bytes:
        """Return the code of a row."""

    def is_cluster_code(self, data: bytes, code: bytes) -> bool:
        """Tell whether a code is that of a row."""


@dataclass(frozen=True, slots=True)
class Member:
    """An HSM of the cluster. ``process`` names the process that has it; ``renewals`` counts those of its lease.

    ``applied`` is the sequence number of the last change that is in its memory.
    """

    number: int
    name: str
    address: str = ""
    process: str = ""
    state: str = CLOSED
    renewals: int = 0
    applied: int = 0

    def lacks(self, sequence: int) -> bool:
        """Tell whether the HSM is open and has not applied a change."""
        return self.state == OPEN and self.applied < sequence

    def encoded(self) -> bytes:
        """Return the bytes that the code authenticates."""
        return context("cluster member", *(str(getattr(self, name)).encode() for name in _NAMES))


_NAMES = tuple(field.name for field in fields(Member))
_COLUMNS = ", ".join((*_NAMES, "code"))
_ALL = text(f"SELECT {_COLUMNS} FROM hsms ORDER BY number")  # noqa: S608  # constants only
_OTHERS = text(f"SELECT {_COLUMNS} FROM hsms WHERE number <> :own FOR SHARE")  # noqa: S608  # constants only
_ONE = text(f"SELECT {_COLUMNS} FROM hsms WHERE number = :number FOR UPDATE")  # noqa: S608  # constants only
_PUT = text(
    f"INSERT INTO hsms ({_COLUMNS}) VALUES ({', '.join(f':{name}' for name in (*_NAMES, 'code'))})"  # noqa: S608  # constants only
    f" ON CONFLICT (number) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in (*_NAMES[1:], 'code'))}"
)
_HIGHEST = text("SELECT greatest(max(number), (SELECT max(id) FROM audit_head)) FROM hsms")
_NOTED = text("SELECT changes FROM hsm")
_TURN = text("SELECT changes FROM hsm FOR UPDATE")
_SERIAL = text("SELECT serial FROM hsm")
_ANNOUNCE = text(
    "WITH added AS (INSERT INTO changes (sequence, hsm, subjects, code) VALUES (:sequence, :hsm, :subjects, :code)),"
    " noted AS (UPDATE hsm SET changes = :sequence) SELECT pg_notify(:channel, :payload)"
)
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")
_SINCE = text("SELECT sequence, hsm, subjects, code FROM changes WHERE sequence > :applied ORDER BY sequence")
_PRUNE = text("DELETE FROM changes WHERE sequence < :first")


def members(connection: Connection, codes: Codes) -> list[Member]:
    """Return the HSMs whose rows are genuine."""
    return _genuine(connection.execute(_ALL), codes)


def others(connection: Connection, codes: Codes, own: int) -> list[Member]:
    """Return the other HSMs whose rows are genuine, after every renewal in progress has ended. Needs a transaction."""
    return _genuine(connection.execute(_OTHERS, {"own": own}), codes)


def locked(connection: Connection, codes: Codes, number: int) -> Member | None:
    """Return an HSM's row and lock it until the end of the transaction; ``None`` where it is missing or was edited."""
    found = _genuine(connection.execute(_ONE, {"number": number}), codes)
    return found[0] if found else None


def put(connection: Connection, codes: Codes, member: Member) -> None:
    """Write an HSM's row."""
    values = {name: getattr(member, name) for name in _NAMES}
    connection.execute(_PUT, values | {"code": codes.cluster_code(member.encoded())})


def added(connection: Connection, codes: Codes) -> Member:
    """Add an HSM, closed, with the next number, and return it."""
    take_turn(connection)
    number = int(connection.execute(_HIGHEST).scalar_one()) + 1
    member = Member(number, new_name())
    put(connection, codes, member)
    return member


def new_name() -> str:
    """Return a random name in the form of CloudHSM's: ``hsm-`` and 11 letters or digits."""
    return "hsm-" + "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(11))


def renewed(connection: Connection, codes: Codes, member: Member, applied: int) -> Member:
    """Write that an HSM has renewed its lease and has applied the changes up to a number; return its new row."""
    after = replace(member, renewals=member.renewals + 1, applied=applied)
    put(connection, codes, after)
    return after


def last_change(connection: Connection) -> int:
    """Return the sequence number of the last change."""
    return int(connection.execute(_NOTED).scalar_one())


def channel(connection: Connection) -> str:
    """Return the name of the cluster's notifications, which several clusters in one database do not share."""
    return f"hsm_{connection.execute(_SERIAL).scalar_one()}"


def take_turn(connection: Connection) -> int:
    """Wait until no other HSM changes anything, until the transaction's end; return the number of the last change."""
    return int(connection.execute(_TURN).scalar_one())


def notify(connection: Connection, name: str, kind: str, hsm: int) -> None:
    """Notify the other HSMs, when the transaction is committed.

    Args:
        connection: The connection.
        name: The name of the cluster's notifications.
        kind: ``CHANGED`` or ``APPLIED``.
        hsm: The number of this HSM.
    """
    connection.execute(_NOTIFY, {"channel": name, "payload": f"{kind} {hsm}"})


def announce(
    connection: Connection, codes: Codes, name: str, sequence: int, hsm: int, subjects: str
) -> None:  # fmt: skip
    """Add a change and notify the other HSMs, in the transaction that makes the change and has the turn."""
    values = {"sequence": sequence, "hsm": hsm, "subjects": subjects, "channel": name, "payload": f"{CHANGED} {hsm}"}
    connection.execute(_ANNOUNCE, values | {"code": codes.cluster_code(_encoded(sequence, hsm, subjects))})
    if sequence % KEPT == 0:
        connection.execute(_PRUNE, {"first": sequence - KEPT})


def changes_since(connection: Connection, codes: Codes, applied: int) -> tuple[int, list[str] | None]:
    """Return the number of the last change, and the subjects of each change after ``applied``.

    The subjects are ``None`` where a change is missing or was edited: any row may then have changed.
    """
    last = last_change(connection)
    if last < applied:
        return last, None
    # May have more than ``last``, never fewer: each change is committed together with its number.
    rows: Sequence[Any] = connection.execute(_SINCE, {"applied": applied}).all()
    expected = applied
    subjects = []
    for sequence, hsm, names, code in rows:
        expected += 1
        if sequence != expected or not codes.is_cluster_code(_encoded(sequence, hsm, names), bytes(code)):
            return last, None
        subjects.append(str(names))
    return (last, None) if expected < last else (expected, subjects)


def _encoded(sequence: int, hsm: int, subjects: str) -> bytes:
    return context("cluster change", sequence.to_bytes(8, "big"), str(hsm).encode(), subjects.encode())


def _genuine(rows: Any, codes: Codes) -> list[Member]:
    found = []
    for row in rows:
        member = Member(*row[:-1])
        if codes.is_cluster_code(member.encoded(), bytes(row[-1])):
            found.append(member)
    return found

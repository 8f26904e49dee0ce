"""Queries of the stored token keys.

The columns ``label``, ``object_class``, ``key_type`` and ``key_id`` repeat attributes, and the table of shares repeats
the sharing of keys, so that a search does not read all keys. They are not trusted: after a row is opened, its columns
are compared with its sealed attributes, and its sealed sharing decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    table,
    true,
    tuple_,
    update,
)

from hsmcore.storage.rows import UNKNOWN, KeyRow
from hsmcore.storage.schema import KEYS, SHARES

_COLUMNS = (
    "handle",
    "owner",
    "created",
    "attributes",
    "public_key_info",
    "material",
    "label",
    "object_class",
    "key_type",
    "sharing",
    "key_id",
    "version",
)
# Without types and conversions: one damaged value would otherwise prevent the reading of all rows.
_KEYS = table("keys", *map(column, _COLUMNS))
_C: Any = _KEYS.c
_VERSIONS = table("versions", column("subject"), column("version"), column("live"))
_NEWEST = case((_VERSIONS.c.live.is_(true()), _VERSIONS.c.version), else_=UNKNOWN)
_ROWS = select(_KEYS, _NEWEST).outerjoin_from(
    _KEYS, _VERSIONS, _VERSIONS.c.subject == literal("key/").concat(cast(_C.handle, Text))
)
_PUBLIC, _CERTIFICATE = "PUBLIC_KEY", "CERTIFICATE"
_AT_ONCE = 500
"""Handles in one statement; databases limit the number of parameters."""

Position = tuple[int, int]
"""The place of a key among all keys, oldest first: its time of creation in ms since 1970, and its handle."""


@dataclass(frozen=True, slots=True)
class KeyQuery:
    """Selects the keys that a user sees (``None``: all), with one of the values in each of the columns.

    With ``certificates`` it selects certificates instead of keys.
    """

    user: str | None
    columns: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    certificates: bool = False

    def condition(self) -> ColumnElement[bool]:
        """Return the query as an SQL condition."""
        kind = _C.object_class == _CERTIFICATE if self.certificates else _C.object_class != _CERTIFICATE
        return and_(_visible(self.user), kind, *(_one_of(_C[name], values) for name, values in self.columns.items()))


def _one_of(of: Any, values: tuple[object, ...]) -> ColumnElement[bool]:
    found: ColumnElement[bool] = of == values[0] if len(values) == 1 else of.in_(values)
    return found


def _visible(user: str | None) -> ColumnElement[bool]:
    if user is None:
        return true()
    return or_(_C.owner == user, _C.object_class == _PUBLIC, _C.handle.in_(_shares_of(user)))


def _shares_of(user: str) -> Select[tuple[int]]:
    return select(SHARES.c.handle).where(SHARES.c.username == user)


def shared_with(connection: Connection, username: str) -> list[KeyRow]:
    """Return the rows of the keys that are shared with a user."""
    return [_row(*row) for row in connection.execute(_ROWS.where(_C.handle.in_(_shares_of(username))))]


def one(connection: Connection, handle: int) -> KeyRow | None:
    """Return the row with that handle; ``None`` where it does not exist."""
    found = connection.execute(_ROWS.where(_C.handle == handle)).first()
    return None if found is None else _row(*found)


def page(
    connection: Connection, query: KeyQuery, offset: int, limit: int, last: Position | None
) -> list[KeyRow]:  # fmt: skip
    """Return a page of the rows that the query finds and that follow ``last``, oldest first."""
    ordered = _ROWS.where(query.condition()).order_by(_C.created, _C.handle)
    if last is not None:
        ordered = ordered.where(tuple_(_C.created, _C.handle) > tuple_(*last))
    return [_row(*row) for row in connection.execute(ordered.offset(offset).limit(limit))]


def after(connection: Connection, handle: int, limit: int) -> list[KeyRow]:
    """Return the rows with the next greater handles."""
    ordered = _ROWS.where(_C.handle > handle).order_by(_C.handle).limit(limit)
    return [_row(*row) for row in connection.execute(ordered)]


def labels(connection: Connection, user: str | None) -> list[tuple[str, str, int]]:
    """Return each label with an object class and the number of keys that have both."""
    grouped = select(_C.label, _C.object_class, func.count()).where(
        _visible(user), _C.label != "", _C.object_class != _CERTIFICATE
    )
    rows = connection.execute(grouped.group_by(_C.label, _C.object_class)).all()
    return [(str(label), str(object_class), count) for label, object_class, count in rows]


def count(connection: Connection, query: KeyQuery) -> int:
    """Return the number of rows that the query finds."""
    return connection.execute(select(func.count()).select_from(_KEYS).where(query.condition())).scalar_one()


def kinds(connection: Connection) -> dict[tuple[str, str], int]:
    """Return the number of token keys by object class and key type."""
    grouped = select(_C.object_class, _C.key_type, func.count()).group_by(_C.object_class, _C.key_type)
    return {(str(object_class), str(key_type)): count for object_class, key_type, count in connection.execute(grouped)}


def newest(connection: Connection) -> int:
    """Return the time of creation of the newest key, in ms since 1970; 0 where there is none."""
    created = connection.execute(select(func.max(_C.created))).scalar_one()
    return created if isinstance(created, int) else 0


def owned_by(connection: Connection, owner: str) -> list[int]:
    """Return the handles of the token keys that a user owns."""
    return list(connection.execute(select(_C.handle).where(_C.owner == owner)).scalars())


def add(connection: Connection, rows: Sequence[KeyRow]) -> None:
    """Add rows."""
    connection.execute(insert(KEYS), [_values(row) for row in rows])
    _share(connection, rows)


def change(connection: Connection, rows: Sequence[KeyRow]) -> None:
    """Replace the rows with these handles."""
    for row in rows:
        connection.execute(update(KEYS).where(KEYS.c.handle == row.handle).values(_values(row)))
        connection.execute(delete(SHARES).where(SHARES.c.handle == row.handle))
    _share(connection, rows)


def reseal(connection: Connection, rows: Sequence[KeyRow]) -> None:
    """Replace the sealed material of keys."""
    if rows:
        statement = update(KEYS).where(KEYS.c.handle == bindparam("of")).values(material=bindparam("sealed"))
        connection.execute(statement, [{"of": row.handle, "sealed": row.sealed} for row in rows])


def remove(connection: Connection, handles: Sequence[int]) -> None:
    """Delete the rows with these handles."""
    for start in range(0, len(handles), _AT_ONCE):
        some = handles[start : start + _AT_ONCE]
        connection.execute(delete(KEYS).where(KEYS.c.handle.in_(some)))
        connection.execute(delete(SHARES).where(SHARES.c.handle.in_(some)))


def remove_all(connection: Connection) -> None:
    """Delete all rows."""
    connection.execute(delete(KEYS))
    connection.execute(delete(SHARES))


def _share(connection: Connection, rows: Sequence[KeyRow]) -> None:
    shares = [
        {"handle": row.handle, "username": name}
        for row in rows
        if row.sharing
        for name in json.loads(row.sharing)["users"]
    ]
    if shares:
        connection.execute(insert(SHARES), shares)


def _values(row: KeyRow) -> dict[str, object]:
    return {name: getattr(row, "sealed" if name == "material" else name) for name in _COLUMNS}


def _row(
    handle: int,
    owner: object,
    created: object,
    attributes: object,
    info: object,
    material: object,
    label: object,
    object_class: object,
    key_type: object,
    sharing: object,
    key_id: object,
    version: object,
    newest: object,
) -> KeyRow:
    """Return a row; a value of the wrong type becomes one that does not open."""
    return KeyRow(
        handle,
        str(owner),
        created if isinstance(created, int) and 0 <= created < 2**63 else 0,
        attributes if isinstance(attributes, str) else "",
        info if isinstance(info, bytes) or info is None else b"",
        material if isinstance(material, bytes) else b"",
        str(label),
        str(object_class),
        str(key_type),
        sharing if isinstance(sharing, str) else "damaged",
        str(key_id),
        version if isinstance(version, int) and 0 <= version < 2**63 else 0,
        newest if isinstance(newest, int) else UNKNOWN,
    )

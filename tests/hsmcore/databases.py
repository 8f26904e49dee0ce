"""An HSM's database as its administrator sees it, in a file of SQLite or a schema of PostgreSQL."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.postgresql import Server

_BLOB = re.compile(r"x'([0-9a-f]*)'")


class _Postgres:
    """A connection that takes statements as SQLite's takes them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Iterable[object] = ()) -> psycopg.Cursor[Any]:
        given = tuple(values)
        text = _BLOB.sub(r"'\\x\1'::bytea", statement).replace("CAST(sharing AS BLOB)", "sharing::bytea")
        return self._connection.execute(text.replace("%", "%%").replace("?", "%s") if given else text, given or None)

    def executemany(self, statement: str, values: Iterable[tuple[object, ...]]) -> None:
        for one in values:
            self.execute(statement, one)


def url_of(home: Path) -> str:
    """Return the URL of an HSM's store on PostgreSQL; empty for a file."""
    file = home / "store.json"
    return str(json.loads(file.read_text())["url"]) if file.exists() else ""


@contextmanager
def database(home: Path) -> Iterator[Any]:
    """Give a connection to an HSM's database, which takes SQLite's statements; commit at the end."""
    url = url_of(home)
    if url:
        with psycopg.connect(url) as connection:
            yield _Postgres(connection)
        return
    with closing(sqlite3.connect(home / "hsm.db")) as file, file:
        yield file


def row(home: Path, table: str, where: str) -> dict[str, Any]:
    """Return a stored row by column."""
    with database(home) as connection:
        found = connection.execute(f"SELECT * FROM {table} WHERE {where}")
        return dict(zip((column[0] for column in found.description), found.fetchone(), strict=True))


def edit(home: Path, statement: str, *values: object) -> None:
    """Run a statement that changes one row."""
    with database(home) as connection:
        assert connection.execute(statement, values).rowcount == 1


def put_back(home: Path, table: str, old: dict[str, Any], key: str) -> None:
    """Write an old row again, in place of a newer one.

    Args:
        home: The state directory.
        table: The table.
        old: The row.
        key: Its primary key's columns, separated by spaces.
    """
    with database(home) as connection:
        names = key.split()
        where = " AND ".join(f"{name} = ?" for name in names)
        connection.execute(f"DELETE FROM {table} WHERE {where}", [old[name] for name in names])
        connection.execute(
            f"INSERT INTO {table} ({', '.join(old)}) VALUES ({', '.join('?' * len(old))})", list(old.values())
        )


def dump(home: Path) -> list[str]:
    """Return every row but those of the audit log, as text."""
    if not (url := url_of(home)):
        with database(home) as connection:
            return [line for line in connection.iterdump() if not line.startswith('INSERT INTO "audit')]
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename NOT LIKE 'audit%'"
        ).fetchall()
        return [str(sorted(map(str, connection.execute(f"SELECT * FROM {name}")))) for (name,) in sorted(tables)]


def copied(server: Server | None, home: Path, target: Path) -> Path:
    """Copy a closed HSM: its directory, and on PostgreSQL its schema too."""
    shutil.copytree(home, target)
    if url := url_of(home):
        assert server is not None
        new = server.new()
        old_schema, new_schema = _schema(url), _schema(new)
        with server.connect() as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s", (old_schema,)
            ).fetchall()
            for (table,) in tables:
                connection.execute(f"CREATE TABLE {new_schema}.{table} (LIKE {old_schema}.{table} INCLUDING ALL)")
                connection.execute(f"INSERT INTO {new_schema}.{table} SELECT * FROM {old_schema}.{table}")
        written = json.loads((home / "store.json").read_text())
        (target / "store.json").write_text(json.dumps({**written, "url": new}))
    return target


def _schema(url: str) -> str:
    return str(conninfo_to_dict(url)["options"]).rpartition("=")[2]

"""Connections to the database, and the translation of its errors.

SQLite runs in WAL mode with ``synchronous=FULL``: an acknowledged transaction is on disk, and a killed process leaves a
database that opens. A transaction with the execution option ``durable=False`` does not wait for the disk: it survives
the end of the process, but perhaps not a power cut. Nothing else here or in the queries is specific to SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from hsmcore.errors import StateError, StateLocked, StoreDamaged, StoreFull

_FULL = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_TOOBIG")
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_FULL_STATES = ("53", "25006")
"""PostgreSQL: insufficient resources; read-only transaction."""


def connect(url: str | URL) -> Engine:
    """Return an engine with one connection, which all threads share."""
    # In memory, SQLAlchemy would else make a database for each thread.
    options = {"check_same_thread": False} if make_url(url).get_backend_name() == "sqlite" else {}
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=1, max_overflow=0, hide_parameters=True, connect_args=options
    )  # fmt: skip
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
    return engine


def close(engine: Engine) -> None:
    """Close the connection for good: every later use of the engine raises ``StateError``."""
    event.listen(engine, "do_connect", _refuse)
    engine.dispose()


def _refuse(*_arguments: object) -> None:
    raise StateError("the HSM is closed")


def _configure(connection: Any, record: object) -> None:
    # The driver's own transaction control would commit before DDL, and half a migration could stay.
    connection.isolation_level = None
    # Damaged text must not prevent the reading of later rows.
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    # Temporary files would have rows of a database in memory.
    for setting in ("journal_mode=WAL", "secure_delete=ON", "busy_timeout=5000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {setting}")


def _begin(connection: Connection) -> None:
    mode = "FULL" if connection.get_execution_options().get("durable", True) else "NORMAL"
    if connection.info.get("synchronous") != mode:
        connection.exec_driver_sql(f"PRAGMA synchronous={mode}")
        connection.info["synchronous"] = mode
    connection.exec_driver_sql("BEGIN")


@contextmanager
def store_errors() -> Iterator[None]:
    """Translate the database's errors.

    Raises:
        StoreFull: The disk is full or read-only.
        StoreDamaged: The database is damaged.
        StateLocked: Another process uses the database.
        StateError: The database does not answer.
    """
    try:
        yield
    except DBAPIError as error:
        kind, message = _translated(error)
        raise kind(message) from error
    except SQLAlchemyError as error:
        raise StoreDamaged(f"the database cannot be read: {type(error).__name__}") from error


def _translated(error: DBAPIError) -> tuple[type[StateError], str]:
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    state = str(getattr(error.orig, "sqlstate", ""))
    if name.startswith(_FULL) or state.startswith(_FULL_STATES):
        return StoreFull, f"the database cannot be written (disk full or read-only): {error.orig}"
    if name.startswith(_BUSY):
        return StateLocked, "another process is using the database"
    if name or state.startswith("XX"):
        return StoreDamaged, f"the database is damaged: {error.orig}"
    return StateError, f"the database does not answer: {error.orig}"

"""Connections to the database, and its errors as the HSM's.

SQLite runs in WAL mode with ``synchronous=FULL``: a transaction that was acknowledged is on disk, and a process that is
killed leaves a database that opens. A transaction with the execution option ``durable=False`` is not waited for until
it is on disk: a power cut may take it back, the end of the process does not. Nothing else here or in the queries is
particular to SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from hsmcore.errors import StateError, StateLocked, StoreDamaged, StoreFull

_FULL = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_TOOBIG")
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_FULL_STATES = ("53", "25006")
"""PostgreSQL: insufficient resources; read-only transaction."""


def connect(url: str) -> Engine:
    """Return an engine with one connection, which all threads take in turn."""
    engine = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, record: object) -> None:
    # The driver's own transaction control would commit before DDL, and half a migration could stay.
    connection.isolation_level = None
    # Text that is damaged must not stop the reading of the rows after it.
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    for setting in ("journal_mode=WAL", "secure_delete=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {setting}")


def _begin(connection: Connection) -> None:
    mode = "FULL" if connection.get_execution_options().get("durable", True) else "NORMAL"
    if connection.info.get("synchronous") != mode:
        connection.exec_driver_sql(f"PRAGMA synchronous={mode}")
        connection.info["synchronous"] = mode
    connection.exec_driver_sql("BEGIN")


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise the database's errors as ``StoreFull``, ``StoreDamaged``, ``StateLocked`` or ``StateError``."""
    try:
        yield
    except DBAPIError as error:
        raise _translated(error) from error
    except SQLAlchemyError as error:
        raise StoreDamaged(f"the database cannot be read: {type(error).__name__}") from error


def _translated(error: DBAPIError) -> StateError:
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    state = str(getattr(error.orig, "sqlstate", ""))
    if name.startswith(_FULL) or state.startswith(_FULL_STATES):
        return StoreFull(f"the database cannot be written (disk full or read-only): {error.orig}")
    if name.startswith(_BUSY):
        return StateLocked("another process is using the database")
    if name or state.startswith("XX"):
        return StoreDamaged(f"the database is damaged: {error.orig}")
    return StateError(f"the database does not answer: {error.orig}")

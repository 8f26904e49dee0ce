"""Connections to the database, and the translation of its errors.

SQLite runs in WAL mode with ``synchronous=FULL``: an acknowledged transaction is on disk, and a killed process leaves a
database that opens. A transaction with the execution option ``durable=False`` does not wait for the disk: it survives
the end of the process, but perhaps not a power cut. PostgreSQL, which can end while the HSM goes on, ignores it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from hsmcore.errors import StateError, StateLocked, StoreDamaged, StoreFull, StoreUnreachable

_FULL = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_TOOBIG")
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")


class StoreConflict(StoreUnreachable):
    """The database ended the transaction because of another one. Nothing was changed; it can be tried again."""


_STATES = (
    ("53100", StoreFull, "the database cannot be written (disk full)"),
    ("53", StoreUnreachable, "the database has no resources left"),
    ("25006", StoreUnreachable, "the database is read-only, as a standby is"),
    ("XX", StoreDamaged, "the database is damaged"),
    ("40", StoreConflict, "the database ended the transaction in favour of another"),
    ("55P03", StoreUnreachable, "another HSM has the database locked"),
    ("22", StateError, "the database refuses a value"),
    ("23", StateError, "the database refuses a row"),
    ("42501", StateError, "the database user lacks a permission"),
    ("", StoreUnreachable, "the database does not answer"),
)
"""Errors of PostgreSQL: the beginning of the state, the error, the beginning of its message. The first that fits."""


def connect_file(path: Path) -> Engine:
    """Return an engine for an SQLite file with one connection, which all threads share."""
    # Not as text, where ? and # in the path have a meaning.
    return _connect_sqlite(URL.create("sqlite", database=str(path)))


def connect_memory() -> Engine:
    """Return an engine for a new SQLite database in memory, with one connection, which all threads share."""
    return _connect_sqlite(URL.create("sqlite"))


def _connect_sqlite(url: URL) -> Engine:
    # In memory, SQLAlchemy would else refuse a second thread.
    options = {"check_same_thread": False}
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=1, max_overflow=0, hide_parameters=True, connect_args=options
    )  # fmt: skip
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
        StoreUnreachable: The database does not answer.
        StateError: The database refuses.
    """
    try:
        yield
    except DBAPIError as error:
        kind, message = _translated(error)
        raise kind(message) from error
    except PoolTimeout as error:
        raise StoreUnreachable("the database does not answer: every connection waits for it") from error
    except SQLAlchemyError as error:
        raise StoreDamaged(f"the database cannot be read: {type(error).__name__}") from error


def _translated(error: DBAPIError) -> tuple[type[StateError], str]:
    name = str(getattr(error.orig, "sqlite_errorname", ""))
    if hasattr(error.orig, "sqlstate"):
        state = str(getattr(error.orig, "sqlstate", "") or "")
        kind, message = next((kind, message) for prefix, kind, message in _STATES if state.startswith(prefix))
        return kind, f"{message}: {' '.join(str(error.orig).split())}"
    if name.startswith(_FULL):
        return StoreFull, f"the database cannot be written (disk full or read-only): {error.orig}"
    if name.startswith(_BUSY):
        return StateLocked, "another process is using the database"
    if name:
        return StoreDamaged, f"the database is damaged: {error.orig}"
    return StateError, f"the database does not answer: {error.orig}"

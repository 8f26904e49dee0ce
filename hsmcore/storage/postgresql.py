"""Connections to PostgreSQL, for the HSMs of a cluster.

The driver's library (libpq) reads the URL, so every parameter of PostgreSQL's connection strings works: several hosts,
``target_session_attrs``, ``sslmode``, ``sslrootcert``, ``passfile``. A commit returns when it is on disk, and on the
synchronous standby if the server has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import QueuePool

from hsmcore.errors import StateError, StoreUnreachable

SCHEMES = ("postgresql://", "postgres://")
CONNECTIONS = 8
"""Maximum number of connections of one HSM for its commands; one more waits for signs of other HSMs."""
IDLE_SECONDS = 3
"""Seconds until the server rolls back the transaction of a process that has stopped, and so releases its locks."""

_DEFAULTS = {
    "application_name": "hsmbridge",
    "connect_timeout": "5",
    "tcp_user_timeout": "8000",
    "keepalives_idle": "5",
}
"""Parameters that a URL without them gets; the second timeout is in milliseconds."""
_TIMEOUTS = f"-c idle_in_transaction_session_timeout={IDLE_SECONDS}s -c lock_timeout=20s"


def parameters(url: str, options: str = "") -> dict[str, Any]:
    """Return the driver's connection parameters.

    Args:
        url: The URL.
        options: Settings of the server for these connections, as its command line takes them.

    Raises:
        StateError: The URL cannot be read, or the driver is not installed.
    """
    driver = _driver()
    if not url.startswith(SCHEMES):
        raise StateError("a store's URL begins with postgresql://; without one the HSM has a file of its own")
    try:
        given = driver.conninfo.conninfo_to_dict(url)
    except driver.ProgrammingError:
        # Without the cause, which may have the password.
        raise StateError(
            "the store's URL cannot be read; its form is postgresql://USER@HOST:PORT,HOST:PORT/DATABASE?sslmode=verify-full"
        ) from None
    several = {"target_session_attrs": "read-write"} if "," in str(given.get("host", "")) else {}
    fixed = {"options": f"{_TIMEOUTS} {options} {given.get('options', '')}".strip(), "client_encoding": "UTF8"}
    chosen: dict[str, Any] = _DEFAULTS | several | given | fixed
    return chosen


def connect(url: str, options: str = "") -> Engine:
    """Return an engine with a pool of connections.

    Args:
        url: The URL.
        options: Settings of the server for these connections, as its command line takes them.

    Raises:
        StateError: The URL cannot be read, or the driver is not installed.
    """
    return create_engine(
        "postgresql+psycopg://",
        connect_args=parameters(url, options),
        poolclass=QueuePool,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_use_lifo=True,
        # A connection that broke while it was idle, at a restart of the server, must not fail a command.
        pool_pre_ping=True,
        hide_parameters=True,
    )


@contextmanager
def listening(url: str, channel: str) -> Iterator[Any]:
    """Yield a connection of the driver that gets the notifications of a channel.

    Raises:
        StoreUnreachable: The database does not answer.
    """
    driver = _driver()
    try:
        with driver.connect(**parameters(url), autocommit=True) as connection:
            connection.execute(driver.sql.SQL("LISTEN {}").format(driver.sql.Identifier(channel)))
            yield connection
    except driver.Error as error:
        raise StoreUnreachable(f"the database does not answer: {str(error).strip()}") from error


def _driver() -> Any:
    # Imported here: an HSM with a file of its own does not need it.
    try:
        import psycopg
        import psycopg.conninfo
        import psycopg.sql
    except ImportError as error:
        raise StateError("a store on PostgreSQL needs the driver psycopg: pip install 'psycopg[binary]'") from error
    return psycopg

"""The revision of a database's schema, and its migration to the newest one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from hsmcore.errors import StateVersion
from hsmcore.storage.schema import HEAD, KNOWN, METADATA


def revision_of(connection: Connection) -> str | None:
    """Return the schema's revision; ``None`` for a database without a schema.

    Raises:
        StateVersion: A newer version made the schema.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    if revision is not None and revision not in KNOWN:
        raise StateVersion(
            f"the state directory has schema {revision}, which is newer than this version of hsmbridge, which knows "
            f"{HEAD}; use the newer version"
        )
    return None if revision is None else str(revision)


def migrate(connection: Connection, quorum: bytes) -> None:
    """Migrate the database to the newest schema, or create it, in the transaction of the connection.

    Args:
        connection: A connection with a transaction.
        quorum: Sealed quorum rules for a database without them.
    """
    if revision_of(connection) is None:
        # A test compares this schema with that of the migrations.
        METADATA.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
        return
    # Alembic is slow to import and only needed for another schema.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["quorum"] = quorum
    command.upgrade(config, HEAD)

"""The HSMs of a cluster know which requests of clients they have fulfilled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table of requests."""
    op.create_table(
        "requests",
        sa.Column("owner", sa.String(64), primary_key=True, comment="role and name of the user who sent it"),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False, comment="request id"),
        sa.Column("made", sa.BigInteger, nullable=False, comment="ms since 1970, by the clock of the database"),
        sa.Column("changes", sa.Text, nullable=False, comment="as in audit.changed"),
        sa.Column("code", sa.LargeBinary, nullable=False, comment="authenticates the row"),
    )
    op.create_index("requests_by_time", "requests", ["made"])

"""The HSMs of a cluster share quorum tokens, and know which requests of clients they have fulfilled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns of quorum tokens, and create the table of requests."""
    op.add_column("hsm", sa.Column("quorum_tokens", sa.LargeBinary, nullable=True,
                                   comment="sealed quorum tokens of a cluster"))  # fmt: skip
    op.add_column("hsm", sa.Column("quorum_tokens_version", sa.BigInteger, nullable=False, server_default="0",
                                   comment="bound to quorum_tokens"))  # fmt: skip
    op.create_table(
        "requests",
        sa.Column("owner", sa.String(64), primary_key=True, comment="role and name of the user who sent it"),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False, comment="request id"),
        sa.Column("made", sa.BigInteger, nullable=False, comment="ms since 1970, by the clock of the database"),
        sa.Column("changes", sa.Text, nullable=False, comment="as in audit.changed"),
        sa.Column("code", sa.LargeBinary, nullable=False, comment="authenticates the row"),
    )
    op.create_index("requests_by_time", "requests", ["made"])

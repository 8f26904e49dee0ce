"""Versions of rows, and the newest of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_COLUMNS = (("hsm", "quorum_version", "bound to quorum"), ("users", "version", "bound to verifier"),
            ("keys", "version", "bound to material"))  # fmt: skip


def upgrade() -> None:
    """Add the columns and the table. ``hsmcore.audit.upgrade`` fills them, which takes the master key."""
    for table, name, comment in _COLUMNS:
        op.add_column(table, sa.Column(name, sa.BigInteger, nullable=False, server_default="0", comment=comment))
    comment = "changes of stored rows"
    op.add_column("audit", sa.Column("changed", sa.Text, nullable=False, server_default="", comment=comment))
    op.create_table(
        "versions",
        sa.Column("subject", sa.String(80), primary_key=True, comment="as in audit.changed"),
        sa.Column("version", sa.BigInteger, nullable=False, comment="of the newest entry about the subject"),
        sa.Column("live", sa.Boolean, nullable=False, comment="whether its row was not deleted"),
    )

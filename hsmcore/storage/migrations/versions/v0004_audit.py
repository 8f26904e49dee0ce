"""The audit log and its head."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "audit",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time", sa.BigInteger, nullable=False, comment="µs since 1970"),
        sa.Column("reboot", sa.BigInteger, nullable=False),
        sa.Column("opcode", sa.String(64), nullable=False),
        sa.Column("session", sa.BigInteger, nullable=False),
        sa.Column("response", sa.BigInteger, nullable=False),
        sa.Column("log_type", sa.String(32), nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("user_type", sa.BigInteger, nullable=False),
        sa.Column("secret_handle", sa.BigInteger, nullable=False),
        sa.Column("public_handle", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", sa.LargeBinary, nullable=False, comment="hash of the entry before"),
        sa.Column("hash", sa.LargeBinary, nullable=False, comment="SHA-256, see hsmcore.audit.chain"),
        sa.Column("seal", sa.LargeBinary, nullable=False, comment="of the hash, see hsmcore.storage.sealing"),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="only_one_head"), primary_key=True,
                  autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=False, comment="number of entries"),
        sa.Column("reboot", sa.BigInteger, nullable=False, comment="reboot counter"),
        sa.Column("sealed", sa.LargeBinary, nullable=False, comment="hash of the last entry, sealed"),
    )  # fmt: skip

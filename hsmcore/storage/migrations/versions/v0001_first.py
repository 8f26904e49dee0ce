"""The first schema: the HSM itself, its users, its token keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "hsm",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="only_one_hsm"), primary_key=True,
                  autoincrement=False),
        sa.Column("master", sa.LargeBinary, nullable=False, comment="sealed master key, see hsmcore.storage.sealing"),
        sa.Column("settings", sa.LargeBinary, nullable=False, comment="sealed settings"),
    )  # fmt: skip
    op.create_table(
        "users",
        sa.Column("username", sa.String(31), primary_key=True),
        sa.Column("role", sa.String(16), primary_key=True),
        sa.Column(
            "verifier",
            sa.LargeBinary,
            nullable=False,
            comment="sealed Argon2id hash in PHC form, bound to the keys too",
        ),
        sa.Column("failures", sa.Integer, nullable=False, comment="wrong passwords since the last right one"),
    )
    op.create_table(
        "keys",
        sa.Column("handle", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.String(31), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False, comment="ms since 1970"),
        sa.Column("attributes", sa.Text, nullable=False, comment="canonical JSON, see hsmcore.storage.sealing"),
        sa.Column("public_key_info", sa.LargeBinary, nullable=True, comment="SubjectPublicKeyInfo in DER"),
        sa.Column("material", sa.LargeBinary, nullable=False, comment="sealed, bound to the columns before"),
    )

"""Keys are shared with other users; an HSM has a serial number."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the sharing of keys, which is empty, and the serial number."""
    sharing = sa.Column(
        "sharing", sa.Text, nullable=False, server_default="", comment="canonical JSON, bound to material too"
    )
    op.add_column("keys", sharing)
    op.create_table(
        "shares",
        sa.Column(
            "handle", sa.BigInteger, primary_key=True, autoincrement=False, comment="as in keys.sharing, to find by"
        ),
        sa.Column("username", sa.String(31), primary_key=True, comment="the same"),
    )
    op.create_index("shares_by_user", "shares", ["username"])
    serial = sa.Column(
        "serial", sa.String(16), nullable=False, server_default="", comment="serial number, 16 hexadecimal digits"
    )
    op.add_column("hsm", serial)
    op.execute(sa.table("hsm", sa.column("serial", sa.String)).update().values(serial=secrets.token_hex(8)))

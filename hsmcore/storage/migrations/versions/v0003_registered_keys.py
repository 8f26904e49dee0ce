"""Users have numbers and registered public keys; the HSM has sealed quorum values and timeouts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"

_FIRST, _LATER = 1, 3
"""Numbers as in CloudHSM: ``admin``, then the appliance user, which is not stored, then all others."""


def upgrade() -> None:
    """Add the columns, and fill in those that cannot be empty."""
    with op.batch_alter_table("users") as users:
        number = sa.Column("number", sa.Integer, nullable=False, server_default="0", comment="in order of creation")
        users.add_column(number)
        users.add_column(sa.Column("mfa_key", sa.LargeBinary, nullable=True, comment="SubjectPublicKeyInfo in DER"))
        users.add_column(sa.Column("quorum_key", sa.LargeBinary, nullable=True, comment="SubjectPublicKeyInfo in DER"))
    _number_users()
    with op.batch_alter_table("users") as users:
        users.alter_column("number", server_default=None)
    with op.batch_alter_table("hsm") as hsm:
        hsm.add_column(sa.Column("quorum", sa.LargeBinary, nullable=True, comment="sealed quorum values and timeouts"))
    op.get_bind().execute(sa.text("UPDATE hsm SET quorum = :quorum"), {"quorum": context.config.attributes["quorum"]})
    with op.batch_alter_table("hsm") as hsm:
        hsm.alter_column("quorum", existing_type=sa.LargeBinary, nullable=False)


def _number_users() -> None:
    bind = op.get_bind()
    rows = bind.execute(sa.text("SELECT username, role FROM users ORDER BY username, role")).all()
    numbers = iter(range(_LATER, _LATER + len(rows)))
    for username, role in rows:
        number = _FIRST if (username, role) == ("admin", "admin") else next(numbers)
        bind.execute(
            sa.text("UPDATE users SET number = :number WHERE username = :username AND role = :role"),
            {"number": number, "username": username, "role": role},
        )

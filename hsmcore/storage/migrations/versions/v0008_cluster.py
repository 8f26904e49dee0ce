"""Several HSMs share a database: each has an audit log of its own, and learns of the changes of the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the HSM's number to the audit log and its head, and create the two tables of a cluster."""
    changes = sa.Column(
        "changes", sa.BigInteger, nullable=False, server_default="0", comment="sequence number of the last change"
    )
    op.add_column("hsm", changes)
    with op.batch_alter_table("users") as users:
        # The longest role has 17 characters; SQLite never counted them.
        users.alter_column("role", existing_type=sa.String(16), type_=sa.String(32), existing_nullable=False)
    _replace(
        "audit",
        sa.Column("hsm", sa.Integer, primary_key=True, autoincrement=False, comment="number of the HSM that wrote it"),
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
        sa.Column("changed", sa.Text, nullable=False, server_default="", comment="changes of stored rows"),
        sa.Column("previous", sa.LargeBinary, nullable=False, comment="hash of the entry before"),
        sa.Column("hash", sa.LargeBinary, nullable=False, comment="SHA-256, see hsmcore.audit.chain"),
        sa.Column("seal", sa.LargeBinary, nullable=False, comment="of the hash, see hsmcore.storage.sealing"),
    )
    _replace(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False, comment="number of the HSM"),
        sa.Column("count", sa.BigInteger, nullable=False, comment="number of entries"),
        sa.Column("reboot", sa.BigInteger, nullable=False, comment="reboot counter"),
        sa.Column("sealed", sa.LargeBinary, nullable=False, comment="hash of the last entry, sealed"),
    )
    op.create_table(
        "hsms",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(32), nullable=False, comment="as cluster hsm-info shows it"),
        sa.Column("address", sa.Text, nullable=False, comment="where clients reach it"),
        sa.Column("process", sa.String(32), nullable=False, comment="random number of the process that has it"),
        sa.Column("state", sa.String(8), nullable=False, comment="open, closed or left"),
        sa.Column("renewals", sa.BigInteger, nullable=False, comment="of its lease"),
        sa.Column("applied", sa.BigInteger, nullable=False,
                  comment="sequence number of the last change that it has applied"),
        sa.Column("code", sa.LargeBinary, nullable=False, comment="authenticates the row"),
    )  # fmt: skip
    op.create_table(
        "changes",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hsm", sa.Integer, nullable=False, comment="number of the HSM that made it"),
        sa.Column("subjects", sa.Text, nullable=False, comment="as in audit.changed"),
        sa.Column("code", sa.LargeBinary, nullable=False, comment="authenticates the row"),
    )


def _replace(name: str, *columns: sa.Column[object]) -> None:
    """Replace a table by one with other keys and constraints, which SQLite cannot change, and keep its rows."""
    old = f"{name}_before"
    op.rename_table(name, old)
    op.create_table(name, *columns)
    kept = ", ".join(column.name for column in columns if column.name != "hsm")
    number = ("hsm, ", "1, ") if any(column.name == "hsm" for column in columns) else ("", "")
    op.execute(f"INSERT INTO {name} ({number[0]}{kept}) SELECT {number[1]}{kept} FROM {old}")  # noqa: S608  # constants only
    op.drop_table(old)

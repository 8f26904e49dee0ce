"""A column for the ID, and an index that suffices to count a user's keys."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column, fill it from the attributes, create the indexes."""
    comment = "as in attributes, hexadecimal, to find by"
    op.add_column("keys", sa.Column("key_id", sa.Text, nullable=False, server_default="", comment=comment))
    connection = op.get_bind()
    change = sa.text("UPDATE keys SET key_id = :key_id WHERE handle = :handle")
    for handle, attributes in connection.execute(sa.text("SELECT handle, attributes FROM keys")).all():
        key_id = _key_id(attributes)
        if key_id:
            connection.execute(change, {"handle": handle, "key_id": key_id})
    op.drop_index("keys_by_owner", "keys")
    op.create_index("keys_by_owner", "keys", ["owner", "object_class", "key_type", "handle"])
    op.create_index("keys_by_id", "keys", ["key_id"])


def _key_id(attributes: object) -> str:
    """Return a row's ID; that of a damaged row stays empty."""
    try:
        return str(json.loads(str(attributes))["ID"]["hex"])
    except (ValueError, TypeError, KeyError):
        return ""

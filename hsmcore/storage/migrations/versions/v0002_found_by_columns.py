"""Columns and indexes for searches that do not read all keys."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COLUMNS = {"label": ("LABEL", 127), "object_class": ("OBJECT_CLASS", 16), "key_type": ("KEY_TYPE", 16)}


def upgrade() -> None:
    """Add the columns, fill them from the attributes, add the indexes."""
    for name, (attribute, length) in _COLUMNS.items():
        comment = "as in attributes, to find by" if attribute == "LABEL" else "the same"
        op.add_column("keys", sa.Column(name, sa.String(length), nullable=False, server_default="", comment=comment))
    connection = op.get_bind()
    change = sa.text(
        "UPDATE keys SET label = :label, object_class = :object_class, key_type = :key_type WHERE handle = :handle"
    )
    for handle, attributes in connection.execute(sa.text("SELECT handle, attributes FROM keys")).all():
        connection.execute(change, {"handle": handle, **_found_by(attributes)})
    op.create_index("keys_by_time", "keys", ["created", "handle"])
    op.create_index("keys_by_label", "keys", ["label", "object_class", "owner"])
    op.create_index("keys_by_owner", "keys", ["owner"])
    op.create_index("keys_by_public_key", "keys", ["public_key_info"])


def _found_by(attributes: object) -> dict[str, str]:
    """Return the columns of a row; those of a damaged row stay empty."""
    try:
        values = json.loads(str(attributes))
        return {name: str(values[attribute]) for name, (attribute, _) in _COLUMNS.items()}
    except (ValueError, TypeError, KeyError):
        return dict.fromkeys(_COLUMNS, "")

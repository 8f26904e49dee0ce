"""Runs the migrations on the connection, and in the transaction, that ``hsmcore.storage`` hands over."""

from __future__ import annotations

from alembic import context

from hsmcore.storage.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

"""Runs the migrations on the connection of ``hsmcore.storage``, in its transaction."""

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

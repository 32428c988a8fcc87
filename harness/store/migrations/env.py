"""Alembic runs this: the revisions, over the connection and in the transaction that `harness.store.schema` gives."""

from alembic import context

from harness.store.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()

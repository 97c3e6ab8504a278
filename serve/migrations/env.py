"""What Alembic runs to bring a journal's schema up to date, within the writer's own transaction."""

from __future__ import annotations

from alembic import context

from serve.schema import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

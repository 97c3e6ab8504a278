"""The database itself refuses to change or delete an entry."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

SQLITE = (
    """CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
       BEGIN SELECT RAISE(ABORT, 'the journal is append only'); END""",
    """CREATE TRIGGER entries_never_go BEFORE DELETE ON entries
       BEGIN SELECT RAISE(ABORT, 'the journal is append only'); END""",
)
POSTGRESQL = (
    """CREATE FUNCTION entries_append_only() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'the journal is append only'; END $$""",
    """CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
       FOR EACH STATEMENT EXECUTE FUNCTION entries_append_only()""",
)


def upgrade() -> None:
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)

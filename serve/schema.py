"""A journal's tables, and which version of them a database has."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, MetaData, Table

from serve.errors import JournalError

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "journal_version"
METADATA = MetaData()
ENTRIES = Table(
    "entries",
    METADATA,
    Column("sequence", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)


def upgraded(connection: Connection, name: str, revision: str = "head") -> None:
    """The tables made, or brought to `revision`: all of it or nothing, with the connection's open transaction.

    Raises JournalError for a journal that a later version of the program wrote.
    """
    if version(connection) is not None:
        _known(connection, name)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, revision)


def checked(connection: Connection, name: str) -> None:
    """Raises JournalError for a journal whose tables are not those that this program reads."""
    has, needs = version(connection), _scripts().get_current_head()
    if has is None:
        raise JournalError(f"{name}: not a journal; give the one that `rehedge serve` wrote")
    _known(connection, name)
    if has != needs:
        raise JournalError(
            f"{name}: has schema {has}, this version reads {needs}; run `rehedge journal upgrade {name}`"
        )


def version(connection: Connection) -> str | None:
    """None: no journal's tables are there."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _known(connection: Connection, name: str) -> None:
    has = version(connection)
    if has not in {script.revision for script in _scripts().walk_revisions()}:
        raise JournalError(f"{name}: has schema {has}, which this version does not know; use a later one of rehedge")


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(MIGRATIONS)

"""A journal's schema: a fresh one is stamped, an older one is brought up to date or refused, a newer one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert
from typer.testing import CliRunner

from serve import schema
from serve.cli import app
from serve.database import connected, located
from serve.errors import JournalError
from serve.journal import Journal
from serve.writer import GENESIS, link
from tests.serve.databases import Server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "j.db")
    server: Server = request.getfixturevalue("postgresql")
    return server.fresh()


def first_version(url: str) -> None:
    """A journal of the first schema, with one entry."""
    engine = connected(located(url))
    number, chain = link((0, GENESIS), b"old")
    with engine.begin() as connection:
        schema.upgraded(connection, url, "0001")
        connection.execute(insert(schema.ENTRIES), {"sequence": number, "body": b"old", "chain": chain})
    engine.dispose()


def test_a_fresh_journal_has_the_tables_that_the_program_means(url: str) -> None:
    Journal(url).close()
    engine = connected(located(url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE})
        assert compare_metadata(context, schema.METADATA) == []
        assert schema.version(connection) == "0002"
    engine.dispose()


def test_an_older_journal_is_refused_to_a_reader_and_brought_up_to_date_by_a_writer(url: str) -> None:
    first_version(url)
    with pytest.raises(JournalError, match=r"has schema 0001, this version reads 0002; run `rehedge journal upgrade"):
        Journal(url, readonly=True)
    done = CliRunner().invoke(app, ["journal", "upgrade", url])
    assert (done.exit_code, done.output) == (0, "1 entries, schema up to date\n")
    reader = Journal(url, readonly=True)
    assert [entry.body for entry in reader.read()] == [b"old"]
    assert reader.verify() == 1
    reader.close()


def test_a_newer_journal_is_refused(url: str) -> None:
    Journal(url).close()
    engine = connected(located(url))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'")
    engine.dispose()
    for readonly in (True, False):
        with pytest.raises(JournalError, match="has schema 9999, which this version does not know"):
            Journal(url, readonly)


def test_a_migration_that_fails_leaves_the_older_journal(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first_version(url)
    monkeypatch.setattr("serve.writer.last", lambda connection: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Journal(url)
    engine = connected(located(url))
    with engine.connect() as connection:
        assert schema.version(connection) == "0001"
    engine.dispose()


def test_an_empty_database_is_no_journal(url: str) -> None:
    engine = connected(located(url))
    engine.connect().close()
    engine.dispose()
    with pytest.raises(JournalError, match="not a journal"):
        Journal(url, readonly=True)

"""The journal on both databases: what it keeps, what it finds out, whom it refuses."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DatabaseError

from envs.types import BadInput
from serve.database import connected, located
from serve.errors import JournalBroken, JournalError
from serve.journal import Journal
from tests.serve.databases import Server

BODIES = [b'{"a":1}', b"two", b"\x00\xff three"]
DISARM = {
    "sqlite": ("DROP TRIGGER IF EXISTS entries_never_change", "DROP TRIGGER IF EXISTS entries_never_go"),
    "postgresql": ("DROP TRIGGER IF EXISTS entries_append_only ON entries",),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "j.db")
    server: Server = request.getfixturevalue("postgresql")
    return server.fresh()


@pytest.fixture
def written(url: str) -> str:
    journal = Journal(url)
    journal.append(BODIES[:2])
    journal.append(BODIES[2:])
    journal.close()
    return url


@pytest.fixture
def reader(written: str) -> Iterator[Journal]:
    journal = Journal(written, readonly=True)
    yield journal
    journal.close()


def tampered(url: str, *statements: str, armed: bool = False) -> None:
    """By someone with the database's own rights."""
    engine = connected(located(url))
    try:
        with engine.begin() as connection:
            for statement in (*(() if armed else DISARM[engine.dialect.name]), *statements):
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def hexadecimal(url: str, data: bytes) -> str:
    return f"X'{data.hex()}'" if "://" not in url else f"'\\x{data.hex()}'"


def test_reads_back_what_was_written(reader: Journal) -> None:
    assert [entry.body for entry in reader.read()] == BODIES
    assert [entry.body for entry in reader.read(after=2)] == BODIES[2:]
    assert reader.verify() == 3
    assert reader.verify(reader.head) == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(data=st.data())
def test_any_altered_byte_is_found(reader: Journal, written: str, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, 2)), data.draw(st.sampled_from(["body", "chain"]))
    stored = bytearray(getattr(list(reader.read())[row], column))
    change = f"UPDATE entries SET {column} = {{}} WHERE sequence = {row + 1}"
    was, place = bytes(stored), data.draw(st.integers(0, len(stored) - 1))
    stored[place] ^= data.draw(st.integers(1, 255))
    tampered(written, change.format(hexadecimal(written, bytes(stored))))
    try:
        with pytest.raises(JournalBroken, match="does not fit the chain"):
            reader.verify()
    finally:
        tampered(written, change.format(hexadecimal(written, was)))


@pytest.mark.parametrize(
    "statement", ["UPDATE entries SET body = chain WHERE sequence = 2", "DELETE FROM entries WHERE sequence = 3"]
)
def test_the_database_refuses_to_change_an_entry(written: str, statement: str) -> None:
    with pytest.raises(DatabaseError, match="append only"):
        tampered(written, statement, armed=True)


def test_a_gap_is_found_and_a_cut_tail_against_its_head(reader: Journal, written: str, tmp_path: Path) -> None:
    anchor = tmp_path / "kept.head"
    Journal(written, anchor=anchor).close()
    reader.close()
    tampered(written, "DELETE FROM entries WHERE sequence = 3")
    cut = Journal(written, readonly=True, anchor=tmp_path / "none.head")
    assert cut.verify() == 2
    with pytest.raises(JournalBroken, match="entry 3 of the anchored head is missing"):
        cut.verify(reader.head)
    cut.close()
    with pytest.raises(JournalBroken, match="entry 3 of the head in"):
        Journal(written, anchor=anchor)
    anchored = Journal(written, readonly=True, anchor=anchor)
    with pytest.raises(JournalBroken, match="missing"):
        anchored.verify()
    anchored.close()
    tampered(written, "DELETE FROM entries WHERE sequence = 1")
    gap = Journal(written, readonly=True)
    with pytest.raises(JournalBroken, match="entry 2 does not fit"):
        gap.verify()
    gap.close()


def test_an_sqlite_file_has_its_head_beside_it(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    journal.append(BODIES)
    journal.close()
    number, chain = journal.head
    assert (tmp_path / "j.db.head").read_text() == f"{number}:{chain}\n"
    (tmp_path / "j.db.head").write_text("")
    with pytest.raises(BadInput, match="not NUMBER:HEX"):
        Journal(str(tmp_path / "j.db"))


def test_commits_are_synchronous(tmp_path: Path, postgresql: Server) -> None:
    sqlite, server = connected(located(str(tmp_path / "j.db"))), connected(located(postgresql.fresh()))
    with sqlite.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    with server.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    sqlite.dispose()
    server.dispose()


def test_a_second_writer_is_refused_and_readers_are_not(written: str) -> None:
    first = Journal(written)
    with pytest.raises(JournalError, match=r"writes this journal; stop that one first$"):
        Journal(written)
    first.append([b"four"])
    beside = Journal(written, readonly=True)
    assert beside.verify() == 4
    with pytest.raises(JournalError, match="for reading"):
        beside.append([b"five"])
    beside.close()
    first.close()
    Journal(written).close()


def test_a_writer_that_was_killed_leaves_no_lease_behind(written: str) -> None:
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        Journal(written)
        os.write(said, b"held")
        signal.pause()
    assert os.read(heard, 4) == b"held"
    with pytest.raises(JournalError, match="writes this journal"):
        Journal(written)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    heir = Journal(written)
    heir.append([b"four"])
    assert heir.verify() == 4
    heir.close()


def test_a_server_that_dies_ends_the_writer_for_good(postgresql: Server) -> None:
    """Else it would write on by a new connection, without its lease; and a server that does not sync is refused."""
    url = postgresql.fresh()
    journal = Journal(url)
    journal.append(BODIES)
    postgresql.stop("immediate")
    with pytest.raises(JournalError, match="cannot be written"):
        journal.append([b"four"])
    postgresql.start("-c fsync=off")
    with pytest.raises(JournalError, match="fsync off"):
        Journal(url)
    postgresql.stop("fast")
    postgresql.start()
    with pytest.raises(JournalError, match="cannot be written"):
        journal.append([b"four"])
    journal.close()
    heir = Journal(url)
    assert heir.verify() == 3
    heir.close()


def test_a_full_disk_is_an_error_for_good(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "full.db"))
    assert journal._writer is not None
    journal._writer._connection.exec_driver_sql("PRAGMA max_page_count = 8")
    journal._writer._connection.rollback()
    with pytest.raises(JournalError, match="full"):
        journal.append([b"x" * 65_536])
    with pytest.raises(JournalError, match="full"):
        journal.append([b"x"])
    assert list(journal.read()) == []
    journal.close()


def test_a_stalled_writer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is the commit itself, on its thread; it goes on when the test is over."""
    disk = threading.Event()
    journal = Journal(str(tmp_path / "j.db"), patience=0.05)
    assert journal._writer is not None
    append: Callable[[list[bytes]], None] = journal._writer._append
    monkeypatch.setattr(journal._writer, "_append", lambda bodies: (disk.wait(), append(bodies)))
    with pytest.raises(JournalError, match=r"no answer for 0\.05 s"):
        journal.append([b"late"])
    assert list(journal.read()) == []
    disk.set()
    journal.close()


def test_bad_urls_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such journal"):
        Journal(str(tmp_path / "none.db"), readonly=True)
    (tmp_path / "text.db").write_text("no database, and long enough to be seen as none" * 40)
    for bad, words in (("mysql://here/x", "SQLite or a database of PostgreSQL"), ("://", "not a URL")):
        with pytest.raises(BadInput, match=words):
            Journal(bad)
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(str(tmp_path / "text.db"))
    with pytest.raises(JournalError, match="cannot be opened") as told:
        Journal(f"postgresql://ann:secret@/none?host={tmp_path}")
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_closing_again_does_nothing_and_waits_for_nothing(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"), patience=3_600)
    journal.close()
    again = threading.Thread(target=journal.close, daemon=True)
    again.start()
    again.join(60)
    assert not again.is_alive()

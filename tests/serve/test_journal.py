from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.types import BadInput
from serve.errors import JournalBroken, JournalError
from serve.journal import Journal

BODIES = [b'{"a":1}', b"two", b"\x00\xff three"]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(str(tmp_path / "j.db"))
    made.append(BODIES[:2])
    made.append(BODIES[2:])
    made.close()
    return made


def altered(journal: Journal, statement: str, *values: object) -> Journal:
    file = journal.url.removeprefix("sqlite:///")
    with sqlite3.connect(file) as connection:
        connection.execute(statement, values)
    connection.close()
    return Journal(file)


def test_reads_back_what_was_written(journal: Journal) -> None:
    assert [entry.body for entry in journal.read()] == BODIES
    assert journal.verify() == 3
    assert journal.verify(journal.head) == 3
    journal.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(data=st.data())
def test_any_altered_byte_is_found(journal: Journal, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, 2))
    column = data.draw(st.sampled_from(["body", "chain"]))
    entry = list(journal.read())[row]
    stored = bytearray(getattr(entry, column))
    place = data.draw(st.integers(0, len(stored) - 1))
    was = bytes(stored)
    stored[place] ^= data.draw(st.integers(1, 255))
    broken = altered(journal, f"UPDATE entries SET {column} = ? WHERE sequence = ?", bytes(stored), row + 1)
    with pytest.raises(JournalBroken, match="does not fit the chain"):
        broken.verify()
    broken.close()
    altered(journal, f"UPDATE entries SET {column} = ? WHERE sequence = ?", was, row + 1).close()
    journal.close()


def test_a_missing_entry_is_found_and_a_cut_tail_against_its_head(journal: Journal) -> None:
    head = journal.head
    cut = altered(journal, "DELETE FROM entries WHERE sequence = 3")
    assert cut.verify() == 2
    with pytest.raises(JournalBroken, match="anchored head is missing"):
        cut.verify(head)
    gap = altered(cut, "DELETE FROM entries WHERE sequence = 1")
    with pytest.raises(JournalBroken):
        gap.verify()
    cut.close()
    gap.close()


def test_a_cut_before_the_commit_leaves_what_was_committed(journal: Journal, tmp_path: Path) -> None:
    """As after kill -9: the files are copied while a transaction is open."""
    file = Path(journal.url.removeprefix("sqlite:///"))
    connection = sqlite3.connect(file)
    connection.execute("INSERT INTO entries VALUES (4, x'00', x'00')")
    for part in file.parent.glob("j.db*"):
        shutil.copy(part, tmp_path / part.name.replace("j.db", "cut.db"))
    connection.rollback()
    connection.close()
    cut = Journal(str(tmp_path / "cut.db"))
    assert cut.verify() == 3
    assert cut.head == journal.head
    cut.close()


def test_commits_are_synchronous(journal: Journal) -> None:
    with journal._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    journal.close()


def test_a_second_writer_is_shut_out(journal: Journal) -> None:
    second = Journal(journal.url)
    second.append([b"mine"])
    with pytest.raises(JournalError, match="cannot be written"):
        journal.append([b"late"])
    assert second.verify() == 4
    journal.close()
    second.close()


def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "full.db"))
    with journal._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 4")
    with pytest.raises(JournalError, match="full"):
        journal.append([b"x" * 65_536])
    assert list(journal.read()) == []
    journal.close()


def test_bad_urls_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such journal"):
        Journal(str(tmp_path / "none.db"), create=False)
    (tmp_path / "text.db").write_text("no database, and long enough to be seen as none" * 40)
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(str(tmp_path / "text.db"))

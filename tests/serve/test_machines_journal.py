"""Whatever befalls a journal between two appends: what was acknowledged is there, in the chain, and nothing else is."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event

from serve.errors import JournalBroken, JournalError
from serve.journal import Journal
from serve.writer import GENESIS, link
from tests.serve.databases import Server


class Kept(RuleBasedStateMachine):
    """A journal, and what was acknowledged of it."""

    journal: Journal

    @property
    def url(self) -> str:
        raise NotImplementedError

    @initialize()
    def begun(self) -> None:
        self.bodies, self.heads = list[bytes](), [(0, GENESIS.hex())]
        self.placed()
        self.journal = Journal(self.url)

    def placed(self) -> None:
        raise NotImplementedError

    @rule(bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=4))
    def appends(self, bodies: list[bytes]) -> None:
        self.journal.append(bodies)
        self.learns(bodies)

    @rule()
    def is_closed_and_opened(self) -> None:
        self.journal.close()
        self.journal = Journal(self.url)

    @rule()
    def a_second_writer_comes(self) -> None:
        with pytest.raises(JournalError, match="writes this journal"):
            Journal(self.url)

    @invariant()
    def a_reader_finds_what_was_acknowledged(self) -> None:
        reader = Journal(self.url, readonly=True)
        assert [entry.body for entry in reader.read()] == self.bodies
        assert reader.head == self.journal.head == self.heads[-1]
        assert reader.verify(self.heads[len(self.heads) // 2]) == len(self.bodies)
        reader.close()

    def learns(self, bodies: list[bytes]) -> None:
        for body in bodies:
            number, chain = self.heads[-1]
            at = link((number, bytes.fromhex(chain)), body)
            self.bodies.append(body)
            self.heads.append((at[0], at[1].hex()))

    def teardown(self) -> None:
        self.journal.close()


class Keeping(Kept):
    """SQLite's files, copied at any moment as a killed process leaves them, and taken up again."""

    def placed(self) -> None:
        self.root, self.homes = Path(tempfile.mkdtemp()), 0
        self.place = self.moved()

    @property
    def url(self) -> str:
        return str(self.place / "j.db")

    @rule()
    def is_killed(self) -> None:
        self.taken_up(self.copied())

    @rule(before=st.booleans(), bodies=st.lists(st.binary(max_size=9), min_size=1, max_size=3))
    def is_killed_as_it_commits(self, before: bool, bodies: list[bytes]) -> None:
        """Before the commit nothing was acknowledged; after it everything is there, acknowledged or not."""
        homes: list[Path] = []
        assert self.journal._writer is not None
        engine = self.journal._writer._connection.engine

        def copied(connection: object) -> None:
            homes.append(self.copied())

        event.listen(engine, "commit", copied)
        self.journal.append(bodies)
        event.remove(engine, "commit", copied)
        if not before:
            self.learns(bodies)
        self.taken_up(homes[0] if before else self.copied())

    @precondition(lambda self: self.bodies)
    @rule(data=st.data())
    def an_older_copy_is_put_back(self, data: st.DataObject) -> None:
        """After an orderly close the head beside the file knows better."""
        older = self.copied()
        self.appends([b"newer"])
        self.journal.close()
        for path in older.iterdir():
            if path.suffix != ".head":
                shutil.copy(path, self.place)
        newer = [path for path in self.place.iterdir() if path.suffix == ".db-wal" and not (older / path.name).exists()]
        assert not newer
        with pytest.raises(JournalBroken, match="was cut or rewritten"):
            Journal(self.url)
        self.bodies.pop(), self.heads.pop()
        self.place = older
        self.journal = Journal(self.url)

    def moved(self) -> Path:
        self.homes += 1
        home = self.root / str(self.homes)
        home.mkdir()
        return home

    def copied(self) -> Path:
        home = self.moved()
        for path in self.place.iterdir():
            if path.suffix != ".lock":
                shutil.copy(path, home)
        return home

    def taken_up(self, home: Path) -> None:
        self.journal.close()
        self.place = home
        self.journal = Journal(self.url)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.root)


class KeepingOnServer(Kept):
    """PostgreSQL, whose connection breaks at any moment, and all of whose processes die and recover."""

    server: ClassVar[Server]

    def placed(self) -> None:
        self._url = self.server.fresh()

    @property
    def url(self) -> str:
        return self._url

    @rule()
    def the_connection_breaks(self) -> None:
        self.server.disconnect()
        self.is_refused_and_opened_anew()

    @rule(bodies=st.lists(st.binary(max_size=9), min_size=1, max_size=3))
    def the_connection_breaks_before_a_commit(self, bodies: list[bytes]) -> None:
        """Nothing was acknowledged, and nothing is there."""
        assert self.journal._writer is not None
        engine = self.journal._writer._connection.engine

        def cut(connection: object) -> None:
            self.server.disconnect()

        event.listen(engine, "commit", cut)
        with pytest.raises(JournalError):
            self.journal.append(bodies)
        event.remove(engine, "commit", cut)
        self.is_refused_and_opened_anew()

    @rule()
    def the_server_dies(self) -> None:
        self.server.stop("immediate")
        self.server.start()
        self.is_refused_and_opened_anew()

    def is_refused_and_opened_anew(self) -> None:
        """A writer that lost its connection lost its lease, and writes no more."""
        with pytest.raises(JournalError):
            self.journal.append([b"blind"])
        self.journal.close()
        self.journal = Journal(self.url)


Keeping.TestCase.settings = settings(max_examples=6, stateful_step_count=12, deadline=None, derandomize=True)
TestKeeping = Keeping.TestCase


@pytest.mark.slow
def test_a_server_keeps_what_was_acknowledged(postgresql: Server) -> None:
    class Here(KeepingOnServer):
        server = postgresql

    how = settings(max_examples=5, stateful_step_count=10, deadline=None, derandomize=True)
    run_state_machine_as_test(Here, settings=how)

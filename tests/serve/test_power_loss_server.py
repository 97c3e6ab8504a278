"""The journal on PostgreSQL after a power cut: what was acknowledged is there, and nothing left without being there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from sqlalchemy import event

from serve.codec import decode
from serve.commands import SubmitOrder
from serve.events import Event
from serve.journal import Journal
from tests.serve.busy import Exchange, hour, traded
from tests.serve.databases import Server
from tests.serve.powercut_server import LAZY, Checkpointed, Flushed

pytestmark = pytest.mark.slow
SIZES = (3, 400, 9)  # entries of a commit; hundreds of them overflow the server's buffers before it


@pytest.fixture
def lazy(postgresql: Server) -> Iterator[Server]:
    postgresql.stop("fast")
    postgresql.start(LAZY)
    yield postgresql
    postgresql.stop("fast")
    postgresql.start()


@pytest.fixture
def disk(lazy: Server) -> Iterator[Checkpointed]:
    with TemporaryDirectory(dir=lazy.data.parent) as folder:
        yield Checkpointed(lazy, Path(folder))


def appended(url: str, disk: Checkpointed) -> list[tuple[Flushed, list[bytes]]]:
    """How far the log was flushed as each commit began and when it had returned, and what was acknowledged by then."""
    journal, cuts, bodies = Journal(url), list[tuple[Flushed, list[bytes]]](), list[bytes]()
    assert journal._writer is not None

    def begun(connection: object) -> None:
        cuts.append((disk.flushed(), bodies.copy()))

    event.listen(journal._writer._connection.engine, "commit", begun)
    for size in SIZES:
        more = [bytes([size % 256]) * 900] * size
        journal.append(more)
        bodies += more
        cuts.append((disk.flushed(), bodies.copy()))
    journal.close()
    return cuts


def found(heir: Server, url: str, lazy: Server) -> list[bytes]:
    """The entries that came through, in their chain, of a journal that can be taken up again."""
    journal = Journal(heir.url + url.removeprefix(lazy.url))
    bodies = [entry.body for entry in journal.read()]
    assert journal.verify() == len(bodies)
    journal.append([b"next"])
    journal.close()
    return bodies


@pytest.mark.parametrize("fate", ["lost", "torn"])
def test_no_power_cut_loses_what_was_acknowledged(lazy: Server, disk: Checkpointed, fate: str) -> None:
    url, rng = lazy.fresh(), np.random.default_rng(5)
    cuts = appended(url, disk)
    for at, known in cuts:
        with disk.after_cut(at, fate, rng) as heir:
            bodies = found(heir, url, lazy)
        assert bodies[: len(known)] == known, f"cut at {at}, the rest {fate}"
        assert bodies == known or fate == "torn"


def test_the_cut_finds_a_journal_that_does_not_wait_for_the_disk(
    lazy: Server, disk: Checkpointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With synchronous_commit off a commit returns before it is on disk: else the test above could pass on anything."""
    monkeypatch.setattr("serve.database.POSTGRESQL", ("SET synchronous_commit TO off",))
    url = lazy.fresh()
    Journal(url).close()
    lazy.checkpoint()
    at, known = appended(url, disk)[-1]
    with disk.after_cut(at, "lost", np.random.default_rng(5)) as heir:
        assert len(found(heir, url, lazy)) < len(known)


class Noted(Exchange):
    """A venue that notes how far the log was flushed when an order came."""

    def __init__(self, disk: Checkpointed) -> None:
        super().__init__()
        self.disk, self.came = disk, list[tuple[Flushed, SubmitOrder]]()

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        self.came.append((self.disk.flushed(), order))
        return super().submit(order)


def test_no_order_leaves_that_a_power_cut_could_take_from_the_journal(lazy: Server, disk: Checkpointed) -> None:
    url, exchange = lazy.fresh(), Noted(disk)
    journal = Journal(url)
    traded(journal, exchange, hour())
    journal.close()
    assert len(exchange.came) > 20
    for at, order in exchange.came[::8]:
        with disk.after_cut(at, "lost", np.random.default_rng(5)) as heir:
            assert order in [decode(body) for body in found(heir, url, lazy)]

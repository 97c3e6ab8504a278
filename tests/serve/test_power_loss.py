"""The journal after a power cut at any moment: what was acknowledged is there, and nothing left without being there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from serve.codec import decode
from serve.commands import SubmitOrder
from serve.events import Event
from serve.journal import Journal
from serve.writer import GENESIS, link
from tests.serve.busy import Exchange, hour, traded
from tests.serve.powercut import Disk, recorded

FATES = ("lost", "kept", "torn")


def recovered(folder: Path) -> list[bytes]:
    """The entries of the journal that a cut left in `folder`, in the chain."""
    connection = sqlite3.connect(folder / "j.db")
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchall():
            return []
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT sequence, body, chain FROM entries ORDER BY sequence").fetchall()
    finally:
        connection.close()
    at = (0, GENESIS)
    for sequence, body, chain in rows:
        at = link(at, body)
        assert (sequence, chain) == at
    return [body for _, body, _ in rows]


def appended(file: Path) -> tuple[Disk, list[tuple[int, int]]]:
    """A journal of some commits and checkpoints; pairs of operations on disk and entries acknowledged by then."""
    with recorded() as disk:
        journal, acknowledged = Journal(str(file)), [(0, 0)]
        assert journal._writer is not None
        journal._writer._connection.exec_driver_sql("PRAGMA wal_autocheckpoint = 6")
        journal._writer._connection.rollback()
        for size in (1, 3, 40, 2, 9, 1, 25, 4):
            journal.append([bytes([size]) * 900] * size)
            acknowledged.append((len(disk.operations), journal.head[0]))
        died = len(disk.operations)
    journal.close()
    del disk.operations[died:]
    return disk, acknowledged


def losses(disk: Disk, acknowledged: list[tuple[int, int]], tmp_path: Path) -> Iterator[tuple[int, str, int, int]]:
    """Every third cut with a fate, how many entries were acknowledged by then, and how many are found."""
    rng, last = np.random.default_rng(3), acknowledged[-1][0]
    for at in range(0, last + 1, 3):
        known = max(count for place, count in acknowledged if place <= at)
        for fate in FATES:
            folder = tmp_path / f"{at}-{fate}"
            folder.mkdir()
            disk.after_cut(at, folder, fate, rng)
            yield at, fate, known, len(recovered(folder))


def test_no_power_cut_loses_what_was_acknowledged(tmp_path: Path) -> None:
    disk, acknowledged = appended(tmp_path / "j.db")
    assert {each.kind for each in disk.operations} >= {"write", "sync"}
    assert any(each.path.endswith("j.db") and each.kind == "write" for each in disk.operations[40:]), "no checkpoint"
    for at, fate, known, found in losses(disk, acknowledged, tmp_path):
        assert found >= known, f"cut after operation {at}, unsynchronised writes {fate}"


def test_the_cut_finds_a_journal_that_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With synchronous=NORMAL a commit returns before it is on disk: else the test above could pass on anything."""
    monkeypatch.setattr("serve.database.SQLITE", ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL"))
    disk, acknowledged = appended(tmp_path / "j.db")
    assert any(found < known for _, fate, known, found in losses(disk, acknowledged, tmp_path) if fate == "lost")


class Noted(Exchange):
    """A venue that notes how much the disk had been told when an order came."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self.disk, self.came = disk, list[tuple[int, SubmitOrder]]()

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        self.came.append((len(self.disk.operations), order))
        return super().submit(order)


def test_no_order_leaves_that_a_power_cut_could_take_from_the_journal(tmp_path: Path) -> None:
    with recorded() as disk:
        journal, exchange = Journal(str(tmp_path / "j.db")), Noted(disk)
        traded(journal, exchange, hour())
    assert len(exchange.came) > 20
    for place, (at, order) in enumerate(exchange.came):
        folder = tmp_path / str(place)
        folder.mkdir()
        disk.after_cut(at, folder, "lost", np.random.default_rng(place))
        assert order in [decode(body) for body in recovered(folder)]
    heir = Journal(str(folder / "j.db"))
    assert heir.verify() == len(recovered(folder)), "and the journal can be taken up again"
    heir.append([b"next"])
    heir.close()
    journal.close()

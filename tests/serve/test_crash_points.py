"""The engine dies at a write of its journal, before or after it is on disk, and is started again."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from serve.codec import decode
from serve.commands import SubmitOrder
from serve.events import Filled
from serve.journal import Journal
from serve.orders import Status
from tests.serve.busy import Exchange, Killed, Mortal, hour, traded
from tests.serve.databases import Server
from tests.serve.support import PERP

SAMPLE = 8  # crash points in the default suite
Place = Callable[[str], str]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Exchange]:
    """The hour without a death: how often it writes, and where the venue ends."""
    journal, exchange = Mortal(str(tmp_path_factory.mktemp("quiet") / "j.db")), Exchange()
    traded(journal, exchange, hour())
    journal.close()
    return journal.writes, exchange


def killed_at(url: str, death: int, before: bool, quiet: Exchange) -> None:
    script, exchange = hour(), Exchange()
    first = Mortal(url)
    first.death, first.before = death, before
    with pytest.raises(Killed):
        traded(first, exchange, script)
    first.close()
    second = Journal(url)
    core = traded(second, exchange, script)
    items = [decode(entry.body) for entry in second.read()]
    second.close()
    assert core.state is not None
    sent = [item.order for item in items if isinstance(item, SubmitOrder)]
    assert len(sent) == len(set(sent))
    assert set(exchange.received) <= set(sent), "an order that is not in the journal"
    assert set(exchange.received.values()) == {1}, "an order sent twice"
    for name in set(sent) - set(exchange.received):
        assert core.state.orders[name].status is Status.LOST
    fills = {item.trade: item.units for item in items if isinstance(item, Filled)}
    assert sum(fills.values()) == exchange.position == core.state.ledger.position(PERP)
    assert abs(exchange.position - quiet.position) < Decimal("0.05"), "a hedge of several coins was lost or doubled"


def test_the_hour_is_busy(quiet: tuple[int, Exchange], tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "j.db"))
    traded(journal, Exchange(), hour())
    items = [decode(entry.body) for entry in journal.read()]
    journal.close()
    kinds = {type(item).__name__ for item in items}
    assert {"Rejected", "OutcomeUnknown", "Absent", "Cancelled", "LookUp", "Dropped", "PositionsReport"} <= kinds
    assert sum(isinstance(item, SubmitOrder) for item in items) > 20
    assert quiet[0] > 40


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_death_at_a_write_loses_and_doubles_nothing(
    quiet: tuple[int, Exchange], before: bool, tmp_path: Path
) -> None:
    """At a sample of the writes."""
    for death in range(1, quiet[0] + 1, max(1, 2 * quiet[0] // SAMPLE)):
        killed_at(str(tmp_path / f"{death}.db"), death, before, quiet[1])


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_death_at_every_write_loses_and_doubles_nothing(
    quiet: tuple[int, Exchange], before: bool, database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: Server | None = request.getfixturevalue("postgresql") if database == "postgresql" else None
    for death in range(1, quiet[0] + 1):
        url = str(tmp_path / f"{death}.db") if server is None else server.fresh()
        killed_at(url, death, before, quiet[1])

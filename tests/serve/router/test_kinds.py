"""One leg as a perpetual, a spot and a dated future, each at an exchange of its own, in one session over real ccxt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from serve.clock import HOUR
from serve.codec import decode
from serve.commands import SubmitOrder, Transition
from serve.config import ServeConfig
from serve.events import Deleveraged, Filled, PositionsReport
from serve.journal import Journal
from serve.rehearsal.statement import statement
from serve.rehearsal.types import Instrument, Move
from serve.runner import replayed
from serve.session import Source, run
from serve.venues.lanes import Lanes
from tests.serve.dialects.house import START, TRADED, House, house
from tests.serve.dialects.test_deribit_dated import DATED
from tests.serve.dialects.test_deribit_dated import FUTURE as LATER
from tests.serve.support import raw_config
from tests.serve.venues.desk import LEG, PERP, settings
from tests.serve.venues.test_opening import Paced
from tests.serve.venues.test_spot import COIN, SPOT

HOURS, THIN = 5, 150_000.0  # the session; quote currency on each side of a book
FUTURE = replace(LATER, expiry=START + 5 * HOUR // 2)
VENUES: Mapping[str, tuple[str, tuple[Instrument, ...]]] = {
    "perp": (PERP, ()),
    "coin": (COIN, (SPOT,)),
    "dated": (DATED, (FUTURE,)),
}


@contextmanager
def apart(folder: Path, *more: Instrument) -> Iterator[House]:
    """An exchange on a thread of its own, whose thin market is somewhere else every hour."""
    folder.mkdir()
    with ExitStack() as opened:
        lanes = Lanes()
        opened.callback(lanes.close)
        own = house("deribit", folder, *more)
        found = lanes.ask(own.__aenter__())
        opened.callback(lambda: lanes.ask(own.__aexit__(None, None, None)))
        found.server._span = (START, START + HOURS * HOUR)
        prices = [84_100 + (0, 3_000, -1_000, -5_000, -9_000)[n // 60] + 40 * (n % 7) for n in range(60 * HOURS)]
        moves = [Move(START + 60_000 * n, "BTC", Decimal(price), depth=THIN) for n, price in enumerate(prices)]
        found.floor.apply(moves[0])
        found.floor._market = Paced(moves[1:])
        yield found


def served(tmp_path: Path, model: Path, houses: Mapping[str, House]) -> list[Any]:
    """A session until the exchanges end; what its journal holds."""
    venues = {
        venue: settings(own.address, symbols={LEG: VENUES[venue][0]}).model_dump(mode="json", exclude={"sources"})
        for venue, own in houses.items()
    }
    routed = {
        "name": "routed",
        "venues": venues,
        "routes": {LEG: {venue: {"taker": 0.0005, "maker": 0.0001} for venue in venues}},
        "health": {"failures": 3, "latency_seconds": 60, "quantile": 0.9, "dwell_seconds": 900},
        **{"book_seconds": 120, "outage_seconds": 600, "holding_hours": 8, "basis_half_life_hours": 8},
        **{"margin_use": 0.5, "volatility": 0.5, "capital": 0.0},
    }
    journal = Journal(str(tmp_path / "live.db"))
    raw = raw_config(model=str(model), venue=routed, reconcile__cash_tolerance="1", name="desk")
    try:
        run(ServeConfig.model_validate(raw), journal, Source((), 0, 0))
        replayed(journal)
    finally:
        journal.close()
    return [decode(entry.body) for entry in journal.read()]


def held(own: House) -> Decimal:
    """At the exchange itself."""
    positions = statement(own.floor.exchange, TRADED)["positions"].values()
    return sum(map(Decimal, positions), Decimal(0))


@pytest.mark.slow
def test_a_perpetual_a_spot_and_a_future_are_one_leg(tmp_path: Path, model: Path) -> None:
    """Orders are split over all three, the future is delivered on the way, and everything adds up."""
    with ExitStack() as opened:
        houses = {venue: opened.enter_context(apart(tmp_path / venue, *more)) for venue, (_, more) in VENUES.items()}
        items = served(tmp_path, model, houses)
        told, orders = defaultdict[str, Decimal](Decimal), defaultdict[str, set[str]](set)
        for fill in (each for each in items if isinstance(each, Filled)):
            told[fill.trade.split("/")[0]] += fill.units
            orders[fill.order].add(fill.trade.split("/")[0])
        (gone,) = [each for each in items if isinstance(each, Deleveraged)]
        assert (gone.symbol, gone.why, gone.trade.split("/")[0]) == (LEG, "expired", "dated")
        assert gone.units == -told["dated"] != 0
        assert {venue: held(own) for venue, own in houses.items()} == {**told, "dated": Decimal(0)}
        assert told["coin"] > 0
        last = [each for each in items if isinstance(each, PositionsReport)][-1]
        assert dict(last.positions) == {LEG: told["perp"] + told["coin"]}
        for own in houses.values():
            assert not own.floor.exchange.open_orders(TRADED)
            assert statement(own.floor.exchange, TRADED)["conserved"]
    assert set(VENUES) in orders.values(), "an order is split over all three"
    sold = [each for each in items if isinstance(each, Filled) and each.units < 0]
    assert {each.trade.split("/")[0] for each in sold} >= {"coin", "perp"}
    assert len([each for each in items if isinstance(each, SubmitOrder)]) > 3
    trips = {each.breaker: each.reason for each in items if isinstance(each, Transition)}
    assert not {"reconciliation_mismatch", "stale_input", "auto_deleveraging"} & trips.keys(), trips

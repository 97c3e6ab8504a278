"""A leg that trades a dated future, over real ccxt: until it expires, and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from serve.clock import VirtualClock
from serve.commands import Ask
from serve.events import Cancelled, Deleveraged, Event, Filled, Malformed, PositionsReport, Rejected
from serve.market import Market
from serve.rehearsal.types import Instrument
from serve.venues.exchange import Exchange
from serve.venues.lanes import Lanes
from serve.venues.opening import part
from tests.serve.dialects.house import START, TRADED, House, house
from tests.serve.dialects.test_deribit_dated import DATED, DELIVERED, FUTURE
from tests.serve.support import ASSETS, LEGS, task
from tests.serve.venues.desk import INSTANCE, LEG, SESSION, buys, settings

D = Decimal


class Sold:
    """Our side of an exchange on a thread of its own, at the exchange's time."""

    def __init__(self, own: House, lanes: Lanes, symbol: str) -> None:
        self.house, self._lanes, self.clock = own, lanes, VirtualClock(START)
        terms = settings(own.address, symbols={LEG: symbol}, silence_seconds=7200)
        self.exchange: Exchange = part(
            terms, Market(task(), ASSETS, LEGS), (SESSION, INSTANCE), {}, Lanes(), self.clock
        )[0]
        self.exchange.begin([], {})
        self.exchange.rest()
        self.told: list[Event] = []

    def turn(self) -> list[Event]:
        """What comes of a turn of the loop, once it is answered."""
        now = self.clock.now()
        found = self.exchange.passed(now)
        self.exchange.settle()
        self.told += (new := [*found, *self.exchange.passed(now)])
        return new

    def move(self, price: int, seconds: int = 60) -> list[Event]:
        self._lanes.ask(self.house.move(price, seconds))
        self.clock.wait_until(self.house.floor.now)
        self.exchange.rest()
        return self.turn()

    def positions(self) -> dict[str, Decimal]:
        self.exchange.report(Ask(self.clock.now(), "positions"))
        return dict(next(event.positions for event in self.turn() if isinstance(event, PositionsReport)))


@contextmanager
def sold(tmp_path: Path, symbol: str, *more: Instrument) -> Iterator[Sold]:
    with ExitStack() as opened:
        lanes = Lanes()
        opened.callback(lanes.close)
        own = house("deribit", tmp_path, *more)
        found = lanes.ask(own.__aenter__())
        opened.callback(lambda: lanes.ask(own.__aexit__(None, None, None)))
        made = Sold(found, lanes, symbol)
        opened.callback(made.exchange.close)
        yield made


def test_a_future_is_traded_until_it_is_delivered_and_then_has_no_book(tmp_path: Path) -> None:
    with sold(tmp_path, DATED, FUTURE) as desk:
        book = desk.exchange.book(LEG)
        assert book is not None
        assert desk.exchange.nature(LEG).expiry == DELIVERED
        assert (book.index, book.funding_rate) == (84_000.0, 0.0)
        assert book.mark == pytest.approx(84_004.6, abs=0.3)
        assert {tick.reading.mark for tick in desk.exchange.ticks()} == {84_000.0}, "it quotes no asset"
        order = replace(buys("0.5"), expires_at=START + 90_000)
        desk.exchange.submit(order)
        fills = [event for event in desk.turn() if isinstance(event, Filled)]
        assert sum(fill.units for fill in fills) == D("0.5")
        assert desk.positions() == {LEG: D("0.5")}
        for _ in range(12):
            desk.move(85_000, seconds=3600)
        (gone,) = [event for event in desk.told if isinstance(event, Deleveraged)]
        assert (gone.symbol, gone.units, gone.price, gone.why) == (LEG, D("-0.5"), D(85_000), "expired")
        assert desk.exchange.book(LEG) is None
        assert desk.positions() == {LEG: D(0)}
        desk.exchange.submit(replace(buys(number=2), expires_at=desk.clock.now() + 60_000))
        assert [event.reason for event in desk.turn() if isinstance(event, Rejected)] == [
            f"ValueError: {DATED} has expired"
        ]
        assert not [event for event in desk.told if isinstance(event, Malformed | Cancelled)]
        assert {each.client_id for each in desk.house.floor.exchange.orders(TRADED)} == {f"{SESSION}.{INSTANCE}-000001"}

"""Our side of one exchange as the decision loop has it, over real ccxt, at the exchange's own time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from serve.clock import VirtualClock
from serve.commands import Ask
from serve.events import BalanceReport, Event, PositionsReport
from serve.market import Market
from serve.rehearsal.types import Instrument
from serve.venues.exchange import Exchange
from serve.venues.lanes import Lanes
from serve.venues.opening import part
from tests.serve.dialects.house import House, house
from tests.serve.support import ASSETS, LEGS, task
from tests.serve.venues.desk import INSTANCE, LEG, SESSION, settings

E = TypeVar("E", bound=Event)


class Turned:
    """What a turn of the loop brings; the leg trades `symbol`."""

    def __init__(self, own: House, lanes: Lanes, symbol: str, past: Sequence[Event] = ()) -> None:
        """`past`: of a session before, which traded the same."""
        self.house, self.lanes, self.clock = own, lanes, VirtualClock(own.floor.now)
        before = {"contracts": {symbol: "1"}} if past else {}
        terms = settings(own.address, symbols={LEG: symbol}, silence_seconds=7200)
        own_lanes, market = Lanes(), Market(task(), ASSETS, LEGS)
        try:
            self.exchange: Exchange = part(terms, market, (SESSION, INSTANCE), before, {}, own_lanes, self.clock)[0]
        except BaseException:
            own_lanes.close()
            raise
        self.exchange.begin(past, {})
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
        self.lanes.ask(self.house.move(price, seconds))
        self.clock.wait_until(self.house.floor.now)
        self.exchange.rest()
        return self.turn()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.told if isinstance(event, kind)]

    def positions(self) -> dict[str, Decimal]:
        self.exchange.report(Ask(self.clock.now(), "positions"))
        self.turn()
        return dict(self.of(PositionsReport)[-1].positions)

    def balance(self) -> BalanceReport:
        self.exchange.report(Ask(self.clock.now(), "balance"))
        self.turn()
        return self.of(BalanceReport)[-1]


@contextmanager
def turned(tmp_path: Path, symbol: str, *more: Instrument) -> Iterator[Turned]:
    with ExitStack() as opened:
        lanes = Lanes()
        opened.callback(lanes.close)
        own = house("deribit", tmp_path, *more)
        found = lanes.ask(own.__aenter__())
        opened.callback(lambda: lanes.ask(own.__aexit__(None, None, None)))
        made = Turned(found, lanes, symbol)
        opened.callback(made.exchange.close)
        yield made

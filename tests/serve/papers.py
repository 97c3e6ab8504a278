"""A paper venue to trade on by hand: what it is shown, what is sent to it, and where the core stands meanwhile."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache

from envs.contract import Hedge
from envs.costs import Execution
from envs.margin import Margin
from serve.clock import HOUR
from serve.commands import Ask, SubmitOrder
from serve.engine import Engine
from serve.events import Event, PositionsReport, QuoteEvent, Started
from serve.market import Market
from serve.state import State
from serve.venues.paper import Paper
from tests.serve.books import pair_started
from tests.serve.support import ASSETS, LEGS, PERP, SPOT, START, VENUE, quote, started, task

D = Decimal
MARGIN = task().contract.margin


def single(execution: Execution | None = None, margin: Margin = MARGIN) -> Market:
    """One asset with its perpetual."""
    return Market(task(hedges=(Hedge(execution=execution or Execution()),), margin=margin), ASSETS, LEGS)


def standing(quotes: dict[str, QuoteEvent]) -> State:
    """Where a core stands that trusts these quotes; its book is empty."""
    begun = pair_started() if "ETH" in quotes else started()
    return replace(_initial(begun), trusted=quotes, quotes=quotes)


@cache
def _initial(begun: Started) -> State:
    return Engine.opened(begun).initial()


class Traded:
    """A venue with one asset, shown one quote after another."""

    def __init__(self, market: Market, latency: float = 0.0, seed: int = 0) -> None:
        self.market, self.latency, self.heard = market, latency, list[Event]()
        self.venue = Paper(market, VENUE.model_copy(update={"latency_seconds": latency, "seed": seed}))
        self.memory, self.now, self.state = market.filters[0].initial(1), START, standing({})
        self.goes(0, SPOT)

    def goes(self, wait: int, spot: float, low: float | None = None, high: float | None = None, **more: float) -> None:
        """The market, `wait` milliseconds later."""
        self.now += wait
        at = {"low": min(spot, low or spot), "high": max(spot, high or spot), **more}
        tick = quote(self.now, spot, **at)
        self.state = replace(self.state, trusted={"BTC": tick}, quotes={"BTC": tick})
        self.heard += [*self.venue.show(tick, self.memory), *self.venue.moved(tick, self.state)]

    def sends(self, name: str, units: str, limit: str, life: int = HOUR, **kind: bool) -> tuple[Event, ...]:
        flags = {"reduce_only": False, "post_only": False, **kind}
        made = SubmitOrder(self.now, name, PERP, D(units), D(limit), self.now + life, **flags)
        told = self.venue.submit(made)
        self.heard += told
        return told

    def holds(self) -> Decimal:
        (report,) = self.venue.report(Ask(self.now, "positions"))
        assert isinstance(report, PositionsReport)
        return dict(report.positions)[PERP]

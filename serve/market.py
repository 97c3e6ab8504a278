"""Between the journal's floats and Decimals and the shared code's tensors: one path, one book, float64, on the CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from envs import book, decision, scene
from envs.contract import Claim
from envs.custody import Custodian
from envs.instrument import Terms, View
from envs.instruments.option import Option, OptionTerms
from envs.instruments.perpetual import Perpetual
from envs.markets.garch import GarchMarket
from envs.observation import Observation
from envs.portfolio import Portfolio
from envs.scene import Scene
from envs.task import Task
from envs.types import BadInput, Quote
from envs.volatility.memory import Memory
from serve.clock import HOUR
from serve.events import OptionTraded, QuoteEvent

DTYPE = torch.float64
DEVICE = torch.device("cpu")


@dataclass(frozen=True)
class Greeks:
    """Of one call, at the implied volatility of its strike and expiry."""

    value: float
    delta: float
    gamma: float


@dataclass(frozen=True)
class Sight:
    """All that an observation is made of."""

    time: int
    quote: QuoteEvent
    memory: Memory
    option: OptionTraded
    position: Decimal  # of the hedge, base units
    cash: Decimal  # of the hedge's margin account, beyond its collateral


@dataclass(frozen=True)
class Wish:
    """The band that a decision sets, over the book's base units, and the trade that it asks for."""

    lower: float
    upper: float
    trade: Decimal


class Market:
    """The shared filter, observation and decision, for the market that is served."""

    def __init__(self, task: Task) -> None:
        """Raises BadInput for a task that this version cannot serve."""
        if (reason := _unserved(task)) is not None:
            raise BadInput(
                f"task {task.id} has {reason}; serve one short call, settled in cash, on one asset of a garch market, "
                "hedged with its perpetual"
            )
        self.contract = task.contract
        self.observer = task.observer(DTYPE, DEVICE)
        self.filter, self.calibration = self.observer.filters[0], self.observer.calibrations[0]
        self.claim, self.call = self.contract.claims[0], cast(Option, self.contract.claims[0].instrument)
        self.bar = round(self.contract.bar_hours * HOUR)  # milliseconds
        self._custodian = Custodian(self.contract)

    def remembered(self, closes: tuple[float, ...]) -> Memory:
        """What the filter knows after these closes, and nothing before them."""
        memory = self.filter.initial(1)
        for before, after in pairwise(closes):
            memory = self.advanced(memory, before, after)
        return memory

    def advanced(self, memory: Memory, before: float, after: float) -> Memory:
        """After one more bar, from the close `before` to the close `after`."""
        return self.filter.update(memory, one(math.log(after / before)))

    def volatility(self, memory: Memory) -> float:
        """Filtered, of the next bar, per √year."""
        return float(self.filter.spot_variance(memory).sqrt())

    def bars_left(self, option: OptionTraded, now: int) -> int:
        """A bar begun counts whole, as in the simulator."""
        return max(0, -(-(option.expiry - now) // self.bar))

    def observe(self, sight: Sight) -> Observation:
        """With the distance to liquidation of the account in `sight`, where the contract has margin."""
        now, account = self._scene(sight), _account(sight)
        cushion = self._custodian.cushion(account, now.book, now.traded, now.views)
        return self.observer.observe(now, cushion)

    def wish(self, action: tuple[float, ...], seen: Observation, sight: Sight, lot: Decimal) -> Wish:
        """What `action`, on what was `seen`, asks for with the position in `sight`."""
        band = decision.read(torch.tensor([[action]], dtype=DTYPE), seen)
        trade = decision.orders(band, self._scene(sight), one(float(lot))[:, None, None])
        return Wish(float(band.lower), float(band.upper), round(trade.item() / float(lot)) * lot)

    def greeks(self, quote: QuoteEvent, memory: Memory, option: OptionTraded, now: int) -> Greeks:
        greeks = self.call.greeks(self._terms(option, now), self._views(quote, memory)[0])
        return Greeks(float(greeks.value), float(greeks.delta), float(greeks.gamma))

    def _scene(self, sight: Sight) -> Scene:
        """The book's base units are what the claim's units are counted over, as in the simulator."""
        views, terms = self._views(sight.quote, sight.memory), self._terms(sight.option, sight.time)
        units = one(float(sight.option.units))
        claims = Portfolio((units / cast(float, self.claim.units),), (units[:, None],), (terms,), (one(0.0),))
        traded = scene.traded(self.contract, (Terms(terms.bars_left),), views)
        return Scene(self.contract, views, claims, traded, _account(sight).units)

    def _views(self, quote: QuoteEvent, memory: Memory) -> tuple[View, ...]:
        return self.observer.views((quote_tensors(quote),), (memory,))

    def _terms(self, option: OptionTraded, now: int) -> OptionTerms:
        return OptionTerms(torch.tensor([[self.bars_left(option, now)]]), one(option.strike)[:, None])


def quote_tensors(quote: QuoteEvent) -> Quote:
    return Quote(**{field.name: one(getattr(quote, field.name)) for field in fields(Quote)})


def one(value: float) -> Tensor:
    """(1,)."""
    return torch.tensor([value], dtype=DTYPE)


def _account(sight: Sight) -> book.Book:
    opened = book.opened(one(float(sight.option.premium)), 1, 1)
    held, cash = (one(float(value))[:, None, None] for value in (sight.position, sight.cash))
    return replace(opened, units=held, cash=cash)


def _unserved(task: Task) -> str | None:
    """What of the task this version cannot serve, in words."""
    contract, settings = task.contract, task.market.settings
    if not isinstance(settings, GarchMarket.Settings):
        return f"a {task.market.kind} market"
    if len(settings.assets) > 1:
        return f"{len(settings.assets)} assets"
    if (count := sum(claim.count for claim in contract.claims)) > 1:
        return f"{count} claims"
    if not _is_short_call(contract.claims[0], contract.bars):
        return "another claim than a call sold at one strike for the whole of the book's life"
    if [type(hedge.instrument) for hedge in contract.hedges] != [Perpetual]:
        return "as its hedges " + " and ".join(hedge.instrument.kind for hedge in contract.hedges)
    if contract.closing == "mark":
        return "hedges that end at their mark for free"
    return "its profit counted in coin" if contract.numeraire == "coin" else None


def _is_short_call(claim: Claim, bars: int) -> bool:
    option, units = claim.instrument, claim.units
    if not isinstance(option, Option) or isinstance(units, tuple) or isinstance(option.moneyness, tuple):
        return False
    terms = (option.right, option.settlement, option.averaging_hours)
    return units < 0 and terms == ("call", "cash", 0) and option.bars in (None, bars)

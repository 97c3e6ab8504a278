"""Between the journal's floats and Decimals and the shared code's tensors: one path, one book, float64, on the CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import torch
from torch import Tensor

from envs import decision, simulated
from envs.calibration import Calibration
from envs.contract import Contract
from envs.observation import Observation, Option
from envs.pricing import black_scholes
from envs.types import Quote
from envs.volatility.memory import Memory
from serve.clock import HOUR
from serve.events import OptionTraded, QuoteEvent

DTYPE = torch.float64
DEVICE = torch.device("cpu")


@dataclass(frozen=True)
class Greeks:
    """Of one call, at the quote's implied volatility."""

    value: float
    delta: float
    gamma: float


@dataclass(frozen=True)
class Wish:
    """The band that a decision sets, per unit of option sold, and the trade that it asks for."""

    lower: float
    upper: float
    trade: Decimal


class Market:
    """The shared filter, observation and decision, for the market that is served."""

    def __init__(self, calibration: Calibration, contract: Contract) -> None:
        self.contract = contract
        self.observer = simulated.observer(calibration, contract, DTYPE, DEVICE)
        self.filter = self.observer.filter
        self.bar = round(contract.bar_hours * HOUR)  # milliseconds

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

    def observe(
        self, quote: QuoteEvent, memory: Memory, option: OptionTraded, position: Decimal, now: int
    ) -> Observation:
        sold = Option(one(option.strike), one(-float(option.units)), torch.tensor([self.bars_left(option, now)]))
        return self.observer.observe(quote_tensors(quote), memory, sold, one(float(position))[:, None])

    def wish(
        self,
        action: tuple[float, ...],
        observation: Observation,
        option: OptionTraded,
        position: Decimal,
        lot: Decimal,
    ) -> Wish:
        """What `action` asks for, with `position` held now."""
        band = decision.read(torch.tensor([[action]], dtype=DTYPE), observation)
        sold = one(-float(option.units))
        trade = decision.order(band, one(float(position))[:, None] / sold, sold, one(float(lot)))
        return Wish(float(band.lower), float(band.upper), round(trade.item() / float(lot)) * lot)

    def greeks(self, quote: QuoteEvent, option: OptionTraded, now: int) -> Greeks:
        tau = one(self.bars_left(option, now) * self.contract.bar)
        at = (one(quote.spot), one(option.strike), tau, one(quote.implied_volatility))
        return Greeks(
            value=float(black_scholes.call_price(*at)),
            delta=float(black_scholes.call_delta(*at)),
            gamma=float(black_scholes.gamma(*at)),
        )


def quote_tensors(quote: QuoteEvent) -> Quote:
    return Quote(
        spot=one(quote.spot),
        mark=one(quote.mark),
        half_spread=one(quote.half_spread),
        depth=one(quote.depth),
        funding_rate=one(quote.funding_rate),
        implied_volatility=one(quote.implied_volatility),
    )


def one(value: float) -> Tensor:
    """(1,)."""
    return torch.tensor([value], dtype=DTYPE)

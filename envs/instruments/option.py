"""European calls and puts, settled in cash or, as Deribit's inverse options are, in the coin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from envs.calibration import NonNegative, Positive
from envs.instrument import Instrument, Opening, Terms, View
from envs.pricing import black_scholes, inverse
from envs.types import HOUR, Greeks, Quote

Bars = Annotated[int, Field(gt=0, le=100_000)]
Moneyness = Annotated[float, Field(ge=1e-3, le=1e3)]
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class OptionTerms(Terms):
    strike: Tensor  # (P, n) quote currency


class Option(Instrument):
    """A pair in `moneyness` or `bars` gives the two ends between which each copy's own is drawn."""

    kind: Literal["option"] = "option"
    right: Literal["call", "put"] = "call"
    moneyness: Moneyness | tuple[Moneyness, Moneyness] = 1.0  # strike over the spot at its opening
    bars: Bars | tuple[Bars, Bars] | None = None  # of life; None: to the end of the book's
    settlement: Literal["cash", "coin"] = "cash"  # "coin": premium and payoff change hands in the asset
    averaging_hours: NonNegative = 0.0  # the payoff is on the index's mean over so long before expiry; Deribit: 0.5
    depth_share: Positive = 0.02  # of the perpetual's depth, resting in the option at its own premium

    linear: ClassVar[bool] = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("moneyness", "bars"):
            ends = getattr(self, name)
            if isinstance(ends, tuple) and ends[0] > ends[1]:
                raise ValueError(f"{name} runs from {ends[0]} down to {ends[1]}; give the smaller end first")
        return self

    def ends_within(self, bars: int) -> bool:
        return self.bars is not None and _ends(self.bars)[0] < bars

    @property
    def longest(self) -> int:
        return 0 if self.bars is None else _ends(self.bars)[1]

    def opened(self, view: View, opening: Opening) -> OptionTerms:
        """Lives within the episode's shrink with the time left of it; longer ones end as long after it."""
        spot, left = view.quote.spot[:, None], opening.bars_left[:, None]
        strike = spot * _drawn(self.moneyness, spot, opening)
        if self.bars is None:
            return OptionTerms(left.expand_as(strike), strike)
        bars = _drawn(self.bars, spot, opening)
        whole = opening.life * opening.step
        inside = (torch.ceil(bars * left / whole) * opening.step).minimum(left)  # of rounding
        bars_left = torch.where(bars > opening.life, bars - opening.life + left, inside).to(torch.int64)
        return OptionTerms(bars_left, strike)

    def greeks(self, terms: OptionTerms, view: View) -> Greeks:
        volatility = view.surface.volatility(view.quote, view.memory, terms.strike, terms.bars_left)
        at = (view.quote.spot[:, None], terms.strike, view.years(terms.bars_left), volatility)
        return black_scholes.greeks(*at, call=self.right == "call")

    def deltas(self, terms: OptionTerms, view: View, spots: Tensor, stretches: Tensor) -> Tensor:
        """Each option keeps the volatility that it has at the spot of `view`, but for the stretch."""
        volatility = view.surface.volatility(view.quote, view.memory, terms.strike, terms.bars_left)
        time = view.years(terms.bars_left)[..., None]
        at = (spots[:, None], terms.strike[..., None], time, volatility[..., None] * stretches[:, None])
        return black_scholes.delta(*at, call=self.right == "call")

    def payoff(self, terms: OptionTerms, opening: Quote, view: View) -> Tensor:
        index = view.quote.spot
        if self.averaging_hours > 0:
            index = inverse.settlement(opening.spot, index, view.bar, min(self.averaging_hours * HOUR, view.bar))
        sign = 1 if self.right == "call" else -1
        return (sign * (index[:, None] - terms.strike)).clamp(min=0)

    def half_spread(self, greeks: Greeks, view: View) -> Tensor:
        return view.surface.half_spread(greeks.delta)

    def depth(self, greeks: Greeks, view: View) -> Tensor:
        share = self.depth_share * greeks.value / view.quote.spot[:, None]
        return view.quote.depth[:, None] * share.clamp(min=1e-9)


def _drawn(ends: float | tuple[float, float], like: Tensor, opening: Opening) -> Tensor:
    """(P, n): the one value, or uniform draws between the ends."""
    shape = (len(like), opening.copies)
    low, high = _ends(ends)
    if low == high:
        return like.new_full(shape, low)
    return low + (high - low) * torch.rand(shape, generator=opening.generator, device=like.device, dtype=like.dtype)


def _ends(value: Number | tuple[Number, Number]) -> tuple[Number, Number]:
    return value if isinstance(value, tuple) else (value, value)

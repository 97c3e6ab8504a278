"""A concentrated liquidity position in a Uniswap v3 pool: short gamma, paid for with swap fees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from pydantic import model_validator
from torch import Tensor

from envs.calibration import NonNegative, Positive
from envs.instrument import Instrument, Opening, Terms, View
from envs.pricing import uniswap
from envs.types import Greeks, Quote


@dataclass(frozen=True)
class PositionTerms(Terms):
    lower: Tensor  # (P, n) price
    upper: Tensor  # (P, n)
    liquidity: Tensor  # (P, n) of a position that is worth one base unit at its opening


class LiquidityPosition(Instrument):
    """One unit is worth one base unit when it opens; withdrawn when the episode ends.

    Fees come in as a multiple of the loss versus rebalancing, ½·|Γ|·S²·σ² a year (Milionis, Moallemi, Roughgarden and
    Zhang 2022, arXiv 2208.06046), σ² being the filtered variance of the next bar. Measured on the USDC/ETH pool of
    0.05 %, 1,000 hours from 2023-11-27: fees were 0.96 of ½·|Γ|·S²·(realised variance).
    """

    kind: Literal["liquidity_position"] = "liquidity_position"
    lower: Positive = 0.8  # of the range, over the spot at the opening
    upper: Positive = 1.25
    fees_over_loss: NonNegative = 0.96

    linear: ClassVar[bool] = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lower >= self.upper:
            raise ValueError(f"lower = {self.lower} is not below upper = {self.upper}; swap or part them")
        return self

    def opened(self, view: View, opening: Opening) -> PositionTerms:
        spot = view.quote.spot[:, None].expand(-1, opening.copies)
        lower, upper = self.lower * spot, self.upper * spot
        bars_left = opening.bars_left[:, None].expand(-1, opening.copies)
        return PositionTerms(bars_left, lower, upper, uniswap.liquidity(spot, spot, lower, upper))

    def greeks(self, terms: PositionTerms, view: View) -> Greeks:
        return uniswap.greeks(view.quote.spot[:, None], terms.liquidity, terms.lower, terms.upper)

    def payoff(self, terms: PositionTerms, opening: Quote, view: View) -> Tensor:
        return self.greeks(terms, view).value

    def income(self, terms: PositionTerms, view: View) -> Tensor | None:
        spot = view.quote.spot[:, None]
        variance = (view.memory.probability * view.memory.variance).sum(-1, keepdim=True)
        loss = -0.5 * self.greeks(terms, view).gamma * spot.square() * variance
        return self.fees_over_loss * loss

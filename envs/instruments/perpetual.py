"""The perpetual future: no expiry, tied to the index by funding."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from envs.instrument import Instrument, Terms, View, delta_one
from envs.types import Greeks, Quote


class Perpetual(Instrument):
    """Linear, in quote currency; longs pay the funding rate."""

    kind: Literal["perpetual"] = "perpetual"

    def greeks(self, terms: Terms, view: View) -> Greeks:
        return delta_one(view.quote.mark, terms)

    def payoff(self, terms: Terms, opening: Quote, view: View) -> Tensor:
        return view.quote.mark[:, None].expand_as(terms.bars_left)

    def income(self, terms: Terms, view: View) -> Tensor | None:
        return -(view.quote.mark * view.quote.funding_rate)[:, None].expand_as(terms.bars_left)

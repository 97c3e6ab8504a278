"""The asset itself."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from envs.instrument import Instrument, Terms, View, delta_one
from envs.types import Greeks, Quote


class Spot(Instrument):
    """Held outright; no funding, no expiry."""

    kind: Literal["spot"] = "spot"

    def greeks(self, terms: Terms, view: View) -> Greeks:
        return delta_one(view.quote.spot, terms)

    def payoff(self, terms: Terms, opening: Quote, view: View) -> Tensor:
        return view.quote.spot[:, None].expand_as(terms.bars_left)

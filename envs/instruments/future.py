"""The dated future: the index and a basis that runs off by its expiry."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from envs.calibration import Finite
from envs.instrument import Instrument, Terms, View
from envs.types import Greeks, Quote


class Future(Instrument):
    """Priced at S·exp(basis·τ), to expire when the episode ends; settled to the index."""

    kind: Literal["future"] = "future"
    basis: Finite = 0.05  # per year

    expires: ClassVar[bool] = True

    def greeks(self, terms: Terms, view: View) -> Greeks:
        delta = torch.exp(self.basis * view.years(terms.bars_left))
        value = view.quote.spot[:, None] * delta
        zero = torch.zeros_like(value)
        return Greeks(value, delta, zero, zero, -self.basis * value)

    def payoff(self, terms: Terms, opening: Quote, view: View) -> Tensor:
        return view.quote.spot[:, None].expand_as(terms.bars_left)

"""Volatility crush."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from envs.markets.garch import GarchMarket, State
from envs.types import Quote
from train.scenario import Scenario, Start, confined, moved_into

LEFT = 0.5  # of the implied volatility


class VolatilityCrush(Scenario):
    """Right after the opening implied volatility halves, and the market stays in its calm half of regimes."""

    name = "volatility crush"
    about = "implied volatility halves after the first decision; the market is calm from the opening to the end"
    when = 0.0

    def market(self, market: GarchMarket) -> GarchMarket:
        return confined(market, stormy=False)

    def state(self, start: Start) -> State:
        return moved_into(start, stormy=False)

    def quote(self, quote: Quote, hours: Tensor, side: Tensor) -> Quote:
        left = torch.where(hours >= 0, LEFT, 1.0)
        return replace(quote, implied_volatility=quote.implied_volatility * left)

"""Funding at its cap."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from envs.funding import CAP, INTERVAL
from envs.types import Quote
from train.scenario import Scenario

HOURS = 72


class FundingCap(Scenario):
    """Binance's cap, for three days."""

    name = "funding at its cap"
    about = "funding stands at 0.3 % per 8 hours for three days: longs pay it on half of the paths, shorts on the rest"

    def quote(self, quote: Quote, hours: Tensor, side: Tensor) -> Quote:
        capped = (hours >= 0) & (hours < HOURS)
        return replace(quote, funding_rate=torch.where(capped, side * (CAP / INTERVAL), quote.funding_rate))

"""The exchange down for 30 minutes."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from envs.contract import Contract
from envs.types import Quote
from train.scenario import Scenario

FALL, FURTHER = math.log(0.9), math.log(0.95)  # before the venue goes down, and while it is down


class ExchangeDown(Scenario):
    """Orders of that decision meet a venue that is down, and fill a bar later: half an hour rounded up to a bar."""

    name = "exchange down"
    about = "after a fall of 10 % the venue is down for 30 minutes; orders fill a bar later, 5 % further down"

    def contract(self, contract: Contract) -> Contract:
        """Where the venue is fully strained, every order waits."""
        hedges = []
        for hedge in contract.hedges:
            execution = hedge.execution.model_copy(update={"rejection": 0.0, "delay": 1.0})
            hedges.append(hedge.model_copy(update={"execution": execution}))
        return contract.model_copy(update={"hedges": tuple(hedges)})

    def moved(self, hours: Tensor, side: Tensor) -> Tensor:
        return torch.where(hours >= 0, FALL, 0.0) + torch.where(hours > 0, FURTHER, 0.0)

    def quote(self, quote: Quote, hours: Tensor, side: Tensor) -> Quote:
        return replace(quote, congestion=torch.where(hours == 0, 1.0, torch.zeros_like(quote.congestion)))

"""The own leg auto-deleveraged."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from envs.types import Quote
from train.scenario import Scenario

MOVE = math.log(1.15)


class AutoDeleveraged(Scenario):
    """After a large move the venue closes every perpetual position that has gained."""

    name = "auto-deleveraged"
    about = "the price moves by 15 %, up on half of the paths and down on the rest; the venue closes all winning hedges"

    def moved(self, hours: Tensor, side: Tensor) -> Tensor:
        return torch.where(hours >= 0, MOVE * side, torch.zeros_like(side))

    def quote(self, quote: Quote, hours: Tensor, side: Tensor) -> Quote:
        return replace(quote, deleveraged=torch.where(hours == 0, 1.0, quote.deleveraged))

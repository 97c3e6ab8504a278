"""Depth gone for an hour."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from envs.types import Quote
from train.scenario import Scenario

FALL, DEPTH, SPREAD = math.log(0.9), 1e-3, 20.0  # of the price; depth and half-spread over what they were


class DepthGone(Scenario):
    """After a fall of 10 % the book is empty for an hour, when the hedge falls due."""

    name = "depth gone"
    about = (
        "the price falls by 10 %, and for the hour after it a thousandth of the depth is left at 20 times the spread"
    )

    def moved(self, hours: Tensor, side: Tensor) -> Tensor:
        return torch.where(hours >= 0, FALL, 0.0)

    def quote(self, quote: Quote, hours: Tensor, side: Tensor) -> Quote:
        gone = (hours >= 0) & (hours < 1)
        return replace(
            quote,
            depth=torch.where(gone, DEPTH * quote.depth, quote.depth),
            half_spread=torch.where(gone, SPREAD * quote.half_spread, quote.half_spread),
        )

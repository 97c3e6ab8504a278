"""The oracle off by 3 %."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from train.scenario import Scenario

OFF = math.log(1.03)


class OracleOff(Scenario):
    """The index, which hedges and margin go by, is wrong for an hour; the perpetual trades at the price."""

    name = "oracle off"
    about = "the index is 3 % off for an hour: above the price on half of the paths, below it on the rest"

    def misread(self, hours: Tensor, side: Tensor) -> Tensor:
        return torch.where((hours >= 0) & (hours < 1), OFF * side, torch.zeros_like(side))

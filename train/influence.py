"""Standard errors of measures: how much each loss moves its measure, and so the measure's error on N of them.

A measure is the least over the dual of a mean (`envs/objective.py`), so by the envelope theorem a loss moves it as much
as its transform at the best dual does: Hampel's influence function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from envs.objective import Objective

NORMAL_95 = 1.959964  # standard errors either side


@dataclass(frozen=True)
class Estimate:
    """A number from N losses and its standard error."""

    value: float
    se: float

    @property
    def low(self) -> float:
        """End of the 95 % interval."""
        return self.value - NORMAL_95 * self.se

    @property
    def high(self) -> float:
        return self.value + NORMAL_95 * self.se


class Influences:
    """The measures of G hedgers on the same paths, and how each path's loss moves them."""

    def __init__(self, objective: Objective, losses: Tensor) -> None:
        """`losses` (N, G) float64."""
        self.values = objective.value(losses.T)
        moved = torch.stack([objective.transform(row, objective.dual(row)) for row in losses.T])
        self.moved = moved - moved.mean(-1, keepdim=True)  # (G, N)

    def measure(self, hedger: int) -> Estimate:
        return _estimate(self.values[hedger], self.moved[hedger])

    def difference(self, hedger: int, other: int) -> Estimate:
        """Measure of `hedger` less that of `other`, paired."""
        return _estimate(self.values[hedger] - self.values[other], self.moved[hedger] - self.moved[other])

    def share(self, hedger: int, base: int, best: int) -> Estimate:
        """How much of what `best` gains over `base` the `hedger` does, by the delta method."""
        whole = self.values[base] - self.values[best]
        part = (self.values[base] - self.values[hedger]) / whole
        moved = self.moved[base] - self.moved[hedger] - part * (self.moved[base] - self.moved[best])
        return _estimate(part, moved / whole)


def _estimate(value: Tensor, moved: Tensor) -> Estimate:
    return Estimate(float(value), float(moved.std()) / math.sqrt(len(moved)))

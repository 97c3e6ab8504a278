"""Mean and standard deviation, made monotone."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from envs.calibration import Positive
from envs.objective import LEAST_SPREAD, Objective, normal_excess

HALVINGS = 64  # of the bracket around the dual


class ClippedMeanStd(Objective):
    """`mean_std` with φ held at its least below v = b − a/weight, where it would rise again: monotone, coherent.

    φ(C) = v + (weight·((C − v)⁺)²/a + (weight + 1/weight)·a)/2. Least over a, its mean is v + κ·‖(C − v)⁺‖₂ with
    κ² = 1 + weight²: the second-order measure of Krokhmal (2007), Quantitative Finance 7, 373. No greater than
    mean + weight·std for any loss, and equal where no loss lies below v.
    """

    kind: Literal["clipped_mean_std"] = "clipped_mean_std"
    weight: Positive = 1.5

    monotone: ClassVar[bool] = True

    @property
    def words(self) -> str:
        return f"mean + {self.weight:g} × standard deviation, clipped to be monotone"

    def dual(self, losses: Tensor) -> Tensor:
        """(2,): v, a; a is never under `LEAST_SPREAD`."""
        vertex = self._vertex(losses)
        norm = _norm(losses - vertex)
        return torch.stack([vertex, (self.weight / self._steepness * norm).clamp(min=LEAST_SPREAD)])

    def transform(self, loss: Tensor, dual: Tensor) -> Tensor:
        return self._raised((loss - dual[0]).clamp(min=0).square(), dual)

    def prospect(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        """E ((X − v)⁺)² = s²·N(z) + (m − v)·E (X − v)⁺ with z = (m − v)/s."""
        inside: Tensor = spread.square() * torch.special.ndtr((mean - dual[0]) / spread)
        return self._raised(inside + (mean - dual[0]) * normal_excess(mean, spread, dual[0]), dual)

    def slope(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        return self.weight / dual[1] * normal_excess(mean, spread, dual[0])

    def value(self, losses: Tensor) -> Tensor:
        vertex = self._vertex(losses)
        return vertex + self._steepness * _norm(losses - vertex[..., None])

    def centre(self, dual: Tensor) -> Tensor:
        """b."""
        return dual[0] + dual[1] / self.weight

    @property
    def _steepness(self) -> float:
        return math.hypot(1, self.weight)

    def _raised(self, square: Tensor, dual: Tensor) -> Tensor:
        vertex, spread = dual
        raised: Tensor = vertex + 0.5 * (self.weight * square / spread + (self.weight + 1 / self.weight) * spread)
        return raised

    def _vertex(self, losses: Tensor) -> Tensor:
        """The least v over the last axis, by bisection of the slope in v, 1 − κ·E (C − v)⁺/‖(C − v)⁺‖₂.

        That slope is not above 0 at the parabola's own vertex, mean − std/weight, and the largest loss bounds v.
        """
        low = losses.mean(-1) - losses.std(-1, correction=0) / self.weight
        high = losses.amax(-1)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            above = (losses - middle[..., None]).clamp(min=0)
            falls = _norm(above) < self._steepness * above.mean(-1)
            low, high = torch.where(falls, middle, low), torch.where(falls, high, middle)
        return high


def _norm(excess: Tensor) -> Tensor:
    """‖x⁺‖₂ over the last axis."""
    return excess.clamp(min=0).square().mean(-1).sqrt()

"""Mean and standard deviation."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from envs.calibration import Positive
from envs.objective import LEAST_SPREAD, Objective


class MeanStd(Objective):
    """mean + weight·standard deviation (of the sample as it is, no N − 1), as in Cao, Chen, Hull and Poulos (2021).

    Journal of Financial Data Science 3(1), 10. NOT MONOTONE: φ falls below b − a/weight, so a gain there is burnt.

    φ(C) = C + weight·((C − b)²/a + a)/2; over b and a > 0 its mean is least at the mean and the standard deviation:
    σ = min over a of (σ²/a + a)/2.
    """

    kind: Literal["mean_std"] = "mean_std"
    weight: Positive = 1.5

    monotone: ClassVar[bool] = False

    @property
    def words(self) -> str:
        return f"mean + {self.weight:g} × standard deviation"

    def dual(self, losses: Tensor) -> Tensor:
        """(2,): b, a; a is never under `LEAST_SPREAD`."""
        return torch.stack([losses.mean(), losses.std(correction=0).clamp(min=LEAST_SPREAD)])

    def transform(self, loss: Tensor, dual: Tensor) -> Tensor:
        centre, spread = dual
        raised: Tensor = loss + 0.5 * self.weight * ((loss - centre).square() / spread + spread)
        return raised

    def prospect(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        return self.transform(mean, dual) + 0.5 * self.weight * spread.square() / dual[1]

    def slope(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        """φ′ is linear: that at the mean, for any spread."""
        return 1 + self.weight * (mean - dual[0]) / dual[1] + 0 * spread

    def value(self, losses: Tensor) -> Tensor:
        return losses.mean(-1) + self.weight * losses.std(-1, correction=0)

    def centre(self, dual: Tensor) -> Tensor:
        return dual[0]

"""Mean and variance."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from envs.calibration import Positive
from envs.objective import Objective


class MeanVariance(Objective):
    """mean + (κ/2)·variance (of the sample as it is, no N − 1), κ the risk aversion per unit of loss.

    Ben-Tal and Teboulle (2007), the quadratic utility: φ(C) = C + (κ/2)·(C − b)², b the mean. Entropic risk at the same
    risk aversion, to second order. NOT MONOTONE: φ falls below b − 1/κ, so a gain there is burnt.
    """

    kind: Literal["mean_variance"] = "mean_variance"
    risk_aversion: Positive = 10.0

    monotone: ClassVar[bool] = False

    @property
    def words(self) -> str:
        return f"mean + {0.5 * self.risk_aversion:g} × variance"

    def dual(self, losses: Tensor) -> Tensor:
        """()."""
        return losses.mean()

    def transform(self, loss: Tensor, dual: Tensor) -> Tensor:
        return loss + 0.5 * self.risk_aversion * (loss - dual).square()

    def prospect(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        return self.transform(mean, dual) + 0.5 * self.risk_aversion * spread.square()

    def slope(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        """φ′ is linear: that at the mean, for any spread."""
        return 1 + self.risk_aversion * (mean - dual) + 0 * spread

    def value(self, losses: Tensor) -> Tensor:
        return losses.mean(-1) + 0.5 * self.risk_aversion * losses.var(-1, correction=0)

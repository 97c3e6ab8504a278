"""Entropic risk: the certainty equivalent of exponential utility."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from envs.calibration import Positive
from envs.objective import Objective

STRAIGHT = 20.0  # exponent from which φ goes on along its tangent: e²⁰ leaves float32 room to add up


class Entropic(Objective):
    """(1/λ)·ln E e^(λ·loss), λ the risk aversion per unit of loss: monotone, convex.

    Ben-Tal and Teboulle (2007), the exponential utility: φ(C) = q + (e^x − 1)/λ with x = λ·(C − q), q the measure
    itself. From x = 20 on φ is its own tangent. That leaves every sample of up to e²⁰ losses as it is at its own dual,
    for there the mean of e^x is 1; under a dual that lags, or a law of heavier tail, larger losses count in proportion
    and the mean transform is below the entropic one.
    """

    kind: Literal["entropic"] = "entropic"
    risk_aversion: Positive = 10.0

    monotone: ClassVar[bool] = True

    @property
    def words(self) -> str:
        return f"entropic risk at a risk aversion of {self.risk_aversion:g}"

    def dual(self, losses: Tensor) -> Tensor:
        """()."""
        return self.value(losses)

    def transform(self, loss: Tensor, dual: Tensor) -> Tensor:
        exponent = self.risk_aversion * (loss - dual)
        beyond = (exponent - STRAIGHT).clamp(min=0)
        return dual + (torch.expm1(exponent.clamp(max=STRAIGHT)) + math.exp(STRAIGHT) * beyond) / self.risk_aversion

    def prospect(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        curved, straight, density = self._parts(mean, spread, dual)
        deviation = self.risk_aversion * spread
        beyond = self.risk_aversion * (mean - dual) - STRAIGHT
        tangent = math.exp(STRAIGHT) * ((1 + beyond) * straight + deviation * density)
        return dual + (curved + tangent - 1) / self.risk_aversion

    def slope(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        curved, straight, _ = self._parts(mean, spread, dual)
        return curved + math.exp(STRAIGHT) * straight

    def value(self, losses: Tensor) -> Tensor:
        mean = losses.mean(-1, keepdim=True)
        total = torch.logsumexp(self.risk_aversion * (losses - mean), -1)
        return mean[..., 0] + (total - math.log(losses.shape[-1])) / self.risk_aversion

    def _parts(self, mean: Tensor, spread: Tensor, dual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """E[e^x; x < 20], P(x > 20) and the standard normal density there, x normal with mean m and deviation s.

        The first is e^(m + s²/2)·N((20 − m)/s − s), in logarithms.
        """
        centre, deviation = self.risk_aversion * (mean - dual), self.risk_aversion * spread
        place = (STRAIGHT - centre) / deviation
        curved = torch.exp(centre + 0.5 * deviation.square() + torch.special.log_ndtr(place - deviation))
        density = torch.exp(-0.5 * place.square()) / math.sqrt(2 * math.pi)
        return curved, torch.special.ndtr(-place), density

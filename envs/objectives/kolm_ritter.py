"""The mean–variance reward of each step."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from envs.objectives.mean_variance import MeanVariance


class KolmRitter(MeanVariance):
    """Gain − (κ/2)·gain² at each step: Kolm and Ritter (2019), Journal of Financial Data Science 1(1), 159.

    DOES NOT TELESCOPE: an episode's rewards add up to gain − (κ/2)·Σ gain², whose mean is that of mean–variance only
    as far as the steps' gains are uncorrelated and their means small. So it has no dual: the measure, the transform
    and the prospect are mean–variance's, which it stands for. Large gains are burnt as large losses are.
    """

    kind: Literal["kolm_ritter"] = "kolm_ritter"  # type: ignore[assignment]

    telescopes: ClassVar[bool] = False

    @property
    def words(self) -> str:
        return f"{super().words}, step by step"

    def reward(self, before: Tensor, after: Tensor, dual: Tensor) -> Tensor:
        gain = before - after
        return gain - 0.5 * self.risk_aversion * gain.square()

"""Mean and expected shortfall, blended."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from envs.objective import Objective, expected_shortfall, normal_excess


class MeanShortfall(Objective):
    """(1 − weight)·mean + weight·expected shortfall at `level`: monotone, coherent. Weight 1 is the shortfall alone.

    Rockafellar and Uryasev (2000), Journal of Risk 2, 21: φ(C) = (1−w)·C + w·(q + (C − q)⁺/(1 − level)), q the
    level's quantile.
    """

    kind: Literal["mean_shortfall"] = "mean_shortfall"
    weight: float = Field(default=0.5, ge=0, le=1)
    level: float = Field(default=0.95, gt=0, lt=1)

    monotone: ClassVar[bool] = True

    @property
    def words(self) -> str:
        return f"{1 - self.weight:g} × mean + {self.weight:g} × ES{100 * self.level:g}"

    def dual(self, losses: Tensor) -> Tensor:
        """()."""
        rank = min(len(losses), int(self.level * len(losses)) + 1)
        return losses.kthvalue(rank).values

    def transform(self, loss: Tensor, dual: Tensor) -> Tensor:
        return self._blended(loss, (loss - dual).clamp(min=0), dual)

    def prospect(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        return self._blended(mean, normal_excess(mean, spread, dual), dual)

    def slope(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        beyond = self.odds(mean, spread, dual)
        return (1 - self.weight) + self.weight / (1 - self.level) * beyond

    def value(self, losses: Tensor) -> Tensor:
        return (1 - self.weight) * losses.mean(-1) + self.weight * expected_shortfall(losses, self.level)

    def _blended(self, loss: Tensor, excess: Tensor, dual: Tensor) -> Tensor:
        return (1 - self.weight) * loss + self.weight * (dual + excess / (1 - self.level))

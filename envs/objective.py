"""Risk measures as optimised certainty equivalents, and the per-step rewards that telescope to them.

Ben-Tal and Teboulle (2007), Mathematical Finance 17, 449: a measure is min over q of E[φ(loss; q)]. A hedger whose
loss so far goes from C to C' earns φ(C) − φ(C'), which adds up to φ(0) − φ(final loss); q, the dual variable, is set
anew between rollouts.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from envs.calibration import Section


class MeanShortfall(Section):
    """(1 − weight)·mean + weight·expected shortfall at `level`: monotone, coherent.

    Rockafellar and Uryasev (2000), Journal of Risk 2, 21: φ(C) = (1−w)·C + w·(q + (C − q)⁺/(1 − level)), q the
    level's quantile.
    """

    weight: float = Field(default=0.5, ge=0, le=1)
    level: float = Field(default=0.95, gt=0, lt=1)

    def dual(self, losses: Tensor) -> Tensor:
        """The minimising q, a scalar, for final `losses` (N,)."""
        rank = min(len(losses), int(self.level * len(losses)) + 1)
        return losses.kthvalue(rank).values

    def transform(self, loss: Tensor, dual: Tensor) -> Tensor:
        """φ(loss), any shape."""
        excess = (loss - dual).clamp(min=0) / (1 - self.level)
        return (1 - self.weight) * loss + self.weight * (dual + excess)

    def prospect(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        """E φ(loss) for a final loss normal with `mean` and standard deviation `spread`, any shapes that broadcast."""
        standard = (mean - dual) / spread
        density = torch.exp(-0.5 * standard.square()) / math.sqrt(2 * math.pi)
        excess = spread * density + (mean - dual) * torch.special.ndtr(standard)
        promised: Tensor = (1 - self.weight) * mean + self.weight * (dual + excess / (1 - self.level))
        return promised

    def slope(self, beyond: Tensor) -> Tensor:
        """Mean of φ′ where the loss will pass the dual with probability `beyond`, any shape."""
        return (1 - self.weight) + self.weight / (1 - self.level) * beyond

    def value(self, losses: Tensor) -> Tensor:
        """The measure of final `losses`, over the last axis."""
        return (1 - self.weight) * losses.mean(-1) + self.weight * expected_shortfall(losses, self.level)


def expected_shortfall(losses: Tensor, level: float) -> Tensor:
    """Mean of the worst 1 − level of `losses` over the last axis; the quantile's own atom counts in part."""
    count = losses.shape[-1]
    tail = (1 - level) * count
    whole = min(count, int(tail) + 1)
    worst = torch.topk(losses, whole, dim=-1).values
    weights = torch.ones(whole, dtype=losses.dtype, device=losses.device)
    weights[-1] = tail - (whole - 1)
    return (worst * weights).sum(-1) / tail

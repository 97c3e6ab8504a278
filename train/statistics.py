"""What losses say: the statistics of DESIGN §5, and paired bootstrap intervals of their differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from envs.objective import expected_shortfall

CONFIDENCE = 0.95
REPLICATES = 1000
Y_WEIGHT = 1.5  # standard deviations that Y adds to the mean: Cao, Chen, Hull and Poulos (2021)


@dataclass(frozen=True)
class Interval:
    """A difference and its bootstrap interval."""

    diff: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def summary(losses: Tensor) -> dict[str, float]:
    """Of final `losses` (N,) float64: mean, std, Y = mean + 1.5 std, value at risk and expected shortfall, worst."""
    mean, std = losses.mean(), losses.std()
    row = {"mean": mean, "std": std, "y": mean + Y_WEIGHT * std, "worst": losses.max()}
    for percent in (95, 99):
        rank = min(len(losses), len(losses) * percent // 100 + 1)
        row[f"var{percent}"] = losses.kthvalue(rank).values
        row[f"cvar{percent}"] = expected_shortfall(losses, percent / 100)
    return {name: float(value) for name, value in row.items()}


class Resampled:
    """Bootstrap replicates over `blocks` (N,) int64 of losses (N, G): whole blocks are drawn with replacement.

    For all agents at once.
    """

    def __init__(self, losses: Tensor, generator: Generator, blocks: Tensor | None = None) -> None:
        self.losses = losses.double()
        self.generator = generator
        found = torch.arange(len(losses)) if blocks is None else blocks
        self.blocks = torch.unique(found, return_inverse=True)[1]
        self.count = int(self.blocks.max()) + 1
        self.order = self.losses.argsort(dim=0, descending=True)
        self.sorted = self.losses.gather(0, self.order)

    def replicates(self, level: float, count: int = REPLICATES) -> tuple[Tensor, Tensor, Tensor]:
        """(R, G) replicates of the mean, of the standard deviation, and of the expected shortfall at `level`."""
        rows = [self._replicate(level) for _ in range(count)]
        means, deviations, shortfalls = (torch.stack(column) for column in zip(*rows, strict=True))
        return means, deviations, shortfalls

    def of(self, measure: Callable[[Tensor], Tensor], count: int = REPLICATES) -> Tensor:
        """(R, G) replicates of any `measure` of losses over the last axis: each on its own resample, so it is slow."""
        rows = torch.arange(len(self.losses))
        drawn = (rows.repeat_interleave(self._weight()) for _ in range(count))
        return torch.stack([measure(self.losses[chosen].T) for chosen in drawn])

    def _weight(self) -> Tensor:
        """(N,) int64, how often each loss is drawn."""
        drawn = torch.randint(self.count, (self.count,), generator=self.generator)
        return torch.bincount(drawn, minlength=self.count)[self.blocks]

    def _replicate(self, level: float) -> tuple[Tensor, Tensor, Tensor]:
        weight = self._weight().double()
        total = weight.sum()
        mean = weight @ self.losses / total
        square = weight @ self.losses.square() / total
        return mean, (square - mean.square()).clamp(min=0).sqrt(), self._shortfall(weight, total, level)

    def _shortfall(self, weight: Tensor, total: Tensor, level: float) -> Tensor:
        """Weighted mean of the worst 1 − level; enough of the sorted tail is looked at to hold it."""
        tail = (1 - level) * total
        reach = min(len(weight), int(4 * (1 - level) * len(weight)) + 64) if self.count == len(weight) else len(weight)
        ranked = weight[self.order[:reach]]  # (reach, G)
        before = ranked.cumsum(0) - ranked
        share = torch.minimum(ranked, (tail - before).clamp(min=0))
        return (share * self.sorted[:reach]).sum(0) / share.sum(0)


def interval(observed: Tensor, replicates: Tensor) -> Interval:
    """Percentile interval of a scalar from its `replicates` (R,)."""
    edge = (1 - CONFIDENCE) / 2
    low, high = torch.quantile(replicates, torch.tensor([edge, 1 - edge], dtype=replicates.dtype))
    return Interval(float(observed), float(low), float(high))


def effective_sample(losses: Tensor, replicated_means: Tensor) -> Tensor:
    """(G,) how many independent losses (N, G) would give the mean the same bootstrap variance (R, G)."""
    return losses.double().var(0) / replicated_means.var(0)

"""What losses say: the statistics of DESIGN §5, and paired bootstrap intervals of their differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from envs.objective import expected_shortfall

CONFIDENCE = 0.95
REPLICATES = 1000
MANY, GROUPS = 100_000, 2048  # independent losses from which on replicates are linear; groups that they draw
Y_WEIGHT = 1.5  # standard deviations that Y adds to the mean: Cao, Chen, Hull and Poulos (2021)

Influence = Callable[[Tensor], Tensor]  # of losses (N,): how much each moves a measure, (N,)


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


def tail_sample(losses: Tensor, level: float, effective: float) -> float:
    """How many independent losses (N,) the expected shortfall at `level` is worth, of `effective` ones in all.

    Kish (1965), Survey Sampling: (Σx)²/Σx², here of what the losses of the tail exceed its edge by, so that a tail
    whose few largest losses make its mean counts as those few.
    """
    beyond = (losses - losses.kthvalue(max(1, int(level * len(losses)))).values).clamp(min=0)
    square = beyond.square().sum()
    kish = float(beyond.sum().square() / square) if square > 0 else (1 - level) * len(losses)
    return min(1.0, effective / len(losses)) * kish


class Resampled:
    """Bootstrap replicates over `blocks` (N,) int64 of losses (N, G): whole blocks are drawn with replacement.

    For all agents at once. Without `blocks` each loss is its own.
    """

    def __init__(self, losses: Tensor, generator: Generator, blocks: Tensor | None = None) -> None:
        self.losses = losses.double()
        self.generator = generator
        found = torch.arange(len(losses)) if blocks is None else blocks
        self.blocks = torch.unique(found, return_inverse=True)[1]
        self.count = int(self.blocks.max()) + 1

    @property
    def many(self) -> bool:
        """Whether so many independent losses are at hand that `linear` replicates are as good as others."""
        return self.count == len(self.losses) >= MANY

    @cached_property
    def order(self) -> Tensor:
        """(N, G) int64: each agent's losses, the worst first."""
        return self.losses.argsort(dim=0, descending=True)

    @cached_property
    def sorted(self) -> Tensor:
        """(N, G), the worst first."""
        return self.losses.gather(0, self.order)

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

    def linear(self, observed: Tensor, moved: Influence, count: int = REPLICATES) -> Tensor:
        """(R, G) replicates of a measure `observed` (G,): `moved` by each of an agent's losses (N,), their influences.

        Hampel (1974), J. Amer. Statist. Assoc. 69, 383: off by O(1/N). Groups of consecutive losses are drawn, which
        are as independent as they are.
        """
        groups = torch.arange(len(self.losses)) * GROUPS // len(self.losses)
        each = (moved(losses) for losses in self.losses.T)
        sums = torch.stack([torch.zeros(GROUPS).to(m).index_add_(0, groups, m - m.mean()) for m in each], -1)
        drawn = torch.randint(GROUPS, (count, GROUPS), generator=self.generator)
        weight = torch.zeros(count, GROUPS).to(sums).scatter_add_(1, drawn, torch.ones_like(drawn).to(sums))
        return observed + weight @ sums / len(self.losses)

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

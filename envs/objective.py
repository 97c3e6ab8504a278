"""Risk measures as optimised certainty equivalents, and the per-step rewards that telescope to them.

Ben-Tal and Teboulle (2007), Mathematical Finance 17, 449: a measure is min over q of E[φ(loss; q)]. A hedger whose
loss so far goes from C to C' earns φ(C) − φ(C'), which adds up to φ(0) − φ(final loss); q, the dual variables, are set
anew between rollouts. One file of `envs/objectives/` per kind.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar

import torch
from pydantic import BeforeValidator, RootModel, SerializeAsAny
from torch import Tensor

from envs import register
from envs.calibration import Section, validated

DEFAULT_KIND = "mean_shortfall"  # of a table that names none
GUESSES = 999  # midpoints of a normal law's quantiles
LEAST_SPREAD = 1e-6  # of a dual that divides by a spread of losses, in units of loss


class Objective(Section):
    """Base of every kind. Losses are per notional; `dual` is () or (D,), and the same for the whole batch."""

    kind: str

    monotone: ClassVar[bool]  # no loss that is higher for certain has a lower measure
    telescopes: ClassVar[bool] = True  # rewards add up to φ(0) − φ(final loss), whatever the path between

    @property
    @abstractmethod
    def words(self) -> str:
        """The measure of the loss, for a person."""

    @abstractmethod
    def dual(self, losses: Tensor) -> Tensor:
        """The minimising dual variables for final `losses` (N,)."""

    @abstractmethod
    def transform(self, loss: Tensor, dual: Tensor) -> Tensor:
        """φ(loss), any shape."""

    @abstractmethod
    def prospect(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        """E φ(loss) for a final loss normal with `mean` and standard deviation `spread` > 0, shapes that broadcast."""

    @abstractmethod
    def slope(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        """E φ′(loss) for the same loss."""

    @abstractmethod
    def value(self, losses: Tensor) -> Tensor:
        """The measure of final `losses`, over the last axis: min over the dual of the mean transform."""

    def reward(self, before: Tensor, after: Tensor, dual: Tensor) -> Tensor:
        """Earned while the loss so far goes from `before` to `after`, any shape."""
        return self.transform(before, dual) - self.transform(after, dual)

    def centre(self, dual: Tensor) -> Tensor:
        """(), the loss that the dual singles out: its quantile, mean or certainty equivalent."""
        return dual

    def odds(self, mean: Tensor, spread: Tensor, dual: Tensor) -> Tensor:
        """That a final loss normal with `mean` and `spread` passes the dual's centre, in [0, 1]."""
        found: Tensor = torch.special.ndtr((mean - self.centre(dual)) / spread)
        return found

    def guess(self, mean: Tensor, spread: Tensor) -> Tensor:
        """The dual before any loss was seen: of normal losses with `mean` () and standard deviation `spread` ()."""
        places = (torch.arange(GUESSES, dtype=mean.dtype, device=mean.device) + 0.5) / GUESSES
        return self.dual(mean + spread * torch.special.ndtri(places))


def _parsed(raw: Any) -> Any:
    return register.parsed("envs.objectives", raw, DEFAULT_KIND)


AnyObjective = Annotated[SerializeAsAny[Objective], BeforeValidator(_parsed)]


def parsed(raw: dict[str, Any], where: str) -> Objective:
    """The objective that `raw` describes. Raises BadInput, one line, that begins with `where`."""
    return validated(RootModel[AnyObjective], raw, where).root


def expected_shortfall(losses: Tensor, level: float) -> Tensor:
    """Mean of the worst 1 − level of `losses` over the last axis; the quantile's own atom counts in part."""
    count = losses.shape[-1]
    tail = (1 - level) * count
    whole = min(count, int(tail) + 1)
    worst = torch.topk(losses, whole, dim=-1).values
    weights = torch.ones(whole, dtype=losses.dtype, device=losses.device)
    weights[-1] = tail - (whole - 1)
    return (worst * weights).sum(-1) / tail


def normal_excess(mean: Tensor, spread: Tensor, threshold: Tensor) -> Tensor:
    """E (X − threshold)⁺ of a normal X: s·n(z) + (m − threshold)·N(z) with z = (m − threshold)/s."""
    beyond = (mean - threshold) / spread
    density = torch.exp(-0.5 * beyond.square()) / math.sqrt(2 * math.pi)
    excess: Tensor = spread * density + (mean - threshold) * torch.special.ndtr(beyond)
    return excess

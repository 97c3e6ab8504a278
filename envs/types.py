"""The words every other file uses: units, the quote, and the one error for bad input.

Units, said once: time in years of 365 days; money in quote currency; variance and rates per year;
volatility = √variance; positions in base units. Batch axis first: P market paths, G books on each path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

HOURS_PER_YEAR = 8760
HOUR = 1.0 / HOURS_PER_YEAR


Bundle = TypeVar("Bundle")  # a tensor with the paths on axis 0, or a dataclass or tuple of such


class BadInput(ValueError):
    """Input that a person can mend: the message is one line that says what, where, and how to mend it."""


@dataclass(frozen=True)
class Quote:
    """What anyone can see of one asset's market at one time; every field (P,)."""

    spot: Tensor  # index price, quote currency
    low: Tensor  # lowest index price since the quote before
    high: Tensor  # highest index price since the quote before
    mark: Tensor  # perpetual mark price, quote currency
    half_spread: Tensor  # of the perpetual, as a fraction of its mark
    depth: Tensor  # quote currency resting within 5 bps of the perpetual's mark, one side
    funding_rate: Tensor  # per year, paid by longs to shorts
    implied_volatility: Tensor  # at the money, 30 days, per √year
    congestion: Tensor  # 0 when calm, towards 1 as the venue strains: delays, rejections and gas grow with it
    deleveraged: Tensor  # share of a winning perpetual position that the venue closed since the quote before


@dataclass(frozen=True)
class Greeks:
    """Value and sensitivities per base unit of an instrument, all of one shape; quote currency, per √year, per year."""

    value: Tensor
    delta: Tensor  # ∂V/∂S
    gamma: Tensor  # ∂²V/∂S²
    vega: Tensor  # ∂V/∂σ
    theta: Tensor  # ∂V/∂t, calendar time


def taken(bundle: Bundle, index: Tensor | slice) -> Bundle:
    """The chosen paths of a tensor, or of every tensor in a dataclass or tuple."""
    return mapped(lambda tensor: tensor[index], bundle)


def where(mask: Tensor, one: Bundle, other: Bundle) -> Bundle:
    """`one` on the paths where `mask` (P,) holds, else `other`; tensors, or dataclasses and tuples of them."""
    return mapped(lambda a, b: torch.where(mask.view(-1, *(1,) * (a.dim() - 1)), a, b), one, other)


def mapped(change: Callable[..., Tensor], bundle: Bundle, *others: Bundle) -> Bundle:
    """`change` applied to the tensors that stand at the same place in bundles of one build."""
    if isinstance(bundle, Tensor):
        return change(bundle, *others)  # type: ignore[return-value]
    if isinstance(bundle, tuple):
        return tuple(mapped(change, *parts) for parts in zip(bundle, *others, strict=True))  # type: ignore
    return type(bundle)(**{n: mapped(change, v, *(getattr(o, n) for o in others)) for n, v in vars(bundle).items()})


def added(parts: Sequence[Tensor]) -> Tensor:
    """The sum of one tensor or more."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def polynomial(coefficients: Sequence[float], at: Tensor) -> Tensor:
    """Σ cₖ·atᵏ by Horner's scheme, lowest power first; at least two coefficients."""
    total = at * coefficients[-1] + coefficients[-2]
    for each in reversed(coefficients[:-2]):
        total = total * at + each
    return total

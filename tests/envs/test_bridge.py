"""Extremes of a Brownian bridge, drawn with its ends, are those of Brownian motion itself."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import bridge

N = 200_000
DEVIATION = 0.3


@pytest.fixture(scope="module")
def walk() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """ln of price, low and high after a driftless bar from a price of 1."""
    generator = torch.Generator().manual_seed(91)
    after = (DEVIATION * torch.randn(N, generator=generator, dtype=torch.float64)).exp()
    uniform = torch.rand(2, N, generator=generator, dtype=torch.float64)
    before, variance = torch.ones_like(after), torch.full_like(after, DEVIATION**2)
    low, high = bridge.extremes(before, after, variance, uniform)
    return after.log(), low.log(), high.log()


@pytest.mark.parametrize("side", [-1, 1])
def test_extremes_follow_the_reflection_principle(
    walk: tuple[torch.Tensor, torch.Tensor, torch.Tensor], side: int
) -> None:
    """P(max of W ≤ m) = 2Φ(m/√v) − 1: Kolmogorov's distance below 1.95/√n, its 0.1 % point."""
    extreme = side * walk[1 if side < 0 else 2]
    place = (2 * torch.special.ndtr(extreme / DEVIATION) - 1).sort().values
    grid = torch.arange(N, dtype=torch.float64) / N
    assert max((place - grid).abs().max(), (place - grid - 1 / N).abs().max()) < 1.95 / math.sqrt(N)


def test_the_mean_range_is_fellers(walk: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    """E[max − min] = √(8v/π): Feller (1951), Ann. Math. Statist. 22, 427; within k = 4 standard errors."""
    span = walk[2] - walk[1]
    error = float(span.std()) / math.sqrt(N)
    assert abs(float(span.mean()) - math.sqrt(8 / math.pi) * DEVIATION) < 4 * error


@settings(max_examples=200)
@given(
    before=st.floats(1e-3, 1e6),
    move=st.floats(-1, 1),
    variance=st.floats(0, 1),
    uniform=st.floats(0, 1, exclude_max=True),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_the_ends_lie_between_the_extremes(
    before: float, move: float, variance: float, uniform: float, dtype: torch.dtype
) -> None:
    one = torch.tensor([before], dtype=dtype)
    after = one * math.exp(move)
    draws = torch.tensor([[uniform], [uniform]], dtype=torch.float64).clamp(max=1 - 2**-24).to(dtype)
    low, high = bridge.extremes(one, after, torch.tensor([variance], dtype=dtype), draws)
    assert 0 < float(low) <= min(float(one), float(after))
    assert max(float(one), float(after)) <= float(high) < math.inf


def test_without_variance_the_ends_are_the_extremes() -> None:
    before, after = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])
    low, high = bridge.extremes(before, after, torch.zeros(2), torch.full((2, 2), 0.3))
    assert low.tolist() == pytest.approx([1.0, 1.0], rel=1e-6)
    assert high.tolist() == pytest.approx([2.0, 2.0], rel=1e-6)

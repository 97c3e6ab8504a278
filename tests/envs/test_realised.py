"""Garman and Klass's estimator and the filter on it: bias and efficiency on Brownian paths, closed forms, limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs.types import HOUR, BadInput
from envs.volatility import realised

CPU = torch.device("cpu")
VARIANCE = 0.6  # per year
WALKS, STEPS = 200_000, 64


@pytest.fixture(scope="module")
def bars() -> Tensor:
    """(4, WALKS) open, high, low, close of hours of a driftless geometric Brownian motion, seen continuously.

    Within each of STEPS parts the highest and the lowest are drawn from their exact laws given the part's ends
    (Brownian bridge: (a + b ± √((b − a)² − 2·variance·ln U))/2).
    """
    draw, part = np.random.default_rng(12), VARIANCE * HOUR / STEPS
    now, high, low = np.zeros(WALKS), np.zeros(WALKS), np.zeros(WALKS)
    for _ in range(STEPS):
        after = now + math.sqrt(part) * draw.standard_normal(WALKS)
        up, down = (np.sqrt((after - now) ** 2 - 2 * part * np.log(1 - draw.random(WALKS))) for _ in range(2))
        high, low = np.maximum(high, (now + after + up) / 2), np.minimum(low, (now + after - down) / 2)
        now = after
    return torch.from_numpy(40_000 * np.exp(np.stack([np.zeros(WALKS), high, low, now])))


def test_garman_klass_has_no_bias_and_its_published_efficiency(bars: Tensor) -> None:
    """7.4 times that of the squared return (their Table 1), to its two digits; a square's variance is exactly 2·σ⁴."""
    found = realised.garman_klass(*bars, HOUR) / VARIANCE
    error = float(found.std()) / math.sqrt(WALKS)
    assert float(found.mean()) == pytest.approx(1, abs=3 * error)
    spread = (found - found.mean()).square()
    efficiency = 2 / float(spread.mean())
    uncertain = efficiency * float(spread.std() / spread.mean()) / math.sqrt(WALKS)
    assert 7.4 - 3 * uncertain < efficiency < 7.5 + 3 * uncertain
    assert uncertain < 0.07


def test_squared_returns_have_no_bias_and_their_own_variance(bars: Tensor) -> None:
    log_return = torch.log(bars[3] / bars[0]).reshape(-1, 8)
    found = realised.realised_variance(log_return, HOUR) / VARIANCE
    assert float(found.mean()) == pytest.approx(1, abs=3 * math.sqrt(2 / 8 / len(found)))
    assert float(found.var()) == pytest.approx(2 / 8, rel=3 * math.sqrt((2 + 12 / 8) / len(found)))


def prices(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)


def test_garman_klass_by_hand() -> None:
    e = math.e
    assert float(realised.garman_klass(*prices(1, e, 1, e), 0.5)) == pytest.approx((0.5 - 2 * math.log(2) + 1) / 0.5)
    assert float(realised.garman_klass(*prices(5, 5, 5, 5), 0.5)) == 0.0


PRICE = st.floats(0.5, 2.0)


@given(corner=st.tuples(PRICE, PRICE, PRICE, PRICE), currency=st.floats(1e-4, 1e6))
def test_garman_klass_is_positive_and_blind_to_the_currency(
    corner: tuple[float, float, float, float], currency: float
) -> None:
    low, first, last, high = sorted(corner)
    for bar in (prices(first, high, low, last), prices(last, high, low, first), prices(low, high, low, high)):
        found = float(realised.garman_klass(*bar, HOUR))
        assert found >= 0
        scaled = float(realised.garman_klass(*(bar * currency), HOUR))
        assert scaled == pytest.approx(found, rel=1e-9, abs=1e-9)


def filter(half_life: float = 12.0, dtype: torch.dtype = torch.float64) -> realised.Filter:
    return realised.Filter(half_life, 0.5, HOUR, dtype, CPU)


def test_the_filter_is_its_weighted_sum() -> None:
    returns = torch.from_numpy(np.random.default_rng(2).normal(0, 0.01, (30, 5)))
    memory, weight = filter().initial(5), 1 - 2 ** (-1 / 12)
    for row in returns:
        memory = filter().update(memory, row)
    ages = torch.arange(29, -1, -1, dtype=torch.float64)
    sums = weight * (returns.square() / HOUR * ((1 - weight) ** ages)[:, None]).sum(0) + (1 - weight) ** 30 * 0.5
    assert memory.tolist() == pytest.approx(sums.tolist(), rel=1e-12)
    assert filter().spot_variance(memory).tolist() == memory.tolist()
    assert filter().term_variance(memory, torch.tensor([1, 24, 168, 5, 6])).tolist() == memory.tolist()


def test_a_bars_weight_halves_each_half_life() -> None:
    memory, still = filter().initial(1), torch.zeros(1, dtype=torch.float64)
    for _ in range(12):
        memory = filter().update(memory, still)
    assert float(memory) == pytest.approx(0.25, rel=1e-12)


def test_ranges_settle_on_the_variance_with_less_noise_than_closes(bars: Tensor) -> None:
    """An exponential mean has the variance of one observation times weight/(2 − weight)."""
    rows = bars[:, : 100 * 2000].reshape(4, 100, 2000)
    closes, ranges = filter().initial(2000), filter().initial(2000)
    for row in rows.unbind(1):
        closes = filter().update(closes, torch.log(row[3] / row[0]))
        ranges = filter().update_range(ranges, *row)
    weight = 1 - 2 ** (-1 / 12)
    for found, single in ((closes, 2.0), (ranges, 2 / 7.46)):
        spread = math.sqrt(single * weight / (2 - weight))
        left = (1 - weight) ** 100 * (0.5 / VARIANCE - 1)
        assert float(found.mean() / VARIANCE) == pytest.approx(1 + left, abs=4 * spread / math.sqrt(2000))
        assert float((found / VARIANCE).std()) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-15), (torch.float32, 1e-6)])
def test_a_market_alone_is_the_market_in_a_batch(bars: Tensor, dtype: torch.dtype, rounding: float) -> None:
    batch = bars[:, :100_000].to(dtype)
    many = filter(dtype=dtype).update_range(filter(dtype=dtype).initial(100_000), *batch)
    alone = filter(dtype=dtype).update_range(filter(dtype=dtype).initial(1), *batch[:, 77_777:77_778])
    assert many.dtype == dtype
    assert float(alone) == pytest.approx(float(many[77_777]), rel=rounding)


@pytest.mark.parametrize("half_life", [0.0, -3.0, math.nan])
def test_a_half_life_that_is_none_is_refused(half_life: float) -> None:
    with pytest.raises(BadInput, match="half_life"):
        filter(half_life)

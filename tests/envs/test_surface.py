"""The implied-volatility surface: its level, its smile against published targets, and the absence of arbitrage."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor

from envs import marks, surface
from envs.calibration import Calibration
from envs.history import DATA
from envs.surface import ForecastSurface
from envs.types import HOUR, Quote
from envs.volatility.memory import Filter, Memory

CALIBRATION = Calibration.load(Path(DATA) / "btc_2017_2022.toml")
HORIZON = 2160
FILTER = Filter(CALIBRATION, torch.float64, torch.device("cpu"), HORIZON)
SURFACE = ForecastSurface(CALIBRATION, FILTER)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def seen(*log_returns: float) -> Memory:
    memory = FILTER.initial(1)
    for each in log_returns:
        memory = FILTER.update(memory, tensor(each))
    return memory


def quote(memory: Memory, spot: float = 100.0, implied: float | None = None) -> Quote:
    price = tensor(spot)
    level = None if implied is None else tensor(implied)
    return marks.quote(CALIBRATION, FILTER, memory, price, price, price, price, tensor(0.1), level)


@pytest.mark.parametrize("implied", [0.3, 0.42, 1.5])
def test_at_the_money_at_thirty_days_it_is_the_quote(implied: float) -> None:
    memory = seen(0.01, -0.03, 0.002)
    found = SURFACE.volatility(quote(memory, implied=implied), memory, tensor(100.0)[None], torch.tensor([[720]]))
    assert float(found) == pytest.approx(implied, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=30))
def test_total_variance_at_the_money_never_falls_with_expiry(returns: list[float]) -> None:
    memory, bars = seen(*returns), torch.arange(1, HORIZON)[None]
    found = SURFACE.volatility(quote(memory), memory, torch.full(bars.shape, 100.0, dtype=torch.float64), bars)
    total = (found.square() * bars)[0]
    assert (found > 0).all()
    assert (total.diff() > 0).all()


def test_term_structure_slopes_down_in_turbulence_and_up_in_calm() -> None:
    bars = torch.tensor([[24, 2160]])
    strikes = torch.full((1, 2), 100.0, dtype=torch.float64)
    for memory, falls in ((seen(*[0.05, -0.05] * 12), True), (seen(*[1e-4, -1e-4] * 200), False)):
        near, far = SURFACE.volatility(quote(memory), memory, strikes, bars)[0].tolist()
        assert (near > far) is falls


def smile(moneyness: float) -> float:
    return float(SURFACE.smile(tensor(moneyness)))


def test_risk_reversal_is_the_measured_one() -> None:
    """25-delta risk reversal −5.8 points at 42 % and 30 days: the project's shared measurement on BTC."""
    level, deviation = 0.42, 0.42 * math.sqrt(720 * HOUR)

    def place(delta: float) -> float:
        grid = np.linspace(-2, 2, 8001)
        ratio = np.array([smile(float(x)) for x in grid])
        found = norm.cdf(-grid / ratio + ratio * deviation / 2)
        return float(np.interp(-delta, -found, grid))

    call, put = place(0.25), place(0.75)
    assert 100 * level * (smile(call) - smile(put)) == pytest.approx(-5.8, abs=0.1)


def test_no_butterfly_costs_less_than_nothing() -> None:
    """Undiscounted call prices fall and are convex in strike, at every level from 10 % to 300 % and 1 to 365 days."""
    for level in (0.1, 0.42, 1.0, 3.0):
        for days in (1, 30, 365):
            deviation = level * math.sqrt(days / 365)
            x = np.linspace(-6, 6, 1201)
            strike = np.exp(x * deviation)
            width = deviation * SURFACE.smile(torch.from_numpy(x)).numpy()
            d1 = -x * deviation / width + width / 2
            call = norm.cdf(d1) - strike * norm.cdf(d1 - width)
            slope = np.diff(call) / np.diff(strike)
            assert (slope < 1e-12).all()
            assert (np.diff(slope) > -1e-9).all()


def test_volatilities_are_bounded_far_from_the_money_and_at_expiry() -> None:
    memory = seen(0.01, -0.02)
    strikes = tensor(1e-6, 1.0, 100.0, 1e4, 1e9)[None]
    for bars in (0, 1, 720, HORIZON, 10 * HORIZON):
        found = SURFACE.volatility(quote(memory), memory, strikes, torch.full((1, 5), bars))
        assert found.isfinite().all()
        assert (found > 0).all()
        assert float(found.max() / found.min()) < 4


def test_a_calibration_that_allows_butterflies_is_refused() -> None:
    raw = CALIBRATION.surface.model_dump() | {"curvature": 1.9, "skew": -0.5}
    with pytest.raises(ValueError, match="butterflies"):
        type(CALIBRATION.surface).model_validate(raw)


def test_half_spreads_are_half_the_measured_bid_ask_and_join_smoothly() -> None:
    """Relative bid–ask by |delta|: 35 % under .05, 10 % to .15, 4 % to .35, 2.3 % at the money; the project's data."""
    assert SURFACE.half_spread(tensor(0.01, 0.10, 0.25, 0.5)).tolist() == pytest.approx([0.175, 0.05, 0.02, 0.0115])
    grid = SURFACE.half_spread(torch.linspace(0, 1, 2001, dtype=torch.float64))
    assert (grid.diff() <= 1e-15).all()
    assert float(grid.diff().abs().max()) < 0.175 * math.log(0.175 / 0.05) / 0.075 / 2000 * 1.01
    assert torch.equal(SURFACE.half_spread(tensor(-0.3)), SURFACE.half_spread(tensor(0.3)))


def test_the_level_reverts_to_its_target_and_spreads_as_its_volatility_says() -> None:
    law = CALIBRATION.surface.model_copy(update={"half_life_hours": 10.0, "volatility": 0.9})
    level = surface.next_level(law, tensor(1.0), tensor(0.0), tensor(0.0), tensor(0.0), 10 * HOUR)
    assert float(level) == pytest.approx(0.5)
    noise = tensor(1.0, 0.0)
    own = math.sqrt(1 - law.return_correlation**2)
    moved = surface.next_level(law, tensor(0.0, 0.0), tensor(0.0, 0.0), noise.flip(0), noise, HOUR)
    assert moved.tolist() == pytest.approx(
        [0.9 * math.sqrt(HOUR) * own, 0.9 * math.sqrt(HOUR) * law.return_correlation]
    )

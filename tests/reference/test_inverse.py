"""Inverse options against Deribit's worked rules, finite differences, and simulated averages of the index."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs.pricing import black_scholes, inverse
from envs.pricing.inverse import WINDOW
from envs.types import HOUR


def double(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def test_payoff_is_deribits_worked_example() -> None:
    """Deribit, "Inverse Options": a call struck at 100,000 and delivered at 125,000 pays 25,000, that is 0.2 BTC."""
    assert float(inverse.payoff(*double(125_000.0, 100_000.0))) == pytest.approx(0.2, rel=1e-15)
    assert float(inverse.payoff(*double(80_000.0, 100_000.0), False)) == pytest.approx(0.25, rel=1e-15)
    assert float(inverse.payoff(*double(80_000.0, 100_000.0))) == 0


@pytest.mark.parametrize("call", [True, False])
def test_greeks_are_derivatives_of_the_coin_price(call: bool) -> None:
    spot = torch.linspace(60, 160, 41, dtype=torch.float64)
    strike, time, volatility = double(100.0, 0.2, 0.7)
    found, h = inverse.greeks(spot, strike, time, volatility, call), 1e-5 * spot

    def slope(f: object, step: Tensor) -> Tensor:
        values: Tensor = (f(step) - f(-step)) / (2 * step)  # type: ignore[operator]
        return values

    by_spot = slope(lambda e: inverse.price(spot + e, strike, time, volatility, call), h)
    assert (spot * by_spot - found.delta).abs().max() < 1e-8
    curve = slope(lambda e: inverse.greeks(spot + e, strike, time, volatility, call).delta, h)
    assert (spot * (curve - found.gamma)).abs().max() < 1e-7
    nudge = torch.full_like(spot, 1e-5)
    by_vol = slope(lambda e: inverse.price(spot, strike, time, volatility + e, call), nudge)
    assert (by_vol - found.vega).abs().max() < 1e-8
    by_time = slope(lambda e: inverse.price(spot, strike, time + e, volatility, call), nudge)
    assert (by_time + found.theta).abs().max() < 1e-7


@given(moneyness=st.floats(-1, 1), time=st.floats(0.01, 1), volatility=st.floats(0.2, 2))
def test_premium_adjusted_delta_has_its_closed_form(moneyness: float, time: float, volatility: float) -> None:
    """φ·K/S·N(φd2); and what a call and a put pay together is 1 − K/S."""
    spot, strike, t, v = double(math.exp(moneyness), 1.0, time, volatility)
    second = black_scholes.d1(spot, strike, t, v) - v * t.sqrt()
    for call, sign in ((True, 1), (False, -1)):
        expected = sign * strike / spot * black_scholes.ndtr(sign * second)
        assert float(inverse.greeks(spot, strike, t, v, call).delta) == pytest.approx(float(expected), abs=1e-14)
    pair = inverse.price(spot, strike, t, v) - inverse.price(spot, strike, t, v, False)
    assert float(pair) == pytest.approx(float(1 - strike / spot), abs=1e-14)


def test_a_delta_hedged_call_does_not_move_in_coin() -> None:
    """Short S·delta of an inverse perpetual against a call: the coin left over is of second order in the move."""
    spot, strike, time, volatility = double(100.0, 105.0, 0.1, 0.8)
    found = inverse.greeks(spot, strike, time, volatility)
    left = []
    for move in (1e-3, 2e-3):
        after = spot * (1 + move)
        option = inverse.price(after, strike, time, volatility) - found.value
        left.append(float(option - inverse.future_profit(found.delta * spot, spot, after)))
    assert left[1] / left[0] == pytest.approx(4, rel=0.01)


def test_settlement_over_one_bar_is_the_mean_of_a_straight_line() -> None:
    """Last half of an hour from 100 to 104: from 102 to 104, 103."""
    assert float(inverse.settlement(*double(100.0, 104.0), HOUR)) == pytest.approx(103, rel=1e-15)
    assert float(inverse.settlement(*double(100.0, 104.0), WINDOW)) == pytest.approx(102, rel=1e-15)


@pytest.mark.parametrize("minutes", [1, 5, 7.5, 20, 30, 60, 240])
def test_bars_of_any_length_add_up_to_the_trapezium_of_the_path(minutes: float) -> None:
    """A straight line over the last five hours: whatever the bars, its mean over the last half hour."""
    bar, count = minutes * HOUR / 60, math.ceil(300 / minutes)
    closes_at = torch.arange(count - 1, -1, -1, dtype=torch.float64) * bar
    path = 100 - 1000 * torch.cat([closes_at[:1] + bar, closes_at]) / HOUR / 60
    total = inverse.accrued(path[:-1], path[1:], closes_at, bar).sum()
    assert float(total) == pytest.approx(100 - 1000 * 15 / 60 / 60, rel=1e-12)


@pytest.mark.parametrize("elapsed", [-0.5, 0.0, 0.4, 0.9])
def test_index_and_time_are_mean_and_variance_of_simulated_settlements(elapsed: float) -> None:
    """100,000 paths of the index at 30-second steps, `elapsed` windows after the window opened at 100.

    The mean to three standard errors, the variance of the logarithm to four (√(2/N) of itself, kurtosis near 3) and the
    30-second grid's 1/(2·60) of the window's third.
    """
    volatility, paths, fine = 0.9, 100_000, 60
    steps = round(fine * (1 - elapsed))
    time = WINDOW * (1 - elapsed)
    noise = torch.randn(paths, steps, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    deviation = volatility * math.sqrt(WINDOW / fine)
    index = 101 * torch.exp((deviation * noise - deviation**2 / 2).cumsum(-1))
    kept = index if elapsed > 0 else index[:, -fine:]
    so_far = 100.5 * max(elapsed, 0.0)
    settled = so_far + kept.sum(-1) / fine
    spot, past, left = double(101.0, so_far, time)
    mean = inverse.settlement_index(spot, past, left)
    assert abs(float(settled.mean() - mean)) < 3 * float(settled.std()) / math.sqrt(paths)
    variance = volatility**2 * float(inverse.settlement_time(spot, past, left))
    tolerance = 4 * math.sqrt(2 / paths) + 2 / steps
    assert float(settled.log().var()) == pytest.approx(variance, rel=tolerance)


def test_time_of_settlement_runs_without_a_jump_to_zero() -> None:
    time = torch.linspace(0, 3, 301, dtype=torch.float64) * WINDOW
    spot = torch.full_like(time, 100.0)
    so_far = 100 * (1 - time / WINDOW).clamp(min=0)
    effective = inverse.settlement_time(spot, so_far, time)
    assert float(effective[0]) == 0
    assert (effective.diff() > 0).all()
    assert effective.diff().max() < 1.01 * float(time[1])
    assert torch.allclose(effective[100:], time[100:] - 2 / 3 * WINDOW, rtol=1e-12)

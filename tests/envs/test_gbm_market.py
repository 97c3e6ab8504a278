"""Geometric Brownian motion: its exact law, correlated assets, and the papers' set-up from configuration alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from envs.calibration import validated
from envs.markets.gbm import GbmMarket
from envs.markets.sabr import SabrMarket
from envs.pricing import black_scholes
from envs.seeding import generators
from envs.types import BadInput

CPU = torch.device("cpu")
CAO = {"spot": 100.0, "drift": 0.05, "volatility": (0.2,), "bar_hours": 35.04}  # 250 bars a year


def market(seed: int, **settings: Any) -> GbmMarket:
    (generator,) = generators(seed, 1)
    return GbmMarket(GbmMarket.Settings(**settings), 100, generator, torch.float64, CPU)


def test_log_prices_are_normal_with_the_right_moments() -> None:
    """After 10 bars: mean (μ − σ²/2)T, variance σ²T, within k = 4 standard errors."""
    n, years = 200_000, 10 * 35.04 / 8760
    made = market(21, **CAO)
    state, memories = made.initial(n)
    assert (state.spot == 100).all()
    for _ in range(10):
        state, memories, _ = made.step(state, memories)
    log = (state.spot[:, 0] / 100).log()
    assert abs(float(log.mean()) - (0.05 - 0.02) * years) < 4 * 0.2 * math.sqrt(years / n)
    assert abs(float(log.var()) / (0.04 * years) - 1) < 4 * math.sqrt(2 / n)


def test_assets_have_their_volatilities_and_their_correlation() -> None:
    """Over one bar of a day; k = 4 standard errors of a variance and of a correlation."""
    n = 200_000
    made = market(
        22, volatility=(0.8, 0.3, 1.1), correlation=((1, 0.6, -0.2), (0.6, 1, 0.1), (-0.2, 0.1, 1)), bar_hours=24
    )
    before, memories = made.initial(n)
    after, memories, quotes = made.step(before, memories)
    log = (after.spot / before.spot).log()
    variance = made.volatility.square() / 365
    assert ((log.var(0) / variance - 1).abs() < 4 * math.sqrt(2 / n)).all()
    found, wanted = torch.corrcoef(log.T), torch.tensor(made.settings.correlation, dtype=torch.float64)
    assert ((found - wanted).abs() <= 4 * (1 - wanted.square()) / math.sqrt(n) + 1e-12).all()
    for a, quote in enumerate(quotes):
        assert torch.equal(quote.spot, after.spot[:, a])
        assert quote.implied_volatility.tolist() == [made.settings.volatility[a]] * n


def test_filter_and_surface_say_the_one_volatility() -> None:
    made = market(23, volatility=(0.7,))
    state, memories = made.initial(50)
    for _ in range(20):
        state, memories, (quote,) = made.step(state, memories)
    bars = torch.full((50,), 30)
    assert made.filters[0].term_variance(memories[0], bars).sqrt().tolist() == pytest.approx([0.7] * 50)
    strike = quote.spot[:, None] * torch.tensor([[0.5, 1.0, 2.0]])
    found = made.surfaces[0].volatility(quote, memories[0], strike, bars[:, None].expand(-1, 3))
    assert (found == 0.7).all()
    assert (quote.funding_rate == 0).all()
    assert torch.equal(quote.mark, quote.spot)


def test_the_venue_costs_what_is_set() -> None:
    made = market(24, half_spread=0.01, option_half_spread=0.02, depth=5e6)
    (quote,) = made.quote(*made.initial(3))
    assert quote.half_spread.tolist() == [0.01] * 3
    assert quote.depth.tolist() == [5e6] * 3
    assert made.surfaces[0].half_spread(torch.zeros(2, dtype=torch.float64)).tolist() == [0.02] * 2


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"volatility": [-0.2]}, "volatility.0"),
        ({"volatility": [float("nan")]}, "volatility.0"),
        ({"volatility": []}, "volatility"),
        ({"bar_hours": 0}, "bar_hours"),
        ({"spot": 0}, "spot"),
        ({"half_spread": -1e-3}, "half_spread"),
        ({"volatility": [0.2, 0.3], "correlation": [[1]]}, "2 rows of 2 entries"),
        ({"volatility": [0.2, 0.3], "correlation": [[1, 0.5], [0.4, 1]]}, "symmetric"),
        ({"volatility": [0.2, 0.3], "correlation": [[1, 1.1], [1.1, 1]]}, "positive definite"),
    ],
)
def test_bad_settings_are_refused_in_one_line(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as raised:
        validated(GbmMarket.Settings, raw, "market")
    assert len(str(raised.value).splitlines()) == 1


# Cao, Chen, Hull and Poulos (2021): one short at-the-money call on 100 shares over 20 days, 1 % of what is traded.


def delta_hedged(made: Any, paths: int) -> Tensor:
    """(P,) cost of hedging daily by the Black–Scholes delta at the option's own implied volatility, over its price."""
    state, memories = made.initial(paths)
    (quote,) = made.quote(state, memories)
    strike, held, cost = quote.spot[:, None], torch.zeros(paths, 1, dtype=torch.float64), 0.0
    first = value = None
    for left in range(20, -1, -1):
        bars = torch.full((paths, 1), left)
        spot, time = quote.spot[:, None], bars.double() / 250
        volatility = made.surfaces[0].volatility(quote, memories[0], strike, bars)
        now = 100 * black_scholes.price(spot, strike, time, volatility)
        target = 100 * black_scholes.greeks(spot, strike, time, volatility).delta if left else torch.zeros_like(held)
        cost = cost + 0.01 * spot * (target - held).abs() + (0.0 if value is None else now - value)
        first, value, held, before = (now if first is None else first), now, target, spot
        if left:
            state, memories, (quote,) = made.step(state, memories)
            cost = cost - held * (quote.spot[:, None] - before)
    return (cost / first)[:, 0]


@pytest.mark.parametrize(
    ("kind", "settings", "price", "published"),
    [
        (GbmMarket, CAO, 2.2565, (107.6, 37.7, 164.1)),
        (SabrMarket, {**CAO, "volatility": 0.2, "volvol": 0.6, "rho": -0.4, "beta": 1.0}, 2.2584, (108.0, 38.1, 165.1)),
    ],
)
def test_cao_and_others_delta_row(kind: Any, settings: Any, price: float, published: tuple[float, ...]) -> None:
    """Mean, standard deviation and mean + 1.5·sd of the cost in % of the premium, as their weights' code prints them.

    k = 4 standard errors of both samples, ours and their 10⁵ paths, and half the last printed digit.
    """
    n = 50_000
    (generator,) = generators(25, 1)
    made = kind(kind.Settings(**settings), 60, generator, torch.float64, CPU)
    (quote,) = made.quote(*made.initial(1))
    volatility = made.surfaces[0].volatility(quote, made.initial(1)[1][0], quote.spot[:, None], torch.tensor([[20]]))
    time = torch.tensor([[20 / 250]], dtype=torch.float64)
    found = black_scholes.price(quote.spot[:, None], quote.spot[:, None], time, volatility)
    assert float(found) == pytest.approx(price, abs=5e-5)
    cost = 100 * delta_hedged(made, n)
    mean, deviation = float(cost.mean()), float(cost.std())
    kurtosis = float(((cost - mean) / deviation).pow(4).mean())
    both = math.sqrt(1 / n + 1 / 100_001)
    of_mean, of_deviation = deviation * both, deviation * math.sqrt((kurtosis - 1) / 4) * both
    assert abs(mean - published[0]) < 4 * of_mean + 0.05
    assert abs(deviation - published[1]) < 4 * of_deviation + 0.05
    assert abs(mean + 1.5 * deviation - published[2]) < 4 * (of_mean + 1.5 * of_deviation) + 0.05

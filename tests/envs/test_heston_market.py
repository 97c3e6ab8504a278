"""Heston's market: the variance's exact moments, a fair price, options at the closed form, and marks that tell it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from envs import heston as tables
from envs.calibration import validated
from envs.markets.heston import HestonMarket
from envs.pricing import heston, implied
from envs.seeding import generators
from envs.types import BadInput

CPU = torch.device("cpu")
ORDINARY = {"kappa": 1.5, "theta": 0.04, "xi": 0.5, "rho": -0.7, "v0": 0.06}
CRYPTO = {"kappa": 2.0, "theta": 0.5, "xi": 1.5, "rho": 0.3, "v0": 0.4}
BUEHLER = {"kappa": 1.0, "theta": 0.04, "xi": 2.0, "rho": -0.7, "v0": 0.04}  # touches zero all the time
SETS = pytest.mark.parametrize("law", [ORDINARY, CRYPTO, BUEHLER], ids=["ordinary", "crypto", "buehler"])


def market(seed: int, dtype: torch.dtype = torch.float64, **settings: Any) -> HestonMarket:
    (generator,) = generators(seed, 1)
    return HestonMarket(HestonMarket.Settings(**{"bar_hours": 24, **settings}), 60, generator, dtype, CPU)


def exact(law: dict[str, float], spot: Tensor, strike: Tensor, time: Tensor, variance: Tensor, call: Tensor) -> Tensor:
    rest = (torch.tensor(law[name], dtype=torch.float64) for name in ("kappa", "theta", "xi", "rho"))
    return heston.price(spot, strike, time, variance, *rest, call)


@SETS
@pytest.mark.parametrize("start", [1e-6, 0.01, 0.04, 1.0])
def test_a_bar_has_the_exact_moments_of_the_variance_and_a_fair_price(law: dict[str, float], start: float) -> None:
    """Mean and variance of Cox, Ingersoll and Ross (1985), Econometrica 53, p. 392; k = 4 standard errors."""
    n = 100_000
    made = market(41, drift=0.2, **law)
    state, memories = made.initial(n)
    state = replace(state, variance=torch.full_like(state.variance, start))
    after, _, _ = made.step(state, memories)
    kept = math.exp(-law["kappa"] / 365)
    mean = law["theta"] + (start - law["theta"]) * kept
    square = law["xi"] ** 2 * (1 - kept) / law["kappa"] * (start * kept + law["theta"] * (1 - kept) / 2)
    centred = after.variance - mean
    assert abs(float(centred.mean())) < 4 * math.sqrt(square / n)
    assert abs(float(centred.square().mean()) - square) < 4 * float(centred.square().std()) / math.sqrt(n)
    assert (after.variance >= 0).all()
    ratio = after.spot[:, 0] * math.exp(-0.2 / 365)
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(n)


@SETS
def test_options_cost_what_the_closed_form_says(law: dict[str, float]) -> None:
    """30 days of daily bars, strikes one standard deviation apart; k = 4 standard errors."""
    n, time = 100_000, torch.tensor(30 / 365, dtype=torch.float64)
    made = market(42, torch.float32, **law)
    state, memories = made.initial(n)
    for _ in range(30):
        state, memories, _ = made.step(state, memories)
    final, start = state.spot[:, 0].double(), torch.tensor(law["v0"], dtype=torch.float64)
    for standing in (-1.0, 0.0, 1.0):
        strike = torch.exp(standing * (start * time).sqrt())
        payoff = (final - strike).clamp(min=0)
        price = exact(law, torch.ones_like(strike), strike, time, start, torch.tensor(True))
        assert abs(float(payoff.mean() - price)) < 4 * float(payoff.std()) / math.sqrt(n), standing


@SETS
def test_the_quoted_volatility_is_the_exact_one_and_tells_the_variance(law: dict[str, float]) -> None:
    """A straight line between 512 values: to 1e-4 of volatility, a hundredth of a quoted tick of a point."""
    surface = market(43, **law).surface
    variance = torch.linspace(0.05, 0.9, 50, dtype=torch.float64).square() * surface.law.highest**2
    month = torch.tensor(tables.MONTH, dtype=torch.float64)
    one, call = torch.ones_like(variance), torch.tensor(True)
    found = implied.implied_volatility(exact(law, one, one, month, variance, call), one, one, month, call).volatility
    quoted = surface.at_the_money(variance)
    assert (quoted - found).abs().max() < 1e-4
    assert (surface.variance(quoted) / variance - 1).abs().max() < 1e-9


@SETS
def test_beyond_its_table_the_quoted_volatility_still_rises_and_tells_the_variance(law: dict[str, float]) -> None:
    surface = market(44, **law).surface
    variance = surface.law.highest**2 * torch.tensor([0.9, 1.0, 2.0, 10.0], dtype=torch.float64)
    quoted = surface.at_the_money(variance)
    assert (quoted.diff() > 0).all()
    assert (surface.variance(quoted) / variance - 1).abs().max() < 1e-9


@pytest.mark.parametrize("law", [ORDINARY, CRYPTO], ids=["ordinary", "crypto"])
def test_the_surface_is_the_exact_smile(law: dict[str, float]) -> None:
    """To 5e-4 of volatility, from public quotes alone: strikes within three standard deviations, a day to 60 days.

    Variances from a tenth of theta up: nearer to zero the smile of short options is too steep for the table.
    """
    made = market(45, **law)
    variance = torch.linspace(law["theta"] / 10, 4 * law["theta"], 40, dtype=torch.float64)
    state, memories = made.initial(40)
    (quote,) = made.quote(replace(state, variance=variance), memories)
    for bars in (1, 2, 7, 30, 60):
        time = torch.tensor(bars / 365, dtype=torch.float64)
        standing = torch.linspace(-3, 3, 13, dtype=torch.float64)
        strike = (standing * (variance[:, None] * time).sqrt()).exp()
        one, call = torch.ones_like(strike), standing >= 0
        price = exact(law, one, strike, time, variance[:, None], call)
        wanted = implied.implied_volatility(price, one, strike, time, call)
        found = made.surfaces[0].volatility(quote, memories[0], strike, torch.full(strike.shape, bars))
        worth = wanted.valid & (price > 10 * tables.LEAST)
        assert worth.double().mean() > 0.75
        assert (found - wanted.volatility)[worth].abs().max() < 5e-4, bars


def test_single_precision_quotes_the_same_surface() -> None:
    one, other = market(46), market(46, torch.float32)
    strike, bars = torch.tensor([[0.8, 1.0, 1.2]], dtype=torch.float64), torch.tensor([[1, 10, 60]])
    found = []
    for made, dtype in ((one, torch.float64), (other, torch.float32)):
        state, memories = made.initial(1)
        (quote,) = made.quote(state, memories)
        found.append(made.surfaces[0].volatility(quote, memories[0], strike.to(dtype), bars).double())
    assert (found[0] - found[1]).abs().max() < 1e-5


def test_a_price_without_a_mean_is_refused() -> None:
    raw = {"rho": 0.9, "xi": 50.0, "bar_hours": 730}
    with pytest.raises(BadInput, match="rho·xi is too large for bars of 730 h; shorten bar_hours") as raised:
        validated(HestonMarket.Settings, raw, "market")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("raw", [{"kappa": 0}, {"theta": -1}, {"xi": 0}, {"rho": -1}, {"v0": float("nan")}])
def test_bad_settings_are_refused_in_one_line(raw: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(raw))) as raised:
        validated(HestonMarket.Settings, raw, "market")
    assert len(str(raised.value).splitlines()) == 1

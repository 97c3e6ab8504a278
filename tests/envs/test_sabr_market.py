"""SABR: an exact volatility, a fair price, and marks that tell the volatility back."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from envs.calibration import validated
from envs.markets import sabr
from envs.markets.sabr import SabrMarket
from envs.pricing import hagan
from envs.seeding import generators
from envs.types import BadInput

CPU = torch.device("cpu")


def market(seed: int, **settings: Any) -> SabrMarket:
    (generator,) = generators(seed, 1)
    return SabrMarket(SabrMarket.Settings(**{"bar_hours": 35.04, **settings}), 60, generator, torch.float64, CPU)


def test_the_volatility_is_lognormal_and_hangs_with_the_price() -> None:
    """ln of the volatility over one bar: mean −ν²dt/2, variance ν²dt, correlation ρ; k = 4 standard errors."""
    n, bar = 200_000, 1 / 250
    made = market(31)
    before, memories = made.initial(n)
    after, _, _ = made.step(before, memories)
    growth = (after.volatility / before.volatility).log()
    assert abs(float(growth.mean()) + 0.18 * bar) < 4 * 0.6 * math.sqrt(bar / n)
    assert abs(float(growth.var()) / (0.36 * bar) - 1) < 4 * math.sqrt(2 / n)
    log = (after.spot / before.spot)[:, 0].log()
    assert abs(float(torch.corrcoef(torch.stack([growth, log]))[0, 1]) + 0.4) < 4 * (1 - 0.16) / math.sqrt(n)


def test_with_an_exponent_the_volatility_follows_the_price_too() -> None:
    """α stays while ν = 0, so that v·S^(1−β) does; v is α·S^(β−1)."""
    made = market(32, volvol=0.0, beta=0.5, spot=4.0, volatility=0.8)
    state, memories = made.initial(1000)
    for _ in range(10):
        state, memories, _ = made.step(state, memories)
    alpha = state.volatility * state.spot[:, 0] ** 0.5
    assert alpha.tolist() == pytest.approx([0.8 * 2] * 1000, rel=1e-12)
    assert state.volatility.std() > 0.01


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_quoted_volatility_is_hagans_and_tells_the_models(beta: float) -> None:
    law = market(33, beta=beta).settings
    volatility = torch.linspace(0.05, 1.0, 40, dtype=torch.float64)
    spot = torch.linspace(0.5, 2.0, 40, dtype=torch.float64)
    alpha = volatility * spot ** (1 - beta)
    month, rho, nu = (torch.tensor(each, dtype=torch.float64) for each in (sabr.MONTH, law.rho, law.volvol))
    quoted = sabr.at_the_money(law, volatility)
    assert quoted.tolist() == pytest.approx(hagan.implied_volatility(spot, spot, month, alpha, rho, nu, beta).tolist())
    assert sabr.instantaneous(law, quoted).tolist() == pytest.approx(volatility.tolist(), rel=1e-13)


def test_the_surface_is_hagans_at_the_hidden_volatility() -> None:
    made = market(34, spot=100.0)
    state, memories = made.initial(200)
    for _ in range(15):
        state, memories, (quote,) = made.step(state, memories)
    strike = torch.tensor([[80.0, 100.0, 120.0]], dtype=torch.float64).expand(200, -1)
    found = made.surfaces[0].volatility(quote, memories[0], strike, torch.tensor([[5, 20, 60]]).expand(200, -1))
    rho, nu = torch.tensor([-0.4, 0.6], dtype=torch.float64)
    time = torch.tensor([[5, 20, 60]], dtype=torch.float64) / 250
    exact = hagan.implied_volatility(quote.spot[:, None], strike, time, state.volatility[:, None], rho, nu)
    assert (found / exact - 1).abs().max() < 1e-12


def test_the_filter_weighs_news_as_nelson_says() -> None:
    """Its mean squared error of variance is below that of filters with half and with twice the weight."""
    made = market(35)
    law, filter = made.calibrations[0].regimes, made.filters[0]
    state, memories = made.initial(4000)
    true, returns = [], []
    for _ in range(250):
        true.append(state.volatility.square())
        after, memories, _ = made.step(state, memories)
        returns.append((after.spot / state.spot)[:, 0].log().square() / filter.bar)
        state = after
    (omega,), (alpha,), (beta,) = law.omega, law.alpha, law.beta

    def error(times: float) -> float:
        variance, total = torch.full_like(true[0], 0.04), 0.0
        for exact, news in zip(true, returns, strict=True):
            total += float((variance - exact).square().mean())
            variance = omega + times * alpha * news + (alpha + beta - times * alpha) * variance
        return total

    assert error(1.0) < min(error(0.5), error(2.0))


@pytest.mark.parametrize(
    "raw", [{"rho": 1.0}, {"beta": 1.2}, {"volvol": -0.1}, {"volatility": 0}, {"volatility": float("inf")}]
)
def test_bad_settings_are_refused_in_one_line(raw: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(raw))) as raised:
        validated(SabrMarket.Settings, raw, "market")
    assert len(str(raised.value).splitlines()) == 1

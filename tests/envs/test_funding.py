"""The venues' funding formulae on worked examples and records, and the premium's AR(1) law."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from envs import funding
from envs.calibration import Calibration, Funding
from envs.history import load_funding
from envs.markets.garch import GarchMarket
from envs.seeding import generators
from envs.task import DATA

HOUR = 1 / 8760
PER_YEAR = 3 * 365  # funding times
LAW = Funding(mean_premium=3e-4, premium_std=6e-4, persistence=0.9)


@pytest.fixture(scope="module")
def shipped() -> Funding:
    return Calibration.load(DATA / "btc_2017_2022.toml").funding


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        (0.0, 1e-4),  # the interest alone
        (1e-4, 1e-4),
        (6e-4, 1e-4),  # the upper edge of the clamp
        (-4e-4, 1e-4),  # the lower edge
        (8e-4, 3e-4),  # premium less 0.05 %
        (-5e-4, 0.0),
        (-8e-4, -3e-4),  # premium and 0.05 %
        (2e-3, 1.5e-3),
        (5e-3, 3e-3),  # capped
        (-5e-3, -3e-3),
    ],
)
def test_worked_examples(premium: float, rate: float) -> None:
    """Per eight hours; the function answers per year."""
    found = float(funding.funding_rate(column(premium)))
    assert found == pytest.approx(rate * PER_YEAR, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        (0.0, 0.0),  # damped away
        (2.5e-4, 0.0),
        (-2.5e-4, 0.0),
        (4e-4, 1.5e-4),
        (-4e-4, -1.5e-4),
        (1e-2, 5e-3),  # capped
        (-1e-2, -5e-3),
    ],
)
def test_deribit_damps_small_premiums(premium: float, rate: float) -> None:
    """Per eight hours: max(0.025 %, P) + min(−0.025 %, P), Deribit, "Funding Specifications"."""
    assert float(funding.deribit(column(premium))) == pytest.approx(rate * PER_YEAR, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("premium", "hourly"),
    [
        (0.0, 1.25e-5),  # the interest: 0.00125 % an hour, 11.6 % a year compounded daily
        (0.01, 0.0095 / 8),  # the worked example: impact bid 1 % above the index makes 0.95 % per 8 h
        (-0.01, -0.0095 / 8),
        (0.5, 0.04),  # 4 % an hour at most
        (-0.5, -0.04),
    ],
)
def test_hyperliquid_pays_an_eighth_each_hour(premium: float, hourly: float) -> None:
    """Hyperliquid Docs, Trading, "Funding"."""
    rate = float(funding.hyperliquid(column(premium)))
    assert rate * HOUR == pytest.approx(hourly, rel=1e-12)
    if premium == 0:
        assert (1 + rate / 365) ** 365 - 1 == pytest.approx(0.116, abs=5e-4)


@pytest.mark.parametrize("name", sorted(funding.VENUES))
@given(premium=st.floats(-0.02, 0.02), more=st.floats(0, 0.02))
def test_a_higher_premium_never_lowers_the_rate(name: str, premium: float, more: float) -> None:
    low, high = funding.funding_rate(column(premium, premium + more), name).tolist()
    assert low <= high + 1e-12
    cap = {"binance": 3e-3, "deribit": 5e-3, "hyperliquid": 0.32}[name]
    assert max(abs(low), abs(high)) <= cap * PER_YEAR * (1 + 1e-12)


@pytest.mark.parametrize("name", sorted(funding.VENUES))
def test_a_market_pays_by_the_formula_of_its_venue(name: str) -> None:
    assets = (Calibration.load(DATA / "btc_2017_2022.toml"),)
    market = GarchMarket(
        GarchMarket.Settings(assets=assets, venue=name), 720, generators(3, 1)[0], torch.float64, torch.device("cpu")
    )
    state, memories = market._cold(50)
    (quote,) = market.quote(state, memories)
    assert torch.equal(quote.funding_rate, funding.VENUES[name](state.premium[:, 0]))


def test_a_venue_without_a_formula_is_refused() -> None:
    assets = (Calibration.load(DATA / "btc_2017_2022.toml"),)
    with pytest.raises(ValueError, match="venue 'nowhere' is unknown; use one of binance, deribit, hyperliquid"):
        GarchMarket.Settings(assets=assets, venue="nowhere")


def test_the_recorded_funding_lies_within_the_formula() -> None:
    """Binance's BTC, daily means 2019-09 to 2025-06: none beyond the cap, and no value as common as the interest."""
    daily = load_funding("btc")
    assert float(daily.abs().max()) <= 3e-3 * PER_YEAR
    assert float(daily.round(9).mode()[0]) == pytest.approx(float(funding.binance(column(0.0))), rel=1e-6)


def test_the_clamp_holds_as_often_as_the_normal_law_says(shipped: Funding) -> None:
    """Exactly 0.01 % wherever the premium lies from −0.04 to 0.06 %; k = 4 binomial standard errors, n = 200,000."""
    n = 200_000
    (generator,) = generators(301, 1)
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    rates = funding.funding_rate(funding.stationary_premium(shipped, noise))
    held = float(((rates / PER_YEAR - 1e-4).abs() < 1e-15).double().mean())
    law = stats.norm(shipped.mean_premium, shipped.premium_std)
    expected = float(law.cdf(6e-4) - law.cdf(-4e-4))
    assert abs(held - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    assert 0.25 < expected < 0.75  # neither never nor always: recorded funding has such an atom


def test_premium_keeps_its_stationary_law() -> None:
    """After 60 hourly bars from the stationary law, mean, spread and correlation with the start.

    k = 4 standard errors, n = 200,000: σ/√n for a mean, σ/√(2n) for a deviation, (1 − ρ²)/√n for a correlation.
    """
    n, bars = 200_000, 60
    (generator,) = generators(302, 1)
    start = premium = funding.stationary_premium(LAW, torch.randn(n, generator=generator, dtype=torch.float64))
    for _ in range(bars):
        premium = funding.next_premium(LAW, premium, torch.randn(n, generator=generator, dtype=torch.float64), HOUR)
    rho = 0.9 ** (bars / 8)
    assert abs(float(premium.mean()) - 3e-4) < 4 * 6e-4 / math.sqrt(n)
    assert abs(float(premium.std()) - 6e-4) < 4 * 6e-4 / math.sqrt(2 * n)
    assert abs(float(torch.corrcoef(torch.stack([start, premium]))[0, 1]) - rho) < 4 * (1 - rho**2) / math.sqrt(n)


@given(premium=st.floats(-0.01, 0.01))
def test_persistence_is_that_of_eight_hours_whatever_the_bar(premium: float) -> None:
    hourly = column(premium)
    for _ in range(8):
        hourly = funding.next_premium(LAW, hourly, column(0.0), HOUR)
    at_once = funding.next_premium(LAW, column(premium), column(0.0), 8 * HOUR)
    expected = 3e-4 + 0.9 * (premium - 3e-4)
    assert float(hourly) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert float(at_once) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_noise_scale_over_eight_hours_is_that_of_eight_single_bars() -> None:
    """Independent noises of variance 1 − ρ^(2/8) each, decayed, add up to 1 − ρ²."""
    rho = 0.9 ** (1 / 8)
    single = float(funding.next_premium(LAW, column(3e-4), column(1.0), HOUR)) - 3e-4
    whole = float(funding.next_premium(LAW, column(3e-4), column(1.0), 8 * HOUR)) - 3e-4
    added = single**2 * sum(rho ** (2 * k) for k in range(8))
    assert added == pytest.approx(whole**2, rel=1e-9)
    assert whole == pytest.approx(6e-4 * math.sqrt(1 - 0.81), rel=1e-9)

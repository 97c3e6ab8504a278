"""The fast likelihood against the torch filter step by step, against arch, and on series whose parameters are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from arch import arch_model
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs.calibration import Calibration, Funding, Regimes
from envs.history import load_bars, load_funding
from envs.simulated import SHIPPED_CALIBRATION
from envs.types import BadInput
from envs.volatility import garch, regimes
from train import cascades, msgarch, premium
from train.calibrate import calibrate, command
from train.msgarch import Sample
from train.single import fit_single

HOUR = 1 / 8760
PAIR = Regimes(
    transition=((0.98, 0.02), (0.05, 0.95)),
    omega=(0.002, 0.05),
    alpha=(0.03, 0.12),
    leverage=(0.0, 0.05),
    beta=(0.95, 0.82),
    degrees_of_freedom=4.0,
    truncation=3.0,
)


def simulated(model: Regimes, bars: int, seed: int) -> NDArray[np.float64]:
    """Log returns (bars,) of `model`, shocks not cut."""
    generator = np.random.default_rng(seed)
    freedom, transition = model.degrees_of_freedom, np.array(model.transition)
    shocks = generator.standard_t(freedom, bars) * math.sqrt((freedom - 2) / freedom)
    jumps, h, regime, returns = generator.random(bars), np.full(len(transition), 0.5), 0, np.empty(bars)
    for bar, shock in enumerate(shocks):
        returns[bar] = r = math.sqrt(h[regime] * HOUR) * shock
        slope = np.array(model.alpha) + np.array(model.leverage) * (r < 0)
        h = np.array(model.omega) + slope * np.minimum(r**2 / HOUR, model.truncation**2 * h) + np.array(model.beta) * h
        regime = int(jumps[bar] > transition[regime].cumsum()[0])
    return returns


def sample(returns: NDArray[np.float64], missing: list[int], extreme: list[int], truncation: float) -> Sample:
    usable, found = np.ones(len(returns), bool), np.zeros(len(returns), bool)
    usable[missing], found[extreme] = False, True
    return Sample.of(np.where(usable, returns, np.nan), usable, found & usable, HOUR, truncation, feed=0.01)


def stepwise(data: Sample, model: Regimes, returns: NDArray[np.float64]) -> tuple[float, list[float]]:
    """Log-likelihood and each bar's predicted variance, by `envs.volatility` a bar at a time."""
    tensors = garch.RegimeTensors.of(model)
    predicted = regimes.stationary(tensors.transition).unsqueeze(0)
    variance = torch.full((1, len(model.omega)), data.target, dtype=torch.float64)
    total, expected = 0.0, []
    for bar, value in enumerate(torch.from_numpy(returns).unsqueeze(-1)):
        expected.append(float((predicted * variance).sum()))
        density = garch.log_density(tensors, variance, value, HOUR) if data.counted[bar] else torch.zeros_like(variance)
        total += float((predicted * density.exp()).sum().log())
        _, predicted = regimes.update(tensors, predicted, density)
        variance = garch.next_variance(tensors, variance, value, HOUR) if data.usable[bar] else variance
    return total, expected


@pytest.mark.parametrize("ceiling", [400.0, 0.6])
def test_fast_likelihood_is_the_torch_filters_with_cap_gaps_and_cascades(ceiling: float) -> None:
    model, returns = PAIR.model_copy(update={"ceiling": ceiling}), simulated(PAIR, 301, seed=5)
    data = sample(returns, missing=[0, 40, 41], extreme=[90, 200], truncation=3.0)
    likelihood, expected = stepwise(data, model, returns)
    assert msgarch.log_likelihood(data, model) == pytest.approx(likelihood, rel=1e-12)
    assert msgarch.predicted_variance(data, model) == pytest.approx(expected, rel=1e-11)


@settings(max_examples=25, deadline=None)
@given(bars=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_the_tree_of_products_is_the_recursion_at_any_length(bars: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    log_density, transition = generator.normal(0, 300, (3, bars)), generator.dirichlet(np.ones(3), 3)
    first, total = np.full(3, 1 / 3), 0.0
    now = first
    for column in log_density.T:
        weight = np.log(np.maximum(now, 1e-300)) + column
        total += (step := float(np.logaddexp.reduce(weight)))
        now = np.exp(weight - step) @ transition
    assert msgarch.hamilton_log_likelihood(log_density, transition, first) == pytest.approx(total, rel=1e-9)


def test_one_regime_is_arch_on_real_prices() -> None:
    window = load_bars("btc").window("2019-01-01", "2019-03-01")
    returns = window.log_returns()[0][1:]
    data = sample(returns, [], [], truncation=1e6)
    omega, alpha, leverage, beta, freedom = 0.004, 0.05, 0.02, 0.93, 3.5
    judge = arch_model(returns / math.sqrt(HOUR), mean="Zero", o=1, dist="t", rescale=False).fix(
        [omega, alpha, leverage, beta, freedom]
    )
    model = Regimes(
        transition=((1.0,),),
        omega=(omega,),
        alpha=(alpha,),
        leverage=(leverage,),
        beta=(beta,),
        degrees_of_freedom=freedom,
        truncation=1e6,
    )
    data = replace(data, target=float(judge.conditional_volatility[0]) ** 2)
    judged = float(judge.loglikelihood) - len(returns) * math.log(HOUR) / 2
    assert msgarch.log_likelihood(data, model) == pytest.approx(judged, rel=1e-10)


def test_single_fit_reports_archs_density() -> None:
    returns = simulated(PAIR, 3000, seed=2)
    single, variance = fit_single(returns, HOUR)
    assert single.log_density(returns**2 / HOUR, variance, HOUR).sum() == pytest.approx(single.log_likelihood)


def test_known_regimes_are_recovered() -> None:
    truth = PAIR.model_copy(update={"leverage": (0.0, 0.0), "truncation": 10.0, "omega": (0.0008, 0.12)})
    returns = simulated(truth, 12_000, seed=11)
    data = replace(sample(returns, [], [], truncation=10.0), feed=0.0)
    data = replace(data, target=float(data.news.mean()))
    found = msgarch.fit(data)
    assert found.log_likelihood > msgarch.log_likelihood(data, truth) - 2  # targeting costs a little
    # Three standard errors each, measured over ten seeds: 0.19; 0.0031, 0.0113; 0.0033, 0.036.
    assert found.regimes.degrees_of_freedom == pytest.approx(4.0, abs=0.57)
    assert (np.abs(np.diag(found.regimes.transition) - [0.98, 0.95]) <= [0.0093, 0.034]).all()
    assert (np.abs(np.array(found.regimes.beta) - [0.95, 0.82]) <= [0.0099, 0.109]).all()


def test_the_fit_meets_its_constraints() -> None:
    shipped = Calibration.load(SHIPPED_CALIBRATION)
    tensors = garch.RegimeTensors.of(shipped.regimes)
    inside = regimes.joint_variance(tensors).diagonal() / regimes.stationary(tensors.transition)
    assert regimes.spectral_radius(tensors) < msgarch.MAX_RADIUS
    assert inside[0] < inside[1]
    assert 1 < HOUR * 8760 / (1 - float(tensors.transition[1, 1])) < 24 * 30


def test_hazard_is_recovered_within_its_standard_errors() -> None:
    generator, bars = np.random.default_rng(4), 60_000
    falls = generator.standard_t(4, bars)
    decay, excess, x, events = 0.5 ** (1 / 12), np.maximum(falls - 3, 0), 0.0, np.zeros(bars, bool)
    for bar in range(bars):
        events[bar] = generator.random() < -math.expm1(-(20 + x) * HOUR)
        x = x * decay + 150 * excess[bar]
    found = cascades.fit_hazard(falls, events, HOUR)
    # Three standard errors each, measured over twelve seeds: 0.186, 0.077, 0.083.
    assert math.log(found.base_rate / 20) == pytest.approx(0, abs=0.56)
    assert math.log(found.excitation / 150) == pytest.approx(0, abs=0.23)
    assert math.log(found.half_life_hours / 12) == pytest.approx(0, abs=0.25)
    assert found.likelihood_ratio > 30


def test_a_constant_hazard_earns_no_likelihood() -> None:
    generator = np.random.default_rng(8)
    found = cascades.fit_hazard(generator.standard_t(4, 40_000), generator.random(40_000) < 15 * HOUR, HOUR)
    assert found.likelihood_ratio < 9.2  # 1 % point of χ² with two degrees of freedom


def test_premium_gives_back_the_moments_of_its_funding() -> None:
    truth = Funding(mean_premium=2e-4, premium_std=7e-4, persistence=0.85)
    noise = np.random.default_rng(99).standard_normal(60_000)
    days = pd.Series(premium.simulated_daily(truth, noise))
    found = premium.fit_premium(days)
    # Three standard errors each, measured over eight seeds: 1.0e-5, 4.9e-6, 0.0032.
    assert found.mean_premium == pytest.approx(truth.mean_premium, abs=3e-5)
    assert found.premium_std == pytest.approx(truth.premium_std, abs=1.5e-5)
    assert found.persistence == pytest.approx(truth.persistence, abs=0.0096)


def test_windows_too_short_are_refused() -> None:
    bars, funding = load_bars("btc"), load_funding("btc")
    with pytest.raises(BadInput, match="usable returns"):
        calibrate(bars, funding, "2021-01-01", "2021-02-01")
    with pytest.raises(BadInput, match="0 days"):
        calibrate(bars, funding, "2017-08-01", "2018-03-01")
    with pytest.raises(BadInput, match="cascades in the window"):
        cascades.find(np.zeros(10))


def test_funding_window_takes_whole_days_that_have_ended() -> None:
    days = pd.date_range("2021-01-01", periods=5, tz="UTC")
    funding = pd.Series(range(5), index=days, dtype=float)
    kept = premium.window_of(funding, days[1], pd.Timestamp("2021-01-04T05:00Z"))
    assert kept.tolist() == [1.0, 2.0]


def test_the_command_writes_a_file_that_loads_and_prints_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "models" / "short.toml"
    command(out, data="btc", funding="btc", first="2019-10-01", last="2020-10-01", json=True)
    printed = json.loads(capsys.readouterr().out)
    written = Calibration.load(out)
    assert written.source.first == "2019-10-01T00:00:00+00:00"
    assert printed["bars"] == written.source.bars == 24 * 366
    assert printed["stationary_volatility"] == pytest.approx(printed["sample_volatility"])


@pytest.mark.slow
def test_the_shipped_calibration_is_what_the_shipped_data_gives() -> None:
    shipped = Calibration.load(SHIPPED_CALIBRATION)
    found, diagnostics = calibrate(load_bars("btc"), load_funding("btc"), "2017-07-01", "2022-03-01")
    assert found.source == shipped.source
    assert np.array(found.regimes.alpha) == pytest.approx(shipped.regimes.alpha, rel=0.02)
    assert diagnostics.log_likelihood > diagnostics.single_log_likelihood + 100
    assert diagnostics.stationary_volatility == pytest.approx(diagnostics.sample_volatility, rel=1e-9)

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
from scipy.stats import chi2

from envs.calibration import Calibration, Funding, Regimes
from envs.history import DATA, load_bars, load_funding
from envs.types import BadInput
from envs.volatility import garch, regimes
from train import cascades, levels, likeness, msgarch, premium
from train.calibrate import calibrate
from train.calibration_command import command
from train.msgarch import Sample
from train.single import fit_single

HOUR = 1 / 8760
Array, Mask = NDArray[np.float64], NDArray[np.bool_]
SHIPPED = ("btc_2017_2022", "eth_2022_2024")
HAZARD_ERRORS = (0.21, 0.12, 0.11, 0.071)  # ln base rate, ln excitation, ln half-life, leverage
REGION = chi2.ppf(0.95, 11) / 2  # nats: of the regimes' parameters, with eras and without leverage
PREMIUM_ERRORS = (1.3e-5, 3.8e-6, 0.0019)  # mean, standard deviation, persistence
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
    known = np.where(usable, returns, np.nan)
    return Sample.of(known, usable, found & usable, HOUR, truncation)


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


def test_a_record_that_no_stationary_model_fits_is_refused_in_a_line() -> None:
    """Such as one so short that its cascades' news outweighs all other."""
    data = sample(simulated(PAIR, 301, seed=5), missing=[], extreme=[], truncation=3.0)
    with pytest.raises(BadInput, match="no stationary model fits these 301 bars; calibrate on a longer window"):
        msgarch.fit(replace(data, gain=50.0), steps=3)


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


@pytest.mark.slow
def test_known_regimes_are_recovered() -> None:
    pace, era = np.array([[0.98, 0.02], [0.05, 0.95]]), np.array([[0.998, 0.002], [0.003, 0.997]])
    truth = PAIR.model_copy(
        update={
            "transition": np.kron(era, pace).tolist(),
            "omega": (0.0008, 0.06, 0.004, 0.30),
            "alpha": (0.03, 0.12) * 2,
            "leverage": (0.0,) * 4,
            "beta": (0.95, 0.82) * 2,
            "truncation": 10.0,
        }
    )
    returns = simulated(truth, 30_000, seed=11)
    data = sample(returns, [], [], truncation=10.0)
    found = msgarch.fit(data)
    assert found.log_likelihood > msgarch.log_likelihood(data, truth) - 2  # targeting costs a little
    assert found.regimes.degrees_of_freedom == pytest.approx(4.0, abs=0.6)
    stays = np.array(found.regimes.transition).diagonal()
    assert stays == pytest.approx(np.array(truth.transition).diagonal(), abs=0.03)
    assert np.array(found.regimes.beta) == pytest.approx(truth.beta, abs=0.09)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_markets_keep_the_fits_constraints(name: str) -> None:
    shipped = Calibration.load(DATA / f"{name}.toml")
    tensors = garch.RegimeTensors.of(shipped.regimes)
    inside = regimes.joint_variance(tensors).diagonal() / regimes.stationary(tensors.transition)
    assert regimes.spectral_radius(msgarch.fed(tensors, shipped.shocks.news_gain)) < msgarch.MAX_RADIUS
    assert inside[0] < inside[1] < inside[3]
    assert inside[0] < inside[2] < inside[3]
    eras = tensors.transition[:2, 2:].sum(1), tensors.transition[2:, :2].sum(1)
    assert all(24 * 30 < 1 / float(leave) < 24 * 1000 for pair in eras for leave in pair)


def hazardous(leverage: float, excitation: float, seed: int, bars: int = 60_000) -> tuple[Array, Mask, Array]:
    """Moves (bars,), which are cascades, and calm (bars,), of a hazard of 20 a year, half-life 12 h."""
    generator = np.random.default_rng(seed)
    moves, calm = generator.standard_t(4, bars), np.exp(generator.normal(0, 1, bars))
    decay, excess, x, events = 0.5 ** (1 / 12), np.maximum(np.abs(moves) - 3, 0), 0.0, np.zeros(bars, bool)
    for bar in range(bars):
        rate = (20 + excitation * x) * calm[bar] ** (leverage / 2)
        events[bar] = generator.random() < -math.expm1(-rate * HOUR)
        x = x * decay + excess[bar]
    return moves, events, calm


def test_hazard_is_recovered_within_its_standard_errors() -> None:
    found = cascades.fit_hazard(*hazardous(1.2, 80.0, seed=4), HOUR)
    # Three standard errors each, measured over twelve seeds: HAZARD_ERRORS.
    assert math.log(found.base_rate / 20) == pytest.approx(0, abs=3 * HAZARD_ERRORS[0])
    assert math.log(found.excitation / 80) == pytest.approx(0, abs=3 * HAZARD_ERRORS[1])
    assert math.log(found.half_life_hours / 12) == pytest.approx(0, abs=3 * HAZARD_ERRORS[2])
    assert found.leverage == pytest.approx(1.2, abs=3 * HAZARD_ERRORS[3])
    assert min(found.excitation_ratio, found.leverage_ratio) > 30


def test_a_constant_hazard_earns_no_likelihood() -> None:
    generator = np.random.default_rng(8)
    events, calm = generator.random(40_000) < 15 * HOUR, np.exp(generator.normal(0, 1, 40_000))
    found = cascades.fit_hazard(generator.standard_t(4, 40_000), events, calm, HOUR)
    assert found.excitation_ratio < 9.2  # 1 % point of χ² with two degrees of freedom
    assert found.leverage_ratio < 6.6  # with one
    if found.excitation_ratio < cascades.FIVE_PERCENT:
        assert (found.excitation, found.half_life_hours) == (0.0, cascades.USUAL_HALF_LIFE)


def test_cascades_take_their_numbers_from_the_moves_seen() -> None:
    hazard = cascades.Hazard(5.0, 1.0, 4.0, 1.0, 9.0, 9.0)
    returns, moves = np.array([np.nan, 0.01, -0.02, 0.09, -0.10]), np.array([0.0, 1.0, -2.0, 9.0, -8.0])
    made = cascades.shocks(hazard, returns, moves, np.abs(moves) > 6, np.full(5, 0.01**2 / HOUR), HOUR)
    assert (made.mean_size, made.rise_share) == pytest.approx((2.5, 0.5))
    assert (made.max_fall, made.max_rise) == pytest.approx((0.10, 0.09))
    ordinary = (1 + 4) / 2
    assert made.variance_gain == pytest.approx((1 + 4 + 81 + 100) / 4 / ordinary)
    assert made.news_gain == pytest.approx((1 + 4 + 36 + 36) / 4 / ordinary)


@pytest.mark.slow
def test_levels_are_met_and_the_premium_is_over_realised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Common random numbers: after four trials the same seed finds the levels asked for."""
    monkeypatch.setattr(levels, "PATHS", 256)
    monkeypatch.setattr("envs.markets.garch.BURN_IN", 100)
    made = levels.met(Calibration.load(DATA / "btc_2017_2022.toml"), variance=0.5, cascades=0.004)
    found = levels.simulated(made)
    assert found.variance == pytest.approx(0.5, rel=0.05)
    assert found.cascades == pytest.approx(0.004, rel=0.1)
    assert made.surface.risk_premium * found.forecast - found.realised == pytest.approx(levels.IMPLIED_PREMIUM)


def test_premium_gives_back_the_moments_of_its_funding() -> None:
    truth = Funding(mean_premium=2e-4, premium_std=7e-4, persistence=0.85)
    noise = np.random.default_rng(99).standard_normal(60_000)
    days = pd.Series(premium.simulated_daily(truth, noise))
    found = premium.fit_premium(days)
    # Three standard errors each, measured over eight seeds: PREMIUM_ERRORS.
    assert found.mean_premium == pytest.approx(truth.mean_premium, abs=3 * PREMIUM_ERRORS[0])
    assert found.premium_std == pytest.approx(truth.premium_std, abs=3 * PREMIUM_ERRORS[1])
    assert found.persistence == pytest.approx(truth.persistence, abs=3 * PREMIUM_ERRORS[2])


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


@pytest.mark.slow
def test_the_command_writes_a_file_that_loads_a_page_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.likeness.PATHS", 4)
    out = tmp_path / "models" / "short.toml"
    command(out, funding="none", first="2019-10-01", last="2020-04-01", contest=True, json=True)
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["contest"]) == 7
    written = Calibration.load(out)
    assert written.source.first == "2019-10-01T00:00:00+00:00"
    assert printed["bars"] == written.source.bars == 24 * 183
    assert written.funding == Calibration.load(DATA / "btc_2017_2022.toml").funding
    assert "EGARCH-t" in out.with_suffix(".html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "first", "last"), [("btc", "2017-07-01", "2022-03-01"), ("eth", "2022-04-01", "2024-01-01")]
)
def test_the_shipped_calibrations_are_what_the_shipped_data_gives(
    name: str, first: str, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside the region of 95 % around what is found: where the optimiser ends on a flat ridge, rounding decides."""
    (shipped,) = (made for made in map(Calibration.load, map(_file, SHIPPED)) if made.source.asset == name)
    likelihood, seen = msgarch.log_likelihood, list[tuple[Sample, float]]()

    def noted(sample: Sample, regimes: Regimes) -> float:
        seen.append((sample, likelihood(sample, regimes)))
        return seen[-1][1]

    monkeypatch.setattr(msgarch, "log_likelihood", noted)
    found, diagnostics = calibrate(load_bars(name), load_funding("btc"), first, last)
    assert found.source == shipped.source
    sample, likeliest = seen[-1]
    assert abs(likelihood(sample, shipped.regimes) - likeliest) < REGION
    assert found.reference_volatility == pytest.approx(shipped.reference_volatility)
    assert diagnostics.log_likelihood > diagnostics.single_log_likelihood + 100
    assert diagnostics.level_cost < 10


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_simulated_statistics_lie_inside_the_real_intervals(name: str) -> None:
    """All that a market must have, and at least half of the rest."""
    shipped = Calibration.load(_file(name))
    bars = load_bars(shipped.source.asset).window(shipped.source.first, shipped.source.last)
    targets = likeness.judged(shipped, bars, load_funding("btc")).targets
    assert [target.name for target in targets if target.core and not target.inside] == []
    rest = [target.inside for target in targets if not target.core]
    assert sum(rest) >= len(rest) / 2


def _file(name: str) -> Path:
    return DATA / f"{name}.toml"

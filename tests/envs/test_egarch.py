"""EGARCH-t's forecasts against quadrature, simulation and its own limits; tests/reference compares it with arch."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import t as student
from torch import Tensor

from envs.types import HOUR, BadInput
from envs.volatility import egarch
from envs.volatility.egarch import Egarch

MODEL = Egarch(omega=0.002, alpha=0.2, leverage=-0.05, beta=0.97, degrees_of_freedom=3.5, truncation=10.0)
CPU = torch.device("cpu")
FILTER = egarch.Filter(MODEL, 1.0, HOUR, torch.float64, CPU, 200)


def shock_scale(model: Egarch) -> tuple[float, float]:
    """The Student-t's own cut, and the deviation of the cut law in its units."""
    unit = math.sqrt((model.degrees_of_freedom - 2) / model.degrees_of_freedom)
    cut, law = model.truncation / unit, student(model.degrees_of_freedom)
    second = quad(lambda x: x**2 * law.pdf(x), 0, cut, epsabs=0, epsrel=1e-11, limit=200)[0] * 2
    return cut, math.sqrt(second / (1 - 2 * law.sf(cut)))


def shocks(model: Egarch, count: int, seed: int) -> Tensor:
    """(count,) of the cut law at unit variance, by inversion."""
    cut, deviation = shock_scale(model)
    law = student(model.degrees_of_freedom)
    uniform = np.random.default_rng(seed).uniform(law.cdf(-cut), law.cdf(cut), count)
    return torch.from_numpy(law.ppf(uniform) / deviation)


def test_growth_is_its_integral() -> None:
    cut, deviation = shock_scale(MODEL)
    law, power = student(MODEL.degrees_of_freedom), 0.8

    def integrand(x: float) -> float:
        z = max(-MODEL.truncation, min(MODEL.truncation, x / deviation))
        news = MODEL.alpha * (abs(z) - math.sqrt(2 / math.pi)) + MODEL.leverage * z
        return math.exp(power * (MODEL.omega + news)) * float(law.pdf(x))

    bends = [-deviation * MODEL.truncation, 0.0, deviation * MODEL.truncation]
    mass = 1 - 2 * float(law.sf(cut))
    edges = [-cut, *bends, cut]
    whole = sum(quad(integrand, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in pairwise(edges)) / mass
    assert egarch.log_growth(MODEL, np.array([power]))[0] == pytest.approx(math.log(whole), abs=1e-11)


def test_without_truncation_no_forecast_exists() -> None:
    """E[exp(α|z|)] of an unbounded Student-t diverges, so the growth goes up with the bound without end."""
    growth = [egarch.log_growth(replace(MODEL, truncation=cut), np.ones(1))[0] for cut in (10.0, 1e2, 1e3, 3e3)]
    assert (np.diff(growth) > 0).all()
    assert growth[-1] > 400


def test_forecasts_are_those_of_simulated_paths() -> None:
    paths, bars, start = 200_000, 12, 0.9
    variance, found = torch.full((paths,), start, dtype=torch.float64), []
    draws = shocks(MODEL, paths * bars, seed=3).reshape(bars, paths)
    for draw in draws:
        found.append(variance)
        variance = egarch.next_variance(MODEL, variance, draw * (variance * HOUR).sqrt(), HOUR)
    simulated = torch.stack(found)
    error = simulated.std(1) / math.sqrt(paths)
    exact = egarch.expected_variance(MODEL, torch.tensor([start], dtype=torch.float64), bars)[0]
    assert ((simulated.mean(1) - exact).abs() <= 4 * error + 1e-12).all()
    average = simulated.mean(0)
    term = FILTER.term_variance(torch.tensor([start], dtype=torch.float64), torch.tensor([bars]))
    bound = 4 * float(average.std()) / math.sqrt(paths) + 1.2e-5 * float(term)
    assert float(average.mean()) == pytest.approx(float(term), abs=bound)
    logs = simulated[-1].log()
    long_run = egarch.mean_log_variance(MODEL)
    decayed = long_run + MODEL.beta ** (bars - 1) * (math.log(start) - long_run)
    assert float(logs.mean()) == pytest.approx(decayed, abs=4 * float(logs.std()) / math.sqrt(paths))


@pytest.mark.parametrize("start", [0.01, 1.0, 50.0])
def test_forecasts_end_at_the_stationary_variance(start: float) -> None:
    far = egarch.expected_variance(MODEL, torch.tensor([start], dtype=torch.float64), 1500)[0, -1]
    assert float(far) == pytest.approx(egarch.stationary_variance(MODEL), rel=1e-10)


def test_without_memory_of_levels_the_stationary_variance_is_one_growth() -> None:
    flat = replace(MODEL, beta=0.0)
    assert egarch.stationary_variance(flat) == pytest.approx(math.exp(egarch.log_growth(flat, np.ones(1))[0]))


@settings(max_examples=40, deadline=None)
@given(level=st.floats(math.log(1e-5), math.log(300.0)), bars=st.integers(1, 200))
def test_term_variance_is_the_mean_forecast(level: float, bars: int) -> None:
    memory = torch.tensor([math.exp(level)], dtype=torch.float64)
    mean = egarch.expected_variance(MODEL, memory, bars).mean()
    assert float(FILTER.term_variance(memory, torch.tensor([bars]))) == pytest.approx(float(mean), rel=1.3e-5)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-13), (torch.float32, 1e-4)])
def test_a_market_alone_is_the_market_in_a_batch(dtype: torch.dtype, rounding: float) -> None:
    filter = egarch.Filter(MODEL, 0.7, HOUR, dtype, CPU, 50)
    returns = (shocks(MODEL, 40 * 1000, seed=5).reshape(40, 1000) * 0.008).to(dtype)
    many, alone = filter.initial(1000), filter.initial(1)
    for row in returns:
        many, alone = filter.update(many, row), filter.update(alone, row[417:418])
    assert many.dtype == dtype
    assert float(alone) == pytest.approx(float(many[417]), rel=rounding)
    bars = torch.full((1000,), 30)
    assert float(filter.term_variance(alone, bars[:1])) == pytest.approx(
        float(filter.term_variance(many, bars)[417]), rel=rounding
    )


def test_shocks_are_cut_and_the_ceiling_holds() -> None:
    low, high = torch.tensor([0.5, 399.0], dtype=torch.float64).unsqueeze(-1)
    cut = -MODEL.truncation * math.sqrt(0.5 * HOUR)
    capped = egarch.next_variance(MODEL, low, torch.tensor([cut], dtype=torch.float64), HOUR)
    beyond = egarch.next_variance(MODEL, low, torch.tensor([9 * cut], dtype=torch.float64), HOUR)
    assert float(beyond) == pytest.approx(float(capped), rel=1e-14)
    assert float(egarch.next_variance(MODEL, high, torch.tensor([-9.0]).double(), HOUR)) == 400.0


def test_density_integrates_to_one() -> None:
    grid = torch.linspace(-60, 60, 400_001, dtype=torch.float64)
    density = egarch.log_density(MODEL, torch.full_like(grid, 0.7), grid, 0.25).exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("beta", 1.0, "never settle"),
        ("beta", -0.1, "never settle"),
        ("degrees_of_freedom", 2.0, "no variance"),
        ("truncation", math.inf, "no forecast"),
        ("truncation", 0.0, "no forecast"),
    ],
)
def test_parameters_without_a_forecast_are_refused(field: str, value: float, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        replace(MODEL, **{field: value})

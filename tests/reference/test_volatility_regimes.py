"""Haas, Mittnik and Paolella's MS-GARCH: K = 1 against arch and closed forms, enumeration, simulation, recovery."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from arch import arch_model
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from torch import Generator, Tensor

from envs.calibration import Regimes
from envs.history import load_bars
from envs.types import HOUR
from envs.volatility import garch, regimes
from envs.volatility.garch import RegimeTensors
from train import msgarch
from train.msgarch import Sample

PAIR = Regimes(
    transition=((0.98, 0.02), (0.05, 0.95)),
    omega=(0.0008, 0.12),
    alpha=(0.03, 0.12),
    leverage=(0.0, 0.05),
    beta=(0.95, 0.82),
    degrees_of_freedom=6.0,
    truncation=1e6,
    ceiling=1e6,
)
TENSORS = RegimeTensors.of(PAIR)
STATIONARY = regimes.stationary(TENSORS.transition)


def simulated(model: RegimeTensors, variance: Tensor, first: Tensor, bars: int, seed: int) -> tuple[Tensor, Tensor]:
    """Log returns and acting variances, both (bars, P), from `variance` (P, K) and regimes `first` (P,)."""
    generator, numbers = Generator().manual_seed(seed), np.random.default_rng(seed)
    freedom, now, returns, acting = model.degrees_of_freedom, first, [], []
    for _ in range(bars):
        acting.append(variance.gather(-1, now[:, None])[:, 0])
        shock = torch.from_numpy(numbers.standard_t(freedom, len(now))) * math.sqrt((freedom - 2) / freedom)
        returns.append((acting[-1] * HOUR).sqrt() * shock)
        variance = garch.next_variance(model, variance, returns[-1], HOUR)
        now = torch.multinomial(model.transition[now], 1, generator=generator)[:, 0]
    return torch.stack(returns), torch.stack(acting)


def filtered(model: RegimeTensors, returns: Tensor, start: float) -> tuple[Tensor, Tensor]:
    """Hamilton's probabilities (n, K) after each of the `returns` (n,), and the log-likelihood of each (n,)."""
    variance = torch.full((1, len(model.omega)), start, dtype=torch.float64)
    predicted, rows, scores = regimes.stationary(model.transition).unsqueeze(0), [], []
    for value in returns.unsqueeze(-1):
        density = garch.log_density(model, variance, value, HOUR)
        scores.append((predicted.log() + density).logsumexp(-1))
        now, predicted = regimes.update(model, predicted, density)
        rows.append(now)
        variance = garch.next_variance(model, variance, value, HOUR)
    return torch.cat(rows), torch.cat(scores)


def test_one_regime_is_archs_gjr_on_real_prices() -> None:
    returns, usable = load_bars("btc").window("2021-05-01", "2021-06-15").log_returns()
    seen = returns[usable]
    judge = arch_model(seen / math.sqrt(HOUR), mean="Zero", o=1, dist="t", rescale=False).fix(
        [0.004, 0.05, 0.02, 0.93, 3.5]
    )
    one = RegimeTensors(
        transition=torch.ones(1, 1, dtype=torch.float64),
        **{
            name: torch.tensor([value], dtype=torch.float64)
            for name, value in {"omega": 0.004, "alpha": 0.05, "leverage": 0.02, "beta": 0.93}.items()
        },
        degrees_of_freedom=3.5,
        truncation=1e6,
        ceiling=1e6,
    )
    chance, scores = filtered(one, torch.from_numpy(seen), float(judge.conditional_volatility[0]) ** 2)
    assert (chance == 1).all()
    moved = float(scores.sum()) + len(seen) * math.log(HOUR) / 2
    assert moved == pytest.approx(float(judge.loglikelihood), rel=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_filter_and_likelihood_are_the_sums_over_all_regime_paths(seed: int) -> None:
    """Each regime's variance path is fixed by the returns, so a path's density is a product along it."""
    bars, start = 9, 0.5
    returns = torch.from_numpy(np.random.default_rng(seed).standard_t(3, bars) * 0.012)
    variance, densities = torch.full((1, 2), start, dtype=torch.float64), []
    for value in returns.unsqueeze(-1):
        densities.append(garch.log_density(TENSORS, variance, value, HOUR)[0].exp().tolist())
        variance = garch.next_variance(TENSORS, variance, value, HOUR)
    chance, scores = filtered(TENSORS, returns, start)
    for last in range(1, bars + 1):
        weight = [0.0, 0.0]
        for path in product(range(2), repeat=last):
            steps = math.prod(PAIR.transition[a][b] for a, b in pairwise(path))
            weight[path[-1]] += (
                float(STATIONARY[path[0]]) * steps * math.prod(densities[bar][k] for bar, k in enumerate(path))
            )
        whole = math.fsum(weight)
        assert chance[last - 1].tolist() == pytest.approx([part / whole for part in weight], rel=1e-12)
        assert float(scores[:last].sum()) == pytest.approx(math.log(whole), rel=1e-12)


def test_one_regimes_forecast_is_the_textbooks() -> None:
    """E h_m = h̄ + (α + leverage/2 + β)^(m−1)·(h − h̄), h̄ = ω/(1 − α − leverage/2 − β) (Bollerslev 1986)."""
    one = RegimeTensors.of(
        PAIR.model_copy(
            update={
                "transition": ((1.0,),),
                "omega": (0.004,),
                "alpha": (0.05,),
                "leverage": (0.02,),
                "beta": (0.93,),
            }
        )
    )
    persistence, level, start = 0.99, 0.4, 1.7
    weights = regimes.forecast_weights(one, 400) @ torch.tensor([start, 1.0], dtype=torch.float64)
    bars = np.arange(1, 401)
    average = level + (start - level) * (1 - persistence**bars) / (1 - persistence) / bars
    assert weights[1:].tolist() == pytest.approx(average.tolist(), rel=1e-11)


def test_forecasts_are_those_of_simulated_paths() -> None:
    paths, bars = 200_000, 24
    chance, variance = torch.tensor([0.35, 0.65], dtype=torch.float64), torch.tensor([0.2, 1.5], dtype=torch.float64)
    first = torch.multinomial(chance.expand(paths, -1), 1, generator=Generator().manual_seed(1))[:, 0]
    _, acting = simulated(TENSORS, variance.repeat(paths, 1), first, bars, seed=6)
    table = regimes.forecast_weights(TENSORS, bars) @ torch.cat([torch.outer(chance, variance).flatten(), chance])
    for horizon in (1, 4, 12, 24):
        average = acting[:horizon].mean(0)
        error = float(average.std()) / math.sqrt(paths)
        assert float(average.mean()) == pytest.approx(float(table[horizon]), abs=4 * error)


@pytest.mark.parametrize("wild", [0.20, 0.45], ids=["stationary", "explosive"])
def test_spectral_radius_is_the_growth_of_simulated_variance(wild: float) -> None:
    """A regime may explode by itself (α + β > 1) where it is left soon enough, as Haas et al. (2004) note.

    Along a regime path the mean news is the acting regime's variance, so only the regimes need to be drawn.
    """
    model = replace(
        TENSORS,
        transition=torch.tensor([[0.9, 0.1], [0.4, 0.6]], dtype=torch.float64),
        omega=torch.zeros(2, dtype=torch.float64),
        alpha=torch.tensor([0.05, wild], dtype=torch.float64),
        leverage=torch.zeros(2, dtype=torch.float64),
        beta=torch.tensor([0.90, 0.88], dtype=torch.float64),
    )
    paths, early, late = 400_000, 70, 100
    generator, now = Generator().manual_seed(3), torch.zeros(paths, dtype=torch.int64)
    variance, means = torch.ones(paths, 2, dtype=torch.float64), []
    for _ in range(late + 1):
        acting = variance.gather(-1, now[:, None])
        means.append(acting[:, 0])
        variance = model.alpha * acting + model.beta * variance
        now = torch.where(torch.rand(paths, generator=generator) < model.transition[now, 1], 1, 0)
    first, last = means[early], means[late]
    growth = math.log(float(last.mean() / first.mean())) / (late - early)
    error = float((last / last.mean() - first / first.mean()).std()) / math.sqrt(paths) / (late - early)
    radius = regimes.spectral_radius(model)
    assert math.log(radius) == pytest.approx(growth, abs=4 * error)
    assert error < 2e-3
    assert float(model.alpha[1] + model.beta[1]) > 1
    assert (radius < 1) == (wild == 0.20)


def coordinates(model: Regimes) -> NDArray[np.float64]:
    """(9,) unbounded: ln ω, ln α, logit β, logit of staying, ln(ν − 2)."""
    kept = np.array([*model.beta, *np.diag(model.transition)])
    return np.concatenate(
        [np.log(model.omega), np.log(model.alpha), logit(kept), [math.log(model.degrees_of_freedom - 2)]]
    )


def model_at(point: NDArray[np.float64]) -> Regimes:
    beta, stay = expit(point[4:6]), expit(point[6:8])
    return PAIR.model_copy(
        update={
            "transition": ((stay[0], 1 - stay[0]), (1 - stay[1], stay[1])),
            "omega": tuple(np.exp(point[:2])),
            "alpha": tuple(np.exp(point[2:4])),
            "leverage": (0.0, 0.0),
            "beta": tuple(beta),
            "degrees_of_freedom": 2 + math.exp(point[8]),
        }
    )


@pytest.mark.slow
def test_known_parameters_are_recovered_within_their_standard_errors() -> None:
    """Eight series of 15,000 bars, each at its likelihood's peak: the mean of each parameter, in unbounded coordinates,

    lies within four standard errors of the truth, and twice the gain over the truth is χ² on nine degrees of freedom.
    """
    truth, series, bars = PAIR.model_copy(update={"leverage": (0.0, 0.0)}), 8, 15_000
    start, exact = torch.full((series, 2), 0.5, dtype=torch.float64), coordinates(truth)
    returns, _ = simulated(RegimeTensors.of(truth), start, torch.zeros(series, dtype=torch.int64), bars, seed=21)
    every, found, gained = np.ones(bars, bool), [], []
    for row in returns.T.numpy():
        sample = replace(Sample.of(row, every, ~every, HOUR, truth.truncation), target=0.5)

        def loss(point: NDArray[np.float64], sample: Sample = sample) -> float:
            return -msgarch.log_likelihood(sample, model_at(point))

        end = minimize(loss, exact, method="L-BFGS-B", options={"maxiter": 100, "ftol": 1e-10})
        found.append(end.x)
        gained.append(loss(exact) - end.fun)
    error = np.std(found, axis=0, ddof=1) / math.sqrt(series)
    assert (np.abs(np.mean(found, axis=0) - exact) <= 4 * error).all()
    assert (error < 0.15).all()
    assert np.mean(gained) == pytest.approx(9 / 2, abs=4 * math.sqrt(9 / 2 / series))

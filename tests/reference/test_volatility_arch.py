"""GARCH-t, GJR-GARCH-t and EGARCH-t against arch: recursion and likelihood of whole series, real and simulated.

The mapping. `arch` sees x = r·SCALE/√dt, so its σ² is SCALE²·h, its ω is SCALE²·ω (EGARCH: ω + (1 − β)·ln SCALE²), and
its log-likelihood is ours less n·ln(SCALE/√dt). It starts from a backcast b, the mean of the first 75 squares weighted
by 0.94ⁱ: σ²₁ = ω + (α + leverage/2 + β)·b, in EGARCH exp(ω + β·ln b).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from arch import arch_model
from numpy.typing import NDArray
from torch import Tensor

from envs.calibration import Regimes
from envs.history import load_bars
from envs.types import HOUR
from envs.volatility import egarch, garch
from envs.volatility.egarch import Egarch
from envs.volatility.garch import RegimeTensors
from train.single import MODELS, fit_arch

Array = NDArray[np.float64]

SCALE = 100.0
FREE = 1e9  # a truncation and ceiling that no return reaches: arch has neither


def real() -> Array:
    returns, usable = load_bars("btc").window("2020-02-01", "2020-06-01").log_returns()
    return returns[usable]


def simulated() -> Array:
    return np.random.default_rng(7).standard_t(4, 2000) * 0.006


SERIES = pytest.mark.parametrize("returns", [real(), simulated()], ids=["btc with March 2020", "simulated"])


def backcast(returns: Array) -> float:
    """Variance per year."""
    weight = 0.94 ** np.arange(75)
    return float(weight @ returns[:75] ** 2 / weight.sum() / HOUR)


def close(ours: Tensor, judge: Array) -> None:
    assert ours.numpy() == pytest.approx(judge, rel=1e-8)


@SERIES
@pytest.mark.parametrize("leverage", [0.0, 0.05], ids=["GARCH-t", "GJR-t"])
def test_gjr_garch_t_is_archs(returns: Array, leverage: float) -> None:
    omega, alpha, beta, freedom = 0.004, 0.06, 0.90, 3.5
    model = RegimeTensors.of(
        Regimes(
            transition=((1.0,),),
            omega=(omega,),
            alpha=(alpha,),
            leverage=(leverage,),
            beta=(beta,),
            degrees_of_freedom=freedom,
            truncation=FREE,
            ceiling=FREE,
        )
    )
    start = omega + (alpha + leverage / 2 + beta) * backcast(returns)
    path = [torch.tensor([[start]], dtype=torch.float64)]
    seen = torch.from_numpy(returns)
    for value in seen[:-1].unsqueeze(-1):
        path.append(garch.next_variance(model, path[-1], value, HOUR))
    variance = torch.cat(path)
    density = garch.log_density(model, variance, seen, HOUR)[:, 0]
    skewed = [leverage] if leverage else []
    judge = arch_model(
        returns * SCALE / math.sqrt(HOUR), mean="Zero", p=1, o=len(skewed), q=1, dist="t", rescale=False
    ).fix([omega * SCALE**2, alpha, *skewed, beta, freedom])
    close(variance[:, 0] * SCALE**2, np.asarray(judge.conditional_volatility) ** 2)
    moved = float(density.sum()) - len(returns) * math.log(SCALE / math.sqrt(HOUR))
    assert moved == pytest.approx(float(judge.loglikelihood), rel=1e-8)


@SERIES
@pytest.mark.parametrize("leverage", [0.0, -0.04])
def test_egarch_t_is_archs(returns: Array, leverage: float) -> None:
    model = Egarch(
        omega=-0.01, alpha=0.15, leverage=leverage, beta=0.985, degrees_of_freedom=3.0, truncation=FREE, ceiling=FREE
    )
    path = [torch.tensor([math.exp(model.omega + model.beta * math.log(backcast(returns)))], dtype=torch.float64)]
    seen = torch.from_numpy(returns)
    for value in seen[:-1].unsqueeze(-1):
        path.append(egarch.next_variance(model, path[-1], value, HOUR))
    variance = torch.cat(path)
    density = egarch.log_density(model, variance, seen, HOUR)
    skewed = [leverage] if leverage else []
    omega = model.omega + (1 - model.beta) * math.log(SCALE**2)
    judge = arch_model(
        returns * SCALE / math.sqrt(HOUR),
        mean="Zero",
        vol="EGARCH",
        p=1,
        o=len(skewed),
        q=1,
        dist="t",
        rescale=False,
    ).fix([omega, model.alpha, *skewed, model.beta, model.degrees_of_freedom])
    close(variance * SCALE**2, np.asarray(judge.conditional_volatility) ** 2)
    moved = float(density.sum()) - len(returns) * math.log(SCALE / math.sqrt(HOUR))
    assert moved == pytest.approx(float(judge.loglikelihood), rel=1e-8)


@pytest.mark.parametrize("name", ["GARCH-t", "GJR-GARCH-t", "EGARCH-t"])
def test_a_fit_has_the_variances_and_the_likelihood_that_it_reports(name: str) -> None:
    returns = real()
    fit = fit_arch(name, returns, HOUR)
    seen, variance = torch.from_numpy(returns), torch.from_numpy(fit.variance)
    if name == "EGARCH-t":
        model = replace(fit.egarch(FREE), ceiling=FREE)
        density = egarch.log_density(model, variance, seen, HOUR)
        following = egarch.next_variance(model, variance, seen, HOUR)
    else:
        tensors = RegimeTensors(
            transition=torch.ones(1, 1, dtype=torch.float64),
            **{
                field: torch.tensor([getattr(fit, field)], dtype=torch.float64)
                for field in ("omega", "alpha", "leverage", "beta")
            },
            degrees_of_freedom=fit.degrees_of_freedom,
            truncation=FREE,
            ceiling=FREE,
        )
        density = garch.log_density(tensors, variance[:, None], seen, HOUR)[:, 0]
        following = garch.next_variance(tensors, variance[:, None], seen, HOUR)[:, 0]
    close(following[:-1], fit.variance[1:])
    assert float(density.sum()) == pytest.approx(fit.log_likelihood, rel=1e-8)
    assert fit.bic == pytest.approx(fit.parameters * math.log(len(returns)) - 2 * fit.log_likelihood)


def test_bic_orders_the_models_on_btc_hours() -> None:
    """EGARCH-t first by far, a GJR term worth little, the normal last by thousands: the shared measurements' order."""
    returns, usable = load_bars("btc").window("2017-07-01", "2022-03-01").log_returns()
    bic = {name: fit_arch(name, returns[usable], HOUR).bic for name in MODELS}
    assert min(bic, key=bic.__getitem__) == "EGARCH-t"
    assert bic["GARCH-t"] - bic["EGARCH-t"] > 500
    assert abs(bic["GARCH-t"] - bic["GJR-GARCH-t"]) < 100
    assert bic["GARCH-normal"] - bic["GARCH-t"] > 10_000

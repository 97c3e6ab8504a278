"""`arch`'s GARCH(1,1)-t of a window: the first filter of a calibration, and the fit that two regimes must beat."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from arch import arch_model
from arch.univariate.base import ARCHModelResult
from numpy.typing import NDArray
from scipy.stats import t as student

Array = NDArray[np.float64]

SCALE = 100.0  # arch wants data between 1 and 1000


@dataclass(frozen=True)
class SingleRegime:
    """GARCH(1,1)-t of zero mean, variance per year; alpha + beta may sit on 1, where the variance is infinite."""

    omega: float
    alpha: float
    beta: float
    degrees_of_freedom: float
    log_likelihood: float  # of all the returns
    bic: float
    leverage_gain: float  # log-likelihood that a GJR term adds

    def log_density(self, news: Array, variance: Array, dt: float) -> Array:
        """(n,) log-density of returns of squares `news`·dt (n,), given their `variance` (n,) per year."""
        scale = np.sqrt(variance * dt * (1 - 2 / self.degrees_of_freedom))
        return np.asarray(student.logpdf(np.sqrt(news * dt), self.degrees_of_freedom, scale=scale))


def fit_single(returns: Array, dt: float) -> tuple[SingleRegime, Array]:
    """The fit to log `returns` (n,) over `dt` years each, and its variances (n,) per year."""
    scale = SCALE / math.sqrt(dt)
    plain, skewed = _fit(returns * scale, leverage=False), _fit(returns * scale, leverage=True)
    to_returns = len(returns) * math.log(scale)
    omega, alpha, beta, freedom = (float(value) for value in plain.params)
    log_likelihood = float(plain.loglikelihood) + to_returns
    single = SingleRegime(
        omega=omega / SCALE**2,
        alpha=alpha,
        beta=beta,
        degrees_of_freedom=freedom,
        log_likelihood=log_likelihood,
        bic=4 * math.log(len(returns)) - 2 * log_likelihood,
        leverage_gain=float(skewed.loglikelihood - plain.loglikelihood),
    )
    return single, np.asarray(plain.conditional_volatility, dtype=np.float64) ** 2 / SCALE**2


def _fit(scaled: Array, leverage: bool) -> ARCHModelResult:
    """From a start near the boundary: arch's own grid ends away from the optimum on hourly prices."""
    model = arch_model(scaled, mean="Zero", p=1, o=int(leverage), q=1, dist="t", rescale=False)
    start = [0.005 * scaled.var(), 0.08, *([0.01] if leverage else []), 0.91, 3.5]
    return model.fit(disp="off", show_warning=False, starting_values=np.array(start))

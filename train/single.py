"""`arch`'s one-regime fits of a window, in variance per year: the first filter of a calibration, and what to beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from arch import arch_model
from numpy.typing import NDArray
from scipy.stats import t as student

from envs.volatility.egarch import Egarch

Array = NDArray[np.float64]

MODELS: dict[str, dict[str, Any]] = {  # arch's options
    "GARCH-normal": {"dist": "normal"},
    "GARCH-t": {"dist": "t"},
    "GJR-GARCH-t": {"dist": "t", "o": 1},
    "EGARCH-t": {"dist": "t", "o": 1, "vol": "EGARCH"},
}


@dataclass(frozen=True)
class ArchFit:
    """A model of MODELS, mean zero, fitted by `arch`; variance per year."""

    omega: float  # EGARCH: of ln(variance per year)
    alpha: float
    leverage: float  # 0 where the model has none
    beta: float
    degrees_of_freedom: float  # infinite where normal
    parameters: int  # fitted
    log_likelihood: float  # of the log returns
    bic: float
    variance: Array  # (n,) per year, of each bar given those before it

    def egarch(self, truncation: float) -> Egarch:
        """The same numbers as a filter's; shocks beyond ±`truncation` standard deviations are cut."""
        return Egarch(self.omega, self.alpha, self.leverage, self.beta, self.degrees_of_freedom, truncation)


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
    plain, skewed = (fit_arch(name, returns, dt) for name in ("GARCH-t", "GJR-GARCH-t"))
    single = SingleRegime(
        omega=plain.omega,
        alpha=plain.alpha,
        beta=plain.beta,
        degrees_of_freedom=plain.degrees_of_freedom,
        log_likelihood=plain.log_likelihood,
        bic=plain.bic,
        leverage_gain=skewed.log_likelihood - plain.log_likelihood,
    )
    return single, plain.variance


def fit_arch(name: str, returns: Array, dt: float) -> ArchFit:
    """`arch`'s fit of the model `name` of MODELS to log `returns` (n,) over `dt` years each.

    `arch` sees r/√(v·dt), v the sample's variance per year, so that its variance is h/v and so is its ω, which in
    EGARCH, of logarithms, is (1 − β)·ln v below ours. From a start near the boundary: on hourly prices its own grid
    ends far from the optimum.
    """
    level, options = float((returns**2).mean() / dt), MODELS[name]
    logs, skewed, heavy = "vol" in options, "o" in options, options["dist"] == "t"
    start = [
        0.0 if logs else 0.005,
        0.2 if logs else 0.08,
        *([0.01] * skewed),
        0.99 if logs else 0.91,
        *([3.5] * heavy),
    ]
    model = arch_model(returns / math.sqrt(level * dt), mean="Zero", p=1, q=1, rescale=False, **options)
    found = model.fit(disp="off", show_warning=False, starting_values=np.array(start))
    omega, alpha, *rest = (float(value) for value in found.params)
    beta = rest[skewed]
    log_likelihood = float(found.loglikelihood) - len(returns) * math.log(level * dt) / 2
    return ArchFit(
        omega=omega + (1 - beta) * math.log(level) if logs else omega * level,
        alpha=alpha,
        leverage=rest[0] if skewed else 0.0,
        beta=beta,
        degrees_of_freedom=rest[-1] if heavy else math.inf,
        parameters=len(start),
        log_likelihood=log_likelihood,
        bic=len(start) * math.log(len(returns)) - 2 * log_likelihood,
        variance=np.asarray(found.conditional_volatility, dtype=np.float64) ** 2 * level,
    )

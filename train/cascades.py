"""Liquidation cascades in real returns: which bars they are, their self-exciting hazard, their sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.signal import lfilter
from scipy.stats import t as student

from envs.calibration import Shocks
from envs.types import HOURS_PER_YEAR, BadInput

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CASCADE_FALL = 6.0  # filtered standard deviations: a fall beyond it is a cascade (BTC 2017-22: about one a month)
FALL_THRESHOLD = 3.0  # filtered standard deviations: what a fall exceeds this by excites (about eight falls a month)
MIN_CASCADES = 5
HALF_LIFE_STARTS = (3.0, 24.0, 120.0)  # hours
HALF_LIFE_BOUNDS = (1.0, 168.0)  # hours: a longer memory is a trend in how often cascades come, not their contagion


@dataclass(frozen=True)
class Hazard:
    """Bernoulli fit of λ = base_rate + x to which bars are cascades; rates per year."""

    base_rate: float
    excitation: float
    half_life_hours: float
    log_likelihood: float
    likelihood_ratio: float  # 2·(log-likelihood − that of the best constant hazard); two more parameters


def falls_in_sigmas(returns: Array, usable: Mask, variance: Array, dt: float) -> Array:
    """(n,) −r/√(variance·dt) for log `returns` (n,) and predicted `variance` (n,) per year; 0 where not usable."""
    return np.asarray(np.where(usable, -np.where(usable, returns, 0.0) / np.sqrt(variance * dt), 0.0))


def find(falls: Array) -> Mask:
    """(n,) which bars fell by more than CASCADE_FALL. Raises BadInput where fewer than MIN_CASCADES did."""
    cascades = np.asarray(falls > CASCADE_FALL)
    if (count := int(cascades.sum())) < MIN_CASCADES:
        need = f"{MIN_CASCADES} falls beyond {CASCADE_FALL:g} standard deviations"
        raise BadInput(f"bars: {count} cascades in the window, fitting needs {need}; choose a longer window")
    return cascades


def fit_hazard(falls: Array, cascades: Mask, dt: float) -> Hazard:
    """Greatest likelihood of `cascades` (n,) given the `falls` (n,) of the bars before each; the clock counts bars.

    P(cascade) = 1 − exp(−λ·dt), with the λ of `calibration.Shocks`.
    """
    excess = np.maximum(falls - FALL_THRESHOLD, 0.0)
    constant = -np.log1p(-cascades.mean()) / dt

    def loss(point: Array) -> float:
        base, excitation, half_life = np.exp(point)
        return -_log_likelihood(cascades, (base + excitation * _memory(excess, half_life, dt)) * dt)

    bounds = [(np.log(constant * 1e-4), np.log(constant * 10))] * 2 + [tuple(np.log(HALF_LIFE_BOUNDS))]
    starts = [np.log([constant / 2, constant, hours]) for hours in HALF_LIFE_STARTS]
    best = min((minimize(loss, x, method="L-BFGS-B", bounds=bounds) for x in starts), key=lambda end: float(end.fun))
    base, excitation, half_life = (float(value) for value in np.exp(best.x))
    flat = _log_likelihood(cascades, np.full(len(cascades), constant * dt))
    return Hazard(base, excitation, half_life, -float(best.fun), 2 * (-float(best.fun) - flat))


def expected_ordinary(bars: int, degrees_of_freedom: float) -> float:
    """How many of `bars` fall beyond CASCADE_FALL if all are ordinary Student-t of unit variance."""
    unit = math.sqrt(degrees_of_freedom / (degrees_of_freedom - 2))
    return float(bars * student.cdf(-CASCADE_FALL * unit, degrees_of_freedom))


def branching_ratio(hazard: Hazard, falls: Array, cascades: Mask) -> float:
    """Cascades that one cascade brings about on average, at the mean fall of those seen."""
    mean_excess = float((falls[cascades] - FALL_THRESHOLD).mean())
    return hazard.excitation * mean_excess * hazard.half_life_hours / HOURS_PER_YEAR / math.log(2)


def shocks(hazard: Hazard, returns: Array, falls: Array, cascades: Mask) -> Shocks:
    """The simulator's cascades: sizes are the falls beyond one standard deviation of their bar, and exponential from 0.

    Many sizes lie below CASCADE_FALL, which makes up for the ordinary shocks that lie beyond it: neither is corrected.
    """
    sizes = -returns[cascades] * (1 - 1 / falls[cascades])
    return Shocks(
        base_rate=hazard.base_rate,
        excitation=hazard.excitation,
        fall_threshold=FALL_THRESHOLD,
        half_life_hours=hazard.half_life_hours,
        mean_size=float(sizes.mean()),
        max_size=float(sizes.max()),
    )


def _memory(excess: Array, half_life: float, dt: float) -> Array:
    """(n,) decayed sum of the `excess` (n,) of the bars before each."""
    decay = 0.5 ** (dt * HOURS_PER_YEAR / half_life)
    memory: Array = lfilter([0.0, 1.0], [1.0, -decay], excess)
    return memory


def _log_likelihood(events: Mask, expected: Array) -> float:
    """Of Bernoulli `events` (n,) with chances 1 − exp(−`expected`) (n,)."""
    return float(np.log(-np.expm1(-expected[events])).sum() - expected[~events].sum())

"""Liquidation cascades in real returns: which bars they are, their self-exciting hazard, their sizes.

Moves are returns in filtered standard deviations; falls and squeezes alike are cascades.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from scipy.signal import lfilter

from envs.calibration import Shocks
from envs.types import HOURS_PER_YEAR, BadInput

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CASCADE_MOVE = 6.0  # filtered standard deviations: a move beyond it is a cascade (BTC 2017-22: about two a month)
THRESHOLD = 3.0  # filtered standard deviations: what a move exceeds this by excites
MIN_CASCADES = 10
HALF_LIFE_STARTS = (2.0, 6.0, 18.0)  # hours
HALF_LIFE_BOUNDS = (1.0, 24.0)  # hours: a longer memory is a trend in how often cascades come, not their contagion
USUAL_HALF_LIFE = 4.6  # hours, BTC 2017-22: taken where excitation earns no likelihood
FIVE_PERCENT = 5.99  # of χ² with two degrees of freedom


@dataclass(frozen=True)
class Hazard:
    """Bernoulli fit of λ = (base_rate + excitation·x)·calm^(leverage/2) to which bars are cascades; rates per year.

    Likelihood ratios are twice the gain in log-likelihood: `leverage_ratio` over a constant hazard (one parameter),
    `excitation_ratio` over leverage alone (two). Excitation is left out where its ratio is below FIVE_PERCENT.
    """

    base_rate: float
    excitation: float
    half_life_hours: float
    leverage: float
    leverage_ratio: float
    excitation_ratio: float


def in_sigmas(returns: Array, usable: Mask, variance: Array, dt: float) -> Array:
    """(n,) r/√(variance·dt) for log `returns` (n,) and predicted `variance` (n,) per year; 0 where not usable."""
    return np.asarray(np.where(usable, np.where(usable, returns, 0.0) / np.sqrt(variance * dt), 0.0))


def find(moves: Array) -> Mask:
    """(n,) which bars moved by more than CASCADE_MOVE. Raises BadInput where fewer than MIN_CASCADES did."""
    cascades = np.asarray(np.abs(moves) > CASCADE_MOVE)
    if (count := int(cascades.sum())) < MIN_CASCADES:
        need = f"{MIN_CASCADES} moves beyond {CASCADE_MOVE:g} standard deviations"
        raise BadInput(f"bars: {count} cascades in the window, fitting needs {need}; choose a longer window")
    return cascades


def fit_hazard(moves: Array, cascades: Mask, calm: Array, dt: float) -> Hazard:
    """Greatest likelihood of `cascades` (n,) given `calm` (n,) and the `moves` (n,) of the bars before; the clock
    counts bars.

    `calm` is reference over predicted variance. P(cascade) = 1 − exp(−λ·dt), with the λ of `calibration.Shocks`.
    """
    excess, fuel = np.maximum(np.abs(moves) - THRESHOLD, 0.0), np.log(calm) / 2
    constant = float(-np.log1p(-cascades.mean()) / dt)

    def loss(point: Array) -> float:
        base, excitation, half_life = np.exp(point[[0, 2, 3]])
        rate = (base + excitation * strain(excess, half_life, dt)) * np.exp(point[1] * fuel)
        return -_log_likelihood(cascades, rate * dt)

    def plain(point: Array) -> float:
        return -_log_likelihood(cascades, np.exp(point[0] + point[1] * fuel) * dt)

    bounds = [(math.log(constant * 1e-4), math.log(constant * 10)), (0.0, 4.0)]
    alone: OptimizeResult = minimize(plain, [math.log(constant), 0.5], method="L-BFGS-B", bounds=bounds)
    bounds += [(math.log(constant * 1e-4), math.log(constant * 10)), tuple(np.log(HALF_LIFE_BOUNDS))]
    starts = [np.array([*alone.x, math.log(constant / 5), math.log(hours)]) for hours in HALF_LIFE_STARTS]
    best = min((minimize(loss, x, method="L-BFGS-B", bounds=bounds) for x in starts), key=lambda end: float(end.fun))
    flat = -_log_likelihood(cascades, np.full(len(cascades), constant * dt))
    gain = 2 * float(alone.fun - best.fun)
    base, leverage, excitation, half_life = best.x if gain > FIVE_PERCENT else (*alone.x, -np.inf, 0.0)
    return Hazard(
        base_rate=math.exp(base),
        excitation=math.exp(excitation),
        half_life_hours=math.exp(half_life) if gain > FIVE_PERCENT else USUAL_HALF_LIFE,
        leverage=float(leverage),
        leverage_ratio=2 * (flat - float(alone.fun)),
        excitation_ratio=max(gain, 0.0),
    )


def branching_ratio(hazard: Hazard, moves: Array, cascades: Mask) -> float:
    """Cascades that one cascade brings about on average, at the mean move of those seen and at reference volatility."""
    mean_excess = float((np.abs(moves[cascades]) - THRESHOLD).mean())
    return hazard.excitation * mean_excess * hazard.half_life_hours / HOURS_PER_YEAR / math.log(2)


def shocks(hazard: Hazard, returns: Array, moves: Array, cascades: Mask, variance: Array, dt: float) -> Shocks:
    """The simulator's cascades: exponential beyond CASCADE_MOVE, and no further than the furthest fall or rise seen.

    `variance` (n,) per year as predicted of each bar, from which the gains of `Shocks` are measured.
    """
    seen = np.isfinite(returns)
    square = returns[seen] ** 2 / dt
    ordinary = float(square[~cascades[seen]].mean())
    return Shocks(
        base_rate=hazard.base_rate,
        excitation=hazard.excitation,
        threshold=THRESHOLD,
        half_life_hours=hazard.half_life_hours,
        leverage=hazard.leverage,
        variance_gain=float(square.mean()) / ordinary,
        news_gain=max(float(np.minimum(square, CASCADE_MOVE**2 * variance[seen]).mean()) / ordinary, 1.0),
        least_size=CASCADE_MOVE,
        mean_size=float((np.abs(moves[cascades]) - CASCADE_MOVE).mean()),
        max_fall=float(-returns[seen].min()),
        max_rise=float(returns[seen].max()),
        rise_share=float((moves[cascades] > 0).mean()),
    )


def strain(excess: Array, half_life: float, dt: float) -> Array:
    """(n,) decayed sum of the `excess` (n,) of the bars before each."""
    decay = 0.5 ** (dt * HOURS_PER_YEAR / half_life)
    memory: Array = lfilter([0.0, 1.0], [1.0, -decay], excess)
    return memory


def _log_likelihood(events: Mask, expected: Array) -> float:
    """Of Bernoulli `events` (n,) with chances 1 − exp(−`expected`) (n,)."""
    return float(np.log(-np.expm1(-expected[events])).sum() - expected[~events].sum())

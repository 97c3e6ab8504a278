"""The exact optimum of hedging a short call under proportional costs and entropic risk, by dynamic programming.

Hodges and Neuberger (1989), Review of Futures Markets 8, 222: entropic risk does not depend on wealth, so the state is
the log price and the holding. A trade's cost turns the value of what may be held into its least over all trades, an
inf-convolution with c·S·|h|: two sweeps over the holdings. Gaussian steps are summed over the grid of log prices, which
for a smooth density is exact to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SPAN, REACH = 6.0, 8.0  # standard deviations: of the grid over the whole life, of one step


@dataclass(frozen=True)
class Optimum:
    """A call at strike 1 sold at spot 1; prices and costs per unit, holdings in [0, 1]."""

    price: float  # premium that makes selling and hedging as good as doing neither
    log_spots: Array  # (X,)
    lower: Array  # (T, X) of the no-transaction band at each decision
    upper: Array  # (T, X)


def solve(
    risk_aversion: float, cost: float, steps: int, bar: float, volatility: float, prices: int, holdings: int
) -> Optimum:
    """`steps` trades, one before each of as many moves over `bar` years; `prices` (odd) and `holdings`: grid points."""
    deviation = volatility * math.sqrt(bar)
    log_spots = np.linspace(-1, 1, prices) * SPAN * deviation * math.sqrt(steps)
    spot, held = np.exp(log_spots)[:, None], np.linspace(0, 1, holdings)
    moved = _transition(log_spots, deviation)
    value = np.repeat(np.maximum(spot - 1, 0), holdings, 1)
    bands = []
    for _ in range(steps):
        wealthless = moved @ np.exp(risk_aversion * (value - held * spot))
        value = np.log(wealthless) / risk_aversion + held * spot
        bands.append((held[(value + cost * spot * held).argmin(1)], held[(value - cost * spot * held).argmin(1)]))
        value = _traded(value, cost * spot[:, 0] * held[1])
    lower, upper = (np.stack(edges) for edges in zip(*bands[::-1], strict=True))
    return Optimum(float(value[prices // 2, 0]), log_spots, lower, upper)


def _transition(log_spots: Array, deviation: float) -> Array:
    """(X, X) odds of each move under a martingale; what leaves the grid stays at its edge."""
    step = log_spots[1] - log_spots[0]
    reach = math.ceil(REACH * deviation / step)
    weights = np.exp(-0.5 * ((np.arange(-reach, reach + 1) * step + deviation**2 / 2) / deviation) ** 2)
    matrix, rows = np.zeros((len(log_spots), len(log_spots))), np.arange(len(log_spots))
    for shift, weight in zip(range(-reach, reach + 1), weights / weights.sum(), strict=True):
        np.add.at(matrix, (rows, (rows + shift).clip(0, len(rows) - 1)), weight)
    return matrix


def _traded(value: Array, toll: Array) -> Array:
    """Least of `value` (X, H) over all trades, `toll` (X,) the cost of one from a holding to its neighbour."""
    best = value.copy()
    for j in range(1, best.shape[1]):
        best[:, j] = np.minimum(best[:, j], best[:, j - 1] + toll)
    for j in range(best.shape[1] - 2, -1, -1):
        best[:, j] = np.minimum(best[:, j], best[:, j + 1] + toll)
    return best

"""How far real bars reach beyond their open and close: the numbers of `calibration.Range`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from envs.calibration import Range
from envs.history import Bars

Array = NDArray[np.float64]


def recorded(bars: Bars) -> bool:
    """Whether highs and lows say more than opens and closes."""
    frame = bars.frame
    body = frame[["open", "close"]]
    return bool((frame["high"] > body.max(axis=1)).any() and (frame["low"] < body.min(axis=1)).any())


def fit(bars: Bars, variance: Array) -> Range:
    """From each bar's open, high, low and close and its predicted `variance` (n,) of the bar.

    If d is how far the low lies below the open of a bar that returned r, 2·d·(d + r) has the mean v of `Range`; least
    squares, weighted by the inverse of variance + r². The reach is the furthest seen.
    """
    price = {name: np.log(bars.frame[name].to_numpy(np.float64)) for name in ("open", "high", "low", "close")}
    move = price["close"] - price["open"]
    below, above = price["open"] - price["low"], price["high"] - price["open"]
    known = np.isfinite(variance)

    def fitted(bridge: Array, towards: Array) -> tuple[float, float]:
        design = np.stack([variance, towards * move**2], axis=1)[known]
        weight = 1 / (variance + move**2)[known]
        (diffusive, overshoot), _ = nnls(design * weight[:, None], bridge[known] * weight)
        return float(diffusive), float(overshoot)

    low = fitted(2 * below * (below + move), move < 0)
    high = fitted(2 * above * (above - move), move >= 0)
    return Range(
        low_diffusive=low[0],
        low_overshoot=low[1],
        low_reach=float(below[known].max()),
        high_diffusive=high[0],
        high_overshoot=high[1],
        high_reach=float(above[known].max()),
    )

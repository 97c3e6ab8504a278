"""The last word on eras of volatility: how far apart they lie, by the memory of |r| at a week.

The likeliest eras stay unless the record refuses them. Where simulated memory, at the record's length, lies outside the
record's 95 % interval, their ratio of ω is moved until it meets the record's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.optimize import brentq

from envs.calibration import Calibration, Regimes
from envs.history import Bars
from envs.markets.garch import GarchMarket
from envs.volatility.garch import RegimeTensors
from envs.volatility.regimes import stationary_variance
from train import fidelity, likeness, msgarch
from train.fidelity import Array

PATHS, SEED = 128, 5772  # not the page's: what is fitted is judged on other paths
WEEK = 168.0  # hours
WIDEST = 100.0  # ratio of ω
TOLERANCE = 0.01  # of its logarithm


def met(draft: Calibration, bars: Bars, tell: Callable[[str], None]) -> Calibration:
    """`draft` where its memory lies inside the interval of `bars`, else with the eras' ratio at which it meets them.

    The ratio ends at 1 or at WIDEST where no other meets them. A record of less than four weeks leaves it alone.
    """
    real, block = bars.log_returns()[0], likeness.BLOCK_HOURS / bars.bar_hours
    lag = max(round(WEEK / bars.bar_hours), 1)
    likeliest = ratio_of(draft.regimes)

    def memory(path: Array, often: Array) -> Array:
        return fidelity.size_autocorrelation(path, often, lag)

    def paths(ratio: float) -> list[Array]:
        tell(f"memory of a week, eras {ratio:.2f} apart")
        settings = GarchMarket.Settings(assets=(apart(draft, ratio),))
        return list(likeness.returns(settings, len(real), PATHS, SEED, lambda share: None)[:, :, 0].T)

    found = fidelity.compared(real, paths(likeliest), {"memory": memory}, set(), block, SEED)
    if all(target.inside for target in found):
        return draft

    @cache
    def miss(log_ratio: float) -> float:
        each = [float(memory(path, np.ones((1, len(path))))[0]) for path in paths(math.exp(log_ratio))]
        return float(np.median(each)) - found[0].real

    start = math.log(likeliest)
    furthest = math.log(WIDEST) if found[0].simulated < found[0].real else 0.0
    if miss(start) * miss(furthest) >= 0:
        return apart(draft, math.exp(furthest))
    return apart(draft, math.exp(brentq(miss, start, furthest, xtol=TOLERANCE)))


def ratio_of(regimes: Regimes) -> float:
    """ω of the era of high volatility over that of the low."""
    return regimes.omega[len(regimes.omega) // 2] / regimes.omega[0]


def apart(draft: Calibration, ratio: float) -> Calibration:
    """`draft` with the eras' ω at `ratio`, and the variance in the long run that it had."""
    regimes = draft.regimes
    low = np.array(regimes.omega[: len(regimes.omega) // 2])
    moved = regimes.model_copy(update={"omega": _plain(np.concatenate([low, low * ratio]))})
    before, after = (
        stationary_variance(msgarch.fed(RegimeTensors.of(each), draft.shocks.news_gain)) for each in (regimes, moved)
    )
    omega = _plain(np.array(moved.omega) * (before / after))
    return draft.model_copy(update={"regimes": regimes.model_copy(update={"omega": omega})})


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(values.tolist())

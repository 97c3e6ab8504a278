"""How two assets hang together: their common record, the copula found from it by simulation, and the likeness."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq

from envs.calibration import Calibration
from envs.history import Bars
from envs.markets.garch import GarchMarket
from envs.types import BadInput
from train import fidelity, likeness
from train.fidelity import Target
from train.likeness import BLOCK_HOURS, Progress

Array = NDArray[Any]

FIT_SEED = 1618  # not the page's: what is fitted is judged on other paths
LIMIT = 0.999  # of the copula's correlation
TOLERANCE = 1e-3  # of it
MIN_BARS = 2000  # common to both


@dataclass(frozen=True)
class Pair:
    """Everything that the page shows of two assets."""

    calibrations: tuple[Calibration, Calibration]
    names: tuple[str, str]
    first: pd.Timestamp  # of the common bars
    last: pd.Timestamp
    copula: float  # its correlation
    real: Array  # (n, 2) log returns
    paths: list[Array]  # of as many bars
    targets: list[Target]

    @property
    def at_limit(self) -> bool:
        return abs(self.copula) == LIMIT


def common(bars: tuple[Bars, Bars], first: str | None, last: str | None) -> tuple[Bars, Bars]:
    """Both records from `first` to `last`, where None is as far as both reach.

    Raises BadInput for one record twice, bars of two lengths, and records that share fewer than MIN_BARS bars.
    """
    one, other = bars
    if one.sha256 == other.sha256:
        raise BadInput(f"{one.name} and {other.name} hold the same bars; give two assets")
    if one.bar_hours != other.bar_hours:
        lengths = f"{one.name} has bars of {one.bar_hours:g} h, {other.name} of {other.bar_hours:g} h"
        raise BadInput(f"{lengths}; bring both on one length")
    ends = [max(each.frame.index[0] for each in bars), min(each.frame.index[-1] for each in bars)]
    if ends[0] >= ends[1]:
        spans = " and ".join(f"{each.name} from {each.frame.index[0]} to {each.frame.index[-1]}" for each in bars)
        raise BadInput(f"{spans} do not overlap; bring two records of the same time")
    both = [each.window(*ends) for each in bars]
    cut = [each.window(ends[0] if first is None else first, ends[1] if last is None else last) for each in both]
    shared = len(cut[0].frame.index.intersection(cut[1].frame.index))
    if shared < MIN_BARS:
        raise BadInput(f"{one.name} and {other.name} share {shared} bars of the window; a pair needs {MIN_BARS}")
    return cut[0], cut[1]


def judged(
    calibrations: tuple[Calibration, Calibration], bars: tuple[Bars, Bars], progress: Progress | None = None
) -> Pair:
    """The copula fitted to the bars that both of `bars` have, and how likely simulations under it are.

    Raises BadInput where the calibrations are of other bars than these in length.
    """
    tell = progress or (lambda stage: None)
    record, hours = together(bars), bars[0].bar_hours
    for calibration, each in zip(calibrations, bars, strict=True):
        if calibration.source.bar_hours != hours:
            made = f"its calibration was made on bars of {calibration.source.bar_hours:g} h"
            raise BadInput(f"{each.name}: bars of {hours:g} h, and {made}; calibrate on bars of one length")
    real = record.to_numpy(np.float64)
    copula = fitted(calibrations, real, tell)
    paths = simulated(calibrations, copula, len(real), likeness.SEED, lambda share: tell(f"simulating: {share}"))
    tell("resampling the real record")
    targets = fidelity.compared(real, paths, fidelity.of_pairs(), set(), BLOCK_HOURS / hours, likeness.SEED)
    names = bars[0].name, bars[1].name
    return Pair(calibrations, names, record.index[0], record.index[-1], copula, real, paths, targets)


def together(bars: tuple[Bars, Bars]) -> pd.DataFrame:
    """Log returns of the bars at which both have one, a column each."""
    returns = [pd.Series(each.log_returns()[0], index=each.frame.index) for each in bars]
    return pd.concat(returns, axis=1, join="inner").dropna()


def fitted(calibrations: tuple[Calibration, Calibration], real: Array, tell: Progress) -> float:
    """The copula's correlation at which simulated returns correlate as the `real` (n, 2), on the median of paths.

    Common random numbers. At most ±LIMIT, and 0 where shared cascades alone already do more.
    """
    goal, trials = _correlation(real), 0

    @cache
    def miss(copula: float) -> float:
        nonlocal trials
        trials += 1
        about = f"fitting the copula, trial {trials}"
        paths = simulated(calibrations, copula, len(real), FIT_SEED, lambda share: tell(f"{about}: {share}"))
        return float(np.median([_correlation(path) for path in paths])) - goal

    furthest = math.copysign(LIMIT, goal)
    if miss(furthest) * furthest <= 0:
        return furthest
    if miss(0.0) * furthest >= 0:
        return 0.0
    return float(brentq(miss, 0.0, furthest, xtol=TOLERANCE))


def simulated(
    calibrations: tuple[Calibration, Calibration], copula: float, bars: int, seed: int, tell: Callable[[str], None]
) -> list[Array]:
    """Log returns (bars, 2) of each of likeness.PATHS paths; `tell` hears which share is done."""
    settings = GarchMarket.Settings(assets=calibrations, correlation=((1, copula), (copula, 1)))
    return list(likeness.returns(settings, bars, likeness.PATHS, seed, tell).transpose(1, 0, 2))


def _correlation(pair: Array) -> float:
    return float(fidelity.correlation(pair, np.ones((1, len(pair))))[0])

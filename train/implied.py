"""Statistics of simulated implied volatility beside those measured on real series that do not ship."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from envs.calibration import IMPLIED_HOURS
from envs.surface import ForecastSurface
from envs.types import HOURS_PER_YEAR
from envs.volatility.memory import Filter
from train.likeness import Likeness

Array = NDArray[Any]

LEVEL = 0.42  # at which the risk reversal was measured, per √year


def measured(found: Likeness) -> list[tuple[str, float, str]]:
    """Name, simulated value, and the shared measurement in words."""
    implied, hours = found.run.implied, found.calibration.source.bar_hours
    returns = np.stack([record.log_return for record in found.run.records])
    change = np.diff(np.log(implied), axis=1)
    month = min(round(IMPLIED_HOURS / hours), implied.shape[1] // 2)
    realised = np.sqrt((returns**2)[:, : implied.shape[1] // month * month].reshape(len(returns), -1, month).mean(-1))
    before = implied[:, ::month][:, : realised.shape[1]]
    yearly = np.sqrt(HOURS_PER_YEAR / hours)
    return [
        ("level, %", 100 * float(np.median(implied)), "42 (BTC); the volatility of its window sets it"),
        ("least in a path, %", 100 * float(np.median(implied.min(1))), "30"),
        ("most in a path, %", 100 * float(np.median(implied.max(1))), "86"),
        ("level over its mean, least in a path", float(np.median(implied.min(1) / implied.mean(1))), "0.71 (30 of 42)"),
        ("level over its mean, most in a path", float(np.median(implied.max(1) / implied.mean(1))), "2.05 (86 of 42)"),
        ("points over the following realised", 100 * float((before - realised * yearly).mean()), "+9"),
        ("volatility of volatility, a year", float(change.std() * yearly), "about 0.9"),
        ("correlation of change and return, bar by bar", _correlation(change, returns[:, 1:]), "−0.17, hourly"),
        ("25-delta risk reversal at 42 %, points", 100 * risk_reversal(found), "−5.8"),
    ]


def risk_reversal(found: Likeness, level: float = LEVEL) -> float:
    """Volatility of the 30-day call of delta 0.25 less that of the put, at `level` at the money."""
    filter = Filter(found.calibration, torch.float64, torch.device("cpu"), 1)
    surface, deviation = ForecastSurface(found.calibration, filter), level * np.sqrt(IMPLIED_HOURS / HOURS_PER_YEAR)

    def smile(moneyness: float) -> float:
        return float(surface.smile(torch.tensor(moneyness, dtype=torch.float64)))

    def delta(moneyness: float) -> float:
        scaled = smile(moneyness)
        return float(norm.cdf(-moneyness / scaled + scaled * deviation / 2))

    call = brentq(lambda x: delta(x) - 0.25, -3, 3)
    put = brentq(lambda x: delta(x) - 0.75, -3, 3)
    return level * (smile(call) - smile(put))


def _correlation(one: Array, other: Array) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

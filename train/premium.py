"""The perpetual's premium index from observed funding, by simulated moments."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.signal import lfilter
from scipy.special import expit, logit

from envs import calibration
from envs.funding import INTEREST, INTERVAL, funding_rate
from envs.types import BadInput

Array = NDArray[np.float64]

DAYS = 20_000  # simulated, with the same normal draws for every trial
MIN_DAYS = 60
STARTS = ((1e-4, 5e-4, 0.9), (-3e-4, 3e-4, 0.9), (4e-4, 8e-4, 0.95))  # mean, standard deviation, persistence, per 8 h
USUAL = INTEREST / INTERVAL  # the rate per year that the formula gives wherever the premium is small


def fit_premium(daily: pd.Series[float]) -> calibration.Funding:
    """The AR(1) premium whose funding is most like `daily` in its `moments`.

    `daily`: mean funding per year of each UTC day (three intervals). Simulated moments, with fixed draws; the rate is
    Binance's formula. Raises BadInput for fewer than MIN_DAYS days.
    """
    if len(daily) < MIN_DAYS:
        raise BadInput(f"funding: {len(daily)} days in the window, fitting needs {MIN_DAYS}; choose a longer window")
    goal = moments(np.asarray(daily, dtype=np.float64))
    scale = np.array([0.1 * goal[1], 0.1 * goal[1], 0.05, 0.1, 0.05, 0.1])  # about what a sample leaves open
    noise = np.random.default_rng(0).standard_normal(3 * DAYS)

    def miss(point: Array) -> float:
        return float((((moments(simulated_daily(_funding(point), noise)) - goal) / scale) ** 2).sum())

    starts = [np.array([mean * 1e4, np.log(std * 1e4), logit(kept)]) for mean, std, kept in STARTS]
    ends = [minimize(miss, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-8}) for start in starts]
    return _funding(min(ends, key=lambda end: float(end.fun)).x)


def moments(daily: Array) -> Array:
    """(6,) of `daily` (n,): mean, standard deviation, autocorrelation at one and three days, share of days below 0.

    And the share at the usual rate.
    """
    centred, variance = daily - daily.mean(), max(daily.var(), 1e-300)
    persistence = [(centred[lag:] * centred[:-lag]).mean() / variance for lag in (1, 3)]
    usual = (np.abs(daily / USUAL - 1) < 1e-3).mean()
    return np.array([daily.mean(), daily.std(), *persistence, (daily < 0).mean(), usual])


def simulated_daily(funding: calibration.Funding, noise: Array) -> Array:
    """(n / 3,) mean funding per year of days of three intervals, from standard normal `noise` (n,)."""
    scale = funding.premium_std * np.sqrt(1 - funding.persistence**2)
    premium = funding.mean_premium + lfilter([scale], [1.0, -funding.persistence], noise)
    return np.asarray(funding_rate(torch.from_numpy(premium)).numpy().reshape(-1, 3).mean(axis=1))


def window_of(funding: pd.Series[float], first: pd.Timestamp, last: pd.Timestamp) -> pd.Series[float]:
    """The days of `funding` that end by `last` and start from `first`."""
    return funding.loc[first : last - pd.Timedelta(days=1)]


def _funding(point: Array) -> calibration.Funding:
    return calibration.Funding(
        mean_premium=float(point[0]) / 1e4,
        premium_std=float(np.exp(point[1])) / 1e4,
        persistence=min(float(expit(point[2])), 0.999),
    )

"""Statistics of a real market and of its simulated likeness, at equal length, with intervals of the real ones.

Every statistic is a function of a record and of how often each of its bars counts. Intervals come from the stationary
bootstrap (Politis and Romano 1994), which says how often; a statistic of pairs of bars takes the pairs as they stood in
the record (Künsch 1989, blocks of blocks), so that no join of two blocks weakens an autocorrelation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set, Sized
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from envs.funding import INTEREST, INTERVAL
from envs.types import HOURS_PER_YEAR
from train import resampling

Array = NDArray[Any]

RESAMPLES = 400
CONFIDENCE = 0.95
ROUNDING = 1e-3
TAIL = 0.01  # of the returns on one side that the Hill index takes
DEEPEST = 2000  # values, of which any resample holds one
EXTREME = 6.0  # filtered standard deviations: what counts as a crash or a squeeze in one bar
TROUGH_HOURS = 168.0  # within which a peak-to-trough fall must lie


@dataclass(frozen=True)
class Record:
    """One market's past, bar by bar, NaN where missing; fields (n,)."""

    bar_hours: float
    log_return: Array
    low: Array  # open to low, a fraction ≤ 0
    high: Array  # open to high, a fraction ≥ 0
    hour: Array  # of the day
    move: Array  # return in filtered standard deviations
    era: Array  # probability of the era of high volatility, filtered

    def __len__(self) -> int:
        return len(self.log_return)


@dataclass(frozen=True)
class Target:
    """One statistic, real and simulated. `low` and `high` bound what the real one may be."""

    name: str
    real: float
    low: float
    high: float
    simulated: float  # median over paths
    least: float  # 10 % of paths lie below
    most: float  # 10 % of paths lie above
    core: bool  # must lie inside

    @property
    def inside(self) -> bool:
        """To the rounding of float32 prices: an extreme of the record may be the simulated market's own bound."""
        slack = ROUNDING * max(abs(self.low), abs(self.high))
        return self.low - slack <= self.simulated <= self.high + slack


R = TypeVar("R", bound=Sized)
Statistic = Callable[[R, Array], Array]  # of a record (n,) and of how `often` (B, n) each bar counts: (B,)


def compared(
    real: R, simulated: Sequence[R], statistics: Mapping[str, Statistic[R]], core: Set[str], block: float, seed: int
) -> list[Target]:
    """Each of `statistics` of `real`, with its interval by blocks of `block` bars on average, beside the `simulated`.

    What the real record does not say (NaN) is left out.
    """
    often = resampling.counts(len(real), block, RESAMPLES, np.random.default_rng(seed))
    once, targets = np.ones((1, len(real))), []
    for name, statistic in statistics.items():
        found = float(statistic(real, once)[0])
        if np.isnan(found):
            continue
        spread = [float(statistic(path, np.ones((1, len(path))))[0]) for path in simulated]
        targets.append(beside(name, found, statistic(real, often), spread, name in core))
    return targets


def beside(name: str, real: float, resampled: Array, simulated: Sequence[float], core: bool) -> Target:
    """The target of a statistic: of the record, of its resamples (B,), of each simulated path."""
    low, high = np.nanquantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    least, median, most = np.nanquantile(simulated, (0.1, 0.5, 0.9))
    return Target(name, real, float(low), float(high), float(median), float(least), float(most), core)


def of_returns(bar_hours: float) -> dict[str, Statistic[Record]]:
    """The statistics of prices, by name, for bars of that length."""
    lags = {hours: round(hours / bar_hours) for hours in (1, 24, 168, 720) if hours >= bar_hours}
    persistence = {f"autocorrelation of |r|, {hours} h": _autocorrelation(lag) for hours, lag in lags.items()}
    return {
        "annual volatility": _volatility,
        "excess kurtosis": _kurtosis,
        "Hill index, losses": _hill(-1.0),
        "Hill index, gains": _hill(1.0),
        **persistence,
        "worst bar": lambda record, often: np.expm1(_extreme(record.log_return, often)),
        "best bar": lambda record, often: np.expm1(-_extreme(-record.log_return, often)),
        "worst open-to-low": lambda record, often: _extreme(record.low, often),
        "best open-to-high": lambda record, often: -_extreme(-record.high, often),
        "worst peak-to-trough, a week": lambda record, often: _extreme(troughs(record), often),
        "falls beyond 6σ, a year": _events(-1.0),
        "rises beyond 6σ, a year": _events(1.0),
        "spell of high volatility, hours": _spell(True),
        "spell of low volatility, hours": _spell(False),
        "share of high volatility": lambda record, often: _mean(often, (record.era > 0.5).astype(float)),
        "diurnal ratio of |r|": _diurnal(lambda day: np.nanmax(day, axis=0) / np.nanmin(day, axis=0)),
        "hour of most |r|, UTC": _diurnal(lambda day: np.nanargmax(day, axis=0)),
        "hour of least |r|, UTC": _diurnal(lambda day: np.nanargmin(day, axis=0)),
    }


def core_of(bar_hours: float) -> set[str]:
    """The names that must lie inside their intervals."""
    lags = {f"autocorrelation of |r|, {hours} h" for hours in (1, 24, 168) if hours >= bar_hours}
    hills = {"Hill index, losses", "Hill index, gains"}
    return {"excess kurtosis", *hills, *lags, "worst bar", "worst open-to-low"}


def troughs(record: Record) -> Array:
    """(n,) each bar's low below the highest high of TROUGH_HOURS up to it, a fraction; gaps count as no move."""
    path = np.nan_to_num(record.log_return).cumsum()
    opened = path - np.nan_to_num(record.log_return)
    width = round(TROUGH_HOURS / record.bar_hours)
    highest = maximum_filter1d(opened + np.log1p(np.nan_to_num(record.high)), width, origin=(width - 1) // 2)
    return np.asarray(np.expm1(opened + np.log1p(np.nan_to_num(record.low)) - highest))


def _volatility(record: Record, often: Array) -> Array:
    _, variance = _moments(record.log_return, often)
    return np.sqrt(variance * HOURS_PER_YEAR / record.bar_hours)


def _kurtosis(record: Record, often: Array) -> Array:
    mean, variance = _moments(record.log_return, often)
    raw = [_mean(often, record.log_return**power) for power in (2, 3, 4)]
    fourth = raw[2] - 4 * mean * raw[1] + 6 * mean**2 * raw[0] - 3 * mean**4
    return np.asarray(fourth / variance**2 - 3)


def _hill(sign: float) -> Statistic[Record]:
    """Hill (1975) on the largest TAIL of sign·r."""

    def index(record: Record, often: Array) -> Array:
        side = sign * np.nan_to_num(record.log_return)
        order = np.argsort(-side)[: max(int(10 * TAIL * len(record)), 2)]
        logs, weight = np.log(np.maximum(side[order], 1e-12)), often[:, order]
        reached, total = weight.cumsum(axis=1), (often @ np.isfinite(record.log_return))[:, None]
        last = np.minimum((reached <= TAIL * total).sum(axis=1), len(order) - 1)
        rows = np.arange(len(often))
        mean = (weight * logs).cumsum(axis=1)[rows, last - 1] / np.maximum(reached[rows, last - 1], 1)
        return np.asarray(1 / np.maximum(mean - logs[last], 1e-12))

    return index


def _autocorrelation(lag: int) -> Statistic[Record]:
    return lambda record, often: size_autocorrelation(record.log_return, often, lag)


def size_autocorrelation(log_return: Array, often: Array, lag: int) -> Array:
    """(B,) of |r|; NaN where the record is shorter than four lags."""
    if len(log_return) < 4 * lag:
        return np.full(len(often), np.nan)
    now, later = np.abs(log_return[:-lag]), np.abs(log_return[lag:])
    pairs = often[:, :-lag]
    both = np.where(np.isnan(now + later), np.nan, 1.0)
    (mean, variance), (mean_later, variance_later) = (_moments(x * both, pairs) for x in (now, later))
    together = _mean(pairs, now * later) - mean * mean_later
    return np.asarray(together / np.sqrt(variance * variance_later))


def _events(sign: float) -> Statistic[Record]:
    def per_year(record: Record, often: Array) -> Array:
        share = _mean(often, np.where(np.isnan(record.log_return), np.nan, sign * record.move > EXTREME))
        return share * HOURS_PER_YEAR / record.bar_hours

    return per_year


def _spell(high: bool) -> Statistic[Record]:
    """Mean length of the spells in which the era of high (else low) volatility is the likelier: time over entries."""

    def hours(record: Record, often: Array) -> Array:
        inside = (record.era > 0.5) == high
        entries = inside & ~np.concatenate([[False], inside[:-1]])
        return np.asarray(often @ inside / np.maximum(often @ entries, 1) * record.bar_hours)

    return hours


def _diurnal(said: Callable[[list[Array]], Array]) -> Statistic[Record]:
    """What is `said` of the mean |r| of each hour of the day, (B,) each; NaN where the bars know of one hour only."""

    def of_day(record: Record, often: Array) -> Array:
        if len(np.unique(record.hour)) < 2:
            return np.full(len(often), np.nan)
        size = np.abs(record.log_return)
        return said([_mean(often, np.where(record.hour == hour, size, np.nan)) for hour in range(24)])

    return of_day


def _extreme(values: Array, often: Array) -> Array:
    """Least of `values` (n,) among the bars that come at all; NaN where none is known."""
    order = np.argsort(values)[: min(np.isfinite(values).sum(), DEEPEST)]
    if not len(order):
        return np.full(len(often), np.nan)
    return np.asarray(values[order][(often[:, order] > 0).argmax(axis=1)])


def _moments(values: Array, often: Array) -> tuple[Array, Array]:
    mean = _mean(often, values)
    return mean, _mean(often, values**2) - mean**2


def _mean(often: Array, values: Array) -> Array:
    """(B,) mean of the known `values` (n,), each counted as `often` (B, n) says."""
    known = ~np.isnan(values)
    total = often @ known.astype(float)
    return np.asarray(often @ np.where(known, values, 0.0) / np.where(total > 0, total, np.nan))


def of_pairs() -> dict[str, Statistic[Array]]:
    """The statistics of two assets' log returns (n, 2): all bars, and the first's worst 1 %."""

    def worst(pair: Array, often: Array) -> Array:
        deep = pair[:, 0] <= np.quantile(pair[:, 0], TAIL)
        return correlation(pair[deep], often[:, deep])

    return {
        "correlation": correlation,
        "correlation in the first's worst 1 %": worst,
        "beta of the second": lambda pair, often: _covariance(pair, often) / _moments(pair[:, 0], often)[1],
    }


def correlation(pair: Array, often: Array) -> Array:
    """(B,) of `pair` (n, 2), each bar counted as `often` (B, n) says; NaN where one side does not vary."""
    one, other = (_moments(side, often)[1] for side in pair.T)
    return np.asarray(_covariance(pair, often) / np.sqrt(np.where((one > 0) & (other > 0), one * other, np.nan)))


def _covariance(pair: Array, often: Array) -> Array:
    means = [_mean(often, side) for side in pair.T]
    return np.asarray(_mean(often, pair[:, 0] * pair[:, 1]) - means[0] * means[1])


def of_funding() -> dict[str, Statistic[Array]]:
    """The statistics of daily mean funding per year (n,)."""

    def autocorrelation(days: int) -> Statistic[Array]:
        def at(rate: Array, often: Array) -> Array:
            now, later, pairs = rate[:-days], rate[days:], often[:, :-days]
            (mean, variance), (mean_later, variance_later) = _moments(now, pairs), _moments(later, pairs)
            return np.asarray((_mean(pairs, now * later) - mean * mean_later) / np.sqrt(variance * variance_later))

        return at

    usual = INTEREST / INTERVAL
    return {
        "funding, mean a year": lambda rate, often: _mean(often, rate),
        "funding, standard deviation a year": lambda rate, often: np.sqrt(_moments(rate, often)[1]),
        "funding, least a year": lambda rate, often: _extreme(rate, often),
        "funding, most a year": lambda rate, often: -_extreme(-rate, often),
        "funding, share of days negative": lambda rate, often: _mean(often, (rate < 0).astype(float)),
        "funding, share of days at 0.01 %": lambda rate, often: _mean(
            often, (np.abs(rate / usual - 1) < 1e-3).astype(float)
        ),
        "funding, autocorrelation at 1 day": autocorrelation(1),
        "funding, autocorrelation at 3 days": autocorrelation(3),
    }

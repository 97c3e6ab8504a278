"""The calibration report's pictures: the real record in black, its simulations as a median and a band."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from train.drawing import DASHED, SOLID, STYLE, Picture, kept, panels
from train.fidelity import Record
from train.likeness import Likeness, daily_mean

Array = NDArray[Any]

BAND = (0.1, 0.5, 0.9)  # quantiles over the simulated paths
SHOWN = 30  # crashes
LAGS = np.unique(np.geomspace(1, 1000, 40).astype(int))  # bars
BAND_TEXT = "Dashed: the median of the simulations; grey: 80 % of them."


def of(likeness: Likeness) -> list[Picture]:
    """Tails, memory, durations, crashes and, where there is any, funding."""
    with matplotlib.rc_context(STYLE):
        drawn = [_tails(likeness), _memory(likeness), _durations(likeness), _crashes(likeness)]
        return [*drawn, *([] if likeness.daily is None else [_funding(likeness)])]


def _tails(likeness: Likeness) -> Picture:
    figure, (losses, gains) = panels(2, 5.6)
    for axis, sign, name in ((losses, -1.0, "fall"), (gains, 1.0, "rise")):
        levels = np.geomspace(1e-3, 0.3, 60)

        def survival(record: Record, sign: float = sign, levels: Array = levels) -> Array:
            side = np.sort(sign * record.log_return[np.isfinite(record.log_return)])
            share: Array = 1 - np.searchsorted(side, levels) / len(side)
            return np.where(share > 0, share, np.nan)

        _beside(axis, 100 * levels, likeness, survival)
        axis.set(xscale="log", yscale="log", xlabel=f"{name} in a bar, %", ylabel="share beyond")
    alt = "Share of bars that fall or rise by more than a size, real and simulated, on logarithmic axes."
    return kept(figure, alt, f"Tails. Black: the real record. {BAND_TEXT}")


def _memory(likeness: Likeness) -> Picture:
    figure, (axis,) = panels(1, 3.2)
    lags = LAGS[len(likeness.real) > 4 * LAGS]
    _beside(axis, lags * likeness.real.bar_hours, likeness, lambda record: _autocorrelations(record, lags))
    axis.set(xscale="log", xlabel="lag, hours", ylabel="autocorrelation of |r|")
    alt = "Autocorrelation of the size of returns by lag, real and simulated."
    return kept(figure, alt, f"How long turbulence is remembered. {BAND_TEXT}")


def _durations(likeness: Likeness) -> Picture:
    figure, (axis,) = panels(1, 3.2)
    hours = np.geomspace(1, 2000, 50)

    def longer(record: Record) -> Array:
        lengths = _spells(record.era > 0.5) * record.bar_hours
        return np.array([(lengths > each).mean() if len(lengths) else np.nan for each in hours])

    _beside(axis, hours, likeness, longer)
    axis.set(xscale="log", xlabel="hours", ylabel="share of spells that last longer")
    alt = "Share of filtered spells of high volatility that last longer than a time, real and simulated."
    return kept(figure, alt, f"Regimes: spells of the era of high volatility, as the filter sees them. {BAND_TEXT}")


def _crashes(likeness: Likeness) -> Picture:
    figure, (axis,) = panels(1, 3.2)
    field = "low" if np.isfinite(likeness.real.low).any() else "log_return"
    rank = np.arange(1, SHOWN + 1)

    def deepest(record: Record) -> Array:
        values = getattr(record, field)
        return -100 * np.sort(values[np.isfinite(values)])[:SHOWN]

    _beside(axis, rank, likeness, deepest)
    name = "open to low" if field == "low" else "return"
    axis.set(xlabel="rank", ylabel=f"worst bars, {name}, %")
    alt = "The deepest bars by rank, real and simulated."
    return kept(figure, alt, f"Crash sizes: the {SHOWN} worst bars. {BAND_TEXT}")


def _funding(likeness: Likeness) -> Picture:
    figure, (axis,) = panels(1, 3.2)
    share = np.linspace(0.005, 0.995, 100)
    assert likeness.daily is not None, "drawn only with funding"
    axis.plot(100 * share, 100 * np.quantile(likeness.daily, share), label="real", **SOLID)
    days = [daily_mean(path, likeness.real.bar_hours) for path in likeness.run.funding]
    band(axis, 100 * share, [100 * np.quantile(path, share) for path in days])
    axis.set(xlabel="share of days below, %", ylabel="funding, % a year")
    axis.legend()
    alt = "Quantiles of daily mean funding, real and simulated."
    return kept(figure, alt, f"Funding: quantiles of daily means. {BAND_TEXT}")


def _beside(axis: Axes, places: Array, likeness: Likeness, curve: Callable[[Record], Array]) -> None:
    axis.plot(places, curve(likeness.real), label="real", **SOLID)
    band(axis, places, [curve(record) for record in likeness.run.records])
    axis.legend()


def band(axis: Axes, places: Array, curves: Sequence[Array]) -> None:
    stacked = np.stack(curves)
    known = np.isfinite(stacked).any(axis=0)
    low, middle, high = np.nanquantile(stacked[:, known], BAND, axis=0)
    axis.fill_between(places[known], low, high, color="0.8", linewidth=0)
    axis.plot(places[known], middle, label="simulated", **DASHED)


def _autocorrelations(record: Record, lags: Array) -> Array:
    size = np.abs(record.log_return)
    centred = np.nan_to_num(size - np.nanmean(size))
    products = [centred[lag:] @ centred[:-lag] for lag in lags]
    return np.asarray(products) / float(centred @ centred)


def _spells(inside: Array) -> Array:
    """Lengths, in bars, of the unbroken stretches where `inside` (n,) holds."""
    edges = np.diff(np.concatenate([[False], inside, [False]]).astype(int))
    return np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)

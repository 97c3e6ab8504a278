"""The pictures of a pair: how the two move together in falls of every size, and how often they fall together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from train.calibration_pictures import BAND_TEXT, band
from train.drawing import SOLID, STYLE, Picture, kept, panels
from train.pairs import Pair

Array = NDArray[Any]

SHARES = np.geomspace(0.002, 1.0, 30)  # of the bars, the first's worst
FEWEST = 30  # bars that a correlation is taken of


def of(pair: Pair) -> list[Picture]:
    """Correlation by depth of the fall, and falls in common."""
    with matplotlib.rc_context(STYLE):
        return [_by_depth(pair), _in_common(pair)]


def _by_depth(pair: Pair) -> Picture:
    figure, (axis,) = panels(1, 3.2)
    shares = SHARES[len(pair.real) * SHARES >= FEWEST]

    def correlations(returns: Array) -> Array:
        order = returns[returns[:, 0].argsort()]
        return np.array([np.corrcoef(order[: round(share * len(order))].T)[0, 1] for share in shares])

    _beside(axis, 100 * shares, pair, correlations)
    axis.set(xscale="log", xlabel=f"worst bars of {pair.names[0]}, % of all", ylabel="correlation in them")
    alt = f"Correlation of {pair.names[0]} and {pair.names[1]} among the first's worst bars, real and simulated."
    return kept(figure, alt, f"Together in a fall. At 100 % stands the correlation of all bars. {BAND_TEXT}")


def _in_common(pair: Pair) -> Picture:
    figure, (axis,) = panels(1, 3.2)
    shares = SHARES[(len(pair.real) * SHARES >= FEWEST) & (SHARES <= 0.5)]

    def together(returns: Array) -> Array:
        rank = returns.argsort(axis=0).argsort(axis=0) / len(returns)
        return np.array([(rank < share).all(axis=1).mean() / share for share in shares])

    _beside(axis, 100 * shares, pair, together)
    axis.set(xscale="log", xlabel="a bar among the worst, %, of each", ylabel="share in common")
    alt = f"Share of the worst bars of {pair.names[0]} that are among those of {pair.names[1]}, real and simulated."
    return kept(figure, alt, f"Worst bars in common, by how many count as worst. {BAND_TEXT}")


def _beside(axis: Axes, places: Array, pair: Pair, curve: Callable[[Array], Array]) -> None:
    axis.plot(places, curve(pair.real), label="real", **SOLID)
    band(axis, places, [curve(path) for path in pair.paths])
    axis.legend()

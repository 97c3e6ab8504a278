"""The stationary bootstrap (Politis and Romano 1994): blocks of geometric length, from anywhere, ends joined."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def counts(bars: int, block: float, resamples: int, generator: np.random.Generator) -> Array:
    """(resamples, bars) how often each bar comes where blocks have a mean of `block` bars."""
    drawn = np.zeros((resamples, bars))
    for row in drawn:
        starts, lengths = _blocks(bars, block, generator)
        change = np.bincount(starts, minlength=2 * bars + 1) - np.bincount(starts + lengths, minlength=2 * bars + 1)
        laid = change.cumsum()[: 2 * bars]
        row[:] = laid[:bars] + laid[bars:]
    return drawn


def order(bars: int, block: float, generator: np.random.Generator) -> Array:
    """(bars,) which bar comes when, in one resample of mean block `block`."""
    starts, lengths = _blocks(bars, block, generator)
    before = lengths.cumsum() - lengths
    return np.asarray((np.arange(bars) + np.repeat(starts - before, lengths)) % bars)


def _blocks(bars: int, block: float, generator: np.random.Generator) -> tuple[Array, Array]:
    """Starts and lengths of blocks that fill `bars`; the last are of length 0."""
    lengths = generator.geometric(1 / block, int(bars / block * 2) + 50)
    ends = np.minimum(lengths.cumsum(), bars)
    return generator.integers(bars, size=len(lengths)), np.diff(ends, prepend=0)

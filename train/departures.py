"""When the policy departs from a delta hedge, and what that goes with."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.learned import Untrained
from train.drawing import DASHED, DOTTED, SOLID, STYLE, Array, Picture, array, kept, panels
from train.recorded import Recording

BINS = 10
SHOWN, LISTED = 4, 10  # features in the picture, and in the table
ALIKE = 0.95  # correlation from which on two features count as one
OWN = "hedge_less_centre"  # where the hedge stands is what is to be explained
WORDS = {  # a feature's name, without the number of its asset or instrument → what it is
    "delta": "delta of the claims",
    "delta_down": "their delta, spot a deviation down",
    "delta_up": "their delta, spot a deviation up",
    "gamma": "gamma of the claims",
    "vega": "vega of the claims",
    "next_expiry": "time to the next expiry",
    "last_expiry": "time to the last expiry",
    "forecast_over_implied": "forecast over implied volatility",
    "spot_over_implied": "present over implied volatility",
    "implied_over_reference": "implied volatility",
    "stress": "congestion of the venue",
    "funding": "funding rate",
    "half_width": "tuned half-width",
    "liquidation_distance": "distance to liquidation",
    "time_left": "time left of the book",
}


@dataclass(frozen=True)
class Departures:
    """Of one hedging instrument, over all N decisions while the venue let it trade; per unit of the book."""

    name: str
    away: Array  # (N,) the hedge after the decision, less neutral
    band: Array  # (N, 2) PPO's ends, less neutral
    tuned: Array  # (N, 2) action 0's
    features: Array  # (N, F)
    words: tuple[str, ...]  # of each feature
    traded: float  # share of decisions

    @property
    def shares(self) -> dict[str, dict[str, float]]:
        """Feature in words → the share of variance that its tenths explain, of the three columns; largest first."""
        explained = {
            "distance from neutral": np.abs(self.away),
            "centre moved": (self.band - self.tuned).mean(1),
            "width changed": np.diff(self.band)[:, 0] - np.diff(self.tuned)[:, 0],
        }
        rows = {
            word: {what: explained_by(values, column) for what, values in explained.items()}
            for word, column in zip(self.words, self.features.T, strict=True)
        }
        return dict(sorted(rows.items(), key=lambda row: -max(row[1].values())))

    @property
    def sentence(self) -> str:
        """How far from neutral the hedge rests, and how often outside of what action 0 would allow."""
        half, most = np.quantile(np.abs(self.away), [0.5, 0.95])
        outside = np.mean((self.away < self.tuned[:, 0] - 1e-6) | (self.away > self.tuned[:, 1] + 1e-6))
        return (
            f"The {self.name}: after half of its decisions it rests within {half:.3f} of neutral, after one in twenty "
            f"further away than {most:.3f} (per unit of the book). It trades at {100 * self.traded:.0f} % of its "
            f"decisions and rests outside the tuned band, action 0's, after {100 * outside:.0f} %."
        )


def of(found: Recording, names: tuple[str, ...], place: int) -> Departures:
    """Of the instrument at `place`; `names` of the features."""
    inside = ~found.column("out", place).flatten()
    bands = [Untrained().band(frame.seen) for frame in found.frames]
    base = torch.stack([frame.seen.neutral[:, 0, place] for frame in found.frames])
    tuned = torch.stack([torch.stack([b.lower, b.upper], -1)[:, 0, place] for b in bands]) - base[..., None]
    neutral = found.column("neutral", place)
    ends = torch.stack([found.column(side, place) - neutral for side in ("lower", "upper")], -1)
    features = torch.cat([frame.seen.features[:, 0] for frame in found.frames])[inside]
    varied = [k for k in range(len(names)) if not names[k].startswith(OWN) and float(features[:, k].std()) > 1e-6]

    def chosen(values: Tensor) -> Array:
        return array(values.flatten(0, 1)[inside])

    return Departures(
        name=found.named(place),
        away=chosen(found.column("held", place) - neutral),
        band=chosen(ends),
        tuned=chosen(tuned),
        features=array(features[:, varied]),
        words=tuple(word(names[k]) for k in varied),
        traded=float((found.column("order", place).flatten()[inside] != 0).double().mean()),
    )


def word(name: str) -> str:
    """A feature in words, with the number of its asset or instrument, if there are several."""
    if name in WORDS:
        return WORDS[name]
    stem, _, number = name.rpartition("_")
    if stem == "regime":
        return f"probability of regime {number}"
    if stem.startswith("regime_"):
        return f"probability of regime {stem.removeprefix('regime_')}, {number}"
    return f"{WORDS[stem]}, {number}" if stem in WORDS else name.replace("_", " ")


def tenths(column: Array) -> NDArray[np.int64]:
    """(N,) which tenth of its values each lies in, 0 the lowest."""
    cuts = np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(cuts, column)


def means(values: Array, column: Array) -> Array:
    """(BINS,) of `values` within each tenth of `column`."""
    place = tenths(column)
    return np.asarray(np.bincount(place, values, BINS) / np.maximum(np.bincount(place, minlength=BINS), 1))


def explained_by(values: Array, column: Array) -> float:
    """Share of the variance of `values` that lies between the means of the tenths of `column` (η²)."""
    total = float(values.var())
    between = float(((means(values, column)[tenths(column)] - values.mean()) ** 2).mean())
    return between / total if total > 1e-12 else 0.0


def distinct(found: Departures) -> list[str]:
    """The features in the order of their shares, without those that say the same as one before."""
    columns = dict(zip(found.words, found.features.T, strict=True))
    chosen: list[str] = []
    for name in found.shares:
        if all(abs(np.corrcoef(columns[name], columns[other])[0, 1]) < ALIKE for other in chosen):
            chosen.append(name)
    return chosen


@matplotlib.rc_context(STYLE)
def picture(found: Departures) -> Picture:
    """The band by the tenths of the features that go with it most."""
    words = distinct(found)[:SHOWN]
    figure, axes = panels(2, height=5.4, width=6.4, columns=2, sharey=True)
    x = np.arange(1, BINS + 1)
    for axis, name in zip(axes, words, strict=False):
        column = found.features[:, found.words.index(name)]
        low, high, least, most, away = (means(v, column) for v in (*found.band.T, *found.tuned.T, found.away))
        axis.fill_between(x, low, high, color="0.87", edgecolor="black", label="PPO's band")
        axis.plot(x, least, label="action 0's", **DASHED)
        axis.plot(x, most, **DASHED)
        axis.plot(x, away, label="the hedge", **SOLID)
        axis.axhline(0, label="neutral", **DOTTED)
        axis.set(xlabel=name, xticks=(1, BINS), xticklabels=("lowest tenth", "highest"))
    figure.supylabel("less neutral, per unit of the book", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    alt = f"Mean band of the {found.name} by tenths of {', '.join(words)}."
    caption = f"Means by tenths of what goes most with PPO's departures of the {found.name}: all recorded decisions."
    return kept(figure, alt, caption, wide=True)

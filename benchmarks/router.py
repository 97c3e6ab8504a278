"""What splitting an order over two recorded books saves against the better of the two.

The books are those of Binance's linear (BTCUSDT) and inverse (BTCUSD) perpetual, each second of six calm minutes of
2024-08-08. The file has no levels: of each side it says what a market order of 0.1, 1 and 5 million dollars pays on
average. Three levels are rebuilt that give just these averages, and a fourth for the depth within 50 basis points, at
that price. Between the recorded sizes such a ladder is dearer than the book was (a chord lies above a convex curve): so
of orders of a recorded size the single venue's cost is exact, the split's is an upper bound, and the saving a lower
one. Of the smallest nothing can be saved by splitting, as it is all one level.

Each contract is worth its own book's middle: the distance of the two books from each other is no saving. Fees are alike
(0.05 %), gas, funding and latency nil. `late`: both decided on the books of a second before, and paid on those of now.

Prints one JSON object as its last line: by order size in dollars the mean cost in basis points of the better single
venue, of the split, of each venue alone, and of half to each; the saving with its standard error (of 20-second means);
the same `late`; the share of orders that were split; and how many orders were dearer than the best single venue.
Exits with 1 where any was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from envs.history import DATA
from serve.router.books import Level, Snapshot
from serve.router.costs import Horizon, Terms, Want, offer
from serve.router.split import Offer, split

BOOKS = DATA / "l2_book_1s_20240808.csv.gz"
VENUES = {"linear": "usdm_btcusdt_20240808", "inverse": "cm_btcusd_perp_20240808"}
KNOTS = {"100k": 0.1e6, "1000k": 1e6, "5000k": 5e6}  # dollars, by the name in the file's columns
LOT = Decimal("0.001")
FEE = 5e-4
STILL = Horizon(holding=0.0, volatility=0.0, capital=0.0)
BLOCK = 20  # orders of one side, a second apart
CENT_PARTS = Decimal("1e-8")


@dataclass(frozen=True)
class Paid:
    """In basis points of the notional, fees left out."""

    split: float
    singles: Mapping[str, float]
    halves: float
    several: bool
    late: float  # paid by the split of a second before, less by the venue that was the better one then

    @property
    def saved(self) -> float:
        return min(self.singles.values()) - self.split


def snapshots(path: Path = BOOKS) -> Iterator[dict[str, Snapshot]]:
    """The books of each second that both venues have."""
    frame = pd.read_csv(path, parse_dates=["time"])
    rows = {name: frame[frame["book"] == book].set_index("time") for name, book in VENUES.items()}
    for time in rows["linear"].index.intersection(rows["inverse"].index):
        yield {name: rebuilt(table.loc[time], round(time.timestamp() * 1000)) for name, table in rows.items()}


def rebuilt(row: Mapping[Any, Any], time: int) -> Snapshot:
    """Three levels a side, whose averages up to each recorded size are those recorded."""
    middle = (float(row["bid"]) + float(row["ask"])) / 2
    bids, asks = _side(row, "bid", middle, -1), _side(row, "ask", middle, 1)
    return Snapshot(time, bids, asks, mark=middle, index=middle, funding_rate=0.0)


def _side(row: Mapping[Any, Any], name: str, middle: float, sign: int) -> tuple[Level, ...]:
    spent = [(0.0, 0.0)] + [(size, size * float(row[f"{name}_slip_bps_{knot}"])) for knot, size in KNOTS.items()]
    steps = [(size - less, (cost - before) / (size - less)) for (less, before), (size, cost) in pairwise(spent)]
    steps.append((float(row[f"{name}_depth_usd_50bp"]) - spent[-1][0], 50.0))
    return tuple(Level(_exact(middle * (1 + sign * far / 1e4)), _exact(size / middle)) for size, far in steps)


def _exact(value: float) -> Decimal:
    return Decimal(value).quantize(CENT_PARTS)


def offers(books: Mapping[str, Snapshot], buying: bool) -> list[Offer]:
    """Of every lot beyond the contract's worth."""
    want = Want(buying, Decimal("1e9") if buying else Decimal(0), LOT, reduce_only=False)
    terms = [Terms(name, FEE, gas=0.0, latency=0.0, kept=1.0, held=Decimal(0), grows=True) for name in books]
    return [offer(each, books[each.venue], STILL, want, books[each.venue].time) for each in terms]


def cost(offer: Offer, lots: int) -> float:
    """Of the offer's first lots."""
    paid, left = 0.0, lots
    for run in offer.runs:
        paid, left = paid + min(left, run.lots) * run.cost, left - min(left, run.lots)
    return paid if left == 0 else float("inf")


def orders(seconds: Sequence[Mapping[str, Snapshot]], size: float) -> Iterator[Paid]:
    """A buy and a sell each second but the first."""
    for (before, now), buying in ((pair, buying) for pair in pairwise(seconds) for buying in (True, False)):
        middle = now["linear"].mark
        lots = int(size / max(book.mark for book in now.values()) / float(LOT))
        asked, asked_before = offers(now, buying), offers(before, buying)
        made, planned = split(asked, lots), split(asked_before, lots)
        stale = min(range(2), key=lambda number: cost(asked_before[number], lots))
        late = cost(asked[stale], lots) - sum(cost(each, planned.lots.get(each.venue, 0)) for each in asked)
        points = 1e4 / (lots * float(LOT) * middle)
        yield Paid(
            split=made.cost * points - FEE * 1e4,
            singles={each.venue: cost(each, lots) * points - FEE * 1e4 for each in asked},
            halves=(cost(asked[0], lots // 2) + cost(asked[1], lots - lots // 2)) * points - FEE * 1e4,
            several=len(made.lots) > 1,
            late=late * points,
        )


def summary(paid: Sequence[Paid]) -> dict[str, float]:
    saved, late = np.array([each.saved for each in paid]), np.array([each.late for each in paid])
    rounded = {
        "best_single_bp": np.mean([min(each.singles.values()) for each in paid]),
        "split_bp": np.mean([each.split for each in paid]),
        **{f"{name}_bp": np.mean([each.singles[name] for each in paid]) for name in VENUES},
        "halves_bp": np.mean([each.halves for each in paid]),
        "saving_bp": saved.mean(),
        "saving_se_bp": _error(saved),
        "late_saving_bp": late.mean(),
        "late_saving_se_bp": _error(late),
        "split_share": np.mean([each.several for each in paid]),
    }
    return {name: round(float(value), 3) for name, value in rounded.items()}


def _error(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Standard error of the mean, from the means of blocks of seconds (two orders each)."""
    count = len(values) // (2 * BLOCK)
    blocks = values[: count * 2 * BLOCK].reshape(count, -1).mean(axis=1)
    return float(blocks.std(ddof=1) / np.sqrt(count))


def main() -> None:
    seconds = list(snapshots())
    paid = {size: list(orders(seconds, size)) for size in KNOTS.values()}
    every = [each for some in paid.values() for each in some]
    dearer = sum(each.saved < -1e-9 for each in every)
    by_size = {f"{size:.0f}": summary(some) for size, some in paid.items()}
    print(json.dumps({"seconds": len(seconds), "orders": len(every), "dearer": dearer, "by_size": by_size}))
    sys.exit(1 if dearer else 0)


if __name__ == "__main__":
    main()

"""A flood of quotes: 10,000 a second of two assets for ten minutes, with a book of 50 options hedged all the while.

The flood is dated by the machine's clock and put into the queue between feed and core; whenever the core is free it
takes what is first. A decision is due every second, its orders are filled, the journal is an SQLite file. Shown: that
the queue stays bounded, that memory is flat from the first tenth on, that no quote is lost but in another that stands
for it, and how old the market is that the core decides on.

Prints one JSON object as its last line: seconds, quotes, quotes_per_second, taken, merged, most_waiting, decisions,
p99_age_ms of a taken quote, memory_mib after the first tenth and at the end, and journal_mib. Exits with 1 where
quotes are lost, the queue is over its bound or memory grows by more than a tenth.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks.decision_latency import SPOTS, START, Session, settings
from serve.clock import SECOND
from serve.coalescing import MOST, Coalescing
from serve.events import DecisionDue, QuoteEvent
from serve.journal import Journal

RATE = 10_000  # quotes a second
DECIDED = 1  # seconds between decisions
GROWTH = 1.1  # of memory, at most


@dataclass
class Found:
    made: int = 0
    taken: int = 0
    merged: int = 0
    most: int = 0
    decisions: int = 0
    ages: list[int] = field(default_factory=list)


def flood(session: Session) -> Iterator[QuoteEvent]:
    """The assets in turn, each on a random walk; undated."""
    rng = np.random.default_rng(3)
    plain = {name: session.models[name].quote(START, spot) for name, spot in SPOTS.items()}
    factors = np.exp(np.cumsum(2e-6 * rng.standard_normal(1 << 20)))
    while True:
        for number, factor in enumerate(factors.tolist()):
            name = ("BTC", "ETH")[number % 2]
            spot = SPOTS[name] * factor
            yield replace(plain[name], spot=spot, low=spot, high=spot, mark=spot)


def flooded(session: Session, seconds: float) -> tuple[Found, list[float]]:
    """What came of it, and the memory in MiB after each tenth of the time."""
    queue, quotes, found, memory = Coalescing(), flood(session), Found(), list[float]()
    process, began = psutil.Process(), time.perf_counter()
    while (gone := time.perf_counter() - began) < seconds or len(queue):
        now = START + round(SECOND * gone)
        for _ in range(min(round(RATE * gone), round(RATE * seconds)) - found.made):
            queue.put(replace(next(quotes), time=now, quoted_at=now))
            found.made += 1
            found.most = max(found.most, len(queue))
        if gone > seconds * (len(memory) + 1) / 10:
            memory.append(process.memory_info().rss / 2**20)
        if len(queue):
            _taken(session, queue.take(), found, now)
    return found, [*memory, process.memory_info().rss / 2**20]


def _taken(session: Session, quote: object, found: Found, now: int) -> None:
    assert isinstance(quote, QuoteEvent)
    found.taken, found.merged = found.taken + 1, found.merged + quote.merged
    found.ages.append(now - quote.quoted_at)
    session.clock.wait_until(now)
    session.venue.spots[quote.asset] = Decimal(repr(quote.spot))
    session.runner.handle(quote)
    if now - START >= DECIDED * SECOND * (found.decisions + 1):
        session.runner.handle(DecisionDue(now))
        found.decisions += 1
        session.settle()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=600)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, closing(Journal(f"{folder}/journal.db")) as journal:
        session = Session(settings(), journal)
        found, memory = flooded(session, given.seconds)
        session.runner.flush()
        size = Path(folder, "journal.db").stat().st_size / 2**20
    shown = {
        "seconds": given.seconds,
        "quotes": found.made,
        "quotes_per_second": round(found.made / given.seconds),
        "taken": found.taken,
        "merged": found.merged,
        "most_waiting": found.most,
        "decisions": found.decisions,
        "p99_age_ms": round(float(np.percentile(found.ages, 99))),
        "memory_mib": [round(memory[0]), round(memory[-1])],
        "journal_mib": round(size),
        "state": session.runner.state.risk.name,
    }
    print(json.dumps(shown))
    whole = found.taken + found.merged == found.made and found.most <= MOST + 1
    sys.exit(0 if whole and memory[-1] <= GROWTH * memory[0] and math.isfinite(size) else 1)


if __name__ == "__main__":
    main()

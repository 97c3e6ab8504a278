"""Where quotes come from: recorded bars walked through their lows and highs, or a file of ticks that grows."""

from __future__ import annotations

import csv
import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from pandas import DatetimeIndex

from envs import funding, marks
from envs.history import load_bars, load_funding
from envs.types import BadInput
from serve.clock import DAY, SECOND, Clock, parse
from serve.coalescing import Coalescing
from serve.events import Event, Malformed, QuoteEvent
from serve.lines import Lines
from serve.market import Market, one

POLL = SECOND // 4  # between looks at a file that grows
OPENING = SECOND  # after a bar's start, so that its open comes after the last bar's close


@dataclass(frozen=True)
class Bar:
    start: int
    open: float
    high: float
    low: float
    close: float


Tick = QuoteEvent | Malformed


class Feed(Protocol):
    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        ...

    def next(self, until: int) -> Event | None:
        """The next one, waited for on the clock; None once the clock is at `until` or the feed ended."""
        ...


class QuoteModel:
    """Fills in what a record of prices lacks, by the same `marks` as the simulator, from the bars that it has seen."""

    def __init__(
        self, market: Market, asset: str, closes: tuple[float, ...], paid: Mapping[int, float] | None = None
    ) -> None:
        """`paid`: recorded funding per year by the day since 1970; on other days the calibrated mean stands."""
        self.asset, self._market, self._place = asset, market, market.assets[asset]
        self._memory, self._close = market.remembered(self._place, closes), closes[-1]
        self._spot = closes[-1]  # of the quote before
        self._calibration = market.calibrations[self._place]
        self._usual = float(funding.funding_rate(one(self._calibration.funding.mean_premium)))
        self._paid = {} if paid is None else paid

    def closed(self, close: float) -> None:
        """A bar ended."""
        self._memory = self._market.advanced(self._place, self._memory, self._close, close)
        self._close = close

    def quote(self, time: int, spot: float) -> QuoteEvent:
        """Its low and high: of the straight way from the quote before."""
        low, high = one(min(spot, self._spot)), one(max(spot, self._spot))
        filter, price, self._spot = self._market.filters[self._place], one(spot), spot
        rate = one(self._paid.get(time // DAY, self._usual))
        made = marks.quote(self._calibration, filter, self._memory, price, low, high, mark=price, funding_rate=rate)
        values: dict[str, Any] = {name: float(value) for name, value in vars(made).items()}
        return QuoteEvent(time=time, asset=self.asset, quoted_at=time, **values)


def walk(bar: Bar, length: int) -> tuple[tuple[int, float], ...]:
    """Time and price of open, both extremes and close; a bar that rose went low first, one that fell high first."""
    first, second = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
    return (
        (bar.start + OPENING, bar.open),
        (bar.start + length // 3, first),
        (bar.start + 2 * length // 3, second),
        (bar.start + length, bar.close),
    )


class Replay:
    """Recorded bars as timed quotes; the clock decides how fast they come."""

    def __init__(
        self, bars: Sequence[Iterable[Bar]], models: Sequence[QuoteModel], clock: Clock, length: int, after: int = 0
    ) -> None:
        """`bars` and `models`: one per asset. Quotes up to the time `after` were seen before a restart."""
        walks = [self._walked(own, model, length) for own, model in zip(bars, models, strict=True)]
        merged = heapq.merge(*walks, key=lambda quote: quote.time)
        self._quotes = (quote for quote in merged if quote.time > after)
        self._clock = clock
        self._ahead = next(self._quotes, None)

    @property
    def ended(self) -> bool:
        return self._ahead is None

    def next(self, until: int) -> Event | None:
        quote = self._ahead
        if quote is None or quote.time > until:
            return None
        self._clock.wait_until(quote.time)
        self._ahead = next(self._quotes, None)
        return quote

    @staticmethod
    def _walked(bars: Iterable[Bar], model: QuoteModel, length: int) -> Iterator[QuoteEvent]:
        for bar in bars:
            *inside, (end, close) = walk(bar, length)
            for time, price in inside:
                yield model.quote(time, price)
            model.closed(close)
            yield model.quote(end, close)


class Follow:
    """A CSV file with a header, to which someone else appends ticks: time, spot, and what else of a quote it has.

    A column `asset` names whose tick it is; without one all are the first asset's. A line that is no tick is told as
    such, and the next one read.
    """

    def __init__(
        self, path: Path, models: Mapping[str, QuoteModel], clock: Clock, bar: int, stop_at: int | None = None
    ) -> None:
        """`stop_at`: the clock's time at which to stop following; None follows until stopped."""
        self._lines, self._models, self._clock, self._bar, self._stop_at = Lines(path), models, clock, bar, stop_at
        self._header = list[str]()
        self._waiting = Coalescing()
        self._last: dict[str, QuoteEvent] = {}

    @property
    def ended(self) -> bool:
        return self._stop_at is not None and self._clock.now() >= self._stop_at and not len(self._waiting)

    def next(self, until: int) -> Event | None:
        while not len(self._waiting):
            if (now := self._clock.now()) >= until or self.ended:
                return None
            self._read(now)
            if not len(self._waiting):
                self._clock.wait_until(min(until, now + POLL))
        return self._waiting.take()

    def _read(self, now: int) -> None:
        """Line by line, so that a quotation mark which nothing closes spoils its own alone."""
        for line in self._lines.new():
            try:
                (row,) = csv.reader([line])
            except csv.Error as error:
                self._waiting.put(Malformed(now, self._lines.path.name, line, f"no tick ({error})"))
                continue
            if not self._header:
                self._header = row
            else:
                self._waiting.put(self._tick(dict(zip(self._header, row, strict=False)), now))

    def _tick(self, row: dict[str, str], now: int) -> Tick:
        try:
            asset = row.get("asset") or next(iter(self._models))
            model, quoted_at, spot = self._models[asset], parse(row["time"]), _price(row["spot"])
            self._roll_bar(asset, quoted_at)
            made = vars(model.quote(now, spot))
            given = {name: float(row[name]) for name in made if row.get(name) and name not in _NAMED}
            self._last[asset] = QuoteEvent(**{**made, **given, "quoted_at": quoted_at})
            return self._last[asset]
        except (KeyError, ValueError) as error:
            return Malformed(now, self._lines.path.name, repr(row), f"no tick ({error})")

    def _roll_bar(self, asset: str, quoted_at: int) -> None:
        """The model's memory advances when a tick is the first of a new bar."""
        last = self._last.get(asset)
        if last is not None and quoted_at // self._bar > last.quoted_at // self._bar:
            self._models[asset].closed(last.spot)


_NAMED = ("time", "spot", "asset")


def read_bars(path_or_name: str) -> list[Bar]:
    """Of `envs.history`: shipped bars by name, or a file's. Raises BadInput."""
    frame = load_bars(path_or_name).frame
    starts = (round(start.timestamp() * SECOND) for start in frame.index)
    prices = frame[["open", "high", "low", "close"]].itertuples(index=False)
    return [Bar(start, *map(float, row)) for start, row in zip(starts, prices, strict=True)]


def read_funding(path_or_name: str) -> dict[int, float]:
    """Per year, by the day since 1970. Raises BadInput."""
    rates = load_funding(path_or_name)
    days = (round(day.timestamp() * SECOND) // DAY for day in DatetimeIndex(rates.index))
    return dict(zip(days, map(float, rates), strict=True))


def split(bars: list[Bar], first: int, count: int, warmup: int, length: int) -> tuple[tuple[float, ...], list[Bar]]:
    """Closes that give `warmup` returns before `first`, and `count` bars from `first`. Raises BadInput."""
    starts = {bar.start: place for place, bar in enumerate(bars)}
    place = starts.get(first)
    if place is None or place < warmup + 1 or place + count > len(bars):
        raise BadInput(
            f"the record has no {count} bars from the time given with {warmup + 1} before it; "
            f"it has {len(bars)} bars: choose another start or fewer days"
        )
    span = bars[place - warmup - 1 : place + count]
    if any(after.start - before.start != length for before, after in pairwise(span)):
        raise BadInput("the record has a gap in the time asked for; choose another start")
    return tuple(bar.close for bar in bars[place - warmup - 1 : place]), bars[place : place + count]


def _price(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"price {text}")
    return value

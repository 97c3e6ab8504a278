"""The market that a rehearsal runs on: hours of real prices, made into steps, with a crowd that trades on credit.

Each hour's path runs through that hour's own open, low, high and close; between them it is a random bridge. All chance
comes from the seed, so that the same scenario gives the same commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import exp, log, sqrt
from random import Random

import pandas as pd

from envs.history import Bars, load_bars
from envs.types import BadInput
from serve.clock import HOUR, YEAR, show
from serve.rehearsal.types import Command, Fund, Move, Place, Transfer
from serve.rehearsal.views import Candle

CENT = Decimal("0.01")
BEFORE = 2_000  # hours before the start that are kept to be asked for
HALF_LIFE = 24  # hours, of the volatility that options are quoted at
PREMIUM = 1.08  # of that volatility over what was seen
HALF_SPREAD = 0.00008  # of a calm perpetual
BASIS, BASIS_HALF_LIFE = 0.0004, 4 * HOUR  # of the perpetual's premium: deviation, and how long it lasts
CALM = 0.001  # a move of a step that thins the book to a half
CROWD, NOTIONAL, LEVERAGE = 8, 400_000.0, (8.0, 24.0)
JOINING = 2  # hours between two who join the crowd


@dataclass(frozen=True, slots=True)
class Scenario:
    """`first` must be a whole hour in every asset's data; `data` as `envs.history.load_bars` takes it."""

    first: int  # milliseconds
    hours: int
    data: tuple[tuple[str, str], ...] = (("BTC", "btc"),)  # asset, its bars
    seed: int = 0
    step: int = 60_000  # milliseconds; a part of an hour, and no longer than `Rules.stale_after`
    depth: float = 5_000_000.0  # quote currency on each side of a calm perpetual


@dataclass(slots=True)
class _Asset:
    name: str
    bars: list[Candle]  # hourly
    draws: Random
    begun: int  # of the bars, where the scenario starts
    volatility: float = 0.0
    premium: float = 0.0
    price: float = 0.0


class Market:
    def __init__(self, scenario: Scenario, given: int = 0) -> None:
        """`given`: the time of the last command that was applied already, so that a restart goes on after it.

        Raises BadInput where the data does not cover the scenario.
        """
        self.starts, self._scenario = scenario.first, scenario
        draws = Random(scenario.seed)
        self._assets = [_asset(name, data, scenario, Random(draws.random())) for name, data in scenario.data]
        self._crowd = Random(draws.random())
        self._coming = (command for command in self._all() if command.time > given)
        self._next = next(self._coming, None)

    @property
    def ends(self) -> int:
        return self.starts + self._scenario.hours * HOUR

    def spots(self) -> dict[str, Decimal]:
        """Every asset's index at the start."""
        return {asset.name: asset.bars[asset.begun].open for asset in self._assets}

    def past(self, asset: str) -> Sequence[Candle]:
        """Hourly candles of the index before the start, oldest first."""
        found = next(each for each in self._assets if each.name == asset)
        return found.bars[: found.begun]

    def commands(self, until: int) -> Iterator[Command]:
        """Those to `until` that were not given yet; no two at one time."""
        while self._next is not None and self._next.time <= until:
            command, self._next = self._next, next(self._coming, None)
            yield command

    def _all(self) -> Iterator[Command]:
        for hour in range(self._scenario.hours):
            begun = self.starts + hour * HOUR
            paths = [_hour(asset, hour, HOUR // self._scenario.step) for asset in self._assets]
            for step in range(HOUR // self._scenario.step):
                now = begun + step * self._scenario.step
                for place, (asset, path) in enumerate(zip(self._assets, paths, strict=True)):
                    yield _move(asset, now + place, path[step], self._scenario)
                if step == 0:
                    yield Fund(now + len(paths))
                    yield from self._joined(hour, now + len(paths) + 1)

    def _joined(self, hour: int, now: int) -> Iterator[Command]:
        """Those who come on credit: most at the start, then one now and then."""
        for place in range(CROWD if hour == 0 else int(hour % JOINING == 0)):
            asset = self._crowd.choice(self._assets)
            notional = NOTIONAL * self._crowd.expovariate(1.0)
            name, money = f"crowd-{hour}-{place}", Decimal(notional / self._crowd.uniform(*LEVERAGE)).quantize(CENT)
            units = (Decimal(notional / asset.price).quantize(CENT) + CENT) * self._crowd.choice((1, -1))
            yield Transfer(now + 2 * place, name, "USDC", money)
            yield Place(now + 2 * place + 1, name, "", f"{asset.name}-PERP", units)


def _asset(name: str, data: str, scenario: Scenario, draws: Random) -> _Asset:
    bars = load_bars(data)
    first, hours = pd.Timestamp(scenario.first, unit="ms", tz="UTC"), pd.Timedelta(hours=1)
    wanted = bars.window(first - BEFORE * hours, first + (scenario.hours - 1) * hours)
    rows = _candles(wanted)
    begun = next((place for place, each in enumerate(rows) if each.time == scenario.first), len(rows))
    if bars.bar_hours != 1 or len(rows) - begun != scenario.hours:
        raise BadInput(
            f"{data}: no {scenario.hours} whole hours from {show(scenario.first)}; choose a time within the data"
        )
    asset = _Asset(name, rows, draws, begun, price=float(rows[begun].open))
    for each in rows[max(0, begun - 10 * HALF_LIFE) : begun]:
        _remember(asset, each)
    return asset


def _candles(bars: Bars) -> list[Candle]:
    times = pd.DatetimeIndex(bars.frame.index).as_unit("ms").asi8.tolist()
    columns = (bars.frame[each].round(2).tolist() for each in ("open", "high", "low", "close", "volume"))
    rows = zip(times, *columns, strict=True)
    return [Candle(time, *(Decimal(str(each)) for each in values)) for time, *values in rows]


def _remember(asset: _Asset, bar: Candle) -> None:
    """Volatility from the range of the bar, as Parkinson (1980) has it, smoothed."""
    seen = log(float(bar.high / bar.low)) ** 2 / (4 * log(2)) * YEAR / HOUR
    weight = 1 - 0.5 ** (1 / HALF_LIFE) if asset.volatility else 1.0
    asset.volatility = sqrt(asset.volatility**2 + weight * (seen - asset.volatility**2))


def _hour(asset: _Asset, hour: int, steps: int) -> list[float]:
    """The index at each step of an hour: it opens, meets its low and high in either order, and heads for its close."""
    bar = asset.bars[asset.begun + hour]
    low, high = float(bar.low), float(bar.high)
    first, second = sorted(asset.draws.sample(range(1, steps), 2)) if steps > 2 else (1, 1)
    ends = [low, high] if asset.draws.random() < 0.5 else [high, low]
    points = [(0, float(bar.open)), (first, ends[0]), (second, ends[1]), (steps, float(bar.close))]
    scale = log(high / low) / sqrt(4 * log(2) * steps)
    path = list[float]()
    for (begin, start), (stop, end) in pairwise(points):
        path += [min(high, max(low, each)) for each in _bridge(asset.draws, start, end, stop - begin, scale)]
    _remember(asset, bar)
    return path


def _bridge(draws: Random, start: float, end: float, steps: int, scale: float) -> Iterator[float]:
    """Prices at 0, 1, … steps - 1 of a path in log price from `start` to `end`, which it would reach at `steps`."""
    at = log(start)
    for left in range(steps, 0, -1):
        yield exp(at)
        at += (log(end) - at) / left + scale * sqrt((left - 1) / left) * draws.gauss(0, 1)


def _move(asset: _Asset, now: int, price: float, scenario: Scenario) -> Move:
    """A step; the book is thin and wide for as long as the market moves fast."""
    jump = abs(log(price / asset.price)) / CALM / sqrt(scenario.step / 60_000)
    kept = 0.5 ** (scenario.step / BASIS_HALF_LIFE)
    asset.premium = kept * asset.premium + sqrt(1 - kept**2) * BASIS * asset.draws.gauss(0, 1)
    asset.price = price
    return Move(
        *(now, asset.name, Decimal(price).quantize(CENT), asset.premium, HALF_SPREAD * (1 + jump)),
        *(scenario.depth / (1 + jump), max(0.1, PREMIUM * asset.volatility)),
    )

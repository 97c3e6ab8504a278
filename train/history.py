"""Real history after a model's calibration windows, as a world; the split is enforced here, not by care."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor

from envs import recording
from envs.calibration import Calibration
from envs.hedging import HedgingWorld
from envs.history import SHIPPED_BARS, SHIPPED_FUNDING, Array, Bars, funding_at, load_bars, load_funding
from envs.markets.bootstrap import BootstrapMarket
from envs.markets.replay import ReplayMarket
from envs.objective import Objective
from envs.observation import Observer
from envs.recording import Recording
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput

WARM_UP = 1500  # bars that the filters see before the first window
EVERY = 24  # bars between the starts of windows


@dataclass(frozen=True)
class Record:
    """Bars of every asset at the same times, of which the first WARM_UP only warm the filters."""

    bars: tuple[Bars, ...]
    funding_rates: tuple[Array, ...]  # of each asset (T,) per year
    forced: tuple[str, ...] = ()  # what would have been refused without force, in words

    @property
    def name(self) -> str:
        return " and ".join(each.name for each in self.bars)

    @property
    def index(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.bars[0].frame.index)

    @property
    def first(self) -> pd.Timestamp:
        return pd.Timestamp(self.index[WARM_UP])

    @property
    def last(self) -> pd.Timestamp:
        return pd.Timestamp(self.index[-1])

    @property
    def recording(self) -> Recording:
        return recording.of(self.bars, self.funding_rates, torch.float32, torch.device("cpu"))


@dataclass(frozen=True)
class Sources:
    """What to judge on. Without names: what ships of the assets that the market was calibrated on."""

    data: tuple[str, ...] = ()  # bars of each asset: "btc", "eth" or files
    funding: tuple[str, ...] = ()  # of each asset: "btc" or files; without one its calibrated mean stands
    first: str | None = None  # judged from there, ISO 8601; None: from WARM_UP bars after the calibration window
    last: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Past:
    """All that may be learned from: nothing later is within reach of whoever is given it."""

    bars: tuple[Bars, ...]
    funding_rates: tuple[pd.Series[float] | None, ...]


def past(every: Sequence[Bars], funding_rates: Sequence[pd.Series[float] | None], until: pd.Timestamp) -> Past:
    """The bars up to `until`, and the funding of the days that have ended with it. Raises BadInput without any."""
    bars = tuple(each.window(each.frame.index[0], until) for each in every)
    ended = until + pd.Timedelta(hours=bars[0].bar_hours) - pd.Timedelta(days=1)
    return Past(bars, tuple(None if rates is None else rates.loc[rates.index <= ended] for rates in funding_rates))


def calibrated(task: Task) -> tuple[Calibration, ...]:
    """What the task's market was calibrated to, one per asset; () for the literature's markets."""
    found: tuple[Calibration, ...] = getattr(task.market.settings, "assets", ())
    return found


def later(task: Task, sources: Sources, *others: Task) -> Record | None:
    """The history to judge the task on, after what `others` learned from too; None where nobody names any.

    Raises BadInput for bars of another asset than the market was calibrated on, but by force.
    """
    calibrations = calibrated(task)
    assets = [each.source.asset for each in calibrations]
    shipped = bool(assets) and all(asset in SHIPPED_BARS for asset in assets)
    names = sources.data or (tuple(assets) if shipped else ())
    if not names:
        return None
    if len(names) != len(assets):
        raise BadInput(f"--data: {len(names)} given for a market calibrated on {len(assets)} assets; give one each")
    every = [load_bars(name) for name in names]
    forced = tuple(_foreign(bars.name, asset) for bars, asset in zip(every, assets, strict=True) if bars.name != asset)
    if forced and not sources.force:
        raise BadInput(f"{forced[0]}; judge it on bars of that name, or --force")
    until = [each for one in (task, *others) for each in _learned_until(one)]
    found = after(calibrations, every, funding_of(names, sources.funding), sources, until)
    return Record(found.bars, found.funding_rates, (*forced, *found.forced))


def after(
    calibrations: Sequence[Calibration],
    every: Sequence[Bars],
    funding_rates: Sequence[pd.Series[float] | None],
    sources: Sources | None = None,
    until: Sequence[pd.Timestamp] = (),
) -> Record:
    """What follows all calibration windows and each of `until`; at the calibrated mean funding where none is recorded.

    Raises BadInput if too little follows, and for a window of `sources` that reaches into a calibration's, but by
    force. The WARM_UP bars before the window, which nothing is judged on, may lie there.
    """
    sources = Sources() if sources is None else sources
    for bars, calibration in zip(every, calibrations, strict=True):
        recording.check_length(bars, calibration)
    common = recording.aligned(every)
    start, forced = _start(common[0], max([*map(_end, calibrations), *until]), sources)
    index = common[0].frame.index
    kept = [bars.window(index[start - WARM_UP], index[-1] if sources.last is None else sources.last) for bars in common]
    if len(kept[0].frame) <= WARM_UP:
        raise BadInput(f"--to {sources.last} is before the window's first bar, {index[start]}; choose a later time")
    times = pd.DatetimeIndex(kept[0].frame.index)
    each = zip(funding_rates, calibrations, strict=True)
    rates = [
        np.full(len(times), recording.usual(c)) if f is None else funding_at(f, times, recording.usual(c))
        for f, c in each
    ]
    return Record(tuple(kept), tuple(rates), forced)


def world(observer: Observer, objective: Objective, record: Record, hedgers: int) -> tuple[HedgingWorld, Tensor]:
    """As `windows`, with each one's calendar quarter (P,), four to a year from the year 0.

    Windows overlap, so the quarter, three usual lives long, is what may be resampled.
    """
    made, starts = windows(observer, objective, record, hedgers)
    return made, quarters(starts)


def windows(
    observer: Observer, objective: Objective, record: Record, hedgers: int
) -> tuple[HedgingWorld, pd.DatetimeIndex]:
    """All windows of the record at their start, and when they start (P,). Raises BadInput where it has no whole one."""
    contract = observer.contract
    (unused,) = generators(0, 1)
    settings = ReplayMarket.Settings(assets=observer.calibrations)
    market = ReplayMarket(settings, contract.horizon, unused, torch.float32, unused.device, record.recording)
    places = market.whole_windows(contract.bars, EVERY)
    places = places[places >= WARM_UP]
    if not len(places):
        raise BadInput(f"{record.name}: no {contract.bars} bars in a row from {record.first}; choose a longer window")
    made = HedgingWorld(market, contract, objective, len(places), hedgers, unused)
    made.begin(*market.at(places))
    return made, record.index[places.numpy()]


def quarters(starts: pd.DatetimeIndex) -> Tensor:
    """(P,) int64."""
    return torch.tensor((starts.year * 4 + starts.quarter).to_numpy(), dtype=torch.int64)


def bootstrapped(observer: Observer, record: Record, generator: Generator) -> BootstrapMarket:
    """Blocks of the record's bars after the warm-up, drawn anew for every path."""
    kept = [bars.window(record.first, record.last) for bars in record.bars]
    rates = [rate[WARM_UP:] for rate in record.funding_rates]
    recorded = recording.of(kept, rates, torch.float64, torch.device("cpu"))
    settings = BootstrapMarket.Settings(assets=observer.calibrations)
    horizon = observer.contract.horizon
    return BootstrapMarket(settings, horizon, generator, torch.float32, generator.device, recorded)


def _start(bars: Bars, end: pd.Timestamp, sources: Sources) -> tuple[int, tuple[str, ...]]:
    """Row of the first judged bar, and what was forced."""
    index = bars.frame.index
    if sources.first is None:
        start = int(index.searchsorted(end, side="right")) + WARM_UP
        if len(index) - start < WARM_UP:
            count = len(index) - start + WARM_UP
            raise BadInput(
                f"{bars.name}: {count} bars after the calibration window's end, {end}; bring at least {2 * WARM_UP} "
                "later bars, or calibrate on an earlier window"
            )
        return start, ()
    start = int(index.searchsorted(bars.window(sources.first, index[-1]).frame.index[0]))
    if start < WARM_UP:
        raise BadInput(f"--from {sources.first}: {start} bars of {bars.name} before it, {WARM_UP} warm the filters")
    if index[start] > end:
        return start, ()
    overlap = f"the window from {sources.first} overlaps the model's training window, which ends {end}"
    if not sources.force:
        raise BadInput(f"{overlap}; choose a later --from, or --force")
    return start, (overlap,)


def _foreign(name: str, asset: str) -> str:
    return f"the bars are of {name}, the model was trained on a market of {asset}"


def _learned_until(task: Task) -> list[pd.Timestamp]:
    """The last bar of each calibration, and the last that the task's market itself replays, if it replays any."""
    ends, settings = [_end(each) for each in calibrated(task)], task.market.settings
    if isinstance(settings, recording.History):
        last = max(pd.Timestamp(load_bars(name).frame.index[-1]) for name in settings.names)
        ends.append(last if settings.last is None else min(last, utc(settings.last)))
    return ends


def _end(calibration: Calibration) -> pd.Timestamp:
    return utc(calibration.source.last)


def utc(time: str) -> pd.Timestamp:
    """ISO 8601; without zone it is UTC. Raises BadInput for what is no time."""
    try:
        found = pd.Timestamp(time)
    except ValueError:
        raise BadInput(f"{time!r} is no time; write it as 2022-03-01 or 2022-03-01T12:00") from None
    return found.tz_localize("UTC") if found.tzinfo is None else found.tz_convert("UTC")


def funding_of(names: Sequence[str], given: Sequence[str]) -> list[pd.Series[float] | None]:
    """Of each history: what was given for it, or what ships for it."""
    if given and len(given) != len(names):
        raise BadInput(f"--funding: {len(given)} given for {len(names)} histories; give one each, or none")
    chosen = list[str | None](given) or [name if name in SHIPPED_FUNDING else None for name in names]
    return [None if each is None else load_funding(each) for each in chosen]

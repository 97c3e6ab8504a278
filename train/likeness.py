"""A real market's record, records of its simulation at equal length, and how the two compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from envs.calibration import Calibration
from envs.history import Bars
from envs.markets.garch import GarchMarket
from envs.seeding import generators
from envs.types import Quote
from envs.volatility.memory import Filter, Memory
from train import fidelity, fitted, premium, ranges
from train.fidelity import Record, Target

Array = NDArray[Any]
Progress = Callable[[str], None]

PATHS, SEED = 64, 2718
BLOCK_HOURS = 720.0  # mean length of a bootstrap block: a month, as clusters of volatility last weeks
TOLD = 1000  # bars between reports of progress


@dataclass(frozen=True)
class Run:
    """What P simulated paths showed of one asset, (P, n) each but for the returns' own records."""

    records: list[Record]
    funding: Array  # per year
    implied: Array  # 30-day, per √year


@dataclass(frozen=True)
class Likeness:
    """Everything that the report shows of one asset."""

    calibration: Calibration
    real: Record
    run: Run
    daily: Array | None  # real mean funding of each day, per year
    targets: list[Target]


def judged(
    calibration: Calibration, bars: Bars, funding: pd.Series[float] | None, progress: Progress | None = None
) -> Likeness:
    """`bars` and daily `funding` (per year) beside PATHS simulations of the same length."""
    tell = progress or (lambda stage: None)
    tell("filtering the real record")
    real = of_history(calibration, bars)
    run = simulated(calibration, real, PATHS, tell)
    tell("resampling the real record")
    hours = bars.bar_hours
    statistics, core = fidelity.of_returns(hours), fidelity.core_of(hours)
    targets = fidelity.compared(real, run.records, statistics, core, BLOCK_HOURS / hours, SEED)
    paths = [record.log_return for record in run.records]
    targets += fitted.judged(real.log_return, paths, hours, BLOCK_HOURS / hours, SEED, tell)
    daily = None
    if funding is not None:
        rates = premium.window_of(funding, bars.frame.index[0], bars.frame.index[-1])
        daily = np.asarray(rates, dtype=np.float64)
        paths = [daily_mean(path, hours) for path in run.funding]
        targets += fidelity.compared(daily, paths, fidelity.of_funding(), set(), BLOCK_HOURS / 24, SEED)
    return Likeness(calibration, real, run, daily, targets)


@torch.inference_mode()
def of_history(calibration: Calibration, bars: Bars) -> Record:
    """The real record, seen by the same filter as the simulated ones."""
    returns, usable = bars.log_returns()
    filter = Filter(calibration, torch.float64, torch.device("cpu"), 1)
    memory, move = filter.initial(1), np.zeros(len(returns))
    chances = np.zeros((len(returns), len(filter.stationary)))
    for bar, log_return in enumerate(torch.from_numpy(returns)):
        chances[bar] = memory.probability[0].numpy()
        if usable[bar]:
            move[bar] = float(log_return / (filter.spot_variance(memory)[0] * filter.bar).sqrt())
            memory = filter.update(memory, log_return[None])
    price = {name: bars.frame[name].to_numpy(np.float64) for name in ("open", "high", "low")}
    known = ranges.recorded(bars)
    unknown = np.full(len(returns), np.nan)
    return Record(
        bar_hours=bars.bar_hours,
        log_return=returns,
        low=price["low"] / price["open"] - 1 if known else unknown,
        high=price["high"] / price["open"] - 1 if known else unknown,
        hour=pd.DatetimeIndex(bars.frame.index).hour.to_numpy(),
        move=move,
        era=chances[:, chances.shape[1] // 2 :].sum(axis=1),
    )


@torch.inference_mode()
def simulated(calibration: Calibration, like: Record, paths: int, tell: Progress) -> Run:
    """`paths` records of the calibrated market, as long as `like`."""
    (generator,) = generators(SEED, 1)
    settings = GarchMarket.Settings(assets=(calibration,))
    market = GarchMarket(settings, 1, generator, torch.float32, torch.device("cpu"))
    state, (memory,) = market.initial(paths)
    (quote,) = market.quote(state, (memory,))
    rows = np.empty((len(like), 7, paths), np.float32)
    for bar in range(len(like)):
        if bar % TOLD == 0:
            tell(f"simulating: {bar / len(like):.0%}")
        before, known = quote, memory
        state, (memory,), (quote,) = market.step(state, (known,))
        rows[bar] = _seen(market.filters[0], before, known, quote).numpy()
    return _run(rows, like)


@torch.inference_mode()
def returns(settings: GarchMarket.Settings, bars: int, paths: int, seed: int, tell: Callable[[str], None]) -> Array:
    """Log returns (bars, paths, assets) of the market of `settings`; `tell` hears which share is done."""
    (generator,) = generators(seed, 1)
    market = GarchMarket(settings, 1, generator, torch.float32, torch.device("cpu"))
    state, memories = market.initial(paths)
    before = torch.stack([quote.spot for quote in market.quote(state, memories)], -1)
    shown = np.empty((bars, paths, len(settings.assets)))
    for bar in range(bars):
        if bar % TOLD == 0:
            tell(f"{bar / bars:.0%}")
        state, memories, quotes = market.step(state, memories)
        spot = torch.stack([quote.spot for quote in quotes], -1)
        shown[bar], before = torch.log(spot / before).numpy(), spot
    return shown


def daily_mean(rate: Array, bar_hours: float) -> Array:
    """Mean of each day's three funding times, from the rate (n,) at each bar."""
    every = max(round(8 / bar_hours), 1)
    taken = rate[::every]
    return np.asarray(taken[: len(taken) // 3 * 3].reshape(-1, 3).mean(axis=1), dtype=np.float64)


def _seen(filter: Filter, old: Quote, memory: Memory, new: Quote) -> torch.Tensor:
    """(7, P) of one bar: return, low, high, standardised return, era, funding, implied volatility."""
    log_return = torch.log(new.spot / old.spot)
    return torch.stack(
        [
            log_return,
            new.low / old.spot - 1,
            new.high / old.spot - 1,
            log_return / (filter.spot_variance(memory) * filter.bar).sqrt(),
            memory.probability[:, memory.probability.shape[1] // 2 :].sum(-1),
            new.funding_rate,
            new.implied_volatility,
        ]
    )


def _run(rows: NDArray[np.float32], like: Record) -> Run:
    """From what `_seen` (n, 7, P) showed; the real record's hours."""
    by_path = np.ascontiguousarray(rows.transpose(2, 1, 0))
    records = []
    for path in by_path:
        log_return, low, high, move, era = (path[k].astype(np.float64) for k in range(5))
        records.append(Record(like.bar_hours, log_return, low, high, like.hour, move, era))
    return Run(records, by_path[:, 5].astype(np.float64), by_path[:, 6].astype(np.float64))

"""Real history after a model's calibration window, as a world; the split is enforced here, not by care."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from envs import recording
from envs.calibration import Calibration
from envs.hedging import HedgingWorld
from envs.history import Array, Bars, funding_at
from envs.markets.replay import ReplayMarket
from envs.objective import Objective
from envs.observation import Observer
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput

WARM_UP = 1500  # bars that the filters see before the first window
EVERY = 24  # bars between the starts of windows


@dataclass(frozen=True)
class Record:
    """Bars of which the first WARM_UP only warm the filters."""

    name: str
    bars: Bars
    funding_rate: Array  # (T,) per year

    @property
    def first(self) -> pd.Timestamp:
        return pd.Timestamp(self.bars.frame.index[WARM_UP])

    @property
    def last(self) -> pd.Timestamp:
        return pd.Timestamp(self.bars.frame.index[-1])


def calibrated(task: Task) -> tuple[Calibration, ...]:
    """What the task's market was calibrated to, one per asset; () for the literature's markets."""
    found: tuple[Calibration, ...] = getattr(task.market.settings, "assets", ())
    return found


def after(calibration: Calibration, bars: Bars, funding_rates: pd.Series[float]) -> Record:
    """What follows the calibration window, at its mean funding where none was recorded.

    Raises BadInput if too little follows.
    """
    recording.check_length(bars, calibration)
    end = pd.Timestamp(calibration.source.last)
    end = end.tz_localize("UTC") if end.tzinfo is None else end
    later = bars.frame.index > end
    if later.sum() < 2 * WARM_UP:
        raise BadInput(
            f"{bars.name}: {later.sum()} bars after the calibration window's end, {end}; "
            f"bring at least {2 * WARM_UP} later bars, or calibrate on an earlier window"
        )
    kept = bars.window(bars.frame.index[later][0], bars.frame.index[-1])
    return Record(
        bars.name, kept, funding_at(funding_rates, pd.DatetimeIndex(kept.frame.index), recording.usual(calibration))
    )


def world(observer: Observer, objective: Objective, record: Record, hedgers: int) -> tuple[HedgingWorld, Tensor]:
    """All windows of the record at their start, and each one's calendar quarter (P,), counted from 0.

    Windows overlap, so the quarter, three usual lives long, is what may be resampled. Raises BadInput for a book on
    several assets.
    """
    contract = observer.contract
    if len(observer.calibrations) > 1:
        raise BadInput(f"the book is on {len(observer.calibrations)} assets, {record.name} is one; judge books on one")
    (unused,) = generators(0, 1)
    recorded = recording.of([record.bars], [record.funding_rate], torch.float32, unused.device)
    settings = ReplayMarket.Settings(assets=observer.calibrations)
    market = ReplayMarket(settings, contract.horizon, unused, torch.float32, unused.device, recorded)
    places = market.whole_windows(contract.bars, EVERY)
    places = places[places >= WARM_UP]
    made = HedgingWorld(market, contract, objective, len(places), hedgers, unused)
    made.begin(*market.at(places))
    starts = pd.DatetimeIndex(record.bars.frame.index[places.numpy()])
    _, quarters = np.unique(starts.year * 4 + starts.quarter, return_inverse=True)
    return made, torch.from_numpy(quarters)

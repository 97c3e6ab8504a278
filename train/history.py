"""Real history after a model's calibration window, as a world; the split is enforced here, not by care."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from envs import funding
from envs.calibration import Calibration
from envs.hedging import HedgingWorld
from envs.history import Array, Bars, funding_at
from envs.markets.replay import ReplayMarket
from envs.objective import MeanShortfall
from envs.observation import Observer
from envs.seeding import generators
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


def after(calibration: Calibration, bars: Bars, funding_rates: pd.Series[float]) -> Record:
    """What follows the calibration window, at its mean funding where none was recorded.

    Raises BadInput if too little follows.
    """
    if bars.bar_hours != calibration.source.bar_hours:
        raise BadInput(
            f"{bars.name}: bars of {bars.bar_hours:g} h, but the market was calibrated on bars of "
            f"{calibration.source.bar_hours:g} h; bring bars of that length, or calibrate on these"
        )
    end = pd.Timestamp(calibration.source.last)
    end = end.tz_localize("UTC") if end.tzinfo is None else end
    later = bars.frame.index > end
    if later.sum() < 2 * WARM_UP:
        raise BadInput(
            f"{bars.name}: {later.sum()} bars after the calibration window's end, {end}; "
            f"bring at least {2 * WARM_UP} later bars, or calibrate on an earlier window"
        )
    kept = bars.window(bars.frame.index[later][0], bars.frame.index[-1])
    usual = float(funding.funding_rate(torch.tensor(calibration.funding.mean_premium, dtype=torch.float64)))
    return Record(bars.name, kept, funding_at(funding_rates, pd.DatetimeIndex(kept.frame.index), usual))


def world(observer: Observer, objective: MeanShortfall, record: Record, hedgers: int) -> tuple[HedgingWorld, Tensor]:
    """All windows of the record at their start, and each one's calendar quarter (P,), counted from 0.

    Windows overlap, so the quarter, three option lives long, is what may be resampled.
    """
    _, usable = record.bars.log_returns()
    spot = torch.tensor(record.bars.frame["close"].to_numpy(), dtype=torch.float32)
    rate = torch.from_numpy(record.funding_rate).float()
    market = ReplayMarket(observer.calibration, observer.filter, spot, torch.from_numpy(usable), rate)
    places = market.whole_windows(observer.contract.option_bars, EVERY)
    places = places[places >= WARM_UP]
    (unused,) = generators(0, 1)
    made = HedgingWorld(market, observer, objective, len(places), hedgers, unused)
    made.begin(*market.at(places))
    starts = pd.DatetimeIndex(record.bars.frame.index[places.numpy()])
    _, quarters = np.unique(starts.year * 4 + starts.quarter, return_inverse=True)
    return made, torch.from_numpy(quarters)

"""A crash on record as a stress scenario: the book lives through the days in which it really happened."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import pandas as pd
import torch
from torch import Generator, Tensor

from envs import recording
from envs.calibration import Calibration
from envs.contract import Contract
from envs.hedging import HedgingWorld
from envs.history import SHIPPED_BARS, SHIPPED_FUNDING, Array, Bars, funding_at, load_bars, load_funding
from envs.markets.replay import ReplayMarket
from envs.types import BadInput
from train.history import WARM_UP
from train.scenario import Scenario, Start

PATHS = 180  # windows at most, evenly apart


class Crash(Scenario):
    """Books opened one after the other, the crash between a quarter and three quarters of their life.

    Every asset of the book moves as `asset` did; where that one is among them, the others move by their own prices of
    those days, if they ship. The filters have seen what came before.
    """

    asset: ClassVar[str]
    worst: ClassVar[str]  # start of its worst bar, UTC

    def world(self, start: Start, hedgers: int, generator: Generator) -> HedgingWorld:
        """`hedgers` books in each window. Raises BadInput for bars of another length, and where the record is short."""
        task, calibrations = start.task, start.market.calibrations
        names, common = self.record(calibrations, task.contract.bars)
        rates = [_funding(*each) for each in zip(names, common, map(recording.usual, calibrations), strict=True)]
        recorded = recording.of(common, rates, torch.float32, generator.device)
        settings = ReplayMarket.Settings(assets=calibrations)
        market = ReplayMarket(settings, task.contract.horizon, generator, torch.float32, generator.device, recorded)
        places = self.places(_row(common[0], self.worst), task.contract, market)
        made = HedgingWorld(market, task.contract, task.objective, len(places), hedgers, generator)
        made.begin(*market.at(places))
        return made

    def record(self, calibrations: Sequence[Calibration], life: int) -> tuple[list[str], list[Bars]]:
        """Whose bars each asset moves by, and those around the crash, a `life` of bars on either side of it."""
        bars = _bars(self.asset)
        for each in calibrations:
            recording.check_length(bars, each)
        index, row = bars.frame.index, _row(bars, self.worst)
        ends = index[max(0, row - life - WARM_UP)], index[min(row + life, len(index) - 1)]
        assets = [each.source.asset for each in calibrations]
        own = self.asset in assets
        names = [asset if own and _covers(asset, *ends) else self.asset for asset in assets]
        return names, recording.aligned([_bars(name).window(*ends) for name in names])

    def places(self, row: int, contract: Contract, market: ReplayMarket) -> Tensor:
        """Rows where windows start, of a record whose worst bar is at `row`."""
        life = contract.bars
        wanted = torch.arange(row - 3 * life // 4, row - life // 4, max(1, life // (2 * PATHS)))
        found = wanted[torch.isin(wanted, market.whole_windows(life, 1))]
        if not len(found):
            raise BadInput(f"scenario {self.name}: the record has no whole window of {life} bars around {self.worst}")
        return found


def _row(bars: Bars, worst: str) -> int:
    return int(bars.frame.index.searchsorted(pd.Timestamp(worst, tz="UTC")))


def _covers(asset: str, first: pd.Timestamp, last: pd.Timestamp) -> bool:
    """Whether the asset's own prices ship from `first` to `last`."""
    if asset not in SHIPPED_BARS:
        return False
    index = _bars(asset).frame.index
    return bool(index[0] <= first and last <= index[-1])


@cache
def _bars(asset: str) -> Bars:
    return load_bars(asset)


def _funding(asset: str, bars: Bars, usual: float) -> Array:
    """(T,) per year, the usual one where none was recorded."""
    rates = load_funding(asset) if asset in SHIPPED_FUNDING else pd.Series([], index=pd.DatetimeIndex([], tz="UTC"))
    return funding_at(rates.astype(float), pd.DatetimeIndex(bars.frame.index), usual)

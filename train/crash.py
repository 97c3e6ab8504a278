"""A crash on record as a stress scenario: the book lives through the days in which it really happened."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import pandas as pd
import torch
from torch import Generator, Tensor

from envs import recording
from envs.contract import Contract
from envs.hedging import HedgingWorld
from envs.history import SHIPPED_FUNDING, Array, Bars, funding_at, load_bars, load_funding
from envs.markets.replay import ReplayMarket
from envs.types import BadInput
from train.history import WARM_UP
from train.scenario import Scenario, Start

PATHS = 180  # windows at most, evenly apart


class Crash(Scenario):
    """Books opened one after the other, the crash between a quarter and three quarters of their life.

    Every asset of the book moves as the recorded one did; the filters have seen what came before.
    """

    asset: ClassVar[str]
    worst: ClassVar[str]  # start of its worst bar, UTC

    def world(self, start: Start, hedgers: int, generator: Generator) -> HedgingWorld:
        """`hedgers` books in each window. Raises BadInput for bars of another length, and where the record is short."""
        task, bars = start.task, _bars(self.asset)
        calibrations = start.market.calibrations
        for each in calibrations:
            recording.check_length(bars, each)
        row = int(bars.frame.index.searchsorted(pd.Timestamp(self.worst, tz="UTC")))
        first, last = max(0, row - task.contract.bars - WARM_UP), row + task.contract.bars
        kept = bars.window(bars.frame.index[first], bars.frame.index[min(last, len(bars.frame) - 1)])
        rates = [_funding(self.asset, kept, recording.usual(each)) for each in calibrations]
        recorded = recording.of([kept] * len(calibrations), rates, torch.float32, generator.device)
        settings = ReplayMarket.Settings(assets=calibrations)
        market = ReplayMarket(settings, task.contract.horizon, generator, torch.float32, generator.device, recorded)
        places = self.places(row - first, task.contract, market)
        made = HedgingWorld(market, task.contract, task.objective, len(places), hedgers, generator)
        made.begin(*market.at(places))
        return made

    def places(self, row: int, contract: Contract, market: ReplayMarket) -> Tensor:
        """Rows where windows start, of a record whose worst bar is at `row`."""
        life = contract.bars
        wanted = torch.arange(row - 3 * life // 4, row - life // 4, max(1, life // (2 * PATHS)))
        found = wanted[torch.isin(wanted, market.whole_windows(life, 1))]
        if not len(found):
            raise BadInput(f"scenario {self.name}: the record has no whole window of {life} bars around {self.worst}")
        return found


@cache
def _bars(asset: str) -> Bars:
    return load_bars(asset)


def _funding(asset: str, bars: Bars, usual: float) -> Array:
    """(T,) per year, the usual one where none was recorded."""
    rates = load_funding(asset) if asset in SHIPPED_FUNDING else pd.Series([], index=pd.DatetimeIndex([], tz="UTC"))
    return funding_at(rates.astype(float), pd.DatetimeIndex(bars.frame.index), usual)

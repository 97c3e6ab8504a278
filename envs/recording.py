"""Recorded bars and funding of one or several assets, aligned in time, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from envs import funding
from envs.calibration import Calibration, Section
from envs.history import SHIPPED_FUNDING, Array, Bars, funding_at, load_bars, load_funding
from envs.types import BadInput


@dataclass(frozen=True)
class Recording:
    """T bars of A assets."""

    spot: Tensor  # (T, A) close, quote currency
    low: Tensor  # (T, A) since the close before
    high: Tensor  # (T, A)
    funding_rate: Tensor  # (T, A) per year
    usable: Tensor  # (T,) bool: whether all assets' returns into the bar may be used


class History(Section):
    """Which bars. A shipped history brings its shipped funding; where none is recorded, the calibrated mean stands."""

    assets: tuple[Calibration, ...] = Field(min_length=1)
    histories: tuple[str, ...] = ()  # "btc", "eth" or files, one per asset; (): what each asset was calibrated on
    funding: dict[str, str] = Field(default_factory=dict)  # of a history: "btc" or a file
    first: str | None = None  # ISO 8601, both ends included; None: all there is
    last: str | None = None

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if self.histories and len(self.histories) != len(self.assets):
            raise ValueError(
                f"histories has {len(self.histories)} entries for {len(self.assets)} assets; give one each"
            )
        if unknown := set(self.funding) - set(self.names):
            raise ValueError(f"funding names {', '.join(sorted(unknown))}, which is none of the histories")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return self.histories or tuple(asset.source.asset for asset in self.assets)

    def recording(self, dtype: torch.dtype, device: torch.device) -> Recording:
        """Raises BadInput for files that cannot be used, and for bars of another length than the calibration's."""
        every = [load_bars(name) for name in self.names]
        for bars, asset in zip(every, self.assets, strict=True):
            check_length(bars, asset)
        first, last = self.first or every[0].frame.index[0], self.last or every[0].frame.index[-1]
        common = aligned([bars.window(first, last) for bars in every])
        rates = [self._rate(*pair, common[0]) for pair in zip(self.names, self.assets, strict=True)]
        return of(common, rates, dtype, device)

    def _rate(self, name: str, asset: Calibration, bars: Bars) -> Array:
        times = pd.DatetimeIndex(bars.frame.index)
        source = self.funding.get(name, name if name in SHIPPED_FUNDING else None)
        recorded = None if source is None else load_funding(source)
        return np.full(len(times), usual(asset)) if recorded is None else funding_at(recorded, times, usual(asset))


def usual(asset: Calibration) -> float:
    """Funding per year at the calibrated mean premium."""
    return float(funding.funding_rate(torch.tensor(asset.funding.mean_premium, dtype=torch.float64)))


def check_length(bars: Bars, asset: Calibration) -> None:
    """Raises BadInput where the bars are not as long as those that the market was calibrated on."""
    if bars.bar_hours != asset.source.bar_hours:
        raise BadInput(
            f"{bars.name}: bars of {bars.bar_hours:g} h, but the market was calibrated on bars of "
            f"{asset.source.bar_hours:g} h; bring bars of that length, or calibrate on these"
        )


def of(every: Sequence[Bars], rates: Sequence[Array], dtype: torch.dtype, device: torch.device) -> Recording:
    """Of bars at the same times, one per asset, and their funding (T,) per year."""
    usable = np.logical_and.reduce([bars.log_returns()[1] for bars in every])
    columns = {name: np.stack([bars.frame[name].to_numpy() for bars in every], -1) for name in ("close", "low", "high")}
    before = np.concatenate([columns["close"][:1], columns["close"][:-1]])

    def tensor(values: Array) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    return Recording(
        spot=tensor(columns["close"]),
        low=tensor(np.minimum(columns["low"], before)),
        high=tensor(np.maximum(columns["high"], before)),
        funding_rate=tensor(np.stack(rates, -1)),
        usable=torch.tensor(usable, device=device),
    )


def aligned(every: Sequence[Bars]) -> list[Bars]:
    """The bars that all assets have, at the same times. Raises BadInput if fewer than two."""
    times = every[0].frame.index
    for bars in every[1:]:
        times = times.intersection(bars.frame.index)
    if len(times) < 2:
        names = ", ".join(bars.name for bars in every)
        raise BadInput(f"{names}: {len(times)} bars at the same times; choose histories and times that overlap")
    return [replace(bars, frame=bars.frame.loc[times]) for bars in every]

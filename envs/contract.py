"""What is hedged, on which clocks, at what cost: the settings of a hedging task."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from envs.calibration import NonNegative, Positive, Section
from envs.types import HOUR


class Contract(Section):
    """A short at-the-money call hedged with the perpetual; both clocks are counted in bars."""

    option_bars: int = Field(default=720, gt=0)  # life of the option: 30 days of hourly bars
    decision_bars: int = Field(default=4, gt=0)  # the hedge is decided every so many bars
    bar_hours: Positive = 1.0  # the filters advance once a bar
    notional: Positive = 1e6  # quote currency, of the option at its start
    lot_fraction: NonNegative = 1e-4  # the perpetual's lot over the option's base units; 0 trades any size
    fee_rate: NonNegative = 5e-4  # taker fee over the traded notional
    impact: NonNegative = 2e-4  # slippage of an order as large as the depth within 5 bps
    risk_aversion: Positive = 10.0  # γ·notional of the Zakamouline band that is the policy's unit; tuned

    @model_validator(mode="after")
    def _whole_decisions(self) -> Self:
        if self.option_bars % self.decision_bars:
            raise ValueError(f"decision_bars = {self.decision_bars} must divide option_bars = {self.option_bars}")
        return self

    @property
    def bar(self) -> float:
        """Years in a bar."""
        return self.bar_hours * HOUR

    @property
    def life(self) -> float:
        """Years in the option's life."""
        return self.option_bars * self.bar

    @property
    def decisions(self) -> int:
        return self.option_bars // self.decision_bars

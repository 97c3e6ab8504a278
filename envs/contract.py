"""What is hedged, with what, on which clocks, at what cost: the settings of a hedging task."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from envs.calibration import Finite, NonNegative, Positive, Section
from envs.costs import Execution
from envs.instrument import AnyInstrument, Instrument
from envs.instruments.option import Option
from envs.instruments.perpetual import Perpetual
from envs.margin import Margin
from envs.types import HOUR


class Claim(Section):
    """Held from the episode's start and not traded; `units` over the book's base units; a pair: drawn between."""

    instrument: AnyInstrument = Option()
    units: Finite | tuple[Finite, Finite] = -1.0  # negative: sold
    count: int = Field(default=1, gt=0)  # copies, each with its own draw


class Hedge(Section):
    """Traded at every decision. Options neutralise one greek, everything linear neutralises delta."""

    instrument: AnyInstrument = Perpetual()
    neutralises: Literal["gamma", "vega"] = "gamma"  # by an option
    lot_fraction: NonNegative = 1e-4  # lot over the book's base units; 0 trades any size
    execution: Execution = Execution()


class Target(Section):
    """Net greeks to steer to, over those of the book's base units: S·Γ for gamma, vega over S·√(30 days)."""

    delta: Finite = 0.0
    gamma: Finite = 0.0
    vega: Finite = 0.0


class Contract(Section):
    """A book of claims and the instruments that hedge it; both clocks are counted in bars.

    The base units of each asset's book are `notional` over its spot at the opening.
    """

    claims: tuple[Claim, ...] = Field(default=(Claim(),), min_length=1)
    hedges: tuple[Hedge, ...] = Field(default=(Hedge(),), min_length=1)
    bars: int = Field(default=720, gt=0)  # life of the book: 30 days of hourly bars
    decision_bars: int = Field(default=4, gt=0)  # the hedge is decided every so many bars
    bar_hours: Positive = 1.0  # the filters advance once a bar
    notional: Positive = 1e6  # quote currency, of each asset's book at its start
    target: Target = Target()
    margin: Margin = Margin()
    closing: Literal["market", "mark"] = "market"  # how hedges end with the book: sold, or taken at their mark for free
    numeraire: Literal["quote", "coin"] = "quote"  # "coin": profit and loss are counted in the first asset
    risk_aversion: Positive = 10.0  # γ·notional of the Zakamouline band that is the policy's unit; tuned
    greek_band: Positive = 0.5  # half-width of an option's band, in net greek as `Target` counts it; tuned

    @model_validator(mode="after")
    def _whole_decisions(self) -> Self:
        if self.bars % self.decision_bars:
            raise ValueError(f"decision_bars = {self.decision_bars} must divide bars = {self.bars}")
        if not any(hedge.instrument.linear for hedge in self.hedges):
            raise ValueError("hedges hold no perpetual, future or spot; add one, or delta cannot be hedged")
        if [h.instrument.linear for h in self.hedges] != sorted(h.instrument.linear for h in self.hedges):
            raise ValueError("hedges must list options before perpetuals, futures and spot, which trade after them")
        return self

    @model_validator(mode="after")
    def _tradable(self) -> Self:
        for hedge in self.hedges:
            if not (hedge.instrument.linear or isinstance(hedge.instrument, Option)):
                raise ValueError(f"a {hedge.instrument.kind} cannot hedge; use perpetuals, futures, spot or options")
        return self

    @model_validator(mode="after")
    def _whole_lives(self) -> Self:
        for claim in self.claims:
            if (longest := claim.instrument.longest) > self.bars:
                raise ValueError(f"claims of up to {longest} bars outlive the book's bars = {self.bars}; shorten them")
        for hedge in self.hedges:
            if hedge.instrument.ends_within(self.bars):
                raise ValueError(f"a hedging option may end before the book's bars = {self.bars}; lengthen its life")
        return self

    @property
    def bar(self) -> float:
        """Years in a bar."""
        return self.bar_hours * HOUR

    @property
    def life(self) -> float:
        """Years in the book's life."""
        return self.bars * self.bar

    @property
    def decisions(self) -> int:
        return self.bars // self.decision_bars

    @property
    def instruments(self) -> list[Instrument]:
        """Every claim's and every hedge's."""
        return [claim.instrument for claim in self.claims] + [hedge.instrument for hedge in self.hedges]

    @property
    def staged(self) -> bool:
        """Whether some claims may end before the book's life does."""
        return any(claim.instrument.ends_within(self.bars) for claim in self.claims)

    @property
    def horizon(self) -> int:
        """Bars to the last expiry that may be priced."""
        return max(self.bars, *(each.longest for each in self.instruments))

    @property
    def assets(self) -> int:
        """Assets that the book and its hedges touch."""
        return 1 + max(each.asset for each in self.instruments)

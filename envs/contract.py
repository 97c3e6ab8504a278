"""What is hedged, with what, on which clocks, at what cost: the settings of a hedging task."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from envs.calibration import Finite, NonNegative, Positive, Section
from envs.costs import Execution, Share
from envs.instrument import AnyInstrument, Instrument
from envs.instruments.option import Bars, Option
from envs.instruments.perpetual import Perpetual
from envs.margin import Margin
from envs.types import HOUR


def _is_empty(value: Any) -> bool:
    return not value


class Arrivals(Section):
    """A Poisson process: more copies of a claim that come in while the book lives, opened at the decisions."""

    rate: Positive  # copies a bar, on average
    opposite: Share = 0.5  # of them, on the other side than the claim's units: bought where those are sold


class Claim(Section):
    """Held from the episode's start and not traded; `units` over the book's base units; a pair: drawn between."""

    instrument: AnyInstrument = Option()
    units: Finite | tuple[Finite, Finite] = -1.0  # negative: sold
    arrivals: Arrivals | None = Field(default=None, exclude_if=_is_empty)
    count: int = Field(default=1, ge=0)  # copies at the start, each with its own draw

    @field_validator("count")
    @classmethod
    def _some(cls, count: int, info: ValidationInfo) -> int:
        if count == 0 and info.data.get("arrivals") is None:
            raise ValueError("count must be greater than 0 where no more arrive; raise it or drop the claim")
        return count

    def arriving(self, bars: int) -> int:
        """The most copies that `bars` bring: beyond five standard deviations the Poisson law is cut."""
        if self.arrivals is None:
            return 0
        mean = self.arrivals.rate * bars
        return math.ceil(mean + 5 * math.sqrt(mean) + 5)


class Hedge(Section):
    """Traded at every decision. Options neutralise one greek, everything linear neutralises delta.

    With `roll_bars` an option is listed anew every so many bars, and what was bought of those before stays to its
    expiry or the book's end; without, there is one for the book's whole life.
    """

    instrument: AnyInstrument = Perpetual()
    neutralises: Literal["gamma", "vega"] = "gamma"  # by an option
    lot_fraction: NonNegative = 1e-4  # lot over the book's base units; 0 trades any size
    execution: Execution = Execution()
    roll_bars: Bars | None = Field(default=None, exclude_if=_is_empty)
    towards_neutral: bool = Field(default=False, exclude_if=_is_empty)  # raw actions trade towards neutral, never past


class Target(Section):
    """Net greeks to steer to, over those of the book's base units: S·Γ for gamma, vega over S·√(30 days)."""

    delta: Finite = 0.0
    gamma: Finite = 0.0
    vega: Finite = 0.0


class Dial(Section):
    """A number of the task that the policy sees; between the ends geometric where both are positive, else linear."""

    low: Finite
    high: Finite
    value: Finite  # where the task stands

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.value <= self.high or self.low == self.high:
            raise ValueError(
                f"a dial needs low <= value <= high and a range, not {self.low}, {self.value}, {self.high}"
            )
        return self

    @property
    def place(self) -> float:
        """Of the value, from -1 at the low end to 1 at the high one."""
        if self.low > 0:
            return 2 * math.log(self.value / self.low) / math.log(self.high / self.low) - 1
        return 2 * (self.value - self.low) / (self.high - self.low) - 1

    def at(self, place: float) -> float:
        """The value at a place."""
        share = (place + 1) / 2
        return self.low * (self.high / self.low) ** share if self.low > 0 else self.low + share * (self.high - self.low)


class Contract(Section):
    """A book of claims and the instruments that hedge it; both clocks are counted in bars.

    The base units of each asset's book are `notional` over its spot at the opening. A `usual_loss` is over the
    notional; without it a usual premium stands for it, which is far from the losses of a book hedged with options.
    """

    claims: tuple[Claim, ...] = Field(default=(Claim(),), min_length=1)
    hedges: tuple[Hedge, ...] = Field(default=(Hedge(),), min_length=1)
    bars: int = Field(default=720, gt=0, le=100_000)  # life of the book: 30 days of hourly bars
    decision_bars: int = Field(default=4, gt=0)  # the hedge is decided every so many bars
    bar_hours: Positive = 1.0  # the filters advance once a bar
    notional: Positive = 1e6  # quote currency, of each asset's book at its start
    target: Target = Target()
    margin: Margin = Margin()
    closing: Literal["market", "mark"] = "market"  # how hedges end with the book: sold, or taken at their mark for free
    usual_loss: Positive | None = Field(default=None, exclude_if=_is_empty)  # the unit of losses that learning sees
    numeraire: Literal["quote", "coin"] = "quote"  # "coin": profit and loss are counted in the first asset
    risk_aversion: Positive = 10.0  # γ·notional of the Zakamouline band that is the policy's unit; tuned
    dials: dict[Literal["aversion", "cost", "target_delta"], Dial] = Field(default={}, exclude_if=_is_empty)
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
            longest = claim.instrument.longest
            late = "; some arrive late" if claim.arrivals is not None and longest > 0 else ""
            if (longest > self.bars or late) and self.closing == "market":
                raise ValueError(
                    f"claims of up to {longest} bars outlive the book's bars = {self.bars}{late}; shorten them, or set "
                    'closing = "mark"'
                )
        for hedge in self.hedges:
            if hedge.roll_bars is None and hedge.instrument.ends_within(self.bars):
                raise ValueError(f"a hedging option may end before the book's bars = {self.bars}; lengthen its life")
        return self

    @model_validator(mode="after")
    def _whole_listings(self) -> Self:
        for hedge in self.hedges:
            if (bars := hedge.roll_bars) is None:
                continue
            if hedge.instrument.linear:
                raise ValueError(f"roll_bars is for options; drop it from the {hedge.instrument.kind}")
            if self.bars % bars or bars % self.decision_bars:
                raise ValueError(
                    f"roll_bars = {bars} must divide bars = {self.bars} and be a multiple of decision_bars = "
                    f"{self.decision_bars}"
                )
            if hedge.instrument.ends_within(bars):
                raise ValueError(
                    f"a hedging option may end before the next is listed, {bars} bars on; lengthen its life"
                )
            if self.closing != "mark" or self.margin.mode != "none":
                raise ValueError('options listed anew are held to the end; set closing = "mark" and margin mode "none"')
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
        """Whether some claims, or listed hedges, may end before the book's life does."""
        short = any(claim.instrument.ends_within(self.bars) for claim in self.claims)
        return short or any(self.hedges[k].instrument.ends_within(self.bars) for k in self.rolling)

    @property
    def outlived(self) -> bool:
        """Whether some claims may outlive the book: they are taken at their mark."""
        late = any(claim.arrivals is not None and claim.instrument.longest > 0 for claim in self.claims)
        return late or any(claim.instrument.longest > self.bars for claim in self.claims)

    @property
    def ends_early(self) -> bool:
        """Whether the book's end is another matter than its claims' expiries."""
        return self.outlived or self.arriving

    @property
    def arriving(self) -> bool:
        """Whether claims come in while the book lives."""
        return any(claim.arrivals is not None for claim in self.claims)

    @property
    def rolling(self) -> tuple[int, ...]:
        """Places of the hedges that are listed anew."""
        return tuple(k for k, hedge in enumerate(self.hedges) if hedge.roll_bars is not None)

    @property
    def horizon(self) -> int:
        """Bars to the last expiry that may be priced."""
        return max(self.bars, *(each.longest for each in self.instruments))

    @property
    def assets(self) -> int:
        """Assets that the book and its hedges touch."""
        return 1 + max(each.asset for each in self.instruments)

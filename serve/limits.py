"""What may leave: every order is judged on the book as it would stand after the fill, orders in flight included.

A hard limit holds for everyone. A soft one may be passed, up to the hard one, once a named person has said so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import Enum
from typing import Annotated, Self

from pydantic import Field, model_validator

from envs.calibration import Section
from serve.clock import DAY, HOUR, SECOND

Positive = Annotated[Decimal, Field(gt=0)]
UNBOUNDED = Decimal("Infinity")
TICK = Decimal("1e-8")  # of prices: what is worth less is worth nothing


class Limit(Section):
    soft: Positive
    hard: Positive

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.soft > self.hard:
            raise ValueError(f"soft = {self.soft} is above hard = {self.hard}; swap them")
        return self

    def ramped(self, share: Decimal) -> Limit:
        """With so much of the soft limit; a person may lift it to the hard one as ever."""
        return Limit.model_construct(soft=self.soft * share, hard=self.hard)


class AssetLimits(Section):
    """On an asset's book and hedges together."""

    delta: Limit  # base units
    gamma: Limit  # base units per 1 % of spot
    vega: Limit  # quote currency per volatility point

    @property
    def hard(self) -> dict[str, Decimal]:
        """By greek."""
        return {name: limit.hard for name, limit in self}


class LegLimits(Section):
    order: Limit  # base units; a larger hedge goes out in slices
    position: Limit  # base units


class Deployment(Section):
    """Soft limits on orders, positions and notional begin small, and grow while the hedger runs well."""

    share: Annotated[Decimal, Field(gt=0, le=1)]  # of them to begin with
    days: Annotated[Decimal, Field(ge=0)]  # of bars that no breaker strained, until they are whole

    def grown(self, bars: int, bar: int) -> Decimal:
        """The share after so many good bars of `bar` milliseconds."""
        ran = Decimal(bars * bar) / DAY
        return Decimal(1) if ran >= self.days else self.share + (1 - self.share) * ran / self.days


class Limits(Section):
    """None has a default: a limit that nobody set is no limit."""

    assets: dict[str, AssetLimits]
    legs: dict[str, LegLimits]  # by symbol
    stress_loss: Limit  # quote currency, the worst of the settings' cases
    notional: Limit  # quote currency, of all hedges, long and short added
    order_value: Limit  # quote currency, of one order at the mark; a larger hedge goes out in slices
    deployment: Deployment
    collar: Decimal = Field(gt=0, lt=1)  # of the perpetual's mark, and of what is paid, around the oracle's price
    max_messages: int = Field(gt=0)  # orders within `per_seconds`
    per_seconds: int = Field(gt=0, le=HOUR // SECOND)  # the core remembers an hour
    override_seconds: int = Field(gt=0)  # that a person's override of a soft limit lasts


class Rule(Enum):
    """How strict the engine is with this order."""

    FREE = "free"
    SHRINKING = "only orders that shrink |risk|"
    UNWINDING = "only orders that shrink the position"
    CLOSED = "nothing but cancels"


@dataclass(frozen=True)
class Measure:
    """One limited number. `low` and `high`: in the worst case over orders in flight."""

    name: str  # such as delta:BTC
    low: Decimal
    high: Decimal
    each: Decimal  # its change with a unit bought
    soft: Decimal
    hard: Decimal
    risk: bool = False  # may not grow while shrinking
    already: Decimal = Decimal(0)  # as much as this is no more than there is, though it is beyond the bound

    def room(self, wanted: Decimal, bound: Decimal) -> Decimal:
        """Units of `wanted`'s sign until the bound on |measure| is met."""
        if self.each == 0:
            return UNBOUNDED
        bound, up = max(bound, self.already), (self.each > 0) == (wanted > 0)
        left = bound - self.high if up else bound + self.low
        return max(Decimal(0), left) / abs(self.each)


@dataclass(frozen=True)
class Exposure:
    """What an order for one leg meets."""

    symbol: str
    lot: Decimal
    position: Measure
    measures: tuple[Measure, ...]
    mark: Decimal  # of a unit
    largest: Limit  # order, base units
    value: Limit  # of an order, quote currency
    slice: Decimal  # the most that is sent at once for the market's sake, base units
    basis: Decimal | None  # |mark over the oracle's price − 1| of a linear leg
    sent: tuple[int, ...]  # when past orders left
    overridden: frozenset[str] = frozenset()  # soft limits that a person has lifted for now


@dataclass(frozen=True)
class Ruling:
    """What may be sent (0: denied), what was cut and why, and whether the rest is to be tried again soon."""

    units: Decimal
    reason: str
    again: bool = False
    collared: bool = False  # the oracle's price decided


def ruled(limits: Limits, wanted: Decimal, exposure: Exposure, rule: Rule, now: int) -> Ruling:
    """The part of `wanted` that may leave."""
    if rule is Rule.CLOSED:
        return Ruling(Decimal(0), f"halted: {rule.value}")
    if (reason := _held_up(limits, exposure, now)) is not None:
        return Ruling(Decimal(0), reason, again=True)
    if exposure.basis is not None and exposure.basis > limits.collar:
        words = f"mark is {exposure.basis:.2%} from the oracle's price, collar {limits.collar:.2%}"
        return Ruling(Decimal(0), words, again=True, collared=True)
    units, reason, again = wanted, "", False
    for bound, words, retried in _bounds(limits, wanted, exposure, rule):
        if abs(units) > bound:
            units, reason, again = _down(bound, exposure.lot).copy_sign(wanted), words, retried
    return Ruling(units, reason, again)


def recent(limits: Limits, sent: tuple[int, ...], now: int) -> tuple[int, ...]:
    """The sendings that still count against the rate."""
    return tuple(at for at in sent if now - at < limits.per_seconds * SECOND)


def _held_up(limits: Limits, exposure: Exposure, now: int) -> str | None:
    if len(recent(limits, exposure.sent, now)) >= limits.max_messages:
        return f"{limits.max_messages} orders were sent within {limits.per_seconds} s, the limit"
    if exposure.mark < TICK:
        return f"{exposure.symbol} is worth nothing"
    return None


def _bounds(limits: Limits, wanted: Decimal, exposure: Exposure, rule: Rule) -> Iterator[tuple[Decimal, str, bool]]:
    """Sizes that the order may not exceed, why, and whether more may go soon."""
    yield exposure.slice, f"sliced to {exposure.slice:f}", True
    size = Measure(f"order:{exposure.symbol}", Decimal(0), Decimal(0), Decimal(1), *_pair(exposure.largest))
    value = Measure("order_value", Decimal(0), Decimal(0), exposure.mark, *_pair(exposure.value))
    for measure in (size, value, exposure.position, *exposure.measures):
        lifted = measure.name in exposure.overridden
        bound, kind = (measure.hard, "hard") if lifted else (measure.soft, "soft")
        room = measure.room(wanted, bound)
        retried = measure in (size, value) or measure.name == "stress_loss"  # which the market moves too
        yield room, f"{kind} limit {measure.name} is {bound:f}", retried
    if rule is Rule.SHRINKING:
        for measure in exposure.measures:
            if measure.risk:
                yield measure.room(wanted, Decimal(0)), f"{rule.value}: {measure.name}", False
    if rule is Rule.UNWINDING:
        yield exposure.position.room(wanted, Decimal(0)), f"{rule.value}: {exposure.symbol}", False


def _pair(limit: Limit) -> tuple[Decimal, Decimal]:
    return limit.soft, limit.hard


def _down(size: Decimal, lot: Decimal) -> Decimal:
    return (size / lot).to_integral_value(ROUND_DOWN) * lot

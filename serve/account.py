"""A margin account at a venue as the venue tells it, and how far the market may move until the venue closes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal


@dataclass(frozen=True)
class Held:
    """One asset in an account: positions, and coin collateral after its haircut, net."""

    asset: str
    delta: Decimal  # base units
    requirement: Decimal  # maintenance, quote currency


@dataclass(frozen=True)
class MarginAccount:
    venue: str
    equity: Decimal  # quote currency, haircuts taken
    holds: tuple[Held, ...]
    positions: tuple[tuple[str, Decimal], ...]  # symbol and units of our legs

    def moved(self, before: Mapping[str, float], now: Mapping[str, float]) -> MarginAccount:
        """At the spots of now: worth by its deltas what it gained since, and maintenance in step with the spot."""
        ratios = {each.asset: Decimal(now[each.asset] / before[each.asset]) for each in self.holds}
        gains = (each.delta * Decimal(before[each.asset]) * (ratios[each.asset] - 1) for each in self.holds)
        holds = tuple(replace(each, requirement=each.requirement * ratios[each.asset]) for each in self.holds)
        return replace(self, equity=self.equity + sum(gains, Decimal(0)), holds=holds)


@dataclass(frozen=True)
class Cushion:
    """How far from liquidation an account is: fraction of spot, quote currency."""

    account: str
    distance: float
    steepness: float  # lost per unit of that move; times the distance, what is left above maintenance
    requirement: float  # maintenance now
    positions: Mapping[str, Decimal]  # of our legs that it carries, by symbol

    @property
    def equity(self) -> float:
        return self.distance * self.steepness + self.requirement

    def missing(self, distance: float, times: float = 1.0) -> float:
        """Collateral with which it would be as far as that with so many times its positions; negative: to spare."""
        return times * (self.requirement + distance * self.steepness) - self.equity

    def kept(self, distance: float) -> float:
        """Times its positions that its equity carries at `distance`."""
        return self.equity / (self.requirement + distance * self.steepness)


def cushion(account: MarginAccount, spots: Mapping[str, float]) -> Cushion:
    """Against the worst of these moves: each asset alone, and all together, up or down; so what offsets nets, as far as
    it holds when the other stands still.

    Along a move x every asset's equity gains delta·spot·x and its maintenance grows by the share x, so the account is
    closed at x = (equity − maintenance) / Σ (maintenance − delta·spot), over the assets that move.
    """
    required = float(sum((each.requirement for each in account.holds), Decimal(0)))
    tilts = [float(each.requirement) - float(each.delta) * spots[each.asset] for each in account.holds]
    steepness = max((abs(tilt) for tilt in (*tilts, sum(tilts))), default=0.0)
    free = max(0.0, float(account.equity) - required)
    distance = free / steepness if steepness > 0 else math.inf
    return Cushion(account.venue, distance, steepness, required, dict(account.positions))

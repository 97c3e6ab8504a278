"""The settings of a venue that is made of several."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from envs.calibration import Finite, NonNegative, Positive, Section, Volatility
from serve.clock import HOUR
from serve.router.costs import Horizon
from serve.router.health import Rules
from serve.venues.settings import ExchangeSettings

MOST = 8  # venues of one leg: every set of them may be tried
VenueName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,15}$")]


class Route(Section):
    """One leg at one venue."""

    taker: Finite  # fee, fraction of the notional; a rebate is negative
    maker: Finite
    gas: NonNegative = 0.0  # quote currency per order


class Routing(Section):
    """Several exchanges as one venue. A leg is traded at the venues that its routes name, by leg and then by venue.

    `volatility`: per √year, of a price while an order is on its way. `capital`: per year, fraction of the notional by
    which an order makes a venue's position larger.
    """

    opening: ClassVar[str] = "serve.router.opening"
    name: Literal["routed"]
    venues: dict[VenueName, ExchangeSettings] = Field(min_length=1)  # the first lists volatilities and warms filters up
    routes: dict[str, dict[VenueName, Route]]
    seed: int = Field(default=0, ge=0)  # of a paper desk whose book is hedged here
    health: Rules
    book_seconds: Positive  # older, a book is not traded on
    outage_seconds: Positive  # so long a venue that is out stands in reports as it last told
    holding_hours: Positive  # that a hedge is held
    basis_half_life_hours: Positive  # in which a mark comes half-way to its index
    margin_use: float = Field(gt=0, le=1)  # maintenance over equity, from which on no position there is made larger
    volatility: Volatility
    capital: NonNegative

    @model_validator(mode="after")
    def _peopled(self) -> Self:
        for leg, venues in self.routes.items():
            if not 1 <= len(venues) <= MOST:
                raise ValueError(f"routes.{leg} names {len(venues)} venues; name 1 to {MOST}")
            if unknown := [venue for venue in venues if venue not in self.venues]:
                raise ValueError(f"routes.{leg}.{unknown[0]} is no venue; have {', '.join(self.venues)}")
        return self

    @property
    def exchanges(self) -> tuple[ExchangeSettings, ...]:
        """Every one that is traded on."""
        return tuple(self.venues.values())

    @property
    def horizon(self) -> Horizon:
        return Horizon(self.holding_hours * HOUR, self.volatility, self.capital)

    def kept(self, expiry: int | None, now: int) -> float:
        """Share of a mark's distance from its index that is left when the hedge ends.

        It decays by half in each half-life; a dated future's vanishes evenly until its expiry (milliseconds).
        """
        holding = self.holding_hours * HOUR
        if expiry is None:
            return math.exp2(-self.holding_hours / self.basis_half_life_hours)
        return max(0.0, 1 - holding / max(1, expiry - now))

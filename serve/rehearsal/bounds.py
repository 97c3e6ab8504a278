"""The limits once more, from the journal alone: at what price an order left, and what it might make of the book.

Nothing of the limiter is used. The book is priced by Black–Scholes at the volatility that is listed nearest, where the
limiter has a surface, so that a bound is broken by more than `SLACK`. What is settled in coin, an option leg or a
liquidity position is priced nowhere here: of a book with one, only prices and notional are measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from math import log, sqrt
from statistics import NormalDist, median
from typing import cast

from serve.clock import SECOND, YEAR
from serve.commands import SubmitOrder
from serve.config import ServeConfig
from serve.events import (
    Absent,
    BookSettled,
    BookTraded,
    Cancelled,
    Event,
    Filled,
    QuoteEvent,
    Rejected,
    SourcePrice,
    SurfaceQuote,
)
from serve.holding import Holding
from serve.venues.settings import ExchangeSettings

SLACK = 1.02  # of greeks, losses and notional
ROUNDING = 1e-6  # of prices
CDF = NormalDist().cdf


@dataclass
class Bounds:
    """What is known of the market, the book and the hedges as the journal goes on."""

    config: ServeConfig
    held: Mapping[str, Decimal]  # by leg, as somebody keeps it
    quotes: dict[str, QuoteEvent] = field(default_factory=dict)
    sources: dict[tuple[str, str], SourcePrice] = field(default_factory=dict)
    surfaces: dict[str, SurfaceQuote] = field(default_factory=dict)
    book: dict[str, Holding] = field(default_factory=dict)
    open: dict[str, SubmitOrder] = field(default_factory=dict)  # orders that may still fill
    left: dict[str, Decimal] = field(default_factory=dict)  # of each of them

    def told(self, event: Event) -> None:
        """One that was acted on; a fill, once."""
        if isinstance(event, QuoteEvent):
            self.quotes[event.asset] = event
        elif isinstance(event, SourcePrice):
            self.sources[event.asset, event.source] = event
        elif isinstance(event, SurfaceQuote):
            self.surfaces[event.asset] = event
        elif isinstance(event, BookTraded):
            own = self.book.get(event.holding.id)
            units = event.holding.units + (Decimal(0) if own is None else own.units)
            self.book[event.holding.id] = Holding(**{**vars(event.holding), "units": units})
        elif isinstance(event, BookSettled):
            self.book.pop(event.holding, None)
        else:
            self._answered(event)

    def sent(self, order: SubmitOrder) -> Iterator[str]:
        """What limit the order goes beyond, with all that may still fill on its side."""
        self.open[order.order], self.left[order.order] = order, order.units
        if order.symbol in self._linear:
            yield from self._price(order)
            yield from self._notional(order)
        if self._plain:
            yield from self._delta(order)
            yield from self._stress(order)

    def worth(self, asset: str, now: int) -> float:
        """The median of what is fresh and near; the exchange's own index where that is no quorum."""
        rules, quote = self.config.oracle, self.quotes[asset]
        own = rules.assets[asset]
        heard = [each for (name, source), each in self.sources.items() if name == asset and source in own.names]
        said = [(quote.spot, quote.quoted_at), *((each.price, each.quoted_at) for each in heard)]
        fresh = [price for price, at in said if now - at <= rules.stale_seconds * SECOND]
        near = [price for price in fresh if abs(log(price / median(fresh))) <= rules.deviation]
        return median(near) if len(near) >= own.quorum else quote.spot

    def _answered(self, event: Event) -> None:
        if isinstance(event, Filled) and event.order in self.open:
            self.left[event.order] -= event.units
            if self.left[event.order] == 0:
                del self.open[event.order]
        elif isinstance(event, Rejected | Cancelled):
            self.open.pop(event.order, None)
        elif isinstance(event, Absent) and event.order in self.open and event.time > self.open[event.order].expires_at:
            del self.open[event.order]

    def _price(self, order: SubmitOrder) -> Iterator[str]:
        worth, sign = self.worth(self._asset(order.symbol), order.time), 1 if order.units > 0 else -1
        beyond = sign * (float(order.limit) / worth - 1) - float(self.config.limits.collar)
        if beyond > ROUNDING:
            yield f"limit: {order.order} at {order.limit} is beyond the collar around {worth:.2f}"

    def _notional(self, order: SubmitOrder) -> Iterator[str]:
        """Of the linear legs."""
        worst = {leg: max(abs(self._after(leg, side)) for side in (1, -1)) for leg in self._linear}
        found = sum(units * self._mark(leg) for leg, units in worst.items())
        sign = 1 if order.units > 0 else -1
        grows = sign * self._after(order.symbol, sign) > 0
        if grows and found > SLACK * float(self.config.limits.notional.hard):
            yield f"limit: {order.order} makes the notional {found:.2f}"

    def _delta(self, order: SubmitOrder) -> Iterator[str]:
        asset, sign = self._asset(order.symbol), 1 if order.units > 0 else -1
        found = sum(self._after(leg, sign) for leg in self._legs(asset))
        found += sum(self._priced(each, order.time)[1] for each in self.book.values() if each.asset == asset)
        if sign * found > SLACK * float(self.config.limits.assets[asset].delta.hard):
            yield f"limit: {order.order} makes the delta {found:.4f} {asset}"

    def _stress(self, order: SubmitOrder) -> Iterator[str]:
        """In the cases that the order makes worse; other assets at their worst."""
        asset, limit = self._asset(order.symbol), SLACK * float(self.config.limits.stress_loss.hard)
        others = sum(max(self._losses(each, order.time).values()) for each in self.quotes if each != asset)
        for (move, level), loss in self._losses(asset, order.time).items():
            if float(order.units) * move < 0 and loss + others > limit:
                yield f"limit: {order.order} makes the loss at {move:+} and {level:+} {loss + others:.2f}"
                return

    def _losses(self, asset: str, now: int) -> dict[tuple[float, float], float]:
        """In each case of stress, whatever of the orders fills; less than 0 is a gain."""
        cases, own = self.config.stress, [each for each in self.book.values() if each.asset == asset]
        calm = sum(self._priced(each, now)[0] for each in own)
        found = {}
        for move, level in product(cases.spot, cases.volatility):
            moved = sum(self._priced(each, now, move, level)[0] for each in own)
            legs = sum(self._after(leg, -1 if move > 0 else 1) * self._mark(leg) for leg in self._legs(asset))
            found[move, level] = calm - moved - legs * move
        return found

    def _priced(self, held: Holding, now: int, move: float = 0.0, level: float = 0.0) -> tuple[float, float]:
        """Worth and delta, so much later in spot and volatility. Black and Scholes (1973), without interest."""
        spot, units = self.quotes[held.asset].spot * (1 + move), float(held.units)
        if held.kind != "option":
            return units * spot, units
        strike, sign = float(held.strike or 0), 1 if held.right == "call" else -1
        deviation = self._volatility(held) * (1 + level) * sqrt(max((held.expiry or 0) - now, 1) / YEAR)
        d1 = log(spot / strike) / deviation + deviation / 2
        delta = sign * CDF(sign * d1)
        return units * (spot * delta - strike * sign * CDF(sign * (d1 - deviation))), units * delta

    def _volatility(self, held: Holding) -> float:
        """As listed nearest in time, then in strike; as quoted where nothing is."""
        surface = self.surfaces.get(held.asset)
        if surface is None or not surface.points:
            return self.quotes[held.asset].implied_volatility
        expiry, strike = held.expiry or 0, held.strike or 0.0
        return min(surface.points, key=lambda point: (abs(point[0] - expiry), abs(point[1] - strike)))[2]

    def _after(self, leg: str, sign: int) -> float:
        """The most, or least, of a leg, whatever fills."""
        may = (self.left[name] for name, each in self.open.items() if each.symbol == leg)
        return float(self.held.get(leg, 0) + sum((units for units in may if units * sign > 0), Decimal(0)))

    def _mark(self, leg: str) -> float:
        return self.quotes[self._asset(leg)].mark

    def _legs(self, asset: str) -> list[str]:
        return [leg for leg in self._linear if self._asset(leg) == asset]

    def _asset(self, leg: str) -> str:
        """Whose perpetual is of the same base."""
        base = self._venue.symbols[leg].split("/")[0]
        return next(asset for asset, symbol in self._venue.quotes.items() if symbol.split("/")[0] == base)

    @property
    def _venue(self) -> ExchangeSettings:
        return cast(ExchangeSettings, self.config.venue)

    @property
    def _linear(self) -> list[str]:
        """Legs; one of options has a strike, or no symbol until it is listed."""
        return [leg.symbol for leg in self.config.legs if leg.strike is None and leg.symbol in self._venue.symbols]

    @property
    def _plain(self) -> bool:
        """Whether everything held can be priced here."""
        known = all(each.settlement == "cash" and each.kind != "liquidity_position" for each in self.book.values())
        return known and len(self._linear) == len(self.config.legs)

"""Which venues an order goes to, and how much of it to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from serve.clock import SECOND
from serve.commands import SubmitOrder
from serve.ledger import ZERO
from serve.router.books import Nature, Snapshot
from serve.router.costs import Terms, Want, offer, resting
from serve.router.health import Health
from serve.router.settings import Routing
from serve.router.split import split

Shares = dict[str, Decimal]  # units by venue; none that gets nothing


@dataclass(frozen=True)
class Sight:
    """What is known of the venues when an order is to go."""

    health: Mapping[str, Health]
    books: Mapping[str, Snapshot]  # of the order's leg, where there is one
    natures: Mapping[str, Nature]  # of what the leg trades, by venue
    held: Mapping[str, Mapping[str, Decimal]]  # by venue and leg
    margin_use: Mapping[str, float]  # maintenance over equity, by venue


@dataclass(frozen=True)
class Routes:
    settings: Routing
    lots: Mapping[str, Decimal]  # by leg, base units

    def venues(self, leg: str) -> tuple[str, ...]:
        """That trade a leg."""
        return tuple(self.settings.routes.get(leg, ()))

    def fresh(self, book: Snapshot | None, now: int) -> bool:
        return book is not None and now - book.time <= self.settings.book_seconds * SECOND

    def shares(self, order: SubmitOrder, sight: Sight) -> Shares | str:
        """What each venue gets of an order; nothing where the books reach no lot within its limit.

        An order goes whole to the only venue that can take it, whatever its book shows, and one that rests to
        the cheapest. Where all are out, all are tried: an unhedged book is the greater risk. In words why, where no
        venue can take it.
        """
        reasons = {venue: self._closed(order, venue, sight) for venue in self.venues(order.symbol)}
        venues = [venue for venue, reason in reasons.items() if reason is None]
        if not venues:
            found = "; ".join(f"{venue}: {reason}" for venue, reason in reasons.items())
            return f"no venue takes {order.symbol}: {found or 'none is named for it'}"
        venues = [venue for venue in venues if sight.health[venue].well] or venues
        if len(venues) == 1:
            return {venues[0]: self._most(order, venues[0], sight)}
        lot = self.lots[order.symbol]
        want = Want(order.units > 0, order.limit, lot, order.reduce_only)
        terms = [self._terms(order, venue, sight) for venue in venues]
        if order.post_only:
            cheapest = min(terms, key=lambda each: resting(each, sight.books[each.venue], self.settings.horizon, want))
            return {cheapest.venue: order.units}
        offers = [offer(each, sight.books[each.venue], self.settings.horizon, want, order.time) for each in terms]
        lots = split(offers, int(abs(order.units) / lot)).lots
        return {venue: want.sign * count * lot for venue, count in lots.items()}

    def _closed(self, order: SubmitOrder, venue: str, sight: Sight) -> str | None:
        """Why an order is not for a venue, in words. One that is meant for a venue goes there, book or none."""
        if order.venue not in ("", venue):
            return f"the order is for {order.venue}"
        most = self._most(order, venue, sight)
        if most == 0 or (order.post_only and most != order.units):
            return f"{-most} of it may be sold"
        if order.venue:
            return None
        if len(self.venues(order.symbol)) > 1 and not self.fresh(sight.books.get(venue), order.time):
            return "no fresh book"
        if order.reduce_only and sight.held[venue].get(order.symbol, ZERO) * order.units >= 0:
            return "nothing to reduce"
        return None

    def _most(self, order: SubmitOrder, venue: str, sight: Sight) -> Decimal:
        """How many of an order's units a venue may get: of a spot no more is sold than is held there."""
        if order.units > 0 or not sight.natures[venue].spot:
            return order.units
        lot = self.lots[order.symbol]
        return max(order.units, -(max(ZERO, sight.held[venue].get(order.symbol, ZERO)) // lot * lot))

    def _terms(self, order: SubmitOrder, venue: str, sight: Sight) -> Terms:
        """A venue that was not measured yet is taken to be as slow as it may be."""
        settings, measured = self.settings, sight.health[venue].latency.mean
        route, nature = settings.routes[order.symbol][venue], sight.natures[venue]
        return Terms(
            venue=venue,
            fee=route.maker if order.post_only else route.taker,
            gas=route.gas,
            latency=settings.health.latency if measured is None else measured,
            kept=settings.kept(nature.expiry, order.time),
            held=sight.held[venue].get(order.symbol, ZERO),
            grows=sight.margin_use[venue] < settings.margin_use and not (nature.spot and order.units < 0),
        )

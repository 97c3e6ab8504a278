"""What is known of each venue: how well it does, and what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from serve.events import (
    BalanceReport,
    Deleveraged,
    Event,
    Malformed,
    OutcomeUnknown,
    PositionsReport,
    Rejected,
    VenueTime,
)
from serve.ledger import ZERO
from serve.router.health import Health, Rules


class Standing:
    def __init__(self, venues: Iterable[str], rules: Rules) -> None:
        self._rules = rules
        self.health = {venue: Health() for venue in venues}
        self.held: dict[str, dict[str, Decimal]] = {venue: {} for venue in self.health}  # by venue and symbol
        self.margin_use = dict.fromkeys(self.health, 0.0)  # maintenance over equity, as last told
        self._said = dict.fromkeys(self.health, True)  # that it is well

    @property
    def out(self) -> list[str]:
        return [venue for venue, health in self.health.items() if not health.well]

    def judged(self, venue: str, event: Event) -> None:
        """What a venue's event says of the venue itself."""
        if isinstance(event, OutcomeUnknown | Rejected):
            self.failed(venue, event.time, event.reason)
        elif isinstance(event, VenueTime):
            self.health[venue] = self.health[venue].timed(event.round_trip_ms, self._rules)
        elif isinstance(event, PositionsReport):
            self.held[venue] = dict(event.positions)
        elif isinstance(event, BalanceReport):
            self.margin_use[venue] = event.margin_use
        elif isinstance(event, Deleveraged):
            self.moved(venue, event.symbol, event.units)

    def moved(self, venue: str, symbol: str, units: Decimal) -> None:
        """By a fill or by the venue; the next report says what is held all the same."""
        self.held[venue][symbol] = self.held[venue].get(symbol, ZERO) + units

    def answered(self, venue: str, now: int, milliseconds: float) -> None:
        """The first word of an order."""
        self.health[venue] = self.health[venue].answered(now, milliseconds, self._rules)

    def failed(self, venue: str, now: int, why: str) -> None:
        self.health[venue] = self.health[venue].failed(now, why, self._rules)

    def probes(self, now: int) -> list[str]:
        """The venues that are to be probed now."""
        due = [venue for venue, health in self.health.items() if health.due(now, self._rules)]
        self.health.update({venue: self.health[venue].probed(now) for venue in due})
        return due

    def changes(self, now: int) -> tuple[Malformed, ...]:
        """Who has dropped out or come back since the last call, for the journal."""
        news = {venue: health for venue, health in self.health.items() if health.well != self._said[venue]}
        self._said.update({venue: health.well for venue, health in news.items()})
        return tuple(Malformed(now, venue, "router", _words(health)) for venue, health in news.items())


def _words(health: Health) -> str:
    return "it takes part again" if health.well else f"it drops out: {health.why}"

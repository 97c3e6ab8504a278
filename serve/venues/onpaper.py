"""The paper venue on the loop's floor: it simulates what the quotes do to its account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from serve.events import BarClosed, Event, Listed, QuoteEvent, SurfaceQuote
from serve.market import Listing
from serve.state import State
from serve.venues.paper import Paper


class OnPaper(Paper):
    def before(self, event: Event, state: State) -> Iterator[Event]:
        """A bar's funding is paid before its last quote."""
        self._core = state
        if isinstance(event, QuoteEvent) and (past := state.pasts.get(event.asset)) is not None:
            yield from self.show(event, past.memory)
            yield from self.accrue(event.time, event.asset) if event.time % self._market.bar == 0 else ()
        elif isinstance(event, BarClosed):
            yield from self.bar_ended(event.time)
        elif isinstance(event, Listed):
            self.listed(event.symbol, Listing(event.strike, event.expiry))

    def after(self, event: Event, state: State) -> tuple[Event, ...]:
        if isinstance(event, QuoteEvent):
            return self.moved(event, state) if event.asset in state.pasts else ()
        if isinstance(event, BarClosed):
            self.remembered({name: past.memory for name, past in state.pasts.items()})
        elif isinstance(event, SurfaceQuote):
            self.surfaced(state.smiles)
        return ()

    def settle(self) -> None:
        """Its answers are never late."""

    def unexplained(self, state: State, declared: Iterable[Event]) -> None:
        """It holds what it filled."""

    def close(self) -> None:
        """Nothing is open."""

"""A session in numbers and in words, from its events and what came of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from serve.clock import show
from serve.commands import Decision, Denied, Output, SubmitOrder, Transition
from serve.events import BarClosed, Event, Filled, OptionSettled, OptionTraded, QuoteEvent, Rejected
from serve.state import State

CORE_MONITORS = ("warm_up", "model")  # not breakers: where every session stands at its start


@dataclass
class Tally:
    counts: Counter[str] = field(default_factory=Counter)
    transitions: list[Transition] = field(default_factory=list)
    book: list[str] = field(default_factory=list)

    def told(self, event: Event, outputs: tuple[Output, ...]) -> None:
        """Count one event and its outputs."""
        names = {QuoteEvent: "quotes", BarClosed: "bars", Filled: "fills", Rejected: "rejected"}
        self.counts[names.get(type(event), "other")] += 1
        self._booked(event)
        for output in outputs:
            if isinstance(output, Decision):
                self.counts[f"decisions by {output.source}"] += 1
            elif isinstance(output, SubmitOrder):
                self.counts["orders"] += 1
            elif isinstance(output, Denied):
                self.counts["denied or clipped"] += 1
            elif isinstance(output, Transition) and output.breaker not in CORE_MONITORS:
                self.transitions.append(output)

    def words(self, state: State, profit: float | None) -> list[str]:
        """What a person wants to know at the end, a line each."""
        lines = [f"Until {show(state.time)} UTC: {self._counted()}.", *self.book, *self._money(state)]
        if profit is not None:
            lines.append(f"Profit with the option at its mark: {profit:,.2f}.")
        trips = self._trips()
        lines += trips or ["No breaker tripped."]
        reason = state.strictest()
        return [*lines, f"State: {state.risk.name}" + (f" ({reason})." if reason else ".")]

    def _counted(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in sorted(self.counts.items()) if name != "other")

    def _booked(self, event: Event) -> None:
        if isinstance(event, OptionTraded):
            self.book.append(
                f"{show(event.time)}: {event.option} traded, {event.units} units at strike {event.strike:,.2f} "
                f"to {show(event.expiry)}, premium {event.premium:,.2f}."
            )
        elif isinstance(event, OptionSettled):
            self.book.append(
                f"{show(event.time)}: {event.option} settled at {event.price:,.2f}, cash {event.cash:,.2f}."
            )

    def _money(self, state: State) -> list[str]:
        ledger = state.ledger
        mark = Decimal(repr(state.quote.mark)) if state.quote is not None else Decimal(0)
        return [
            f"Cash and hedge {ledger.worth(mark):,.2f}: options {ledger.options:,.2f}, fees {-ledger.fees:,.2f}, "
            f"funding {ledger.funding:,.2f}, position {ledger.position} at {mark:,.2f}, traded {ledger.traded:,.0f}."
        ]

    def _trips(self) -> list[str]:
        """One line for each rise of a breaker, with what followed until it was ACTIVE again."""
        lines: list[str] = []
        open_trips: dict[str, int] = {}
        for each in self.transitions:
            if each.reason != "recovered":
                open_trips[each.breaker] = len(lines)
                lines.append(f"{show(each.time)}: {each.breaker} took {each.after}: {each.reason}")
            elif each.breaker in open_trips:
                lines[open_trips[each.breaker]] += f"; {each.after} again at {show(each.time)}"
        return [f"{line}." for line in lines]

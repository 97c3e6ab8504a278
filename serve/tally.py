"""A session in numbers and in words, from its events and what came of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from serve.clock import show
from serve.commands import Decision, Denied, Dropped, Output, ShadowDecision, SubmitOrder, Transition
from serve.events import BarClosed, BookSettled, BookTraded, Event, Filled, QuoteEvent, Rejected
from serve.exposure import profit
from serve.state import State

CORE_MONITORS = ("warm_up", "model")  # not breakers: where every session stands at its start
SHOWN = 12  # lines about the book


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
        kinds = {SubmitOrder: "orders", Denied: "denied or clipped", Dropped: "dropped", ShadowDecision: "in shadow"}
        for output in outputs:
            if isinstance(output, Decision):
                self.counts[f"decisions by {output.source}"] += 1
            elif isinstance(output, Transition) and output.breaker not in CORE_MONITORS:
                self.transitions.append(output)
            elif type(output) in kinds:
                self.counts[kinds[type(output)]] += 1

    def words(self, state: State) -> list[str]:
        """What a person wants to know at the end, a line each."""
        lines = [f"Until {show(state.time)} UTC: {self._counted()}.", *self.book[:SHOWN]]
        if (more := len(self.book) - SHOWN) > 0:
            lines.append(f"… and {more} more changes of the book.")
        lines += self._money(state)
        if (gained := profit(state)) is not None:
            lines.append(f"Profit with the book at its mark: {gained:,.2f}.")
        lines += self._trips() or ["No breaker tripped."]
        reason = state.strictest()
        return [*lines, f"State: {state.risk.name}" + (f" ({reason})." if reason else ".")]

    def _counted(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in sorted(self.counts.items()) if name != "other")

    def _booked(self, event: Event) -> None:
        if isinstance(event, BookTraded):
            held = event.holding
            terms = f" {held.right} at strike {held.strike:,.2f}" if held.strike is not None else ""
            until = f" to {show(held.expiry)}" if held.expiry is not None else ""
            self.book.append(
                f"{show(event.time)}: {held.id} traded, {held.units} {held.asset} {held.kind}{terms}{until}, "
                f"premium {event.premium:,.2f}."
            )
        elif isinstance(event, BookSettled):
            self.book.append(
                f"{show(event.time)}: {event.holding} settled at {event.price:,.2f}, cash {event.cash:,.2f}."
            )

    def _money(self, state: State) -> list[str]:
        ledger = state.ledger
        lines = [f"Cash {ledger.cash:,.2f}, of which the book's premiums, settlements and funding {ledger.book:,.2f}."]
        for symbol, account in sorted(ledger.accounts.items()):
            mark = state.mark(symbol)
            lines.append(
                f"{symbol}: worth {account.worth(mark):,.2f}, fees {-account.fees:,.2f}, "
                f"funding {account.funding:,.2f}, position {account.position} at {mark:,.2f}, "
                f"traded {account.traded:,.0f}."
            )
        return lines

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

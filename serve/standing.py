"""How a hedger stands, read from its journal alone: recorded outcomes are added up, nothing is computed again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, pairwise
from typing import Any

from serve import codec
from serve.clock import show
from serve.commands import Alert, Decision, ModelChanged, Output, Proposal, SubmitOrder, Transition
from serve.events import (
    Absent,
    Cancelled,
    CollateralMoved,
    Deleveraged,
    Event,
    Filled,
    Operator,
    Rejected,
    Started,
    TargetSet,
)
from serve.inbox import Inbox, Instruction
from serve.journal import Journal
from serve.ledger import ZERO

ALERTS = 5  # shown, the latest
QUOTE = b'"type":"QuoteEvent"'  # in the bodies that say nothing here
FILLED, DROPPED = b'"type":"Filled"', b'"type":"Dropped"'
ENDED = (Cancelled, Rejected)


@dataclass
class Standing:
    entries: int = 0
    time: int = 0  # of the last entry
    model: str = ""
    state: str = "ACTIVE"
    breakers: dict[str, Transition] = field(default_factory=dict)  # by name: those that are not ACTIVE
    positions: dict[str, Decimal] = field(default_factory=dict)  # by symbol
    open: dict[str, SubmitOrder] = field(default_factory=dict)  # by id: sent, and not ended by what was heard
    decision: Decision | None = None  # the last
    proposals: dict[str, Proposal] = field(default_factory=dict)  # by account: transfers that nobody has recorded
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=ALERTS))
    waiting: tuple[str, ...] = ()  # instructions that nobody has taken
    _symbols: dict[str, str] = field(default_factory=dict)  # by order
    _left: dict[str, Decimal] = field(default_factory=dict)  # by order
    _trades: set[tuple[str, str]] = field(default_factory=set)

    def heard(self, item: Event | Output) -> None:
        """One entry more."""
        if isinstance(item, Filled):
            self._fill(item)
        elif isinstance(item, ENDED) or (isinstance(item, Absent) and self._expired(item)):
            self.open.pop(item.order, None)
        elif isinstance(item, SubmitOrder):
            self.open[item.order] = item
            self._symbols[item.order], self._left[item.order] = item.symbol, item.units
        elif isinstance(item, Deleveraged):
            self._holds(item.symbol, item.units)
        else:
            self._noted(item)

    def _noted(self, item: Event | Output) -> None:
        if isinstance(item, Transition):
            self._moved(item)
        elif isinstance(item, Started | ModelChanged):
            self.model = item.model if isinstance(item, Started) else item.after
        elif isinstance(item, Decision):
            self.decision = item
        elif isinstance(item, Alert):
            self.alerts.append(item)
        elif isinstance(item, Proposal):
            self.proposals[item.account] = item
        elif isinstance(item, CollateralMoved):
            self.proposals.pop(item.account, None)

    def facts(self) -> dict[str, Any]:
        """For machines."""
        return {
            "state": self.state,
            "time": self.time,
            "entries": self.entries,
            "model": self.model,
            "positions": {symbol: str(units) for symbol, units in sorted(self.positions.items())},
            "open_orders": sorted(self.open),
            "breakers": {name: {"state": each.after, "reason": each.reason} for name, each in self.breakers.items()},
            "decision": None if self.decision is None else codec.encode(self.decision).decode(),
            "alerts": [each.text for each in self.alerts],
            "proposals": {name: str(each.amount) for name, each in sorted(self.proposals.items())},
            "waiting": list(self.waiting),
        }

    def words(self) -> list[str]:
        """For a person, a line each."""
        model = f"model {self.model[:12]}" if self.model else "no model"
        lines = [f"{self.state} at {show(self.time)} UTC, {self.entries:,} entries, {model}."]
        lines += [
            f"{each.breaker} takes {each.after} since {show(each.time)}: {each.reason}."
            for each in self.breakers.values()
        ]
        lines += [f"{symbol}: position {units}." for symbol, units in sorted(self.positions.items())]
        lines += [f"Order {each.order}: {each.units} {each.symbol} in flight." for each in self.open.values()]
        if self.decision is not None:
            lines.append(self._decided(self.decision))
        lines += [
            f"Proposed {show(each.time)}: move {each.amount:,.2f} from {each.source} to {each.account}: {each.reason}."
            for each in self.proposals.values()
        ]
        lines += [f"Alert {show(each.time)}: {each.text}." for each in self.alerts]
        return [*lines, *(f"Waiting: {each}." for each in self.waiting)]

    def _expired(self, event: Absent) -> bool:
        """What the venue does not have then it never gets: the order is lost."""
        order = self.open.get(event.order)
        return order is not None and event.time > order.expires_at

    def _fill(self, event: Filled) -> None:
        """Each trade once, as the ledger books it."""
        symbol = self._symbols.get(event.order)
        if symbol is None or (event.order, event.trade) in self._trades:
            return
        self._trades.add((event.order, event.trade))
        self._holds(symbol, event.units)
        self._left[event.order] -= event.units
        if self._left[event.order] == 0:
            self.open.pop(event.order, None)

    def _holds(self, symbol: str, units: Decimal) -> None:
        self.positions[symbol] = self.positions.get(symbol, ZERO) + units

    def _moved(self, item: Transition) -> None:
        self.state = item.state
        self.breakers.pop(item.breaker, None)
        if item.after != "ACTIVE":
            self.breakers[item.breaker] = item

    def _decided(self, made: Decision) -> str:
        legs = ", ".join(f"{leg.symbol} {leg.wanted:f} wanted, {leg.sent:f} sent" for leg in made.legs)
        reason = f" ({made.reason})" if made.reason else ""
        return f"Last decision {show(made.time)} by {made.source}: {legs}{reason}."


def standing(journal: Journal, inbox: Inbox) -> Standing:
    """Raises JournalError or InboxError where either cannot be read."""
    found, body = Standing(), b""
    for entry, after in pairwise(chain(journal.read(), (None,))):
        assert entry is not None, "only the last is"
        found.entries, body = entry.sequence, entry.body
        refused = FILLED in body and after is not None and DROPPED in after.body  # by the core, at once
        if QUOTE not in body and not refused:
            found.heard(codec.decode(body))
    if body:
        found.time = codec.decode(body).time
    found.waiting = tuple(each.fault if each.told is None else named(each.told) for each in inbox.waiting())
    return found


def named(told: Instruction) -> str:
    if isinstance(told, Operator):
        return f"{told.action} {told.subject}".strip() + f" by {told.who}"
    if isinstance(told, CollateralMoved):
        return f"{told.amount:,.2f} from {told.source} to {told.account} by {told.who}"
    if isinstance(told, TargetSet):
        return f"target of {told.asset} by {told.who}"
    holding = told.holding if isinstance(told.holding, str) else told.holding.id
    return f"{type(told).__name__} {holding} by {told.who}"

"""Whether a rehearsal went well: the hedger's journal against the exchange's own statement."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from serve import dialects
from serve.clock import SECOND
from serve.commands import Dropped, Output, SubmitOrder
from serve.config import ServeConfig
from serve.events import Absent, Cancelled, Deleveraged, Event, Filled, Rejected, Started
from serve.journal import Journal
from serve.rehearsal.bounds import Bounds
from serve.runner import Core, replayed

ZERO = Decimal(0)


@dataclass
class Heard:
    """What the journal says, order by order, and which limits it went beyond."""

    config: ServeConfig
    instance: str = ""
    sent: dict[str, SubmitOrder] = field(default_factory=dict)
    filled: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    ended: set[str] = field(default_factory=set)
    positions: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    beyond: list[str] = field(default_factory=list)
    bounds: Bounds = field(init=False)
    _trades: set[tuple[str, str]] = field(default_factory=set)
    _recent: deque[int] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.bounds = Bounds(self.config, self.positions)

    def told(self, event: Event, outputs: tuple[Output, ...]) -> None:
        dropped = any(isinstance(output, Dropped) for output in outputs)
        if not dropped and not (isinstance(event, Filled) and (event.order, event.trade) in self._trades):
            self.bounds.told(event)
        if isinstance(event, Started) and event.venue:
            self.instance = json.loads(event.venue)["instance"]
        elif isinstance(event, Filled) and (event.order, event.trade) not in self._trades:
            self._trades.add((event.order, event.trade))
            self.filled[event.order] += event.units
            self._moved(self.sent[event.order].symbol, event.units)
        elif isinstance(event, Deleveraged):
            self._moved(event.symbol, event.units)
        elif isinstance(event, Rejected | Absent | Cancelled):
            self.ended.add(event.order)
        for output in outputs:
            if isinstance(output, SubmitOrder):
                self._left(output)

    def spelled(self, order: str) -> str:
        number = order.removeprefix(f"{self.config.name}-").split("-")[0]
        return dialects.load(self.config.venue.name).spelled(self.config.name, self.instance, number)

    def _moved(self, leg: str, units: Decimal) -> None:
        self.positions[leg] += units
        if abs(self.positions[leg]) > self.config.limits.legs[leg].position.hard:
            self.beyond.append(f"limit: position of {self.positions[leg]} {leg}")

    def _left(self, order: SubmitOrder) -> None:
        limits = self.config.limits
        self.sent[order.order] = order
        self.beyond += self.bounds.sent(order)
        if abs(order.units) > limits.legs[order.symbol].order.hard:
            self.beyond.append(f"limit: {order.order} is of {order.units}")
        if abs(order.units * order.limit) > limits.order_value.hard:
            self.beyond.append(f"limit: {order.order} is worth {abs(order.units * order.limit)}")
        self._recent.append(order.time)
        while self._recent[0] <= order.time - limits.per_seconds * SECOND:
            self._recent.popleft()
        if len(self._recent) > limits.max_messages:
            self.beyond.append(f"limit: {len(self._recent)} orders within {limits.per_seconds} seconds")


def heard(config: ServeConfig, journal: Journal) -> tuple[Heard, Core]:
    """The journal, run through the core again. Raises ServeError where its outputs are not the recorded ones."""
    found = Heard(config)
    core, _ = replayed(journal, found.told)
    return found, core


def rested(found: Heard, statement: dict[str, Any]) -> int:
    """How many of our orders rested in the book."""
    there = {each["client_id"] for each in statement["orders"]}
    return sum(each.post_only and found.spelled(name) in there for name, each in found.sent.items())


def violations(found: Heard, statement: dict[str, Any]) -> list[str]:
    """Everything that should not be, in words; none is the aim."""
    vain = any(each.post_only for each in found.sent.values()) and rested(found, statement) == 0
    unproven = ["rested: no order did that was sent to"] if vain else []
    return [*unproven, *found.beyond, *_orders(found, statement), *_account(found, statement)]


def _orders(found: Heard, statement: dict[str, Any]) -> Iterator[str]:
    """Each of ours there once or definitively not at all, filled as we were told, ended, and nobody else's there."""
    there = defaultdict[str, list[dict[str, Any]]](list)
    for each in statement["orders"]:
        there[each["client_id"]].append(each)
        if each["status"] == "open":
            yield f"resting: order {each['client_id']} at the end"
    for order in found.sent:
        own = there.pop(found.spelled(order), [])
        if len(own) > 1:
            yield f"doubled: {order} is at the exchange {len(own)} times"
        if not own and order not in found.ended:
            yield f"lost: {order} is not at the exchange, and the journal does not know"
        filled = sum((Decimal(each["filled"]) for each in own), ZERO)
        if filled != abs(found.filled[order]):
            yield f"lost: {order} filled {filled} at the exchange, {found.filled[order]} in the journal"
    for name in there:
        yield f"foreign: order {name or 'without an id'} is not of the journal"


def _account(found: Heard, statement: dict[str, Any]) -> Iterator[str]:
    theirs = sorted(Decimal(units) for units in statement["positions"].values())
    if theirs != sorted(units for units in found.positions.values() if units != 0):
        yield f"position: {statement['positions']} at the exchange, {dict(found.positions)} in the journal"
    if Decimal(statement["reserved"]) != 0:
        yield f"reserved: {statement['reserved']} without an order"
    if not statement["conserved"]:
        yield "conserved: the exchange's assets do not add up"

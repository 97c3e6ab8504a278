"""An order and its children, one per route: what is heard of the children, told as the order's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from serve.commands import SubmitOrder
from serve.events import Absent, Acknowledged, Cancelled, Event, Filled, OutcomeUnknown, Rejected
from serve.ledger import ZERO
from serve.orders import OrderEvent


class Stage(StrEnum):
    SENT = "sent"  # nothing heard yet
    WORKING = "working"
    UNKNOWN = "unknown"
    ABSENT = "absent"  # and may still arrive until it expires
    ENDED = "ended"
    REJECTED = "rejected"
    LOST = "lost"  # absent after it expired


OVER = frozenset({Stage.ENDED, Stage.REJECTED, Stage.LOST})
Told = tuple["Family", tuple[Event, ...]]


@dataclass(frozen=True)
class Child:
    units: Decimal | None  # None: sent before a restart, nobody knows how many
    stage: Stage = Stage.SENT
    filled: Decimal = ZERO
    trades: frozenset[str] = frozenset()
    reason: str = ""
    overdue: bool = False  # it counted as silent

    @property
    def over(self) -> bool:
        return self.stage in OVER

    def after(self, fill: Filled) -> Child:
        filled = self.filled + fill.units
        stage = Stage.ENDED if self.over or filled == self.units else Stage.WORKING
        return replace(self, filled=filled, trades=self.trades | {fill.trade}, stage=stage)


@dataclass(frozen=True)
class Family:
    order: SubmitOrder
    children: Mapping[str, Child]  # by route
    known: bool = False  # an acknowledgement or a fill was told
    concluded: bool = False

    @property
    def filled(self) -> Decimal:
        return sum((child.filled for child in self.children.values()), ZERO)

    @property
    def unsure(self) -> bool:
        return any(child.stage is Stage.UNKNOWN for child in self.children.values())

    def with_child(self, route: str, child: Child) -> Family:
        return replace(self, children={**self.children, route: child})

    def heard(self, route: str, event: OrderEvent) -> Told:
        """The family after news of one child, and what is told of the order at once."""
        after, told = self._heard(route, event)
        return after._settled(route, event), told

    def _heard(self, route: str, event: OrderEvent) -> Told:
        child, name, now = self.children[route], self.order.order, event.time
        if isinstance(event, Filled):
            if event.trade in child.trades:
                return self, ()
            told = replace(event, order=name, trade=f"{route}/{event.trade}")
            return replace(self.with_child(route, child.after(event)), known=True), (told,)
        if child.over:
            return self, ()
        if isinstance(event, OutcomeUnknown):
            return self._doubted(route, event.reason, now)
        if isinstance(event, Absent):
            return self._missed(route, now)
        if isinstance(event, Acknowledged):
            after = self.with_child(route, replace(child, stage=Stage.WORKING))
            return (after, ()) if after.unsure else (replace(after, known=True), (Acknowledged(now, name),))
        stage = Stage.REJECTED if isinstance(event, Rejected) else Stage.ENDED
        return self.with_child(route, replace(child, stage=stage, reason=getattr(event, "reason", ""))), ()

    def _doubted(self, route: str, reason: str, now: int) -> Told:
        after = self.with_child(route, replace(self.children[route], stage=Stage.UNKNOWN))
        return after, (OutcomeUnknown(now, self.order.order, f"{route}: {reason}"),)

    def _missed(self, route: str, now: int) -> Told:
        """The venue does not have the child: of one that it had, that is a stale answer, and is asked again."""
        child = self.children[route]
        if child.stage is Stage.WORKING:
            return self._doubted(route, "had the order, and has it no more", now)
        stage = Stage.LOST if now > self.order.expires_at else Stage.ABSENT
        after = self.with_child(route, replace(child, stage=stage))
        nowhere = all(each.stage is Stage.ABSENT for each in after.children.values())
        return after, (Absent(now, self.order.order),) if nowhere else ()

    def _settled(self, route: str, event: OrderEvent) -> Family:
        """A child of unknown size that does not rest has ended when the venue speaks of it after it expired."""
        child = self.children[route]
        speaks = isinstance(event, Acknowledged | Filled) and event.time > self.order.expires_at
        if child.units is None and speaks and not child.over:
            return self.with_child(route, replace(child, stage=Stage.ENDED))
        return self

    def concluding(self, now: int) -> Told:
        """What is told once every child has ended, and only once."""
        if self.concluded or not all(child.over for child in self.children.values()):
            return self, ()
        return replace(self, concluded=True), self._end(now)

    def _end(self, now: int) -> tuple[Event, ...]:
        name, stages = self.order.order, {child.stage for child in self.children.values()}
        if self.filled == self.order.units:
            return ()
        if stages == {Stage.REJECTED} and not self.known:
            reasons = (f"{route}: {child.reason}" for route, child in self.children.items())
            return (Rejected(now, name, "; ".join(reasons)),)
        if Stage.ENDED not in stages and not self.known:
            return (Absent(now, name),)
        return (Cancelled(now, name),)

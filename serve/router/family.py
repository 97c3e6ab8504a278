"""An order and its children, one per venue: what is heard of the children, told as the order's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from serve.commands import SubmitOrder
from serve.events import Absent, Acknowledged, Cancelled, Event, Filled, OutcomeUnknown, Rejected
from serve.ledger import ZERO
from serve.orders import OrderEvent
from serve.router.marks import marked


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
    children: Mapping[str, Child]  # by venue
    known: bool = False  # an acknowledgement or a fill was told
    concluded: bool = False

    @property
    def filled(self) -> Decimal:
        return sum((child.filled for child in self.children.values()), ZERO)

    @property
    def unsure(self) -> bool:
        return any(child.stage is Stage.UNKNOWN for child in self.children.values())

    @classmethod
    def remembered(cls, order: SubmitOrder, venues: Iterable[str]) -> Family:
        """An order of before a restart: any of the venues may have a part of it, or all of one that rests."""
        units = order.units if order.post_only else None
        places = venues if not order.venue else (order.venue,)
        return cls(order, {venue: Child(units, Stage.UNKNOWN) for venue in places})

    def silent(self) -> tuple[str, ...]:
        """The venues whose child nothing was heard of, and that were not found silent before."""
        return tuple(v for v, child in self.children.items() if child.stage is Stage.SENT and not child.overdue)

    def found_silent(self) -> Family:
        children = {venue: replace(child, overdue=child.stage is Stage.SENT) for venue, child in self.children.items()}
        return replace(self, children=children)

    def with_child(self, venue: str, child: Child) -> Family:
        return replace(self, children={**self.children, venue: child})

    def heard(self, venue: str, event: OrderEvent) -> Told:
        """The family after news of one child, and what is told of the order at once."""
        after, told = self._heard(venue, event)
        return after._settled(venue, event), told

    def _heard(self, venue: str, event: OrderEvent) -> Told:
        child, now = self.children[venue], event.time
        if isinstance(event, Filled):
            if event.trade in child.trades:
                return self, ()
            return replace(self.with_child(venue, child.after(event)), known=True), (marked(event, venue),)
        if child.over:
            return self, ()
        if isinstance(event, OutcomeUnknown):
            return self._doubted(venue, event.reason, now)
        if isinstance(event, Absent):
            return self._missed(venue, now)
        if isinstance(event, Acknowledged):
            after = self.with_child(venue, replace(child, stage=Stage.WORKING))
            return (after, ()) if after.unsure else (replace(after, known=True), (Acknowledged(now, self.order.order),))
        stage = Stage.REJECTED if isinstance(event, Rejected) else Stage.ENDED
        return self.with_child(venue, replace(child, stage=stage, reason=getattr(event, "reason", ""))), ()

    def _doubted(self, venue: str, reason: str, now: int) -> Told:
        after = self.with_child(venue, replace(self.children[venue], stage=Stage.UNKNOWN))
        return after, (OutcomeUnknown(now, self.order.order, f"{venue}: {reason}"),)

    def _missed(self, venue: str, now: int) -> Told:
        """The venue does not have the child: of one that it had, that is a stale answer, and is asked again."""
        child = self.children[venue]
        if child.stage is Stage.WORKING:
            return self._doubted(venue, "had the order, and has it no more", now)
        stage = Stage.LOST if now > self.order.expires_at else Stage.ABSENT
        after = self.with_child(venue, replace(child, stage=stage))
        nowhere = all(each.stage is Stage.ABSENT for each in after.children.values())
        return after, (Absent(now, self.order.order),) if nowhere else ()

    def _settled(self, venue: str, event: OrderEvent) -> Family:
        """A child of unknown size that does not rest has ended when the venue, asked after it expired, knows of it."""
        child = self.children[venue]
        speaks = isinstance(event, Acknowledged) and event.time > self.order.expires_at
        if child.units is None and speaks and not child.over:
            return self.with_child(venue, replace(child, stage=Stage.ENDED))
        return self

    def concluding(self, now: int) -> Told:
        """What is told once nothing more can fill, and only once."""
        whole = self.filled == self.order.units
        if self.concluded or not (whole or all(child.over for child in self.children.values())):
            return self, ()
        return replace(self, concluded=True), self._end(now)

    def _end(self, now: int) -> tuple[Event, ...]:
        name, stages = self.order.order, {child.stage for child in self.children.values()}
        if self.filled == self.order.units:
            return ()
        if stages == {Stage.REJECTED} and not self.known:
            reasons = (f"{venue}: {child.reason}" for venue, child in self.children.items())
            return (Rejected(now, name, "; ".join(reasons)),)
        if Stage.ENDED not in stages and not self.known:
            return (Absent(now, name),)
        return (Cancelled(now, name),)

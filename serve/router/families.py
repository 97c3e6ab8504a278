"""Every order that was split, until long after its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from serve.events import Event
from serve.orders import OrderEvent
from serve.router.family import Family, Stage
from serve.router.marks import marked

KEPT = 1024  # orders remembered after their end, for fills that come late


class Families:
    def __init__(self) -> None:
        self._all: dict[str, Family] = {}  # by order
        self._open: dict[str, int] = {}  # orders that have not ended, and when each was last heard of
        self._ended: deque[str] = deque()

    def __contains__(self, order: str) -> bool:
        return order in self._all

    def add(self, family: Family) -> None:
        self._all[family.order.order] = family
        self._open[family.order.order] = family.order.time

    def having(self, order: str) -> tuple[str, ...]:
        """The venues whose child of an order has not ended; none once the order has."""
        if order not in self._open:
            return ()
        return tuple(venue for venue, child in self._all[order].children.items() if not child.over)

    def symbol(self, order: str) -> str:
        return self._all[order].order.symbol

    def waited(self, venue: str, event: OrderEvent) -> int | None:
        """Milliseconds to the first word of a child, which `event` is; None if it is not the first."""
        family = self._all.get(event.order)
        child = None if family is None else family.children.get(venue)
        if family is None or child is None or child.stage is not Stage.SENT:
            return None
        return event.time - family.order.time

    def heard(self, venue: str, event: OrderEvent) -> tuple[Event, ...]:
        """News of a child, told as of its order. What was never sent to a venue is told as the venue tells it."""
        family = self._all.get(event.order)
        if family is None or venue not in family.children:
            return (marked(event, venue),)
        self._all[event.order], told = family.heard(venue, event)
        if event.order in self._open:
            self._open[event.order] = event.time
        return told

    def concluded(self) -> tuple[Event, ...]:
        """What is to be told of the orders whose last child has ended since the last call."""
        told: list[Event] = []
        for name, at in tuple(self._open.items()):
            self._all[name], end = self._all[name].concluding(at)
            told += end
            if self._all[name].concluded:
                self._forget(name)
        return tuple(told)

    def silent(self, now: int, patience: float) -> Iterator[str]:
        """The venues of the children that nothing was heard of for so many milliseconds; each child once."""
        for name in tuple(self._open):
            family = self._all[name]
            if now - family.order.time > patience:
                yield from family.silent()
                self._all[name] = family.found_silent()

    def _forget(self, name: str) -> None:
        """In due course."""
        del self._open[name]
        self._ended.append(name)
        if len(self._ended) > KEPT:
            del self._all[self._ended.popleft()]

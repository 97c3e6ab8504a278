"""Ids of fills and payments, which two venues may give alike: each bears its venue's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from serve.events import Deleveraged, Event, Filled, FundingPaid

BETWEEN = "/"
E = TypeVar("E", bound=Event)


def marked(event: E, venue: str) -> E:
    """As the core is told."""
    return _renamed(event, f"{venue}{BETWEEN}{_id(event)}") if _id(event) else event


def unmarked(events: Iterable[E], venue: str) -> Iterator[E]:
    """As the venue told them: of what has an id, only its own."""
    prefix = f"{venue}{BETWEEN}"
    for event in events:
        if not _id(event):
            yield event
        elif _id(event).startswith(prefix):
            yield _renamed(event, _id(event).removeprefix(prefix))


def _id(event: Event) -> str:
    if isinstance(event, Filled | Deleveraged):
        return event.trade
    return event.payment if isinstance(event, FundingPaid) else ""


def _renamed(event: E, name: str) -> E:
    if isinstance(event, FundingPaid):
        return replace(event, payment=name)
    assert isinstance(event, Filled | Deleveraged), "only these have an id"
    return replace(event, trade=name)

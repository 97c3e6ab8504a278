"""What changes the book to be hedged. `command`: the id in the inbox of a change that was told to a running hedger."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from serve.event import Event
from serve.holding import Holding


@dataclass(frozen=True)
class BookTraded(Event):
    """The desk traded: the holding is new, or these units are added to it. A trade with an id counts once."""

    holding: Holding
    premium: Decimal  # cash received; paid is negative
    more: bool = False  # another change follows at once, and the hedge waits for it
    trade: str = ""  # its id at the desk; empty where it has none
    who: str = ""
    why: str = ""
    command: str = ""


@dataclass(frozen=True)
class BookSettled(Event):
    """A holding expired, was exercised or was withdrawn: it is in the book no more."""

    holding: str
    price: float  # of the index at settlement
    cash: Decimal  # received; paid is negative
    more: bool = False
    who: str = ""
    why: str = ""
    command: str = ""


@dataclass(frozen=True)
class BookFunded(Event):
    """A holding earned, or cost, what it stays: a perpetual's funding."""

    holding: str
    cash: Decimal  # received; paid is negative
    who: str = ""
    why: str = ""
    command: str = ""


Booked = BookTraded | BookSettled | BookFunded

"""What persons tell a hedger. `command`: the id in the inbox, whence each is taken once."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from serve.booked import Booked
from serve.event import Event

OUTSIDE = "outside"  # where collateral comes from that is in no margin account of ours


@dataclass(frozen=True)
class TargetSet(Event):
    """What one asset's book and hedges together are steered to, from here on; what is None stays as it is."""

    asset: str
    delta: float | None  # net, base units
    gamma: float | None  # net, base units per 1 % of spot
    vega: float | None  # net, quote currency per volatility point
    hedge_ratio: float | None  # of the book's greeks that is hedged, 0 to 1.5
    above: float | None  # the net delta may exceed its target by so many base units untraded
    below: float | None  # and fall short of it by so many
    who: str
    why: str = ""
    command: str = ""  # its id in the inbox, whence each is taken once


@dataclass(frozen=True)
class CollateralMoved(Event):
    """A person sent collateral to a margin account, and says when it should be there."""

    account: str
    amount: Decimal  # quote currency
    source: str  # another account, or what is none of ours
    expected: int
    who: str
    why: str
    command: str = ""


@dataclass(frozen=True)
class Operator(Event):
    """A person acts; `resume` ends `fallback`, and twice `halt`. `subject`: of `acknowledge` the breaker, of `override`
    the soft limit, of `flatten` (`close`) that all legs go, of `promote` the folder, told here only where it failed."""

    action: Literal["halt", "fallback", "resume", "acknowledge", "override", "flatten", "rollback", "promote"]
    who: str
    why: str
    subject: str
    command: str = ""
    fault: str = ""  # why it cannot be carried out, found outside the core


Instruction = Operator | TargetSet | CollateralMoved | Booked

"""Everything that comes into the core. Every event is in the journal before anything it causes leaves.

`time` is the engine's time on arrival, milliseconds; money and sizes of orders are Decimal, market data float.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Event:
    time: int


@dataclass(frozen=True)
class Started(Event):
    """A session begins or begins again; what it runs on is stored whole, as JSON texts."""

    config: str
    task: str
    trained: str  # what the model was trained on; empty where none is loaded
    model: str  # SHA-256 of the weights; empty where none is loaded


@dataclass(frozen=True)
class History(Event):
    """Closes of past bars, oldest first, that warm the filter up."""

    ended: int  # the last bar's close
    closes: tuple[float, ...]


@dataclass(frozen=True)
class QuoteEvent(Event):
    quoted_at: int  # the market's own time of the quote
    spot: float
    low: float  # since the quote before
    high: float
    mark: float
    half_spread: float
    depth: float
    funding_rate: float
    implied_volatility: float
    congestion: float
    deleveraged: float


@dataclass(frozen=True)
class BarClosed(Event):
    """The bar grid's timer: the filter advances on it and on nothing else."""

    ended: int  # the bar's end, on the grid; `time` is when the timer went off


@dataclass(frozen=True)
class DecisionDue(Event):
    """The decision grid's timer."""


@dataclass(frozen=True)
class Heartbeat(Event):
    """Time passes: time-outs and staleness are judged even when the market is silent."""


@dataclass(frozen=True)
class OptionTraded(Event):
    """The desk traded an option that is now to be hedged."""

    option: str
    strike: float
    expiry: int
    units: Decimal  # of calls; short is negative
    premium: Decimal  # cash received; paid is negative


@dataclass(frozen=True)
class OptionSettled(Event):
    option: str
    price: float  # of the index at settlement
    cash: Decimal  # received; paid is negative


@dataclass(frozen=True)
class Acknowledged(Event):
    order: str


@dataclass(frozen=True)
class Rejected(Event):
    """The venue refused, definitively."""

    order: str
    reason: str


@dataclass(frozen=True)
class Filled(Event):
    order: str
    trade: str  # the venue's id of the fill
    units: Decimal  # bought; sold is negative
    price: Decimal
    fee: Decimal


@dataclass(frozen=True)
class Cancelled(Event):
    """What was left of the order is gone."""

    order: str


@dataclass(frozen=True)
class OutcomeUnknown(Event):
    """Whether the venue has the order is not known."""

    order: str
    reason: str


@dataclass(frozen=True)
class Absent(Event):
    """The venue, asked by id, does not have the order."""

    order: str


@dataclass(frozen=True)
class Inference(Event):
    """The policy's answer to a request: a raw action, or why there is none."""

    request: str
    action: tuple[float, ...] | None
    error: str


@dataclass(frozen=True)
class FundingPaid(Event):
    cash: Decimal  # received; paid is negative


@dataclass(frozen=True)
class Operator(Event):
    """A person: `halt`, `resume`, or `acknowledge` the breaker in `subject`."""

    action: str
    who: str
    why: str
    subject: str


EVENTS: tuple[type[Event], ...] = (
    Started,
    History,
    QuoteEvent,
    BarClosed,
    DecisionDue,
    Heartbeat,
    OptionTraded,
    OptionSettled,
    Acknowledged,
    Rejected,
    Filled,
    Cancelled,
    OutcomeUnknown,
    Absent,
    Inference,
    FundingPaid,
    Operator,
)

"""Everything that comes into the core, and that is in the journal before anything it causes leaves.

`time`: the engine's, on arrival, milliseconds. Money and sizes of orders are Decimal, market data float.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from serve.account import MarginAccount
from serve.booked import BookFunded as BookFunded
from serve.booked import BookSettled as BookSettled
from serve.booked import BookTraded as BookTraded
from serve.event import Event as Event
from serve.holding import Holding as Holding
from serve.instructions import CollateralMoved as CollateralMoved
from serve.instructions import Operator as Operator
from serve.instructions import TargetSet as TargetSet


@dataclass(frozen=True)
class Started(Event):
    """A session begins or begins again; what it runs on is stored whole, as JSON texts."""

    config: str
    task: str
    trained: str  # what the model was trained on; empty where none is loaded
    model: str  # SHA-256 of the weights; empty where none is loaded
    venue: str = ""  # what an exchange's ids and contracts were, as JSON; empty where nothing is sent to one
    computed: str = ""  # by which torch, with which of the processor's instructions; another may round differently


@dataclass(frozen=True)
class History(Event):
    """Closes of one asset's past bars, oldest first, that warm its filter up."""

    asset: str
    ended: int  # the last bar's close
    closes: tuple[float, ...]


@dataclass(frozen=True)
class QuoteEvent(Event):
    asset: str
    quoted_at: int  # the market's own time of the quote
    spot: float
    low: float  # since the quote before
    high: float
    mark: float  # of the perpetual
    half_spread: float
    depth: float
    funding_rate: float
    implied_volatility: float
    congestion: float
    deleveraged: float
    merged: int = 0  # quotes before it that it stands for too


@dataclass(frozen=True)
class SurfaceQuote(Event):
    """Listed implied volatilities of one asset: `points` of expiry (milliseconds), strike and volatility per √year."""

    asset: str
    quoted_at: int
    points: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True)
class SourcePrice(Event):
    """What one independent source says an asset is worth."""

    asset: str
    source: str
    price: float
    quoted_at: int


@dataclass(frozen=True)
class BarClosed(Event):
    """The bar grid's timer: the filters advance on it and on nothing else."""

    ended: int  # the bar's end, on the grid; `time` is when the timer went off


@dataclass(frozen=True)
class DecisionDue(Event):
    """The decision grid's timer."""


@dataclass(frozen=True)
class Heartbeat(Event):
    """Time passes: time-outs and staleness are judged even when the market is silent."""


@dataclass(frozen=True)
class BookSeen(Event):
    """The account whose positions are the book was read whole."""


@dataclass(frozen=True)
class Listed(Event):
    """The option that an option leg trades from here on."""

    symbol: str
    strike: float
    expiry: int


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
    """The venue, asked by id, does not have the order; until it expires it may still arrive."""

    order: str


@dataclass(frozen=True)
class Inference(Event):
    """A model's answer to a request: a raw action, or why there is none."""

    request: str
    model: str
    action: tuple[float, ...] | None
    error: str


@dataclass(frozen=True)
class FundingPaid(Event):
    symbol: str
    cash: Decimal  # received; paid is negative
    payment: str = ""  # the venue's id of it; empty where it has none


@dataclass(frozen=True)
class OrdersReport(Event):
    """The ids of every order that rests at the venue on our account, ours or not."""

    resting: tuple[str, ...]


@dataclass(frozen=True)
class PositionsReport(Event):
    as_of: int  # the venue's own time of what it reports
    positions: tuple[tuple[str, Decimal], ...]  # symbol and units


@dataclass(frozen=True)
class BalanceReport(Event):
    as_of: int
    cash: Decimal
    margin_use: float  # maintenance over equity
    accounts: tuple[MarginAccount, ...] = ()  # where the venue tells them; else we go by our own account


@dataclass(frozen=True)
class Deleveraged(Event):
    """The venue closed a part of a position, or, where it expired, settled it."""

    symbol: str
    units: Decimal  # change of our position
    price: Decimal  # what it cost to close within
    why: Literal["deleveraged", "liquidated", "expired"] = "deleveraged"
    trade: str = ""  # the venue's id of it; empty where it has none


@dataclass(frozen=True)
class VenueTime(Event):
    skew_ms: int  # the venue's clock less ours
    round_trip_ms: int


@dataclass(frozen=True)
class ModelOffered(Event):
    """A model is loaded whole and at hand: as `challenger` it is watched, as `candidate` it may be swapped in."""

    model: str  # SHA-256 of the weights
    trained: str
    role: Literal["candidate", "challenger"]
    folder: str = ""  # that it was loaded from


@dataclass(frozen=True)
class ModelSwapped(Event):
    """From the next question on `model` decides; the one before it is the last good one."""

    model: str
    who: str
    why: str
    command: str = ""


@dataclass(frozen=True)
class JournalStalled(Event):
    """How long the last commit took."""

    milliseconds: int


@dataclass(frozen=True)
class Malformed(Event):
    """A message from outside that was no event, kept as far as it could be read."""

    source: str
    text: str
    reason: str
    merged: int = 0  # as a quote's


EVENTS: tuple[type[Event], ...] = tuple(Event.__subclasses__())

"""All that the core knows: made by folding the journal's events, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import attrgetter
from typing import Final, Literal

from envs.volatility.memory import Memory
from serve.account import MarginAccount
from serve.breaker import Asked, Recollection
from serve.config import Target
from serve.events import CollateralMoved, QuoteEvent, SourcePrice, SurfaceQuote
from serve.frozen import kept
from serve.holdings import Book
from serve.ledger import Ledger
from serve.market import Listing, Seen
from serve.orders import Order
from serve.smile import Smile
from serve.states import Monitor, RiskState
from serve.valuation import Valuation

_level = attrgetter("level")


def _those(name: str) -> Callable[[Mapping[str, Order]], tuple[Order, ...]]:
    """The orders of which it holds, looked through once for each change of them."""
    holds = attrgetter(name)
    return kept(lambda orders: tuple(filter(holds, orders.values())), lambda orders: (orders,))


_in_flight, _reserved = _those("in_flight"), _those("reserved")
ReportName = Literal["orders", "positions", "balance"]
ORDERS: Final = "orders"
POSITIONS: Final = "positions"
BALANCE: Final = "balance"
TIME: Final = "time"
REPORTS: tuple[ReportName, ...] = (ORDERS, POSITIONS, BALANCE)


@dataclass(frozen=True)
class Question:
    """A request to a policy that is open."""

    asked: Asked
    seen: Seen
    binding: bool  # the hedge waits for the answer; else it is only watched
    assets: frozenset[str]  # whose hedges are decided with it


@dataclass(frozen=True)
class Past:
    """One asset's filter and what it says; `spot`: at the last bar's close, None after a gap."""

    memory: Memory
    spot: float | None
    ended: int
    volatility: float
    intensity: float


@dataclass(frozen=True)
class Models:
    """By SHA-256 of the weights; empty where there is none."""

    active: str = ""
    last_good: str = ""
    trained: Mapping[str, str] = field(default_factory=dict)  # what each was trained on, as its card says


@dataclass(frozen=True)
class Record:
    """Of late: times, and what breakers count."""

    sent: tuple[int, ...] = ()
    rejections: tuple[int, ...] = ()
    slippages: tuple[tuple[int, float], ...] = ()
    executions: tuple[int, ...] = ()
    pulled: tuple[int, ...] = ()  # orders cancelled without a fill
    turned: tuple[int, ...] = ()  # fills that undo the leg's fill before
    crossed: tuple[int, ...] = ()  # orders sent while one of ours might trade on the other side
    bought: Mapping[str, bool] = field(default_factory=dict)  # by symbol: whether its last fill was a purchase
    disagreement: tuple[int, float] | None = None
    deleveraged: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class VenueSide:
    """What the venue last said, and how it agrees with us."""

    awaited: frozenset[str] = frozenset(REPORTS)  # reports without which the session does not begin
    unproven: frozenset[str] = frozenset()  # legs whose position no report of the session has agreed with yet
    asked_at: int | None = None
    rechecks: int = 0  # since it was last asked as usual
    rechecked_at: int = 0
    heard: Mapping[str, int] = field(default_factory=dict)  # when each report last came
    resting: tuple[str, ...] = ()
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    beside: Mapping[str, Decimal] = field(default_factory=dict)  # what was held beside the legs as the session began
    as_of: int = 0  # of the positions
    cash_as_of: int = 0
    cash_start: Decimal | None = None  # its cash less ours when it first told
    margin_share: float = 1.0  # of the distance to liquidation that we compute, by the venue's last word
    accounts: tuple[MarginAccount, ...] = ()  # as it told them last
    told_at: Mapping[str, float] = field(default_factory=dict)  # spot of each asset then
    mismatches: Mapping[str, str] = field(default_factory=dict)  # by report
    changed_at: Mapping[str, int] = field(default_factory=dict)  # last fill of each leg
    skew_ms: int | None = None
    round_trip_ms: int | None = None
    commit_ms: int | None = None


@dataclass(frozen=True)
class Flatten:
    """A person's order to flatten, until it is confirmed."""

    mode: Literal["neutralise", "close"]
    who: str
    stage: Literal["cancelling", "reducing", "confirming"] = "cancelling"
    since: int = 0  # of the stage; only reports after it count
    asked_at: int = 0  # when the venue was last asked again


@dataclass(frozen=True)
class Halt:
    """That it is halted, until nothing of ours rests."""

    since: int
    asked_at: int


@dataclass(frozen=True)
class ShadowQuestion:
    request: str
    seen: Seen
    assets: frozenset[str]


@dataclass(frozen=True)
class Shadow:
    """The challenger's hedge of our book, and how it does against ours; gains are a decision's, quote currency."""

    model: str
    ledger: Ledger
    question: ShadowQuestion | None = None
    began: Mapping[str, QuoteEvent] = field(default_factory=dict)  # by asset: the quotes that the bar began with
    paid_at: int = 0  # up to when funding is paid
    ahead: float = 0.0  # of us, at the last pair
    pairs: int = 0
    mean: float = 0.0  # gain
    squares: float = 0.0  # sum of squared deviations from it
    faults: int = 0


@dataclass(frozen=True)
class Opening:
    """The ledger when the book was last empty: margin accounts begin anew with every book."""

    worth: Mapping[str, Decimal] = field(default_factory=dict)  # of each leg's account, by symbol
    book: Decimal = Decimal(0)
    posted: Mapping[str, Decimal] = field(default_factory=dict)  # collateral that came since, by the leg it counts for


@dataclass(frozen=True)
class Cap:
    """The most of a leg, long or short, that its margin carries at a safe distance from liquidation."""

    units: Decimal  # of our whole position
    carried: Decimal  # in the account
    wanted: Decimal  # what was held when it was capped
    urgent: bool  # what is beyond goes at once; else there may be no more of it
    venue: str  # whose account it is for; empty where there is one


@dataclass(frozen=True)
class Care:
    """What is done about margin accounts that come near liquidation."""

    proposed: Mapping[str, Decimal] = field(default_factory=dict)  # by account
    caps: Mapping[tuple[str, str], Cap] = field(default_factory=dict)  # by account and symbol
    awaited: tuple[CollateralMoved, ...] = ()  # of which the venue has not told yet
    asked_at: int = 0  # when it was last asked

    @property
    def easy(self) -> bool:
        return not self.proposed and not self.caps

    def cap(self, symbol: str) -> Cap | None:
        """The tightest on a leg."""
        own = (cap for (_, name), cap in self.caps.items() if name == symbol)
        return min(own, key=attrgetter("units"), default=None)


@dataclass(frozen=True)
class State:
    pasts: Mapping[str, Past]  # by asset, as everything below that says no more
    targets: Mapping[str, Target]
    listings: Mapping[str, Listing]  # by symbol
    time: int = 0
    quotes: Mapping[str, QuoteEvent] = field(default_factory=dict)
    trusted: Mapping[str, QuoteEvent] = field(default_factory=dict)  # the last that no market breaker doubted
    surfaces: Mapping[str, SurfaceQuote] = field(default_factory=dict)  # the last heard
    smiles: Mapping[str, Smile] = field(default_factory=dict)  # what they say, until it is too old to price with
    sources: Mapping[str, Mapping[str, SourcePrice]] = field(default_factory=dict)  # by asset and source
    fresh: Mapping[str, int] = field(default_factory=dict)  # when each input was last fresh
    dropped: Mapping[str, int] = field(default_factory=dict)  # messages not acted on, by kind
    book: Book = field(default_factory=Book)
    opening: Opening = field(default_factory=Opening)
    valuations: Mapping[str, Valuation] = field(default_factory=dict)
    distance: float | None = None  # to liquidation, of the nearest margin account
    care: Care = field(default_factory=Care)
    ledger: Ledger = field(default_factory=Ledger)
    orders: Mapping[str, Order] = field(default_factory=dict)
    orders_made: int = 0
    record: Record = field(default_factory=Record)
    venue: VenueSide = field(default_factory=VenueSide)
    monitors: Mapping[str, Monitor] = field(default_factory=dict)
    recollections: Mapping[str, Recollection] = field(default_factory=dict)
    overrides: Mapping[str, int] = field(default_factory=dict)  # until when, by limit
    good_bars: int = 0  # closed while no breaker asked for less than hedging as usual
    due: frozenset[str] = frozenset()  # assets to which a decision is owed
    again: Mapping[str, int] = field(default_factory=dict)  # when the next slice of an asset's hedge is due
    question: Question | None = None
    questions_made: int = 0
    models: Models = field(default_factory=Models)
    shadow: Shadow | None = None
    flatten: Flatten | None = None
    halt: Halt | None = None  # while it waits for its confirmation

    @property
    def risk(self) -> RiskState:
        """The strictest monitor wins."""
        return max(map(_level, self.monitors.values()), default=RiskState.ACTIVE)

    @property
    def in_flight(self) -> tuple[Order, ...]:
        return _in_flight(self.orders)

    @property
    def reserved(self) -> tuple[Order, ...]:
        return _reserved(self.orders)

    def strictest(self) -> str:
        """The name and reason of the monitor that sets the risk state; empty when none does."""
        if self.risk is RiskState.ACTIVE:
            return ""
        name = max(self.monitors, key=lambda each: self.monitors[each].level)
        return f"{name}: {self.monitors[name].reason}"

    def owing(self, *assets: str) -> State:
        """With a decision owed to these assets too."""
        return replace(self, due=self.due | set(assets))

    def mark(self, symbol: str) -> Decimal:
        """Of a unit of a leg, at the last quote; 0 before the first."""
        for each in self.valuations.values():
            if symbol in each.legs:
                return Decimal(repr(each.legs[symbol].value))
        return Decimal(0)

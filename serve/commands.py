"""Everything that the core gives out: commands for the adapters to carry out, and records for the journal alone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from serve.oracle import Price


@dataclass(frozen=True)
class Output:
    time: int


@dataclass(frozen=True)
class SubmitOrder(Output):
    """Immediate or cancel: what cannot fill at `limit` or better is cancelled; `post_only` rests until it expires."""

    order: str
    symbol: str
    units: Decimal  # to buy; to sell is negative
    limit: Decimal
    expires_at: int  # the venue takes it no later than this
    reduce_only: bool
    post_only: bool = False
    venue: str = ""  # the one of several that it is for


@dataclass(frozen=True)
class CancelOrder(Output):
    order: str


@dataclass(frozen=True)
class LookUp(Output):
    """Ask the venue, by our id, what became of an order."""

    order: str


@dataclass(frozen=True)
class Infer(Output):
    request: str
    model: str  # SHA-256 of the weights that are to answer
    features: tuple[float, ...]


@dataclass(frozen=True)
class Ask(Output):
    """Ask the venue for a report, or for its time."""

    what: Literal["orders", "positions", "balance", "time"]


@dataclass(frozen=True)
class Alert(Output):
    """A person should know."""

    text: str


@dataclass(frozen=True)
class Proposal(Output):
    """Collateral that a person should move; nobody else does."""

    account: str
    source: str  # another account, or outside
    amount: Decimal  # quote currency
    distance: float  # of the account to liquidation, fraction of spot
    expected: int  # when it would be there, sent now
    in_time: bool  # before the account is at its limit; else its positions shrink meanwhile
    reason: str


@dataclass(frozen=True)
class Denied(Output):
    """We did not send what the decision asked for."""

    symbol: str
    units: Decimal
    reason: str
    price: Price | None = None  # the oracle's, where it decided


@dataclass(frozen=True)
class Dropped(Output):
    """A message from outside was not acted on."""

    what: str
    reason: str


@dataclass(frozen=True)
class Transition(Output):
    """A breaker moved the risk state, or would have, had another not been stricter."""

    breaker: str
    before: str
    after: str
    state: str  # of the whole engine, afterwards
    reason: str


@dataclass(frozen=True)
class Intent:
    """What a decision wants of one leg. `lower` and `upper` are the band's edges over the book's base units."""

    symbol: str
    lower: float
    upper: float
    position: Decimal
    wanted: Decimal  # to trade, before limits
    sent: Decimal


@dataclass(frozen=True)
class Decision(Output):
    """Why the hedge is what it is."""

    request: str
    source: Literal["policy", "last_good", "fallback", "protect", "close", "flatten"]
    state: str
    reason: str
    observation: str  # hashes
    model: str
    config: str
    limits: str
    action: tuple[float, ...]
    legs: tuple[Intent, ...]
    prices: tuple[Price, ...] = ()  # the oracle's, which the collar is around


@dataclass(frozen=True)
class ShadowDecision(Output):
    """What the challenger would have traded, on its own hedge of the same book."""

    request: str
    model: str
    observation: str
    action: tuple[float, ...]
    legs: tuple[Intent, ...]
    ahead: float  # its profit less ours since it was offered, quote currency


@dataclass(frozen=True)
class ModelChanged(Output):
    """Which model decides from the next question on, and why."""

    before: str
    after: str
    reason: str


@dataclass(frozen=True)
class Quiet(Output):
    """Halted, and no order of ours rests, by our records and by the venue's own report."""

    since: int  # when it was halted


@dataclass(frozen=True)
class Flat(Output):
    """Flattened, confirmed by our ledger and by the venue's own report."""

    mode: Literal["neutralise", "close"]
    positions: tuple[tuple[str, Decimal], ...]
    as_of: int  # of the venue's report


OUTPUTS: tuple[type[Output], ...] = tuple(Output.__subclasses__())

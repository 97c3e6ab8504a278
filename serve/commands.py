"""Everything that the core gives out: commands for the adapters to carry out, and records for the journal alone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Output:
    time: int


@dataclass(frozen=True)
class SubmitOrder(Output):
    """An immediate-or-cancel order; what cannot fill at `limit` or better is cancelled."""

    order: str
    units: Decimal  # to buy; to sell is negative
    limit: Decimal


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
    features: tuple[float, ...]


@dataclass(frozen=True)
class Alert(Output):
    """A person should know."""

    text: str


@dataclass(frozen=True)
class Denied(Output):
    """We did not send what the decision asked for."""

    units: Decimal
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
class Decision(Output):
    """Why the hedge is what it is."""

    request: str
    source: str  # policy, fallback or close
    state: str
    reason: str
    observation: str  # hashes
    model: str
    config: str
    action: tuple[float, ...]
    lower: float
    upper: float
    position: Decimal
    wanted: Decimal  # to trade, before limits
    sent: Decimal


OUTPUTS: tuple[type[Output], ...] = (
    SubmitOrder,
    CancelOrder,
    LookUp,
    Infer,
    Alert,
    Denied,
    Transition,
    Decision,
)

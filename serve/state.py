"""All that the core knows: made by folding the journal's events, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from envs.volatility.memory import Memory
from serve.breaker import Asked, Recollection
from serve.events import OptionTraded, QuoteEvent
from serve.ledger import Ledger
from serve.market import Sight
from serve.orders import Order
from serve.states import Monitor, RiskState


@dataclass(frozen=True)
class Question:
    """A request to the policy that is open."""

    asked: Asked
    sight: Sight
    binding: bool  # the hedge waits for the answer; else it is only watched


@dataclass(frozen=True)
class State:
    memory: Memory
    time: int = 0
    quote: QuoteEvent | None = None
    trusted: QuoteEvent | None = None  # the last quote that no market breaker doubted
    bar_spot: float | None = None  # at the last bar's close; None after a gap
    bar_time: int = 0
    option: OptionTraded | None = None
    ledger: Ledger = field(default_factory=Ledger)
    account_start: Decimal = Decimal(0)  # worth of the hedge when the option was traded
    orders: Mapping[str, Order] = field(default_factory=dict)
    orders_made: int = 0
    sent: tuple[int, ...] = ()  # times of the orders that count against the rate
    monitors: Mapping[str, Monitor] = field(default_factory=dict)
    recollections: Mapping[str, Recollection] = field(default_factory=dict)
    due: bool = False  # a decision is owed
    question: Question | None = None
    questions_made: int = 0

    @property
    def risk(self) -> RiskState:
        """The strictest monitor wins."""
        return max((monitor.level for monitor in self.monitors.values()), default=RiskState.ACTIVE)

    @property
    def account(self) -> Decimal:
        """Cash of the hedge's margin account beyond its collateral, which is posted anew for every option."""
        return self.ledger.hedge_cash - self.account_start

    @property
    def in_flight(self) -> tuple[Order, ...]:
        return tuple(order for order in self.orders.values() if order.in_flight)

    def strictest(self) -> str:
        """The name and reason of the monitor that sets the risk state; empty when none does."""
        if self.risk is RiskState.ACTIVE:
            return ""
        name = max(self.monitors, key=lambda each: self.monitors[each].level)
        return f"{name}: {self.monitors[name].reason}"

    def flying(self, sign: int) -> Decimal:
        """Units in flight with this sign."""
        return sum((order.left for order in self.in_flight if order.left * sign > 0), Decimal(0))

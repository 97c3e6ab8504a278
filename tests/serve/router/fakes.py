"""Venues that misbehave as they are told to, each with the truth of what it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.events import (
    Absent,
    Acknowledged,
    BalanceReport,
    Cancelled,
    Event,
    Filled,
    OrdersReport,
    PositionsReport,
    Rejected,
    VenueTime,
)
from serve.ledger import ZERO
from serve.router.books import Level, Nature, Snapshot
from serve.router.settings import Routing
from serve.router.venue import Routed

D = Decimal
START = 1_700_000_000_000
LEG = "BTC-PERP"
LOT = D("0.1")
PERPETUAL = Nature()
Fate = Literal["works", "fills", "refuses", "breaks", "vanishes", "is late", "is silent"]


@dataclass
class Held:
    """An order at the venue."""

    order: SubmitOrder
    fills: list[Filled] = field(default_factory=list)
    over: bool = False

    @property
    def left(self) -> Decimal:
        return D(0) if self.over else self.order.units - sum(each.units for each in self.fills)


@dataclass
class Fake:
    """`fate`: of the next order. What it tells unasked waits in `mail`."""

    name: str
    asks: tuple[tuple[str, str], ...] = (("100", "5"), ("101", "5"))
    fate: Fate = "works"
    deaf: bool = False  # every question raises
    now: int = START
    orders: dict[str, Held] = field(default_factory=dict)
    coming: dict[str, SubmitOrder] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    mail: list[Event] = field(default_factory=list)
    cash: Decimal = ZERO
    margin_use: float = 0.1
    booked_at: int | None = None  # time of its book; None: always of now
    mark: float = 100.0
    kind: Nature = PERPETUAL

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        assert order.order not in self.seen, "an order was sent twice"
        self.seen.append(order.order)
        fate, self.fate = self.fate, "works"
        if fate == "refuses":
            return (Rejected(self.now, order.order, "not enough margin"),)
        if fate == "vanishes":
            raise TimeoutError("no answer")
        if fate == "is late":
            self.coming[order.order] = order
            raise TimeoutError("no answer")
        self.orders[order.order] = Held(order)
        if fate == "breaks":
            raise ConnectionError("reset")
        if fate == "is silent":
            return ()
        if fate == "fills":
            self.fill(order.order, order.units)
        return self.known(order.order)

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        self._asked()
        held = self.orders.get(order.order)
        if held is None or held.left == 0:
            return ()
        held.over = True
        return self.known(order.order)

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        self._asked()
        return self.known(order.order) if order.order in self.orders else (Absent(self.now, order.order),)

    def report(self, question: Ask) -> tuple[Event, ...]:
        self._asked()
        if question.what == "orders":
            return (OrdersReport(self.now, tuple(name for name, each in self.orders.items() if each.left != 0)),)
        if question.what == "positions":
            return (PositionsReport(self.now, self.now, ((LEG, self.position),)),)
        if question.what == "time":
            return (VenueTime(self.now, 3, 40),)
        return (BalanceReport(self.now, self.now, self.cash, self.margin_use),)

    def passed(self, now: int) -> list[Event]:
        """Its mail, once it is not deaf."""
        self._asked()
        mail, self.mail = self.mail, []
        return [replace(event, time=now) for event in mail]

    def before(self, event: Event, state: Any) -> tuple[Event, ...]:
        return ()

    def after(self, event: Event, state: Any) -> tuple[Event, ...]:
        return ()

    def settle(self) -> None: ...

    def unexplained(self, state: Any, declared: Iterable[Event]) -> str | None:
        return f"{state.venue.positions} held" if "DOGE" in state.venue.positions else None

    def close(self) -> None: ...

    def ticks(self) -> list[Any]:
        return []

    def nature(self, leg: str) -> Nature:
        return self.kind

    def book(self, symbol: str) -> Snapshot | None:
        asks = tuple(Level(D(price), D(units)) for price, units in self.asks)
        bids = tuple(Level(200 - level.price, level.units) for level in asks)
        return Snapshot(self.now if self.booked_at is None else self.booked_at, bids, asks, self.mark, 100.0, 0.0)

    @property
    def position(self) -> Decimal:
        return sum((fill.units for each in self.orders.values() for fill in each.fills), D(0))

    def fill(self, name: str, units: Decimal) -> Filled:
        """A part of an order is filled, and nobody was told yet."""
        held = self.orders[name]
        number = sum(len(each.fills) for each in self.orders.values()) + 1
        held.fills.append(Filled(self.now, name, f"t{number}", units, D(100), D(0)))
        return held.fills[-1]

    def known(self, name: str) -> tuple[Event, ...]:
        """All there is to be told of an order."""
        held = self.orders[name]
        end = (Cancelled(self.now, name),) if held.over else ()
        return (Acknowledged(self.now, name), *(replace(fill, time=self.now) for fill in held.fills), *end)

    def reaches(self, now: int) -> None:
        """Time passes; what has expired works no more, and nobody was told."""
        self.now = now
        for held in self.orders.values():
            held.over = held.over or (held.left != 0 and now > held.order.expires_at)

    def arrive(self, name: str) -> None:
        """A late order is there at last, if it has not expired."""
        order = self.coming.pop(name)
        if self.now <= order.expires_at:
            self.orders[name] = Held(order)

    def _asked(self) -> None:
        if self.deaf:
            raise ConnectionError("no line")


def settings(*venues: str, **changes: Any) -> Routing:
    """Two failures put a venue out for a minute; nothing but the books' prices tells the venues apart."""
    exchange = {
        "name": "deribit",
        "keys": {"file": "keys.toml"},
        "symbols": {LEG: "BTC/USDC:USDC"},
        "quotes": {"BTC": "BTC/USDC:USDC"},
        **dict.fromkeys(("timeout_seconds", "silence_seconds", "poll_seconds", "dead_man_seconds"), 10),
        "surface_seconds": 0,
    }
    raw: dict[str, Any] = {
        "name": "routed",
        "venues": dict.fromkeys(venues, exchange),
        "routes": {LEG: {venue: {"taker": 0.0, "maker": 0.0} for venue in venues}},
        "health": {"failures": 2, "latency_seconds": 5, "quantile": 0.9, "dwell_seconds": 60},
        "book_seconds": 5,
        "outage_seconds": 600,
        "holding_hours": 1,
        "basis_half_life_hours": 8,
        "margin_use": 0.5,
        "volatility": 0.5,
        "capital": 0,
    }
    return Routing.model_validate(raw | changes)


def routed(*fakes: Fake, **changes: Any) -> Routed:
    made = Routed({each.name: each for each in fakes}, settings(*(each.name for each in fakes), **changes), {LEG: LOT})
    for each in fakes:
        made.report(Ask(each.now, "time"))
    return made


def order(number: int = 1, units: str = "8", **changes: Any) -> SubmitOrder:
    plain = SubmitOrder(
        START, f"desk-{number:06d}", LEG, D(units), D(150) if D(units) > 0 else D(50), START + 9000, False
    )
    return replace(plain, **changes)


CHEAP = (("100", "5"), ("103", "9"))
DEAR = (("101", "2"), ("102", "9"))


def two(**changes: Any) -> tuple[Fake, Fake, Any]:
    a, b = Fake("a", asks=CHEAP), Fake("b", asks=DEAR)
    return a, b, routed(a, b, **changes)


def later(fakes: Sequence[Fake], seconds: float) -> int:
    for fake in fakes:
        fake.now += round(seconds * 1000)
    return fakes[0].now

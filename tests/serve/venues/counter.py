"""Our side of an exchange that is a few lines of Python: it has what a test puts there, and answers when it may."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Literal

from serve.clock import VirtualClock
from serve.dialects import Delivery, Dialect, Payment, Raw
from serve.events import Event
from serve.venues import wire
from serve.venues.ordering import Ordering
from serve.venues.tracks import Tracks
from tests.serve.dialects.house import START
from tests.serve.venues.desk import INSTANCE, LEG, PERP, SESSION, settings


@dataclass
class Venue:
    """In place of ccxt."""

    orders: dict[str, dict[str, Any]] = field(default_factory=dict)  # by our id on the wire
    trades: list[dict[str, Any]] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)  # asked for
    since: list[int] = field(default_factory=list)  # when fills were asked for from
    deaf: bool = False  # no cancel gets through

    async def create_order(self, symbol: str, kind: str, side: str, amount: float, price: float, terms: Raw) -> Raw:
        self.orders[terms["clientOrderId"]] = told(str(terms["clientOrderId"]), "open")
        return self.orders[terms["clientOrderId"]]

    async def fetch_order(self, venue_id: str, symbol: str, terms: Raw = {}) -> Raw:  # noqa: B006 - never changed
        for name, raw in self.orders.items():
            if name == terms.get("clientOrderId") or raw["id"] == venue_id:
                return raw
        raise wire.OrderNotFound(venue_id)

    async def cancel_order(self, venue_id: str, symbol: str, terms: Raw = {}) -> None:  # noqa: B006 - never changed
        self.cancels.append(venue_id or terms["clientOrderId"])
        if self.deaf:
            raise TimeoutError
        (await self.fetch_order(venue_id, symbol, terms))["status"] = "canceled"  # type: ignore[index]

    async def cancel_all_orders_after(self, milliseconds: int) -> None:
        pass


@dataclass
class Plain(Dialect):
    open: asyncio.Event | None = None  # the answer to what the price band is waits for it

    async def band(self, x: Any, symbol: str) -> tuple[Decimal, Decimal] | None:
        if self.open is not None:
            await self.open.wait()
        return None

    async def trades(self, x: Any, symbols: Sequence[str], since: int) -> list[Raw]:
        x.since.append(since)
        return list(x.trades)

    async def payments(self, x: Any, symbols: Sequence[str], since: int) -> list[Payment | Delivery]:
        return []

    def taken_over(self, raw: Raw) -> Literal["", "liquidated", "deleveraged"]:
        return "deleveraged" if raw.get("forced") else ""


@dataclass
class Counter:
    venue: Venue = field(default_factory=Venue)
    dialect: Plain = field(default_factory=Plain)
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START))
    told: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line: Any = SimpleNamespace(
            dialect=self.dialect,
            settings=settings("http://127.0.0.1:1", symbols={LEG: PERP}),
            secrets=SimpleNamespace(words=repr),
            made=lambda: self.venue,
            unit=lambda symbol: Decimal(1),
            market=lambda symbol: {"swap": True},
            priced=lambda symbol, limit, buy: limit,
        )
        self.tracks = Tracks(self.dialect, SESSION, INSTANCE)
        self.ordering = Ordering(self.line, self.tracks, {LEG: PERP}, self.told.append, self.clock)

    @property
    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.told]


def told(name: str, status: str, filled: str = "0", trades: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """An order as ccxt has it."""
    return {"id": "77", "clientOrderId": name, "status": status, "filled": filled, "trades": list(trades), "info": {}}


def trade(number: str, amount: str = "0.1", fee: str | None = "0.01", **terms: Any) -> dict[str, Any]:
    """A bought fill of the order 77, as ccxt has it."""
    raw = {"id": number, "order": "77", "symbol": PERP, "side": "buy", "amount": amount, "price": "84000"}
    return {**raw, "timestamp": START, "fee": {"cost": fee}, "info": {}, **terms}

"""What exchanges differ in, over ccxt's unified calls: one file per exchange with one public class, by name.

`x` is a ccxt.pro exchange that `Dialect.made` returned; `raw` is one of ccxt's unified orders, trades or tickers, with
the exchange's own message under "info". Sizes are base units and money is quote currency wherever a Decimal stands.
Every coroutine may raise whatever ccxt raises.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, Literal

from envs.types import BadInput
from serve.clock import YEAR
from serve.commands import SubmitOrder
from serve.venues import wire
from serve.venues.settings import names as names

Raw = Mapping[str, Any]
Heard = Callable[[Mapping[str, Any]], None]
FUNDING_HOURS = 8


@dataclass(frozen=True)
class Reading:
    """Of an instrument's ticker. `time`: the exchange's, milliseconds; `funding_rate`: per year."""

    time: int
    index: float
    mark: float
    funding_rate: float


@dataclass(frozen=True)
class Money:
    """`cash`: as if every contract held had been bought for its price, so that it moves by fills, fees and funding.

    `equity`: what the exchange holds against `maintenance` before it liquidates; of all collateral, where it counts
    more than one currency. `coins`: the other currencies of that collateral, as far as they count.
    """

    cash: Decimal
    equity: Decimal
    maintenance: Decimal
    coins: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Payment:
    """Of funding; paid is negative."""

    id: str
    symbol: str
    cash: Decimal
    time: int


@dataclass(frozen=True)
class Delivery:
    """Of an option that expired: the change of our position, and what a unit was worth."""

    id: str
    symbol: str
    units: Decimal
    price: Decimal
    time: int


@dataclass(frozen=True)
class Rights:
    """What the key may do."""

    trade: bool
    withdraw: bool


@dataclass(frozen=True)
class Step:
    """Where a message stands among those of a book. `previous` is None where the book begins anew."""

    symbol: str
    previous: int | None
    last: int


class Dialect:
    """The defaults are what ccxt's unified calls give; an exchange overrides where they do not hold."""

    ccxt_name: ClassVar[str]
    credentials: ClassVar[tuple[str, ...]] = ("apiKey", "secret")  # as ccxt names them
    options: ClassVar[Mapping[str, Any]] = {}
    name_key: ClassVar[str] = "clientOrderId"  # the parameter that carries our id
    kinds: ClassVar[tuple[str, ...]] = ("swap",)  # ccxt's, of what a linear leg may trade
    tied: ClassVar[bool] = False  # what rests dies with the way that it was ordered by, which `renew` is then told of

    def urls(self, address: str) -> dict[str, Any]:
        """What takes the place of ccxt's `urls["api"]` at a rehearsal, such as http://127.0.0.1:8123."""
        raise NotImplementedError

    def made(self, settings: Mapping[str, Any], heard: Heard | None = None) -> Any:
        """A ccxt.pro exchange. `heard`: told of each message of its websockets, before ccxt reads it."""
        return wire.made(self.ccxt_name, {**settings, "options": dict(self.options)}, heard)

    def spelled(self, name: str, instance: str, number: str) -> str:
        """Our id on the wire: of the order `number` of the session `name` in the database `instance`.

        What begins with `prefix(name)` bears our name; no other session's id may.
        """
        return f"{name}.{instance}-{number}"

    def prefix(self, name: str) -> str:
        return f"{name}."

    def named(self, raw: Raw) -> str:
        """The id that an order or a trade bears on the wire; empty where it bears none."""
        return str(raw.get("clientOrderId") or "")

    @property
    def watching(self) -> tuple[str, ...]:
        """Of the credentials, what suffices to look at an account."""
        return self.credentials

    def unit(self, market: Raw) -> Decimal:
        """Base units in one of ccxt's amount. Raises BadInput for a contract that cannot be served."""
        if market.get("inverse"):
            raise BadInput(f"{market['symbol']} is settled in coin; choose one that is settled in {market['quote']}")
        return self.size(market)

    def size(self, market: Raw) -> Decimal:
        """The same of an option that is settled in coin too."""
        return Decimal(str(market.get("contractSize") or 1))

    def parameters(self, order: SubmitOrder, spelled: str) -> dict[str, Any]:
        """Of ccxt's create_order."""
        terms: dict[str, Any] = {self.name_key: spelled}
        terms |= {"postOnly": True} if order.post_only else {"timeInForce": "IOC"}
        return terms | ({"reduceOnly": True} if order.reduce_only else {})

    async def resting(self, x: Any, symbols: Sequence[str]) -> list[Raw]:
        """Every order that rests on the account, in whatever instrument and whoever's."""
        return list(await x.fetch_open_orders())

    async def found(self, x: Any, symbol: str, spelled: str, venue_id: str) -> Raw | None:
        """An order by our id, whether it rests or has ended; None where the exchange does not have it.

        `venue_id`: the exchange's own, where it is known, else empty.
        """
        try:
            if venue_id:
                return dict(await x.fetch_order(venue_id, symbol))
            return dict(await x.fetch_order("", symbol, {self.name_key: spelled}))
        except wire.OrderNotFound:
            return None

    async def cancel(self, x: Any, symbol: str, spelled: str, venue_id: str) -> None:
        """Raises wire.OrderNotFound where nothing rests."""
        await x.cancel_order(venue_id, symbol, {} if venue_id else {self.name_key: spelled})

    async def trades(self, x: Any, symbols: Sequence[str], since: int) -> list[Raw]:
        """Our fills since a time of the exchange's, in these instruments, oldest first: all of them, however many."""
        raise NotImplementedError

    def taken_over(self, raw: Raw) -> Literal["", "liquidated", "deleveraged"]:
        """Whether a trade of the account was the exchange's doing."""
        return ""

    async def positions(self, x: Any, symbols: Sequence[str]) -> dict[str, Decimal]:
        """Of every instrument in which something is held, and of `symbols`; short is negative."""
        held = {name: amount * self.unit(x.market(name)) for name, amount in (await self.held(x)).items()}
        return dict.fromkeys(symbols, Decimal(0)) | held

    async def held(self, x: Any) -> dict[str, Decimal]:
        """ccxt's amount of every instrument in which something is held; short is negative."""
        held: dict[str, Decimal] = {}
        for raw in await x.fetch_positions():
            amount = abs(Decimal(str(raw["contracts"] or 0)))
            held[raw["symbol"]] = held.get(raw["symbol"], Decimal(0)) + (-amount if raw["side"] == "short" else amount)
        return {symbol: amount for symbol, amount in held.items() if amount != 0}

    async def mark(self, x: Any, symbol: str) -> Decimal:
        """Of a base unit now, in what it settles in."""
        return Decimal(str((await x.fetch_mark_price(symbol))["markPrice"]))

    def ended(self, markets: Mapping[str, Raw], symbol: str) -> Raw | None:
        """The market of a dated future that has expired and is listed no more; None where it cannot be told."""
        return None

    def expired(self, x: Any, symbol: str) -> Raw:
        """The market of an option that is listed no more."""
        return dict(x.create_expired_option_market(symbol))

    async def owner(self, x: Any) -> str:
        """What the exchange calls the account of the key; empty where it does not say."""
        return ""

    async def money(self, x: Any, symbols: Sequence[str]) -> Money:
        raise NotImplementedError

    def fee(self, raw: Raw) -> Decimal:
        """Of a trade, quote currency; paid is positive."""
        return Decimal(str(raw["fee"]["cost"]))

    async def payments(self, x: Any, symbols: Sequence[str], since: int) -> list[Payment | Delivery]:
        """Of funding, and settlements of what expired, since a time of the exchange's, oldest first: all of them."""
        raise NotImplementedError

    async def rights(self, x: Any) -> Rights:
        raise NotImplementedError

    async def time(self, x: Any) -> int:
        """The exchange's clock."""
        return int(await x.fetch_time())

    async def renew(self, x: Any, symbols: Sequence[str], seconds: float) -> None:
        """What rests of the account, or of these instruments, is cancelled so many seconds from now, unless this is
        called again before. Raises ccxt.NotSupported where the exchange has nothing of the kind.
        """
        await x.cancel_all_orders_after(round(seconds * 1000))

    async def band(self, x: Any, symbol: str) -> tuple[Decimal, Decimal] | None:
        """Lowest and highest price that an order may have now, where the exchange tells."""
        return None

    async def ticker(self, x: Any, symbol: str) -> Raw:
        """The next one of the websocket."""
        return dict(await x.watch_ticker(symbol))

    def reading(self, ticker: Raw) -> Reading:
        """Raises KeyError, TypeError or ValueError where the ticker lacks something."""
        raise NotImplementedError

    def step(self, x: Any, message: Raw) -> Step | None:
        """None for a message that is no book's."""
        return None

    def fault(self, message: Raw) -> str:
        """What a message complains of, in words, where it is an error; else empty."""
        return ""

    async def surface(self, x: Any, base: str) -> tuple[tuple[int, float, float], ...]:
        """Listed implied volatilities: expiry (milliseconds), strike and volatility per √year; empty where none are."""
        return ()


def per_year(rate: float, hours: float = FUNDING_HOURS) -> float:
    """Of a rate that is paid every so many hours."""
    return rate * YEAR / (hours * 3_600_000)


def load(name: str) -> Dialect:
    """Raises BadInput for a name that is no file of the folder."""
    if name not in names():
        raise BadInput(f"venue.name: no exchange {name!r}; have {', '.join(names())}")
    module = importlib.import_module(f"serve.dialects.{name}")
    kind = getattr(module, "".join(part.capitalize() for part in name.split("_")))
    made: Dialect = kind()
    return made

"""The account at an exchange: its reports, and what happened to it that no message told of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal

from serve.account import Held, MarginAccount
from serve.clock import Clock
from serve.commands import Ask
from serve.dialects import Delivery, Money, Payment
from serve.events import (
    BalanceReport,
    Deleveraged,
    Event,
    FundingPaid,
    Malformed,
    OrdersReport,
    PositionsReport,
    VenueTime,
)
from serve.venues.connection import Connection
from serve.venues.ordering import OVERLAP, Ordering, Tell
from serve.venues.tracks import Tracks

Mark = Callable[[str], float | None]
TRIES = 3  # of a report, as a session does not begin without it
PAUSE = 0.2  # seconds on the wall between them


class Accounting:
    """On the lanes' thread, over the lane of questions. What a report says is not older than its `as_of`."""

    def __init__(
        self,
        line: Connection,
        ordering: Ordering,
        tracks: Tracks,
        symbols: Mapping[str, str],
        tell: Tell,
        mark: Mark,
        clock: Clock,
    ) -> None:
        """`mark`: of ccxt's symbol, where one is known."""
        self._line, self._ordering, self._tracks, self._symbols = line, ordering, tracks, symbols
        self._tell, self._mark, self._clock = tell, mark, clock
        self._paid = set[str]()  # payments and deliveries that were told
        self._since = 0  # up to when the account was looked at, by the exchange's clock
        self._silent = False
        self._turn = asyncio.Lock()

    def remember(self, past: Iterable[Event], now: int) -> None:
        """What was journalled before a restart; without any, nothing before `now` is looked at.

        All that the last report saw was told before it; of what came after, a message of any other kind says nothing.
        """
        looked: int | None = None
        for event in past:
            looked = event.time if looked is None else looked
            if isinstance(event, PositionsReport | BalanceReport):
                looked = event.as_of
            elif isinstance(event, FundingPaid):
                self._paid.add(event.payment)
            elif isinstance(event, Deleveraged) and event.why == "expired":
                self._paid.add(event.trade)
        self._since = now if looked is None else looked

    async def poll(self) -> None:
        """Fills, funding and deliveries since the last look. That the exchange is silent is told once."""
        try:
            await self._polled()
            self._silent = False
        except Exception as error:
            was, self._silent = self._silent, True
            if not was:
                self._tell(Malformed(0, self._line.settings.name, "account", self._line.secrets.words(error)))

    async def report(self, what: Ask) -> None:
        """Tried again where it fails: what never comes makes its input stale."""
        for left in reversed(range(TRIES)):
            try:
                self._tell(await self._reports[what.what](self))
                return
            except Exception as error:
                if left == 0:
                    self._tell(Malformed(0, self._line.settings.name, what.what, self._line.secrets.words(error)))
                await asyncio.sleep(PAUSE)

    async def _polled(self) -> None:
        async with self._turn:
            x, dialect, symbols = self._ordering.questions, self._line.dialect, self._listed
            until = self._clock.now() + self._ordering.skew
            for raw in await dialect.trades(x, symbols, self._since - OVERLAP):
                await self._ordering.traded(raw)
            for paid in await dialect.payments(x, symbols, self._since - OVERLAP):
                self._booked(paid)
            self._since = until

    def _booked(self, paid: Payment | Delivery) -> None:
        leg = self._leg(paid.symbol)
        if paid.id in self._paid or leg == paid.symbol:
            return
        self._paid.add(paid.id)
        if isinstance(paid, Payment):
            self._tell(FundingPaid(0, leg, paid.cash, paid.id))
        else:
            self._tell(Deleveraged(0, leg, paid.units, paid.price, "expired", paid.id))

    async def _orders(self) -> OrdersReport:
        raws = await self._line.dialect.resting(self._ordering.questions, self._listed)
        return OrdersReport(0, tuple(self._whose(self._line.dialect.named(raw), str(raw["id"])) for raw in raws))

    def _whose(self, spelled: str, venue_id: str) -> str:
        """Our id of an order of this session, else what it bears."""
        track = self._tracks.of(spelled, venue_id)
        if track is not None:
            return track.order.order
        return self._tracks.bearing(spelled) or spelled or f"{self._line.settings.name}:{venue_id}"

    async def _positions(self) -> PositionsReport:
        """Legs by their names, all else that is held by the exchange's."""
        await self._polled()
        asked = self._clock.now()
        held = await self._line.dialect.positions(self._ordering.questions, self._listed)
        return PositionsReport(0, asked, tuple((self._leg(symbol), units) for symbol, units in held.items()))

    async def _balance(self) -> BalanceReport:
        await self._polled()
        asked = self._clock.now()
        money = await self._line.dialect.money(self._ordering.questions, self._listed)
        held = await self._line.dialect.positions(self._ordering.questions, self._listed)
        use = float(money.maintenance / money.equity) if money.equity > 0 else float(money.maintenance > 0) * 1e9
        return BalanceReport(0, asked, money.cash, use, self._accounts(money, held))

    def _accounts(self, money: Money, held: Mapping[str, Decimal]) -> tuple[MarginAccount, ...]:
        """Each asset bears maintenance by its share of the notional held. None where an option is held, as its delta is
        the core's to compute, or something that is not quoted: the core then goes by its own account. So does coin that
        is collateral, which is a position too, be it a leg's or not; dollars are none.
        """
        assets = self._assets
        units = {symbol: amount for symbol, amount in held.items() if amount != 0 and not self._spot(symbol)}
        marks = {symbol: self._mark(symbol) for symbol in units}
        coins = {coin: amount for coin, amount in money.coins.items() if amount != 0 and not coin.startswith("USD")}
        if None in marks.values() or not units.keys() <= assets.keys() or not coins.keys() <= set(assets.values()):
            return ()
        worth = {symbol: abs(amount) * Decimal(str(marks[symbol])) for symbol, amount in units.items()}
        whole = sum(worth.values(), Decimal(0))
        deltas = {**dict.fromkeys((assets[symbol] for symbol in units), Decimal(0)), **coins}
        borne = dict.fromkeys(deltas, Decimal(0))
        for symbol, amount in units.items():
            deltas[assets[symbol]] += amount
            borne[assets[symbol]] += money.maintenance * worth[symbol] / whole
        holds = (Held(asset, delta, borne[asset]) for asset, delta in deltas.items())
        legs = tuple((self._leg(symbol), amount) for symbol, amount in held.items())
        return (MarginAccount(self._line.settings.name, money.equity, tuple(holds), legs),)

    @property
    def _assets(self) -> dict[str, str]:
        """By symbol: what quotes each, and the futures on it that legs trade."""
        quoted = {symbol: asset for asset, symbol in self._line.settings.quotes.items()}
        bases = {self._line.market(symbol)["base"]: asset for symbol, asset in quoted.items()}
        legs = {symbol: self._line.market(symbol) for symbol in self._listed}
        return quoted | {s: bases[each["base"]] for s, each in legs.items() if each["future"] and each["base"] in bases}

    def _spot(self, symbol: str) -> bool:
        return bool(self._line.markets.get(symbol, {}).get("spot"))

    async def _time(self) -> VenueTime:
        """The least skew that the answer proves."""
        began = self._clock.now()
        told = await self._line.dialect.time(self._ordering.questions)
        ended = self._clock.now()
        self._ordering.skew = told - min(max(told, began), ended)
        return VenueTime(0, self._ordering.skew, ended - began)

    _reports: Mapping[str, Callable[[Accounting], Awaitable[Event]]] = {
        "orders": _orders,
        "positions": _positions,
        "balance": _balance,
        "time": _time,
    }

    @property
    def _listed(self) -> list[str]:
        return sorted(set(self._symbols.values()))

    def _leg(self, symbol: str) -> str:
        return next((leg for leg, own in self._symbols.items() if own == symbol), symbol)

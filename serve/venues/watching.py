"""What an account at an exchange holds, and what explains how that differs from the book: read, never traded on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from serve.clock import SECOND
from serve.dialects import Delivery, Raw
from serve.errors import StartRefused
from serve.events import BookSettled, BookTraded, Event
from serve.holding import Holding
from serve.holdings import fault
from serve.market import Market
from serve.venues import wire
from serve.venues.connection import Connection
from serve.venues.differences import Deal, Holdings, Report, explaining, holding, named
from serve.venues.ordering import OVERLAP
from serve.venues.settings import AccountSettings, ExchangeSettings


class Account:
    """Over a connection of its own, on the lanes' thread."""

    def __init__(self, settings: AccountSettings, market: Market, past: Sequence[Event]) -> None:
        """`past`: what was journalled before a restart. Raises BadInput for keys that are not at hand."""
        self.line = Connection.watching(settings)
        self.x = self.line.made()
        self.name, self._market = settings.name, market
        self.every = round(settings.poll_seconds * SECOND)  # milliseconds between looks
        self._begun = self._since = past[0].time if past else 0  # since when the book is what the account held
        self._last = dict[str, str]()  # deal of each holding that is in the book
        for event in past:
            if isinstance(event, BookTraded) and self._owns(event.holding.id):
                self._since, self._last[event.holding.id] = event.time, event.trade
            elif isinstance(event, BookSettled) and self._owns(event.holding):
                self._since = event.time

    def part(self, holdings: Holdings) -> Holdings:
        """What of the book is this account's."""
        return {name: each for name, each in holdings.items() if self._owns(name)}

    async def begin(self, others: Sequence[ExchangeSettings]) -> None:
        """Raises StartRefused where it is not reached, or is one of those that hedges are traded on."""
        await self.line.loaded(self.x)
        if self._since == 0:
            self._begun = self._since = await self.line.dialect.time(self.x)
        for settings in others:
            if (settings.name, settings.rehearsal) == (self.line.settings.name, self.line.settings.rehearsal):
                await self._apart(Connection.of(settings))

    async def report(self, book: Holdings) -> Report:
        """Compared with the account's part of the book. Raises whatever ccxt does."""
        time, amounts = await self.line.dialect.time(self.x), await self.line.dialect.held(self.x)
        await self._listed(amounts)
        held, unread = dict[str, Holding](), dict[str, str]()
        for symbol, amount in amounts.items():
            own = self._holding(symbol, amount, time, book)
            if isinstance(own, str):
                unread[f"{self.name}:{symbol}"] = own
            else:
                held[own.id] = own
        return await self._explained(Report(time, book, held, unread))

    async def _explained(self, report: Report) -> Report:
        """With what the exchange says of each difference."""
        deals, marks = dict[str, Sequence[Deal]](), dict[str, Decimal]()
        for name, change in report.differences.items():
            found = explaining(await self._deals(change, report.expired(change)), change.units)
            if found:
                deals[name] = found
                self._last[name] = named(change, found)
            elif not report.expired(change):
                marks[name] = await self.line.dialect.mark(self.x, self._symbol(change))
        if not report.differences:
            self._since = report.time
        return replace(report, deals=deals, marks=marks)

    async def _deals(self, change: Holding, expired: bool) -> list[Deal]:
        """In the instrument, that the book does not have yet; of one that has expired, as far as they are told."""
        symbol, dialect = self._symbol(change), self.line.dialect
        since = max(self._begun, self._since - OVERLAP)
        try:
            if expired and symbol not in self.x.markets:
                self.x.markets[symbol] = dialect.expired(self.x, symbol)
            size = dialect.size(self.x.market(symbol))
            found = [_deal(raw, size) for raw in await dialect.trades(self.x, [symbol], since)]
            if expired:
                paid = await dialect.payments(self.x, [symbol], change.expiry or 0)
                found += [Deal(e.id, e.units, e.price, True) for e in paid if isinstance(e, Delivery)]
        except Exception:
            if not expired:
                raise
            return []
        counted = [n for n in range(1, len(found) + 1) if named(change, found[:n]) == self._last.get(change.id)]
        return found[max(counted, default=0) :]

    def _holding(self, symbol: str, amount: Decimal, time: int, book: Holdings) -> Holding | str:
        """Why it is none, in words, where the book does not have it already."""
        listed = self.x.markets.get(symbol)
        if listed is None:
            return "the exchange does not list it"
        own = holding(self.name, listed, amount * self.line.dialect.size(listed))
        if isinstance(own, str) or own.id in book:
            return own
        return fault(own, self._market.assets, time, self._market.bar, self._market.longest) or own

    def _owns(self, name: str) -> bool:
        return name.startswith(f"{self.name}:")

    def _symbol(self, change: Holding) -> str:
        return change.id.removeprefix(f"{self.name}:")

    async def _listed(self, symbols: Iterable[str]) -> None:
        """Asks anew what is listed where one of these is not; what was listed before stays known."""
        before = self.x.markets
        if not set(symbols) <= before.keys():
            self.x.set_markets(list({**before, **await self.x.load_markets(True)}.values()))

    async def _apart(self, other: Connection) -> None:
        """Raises StartRefused where the other's account is this one."""
        first, x = other.dialect.credentials[0], other.made()
        try:
            same = other.secrets.shown()[first] == self.line.secrets.shown()[first]
            owner = await self.line.dialect.owner(self.x)
            same = same or (owner != "" and owner == await other.dialect.owner(x))
        except wire.CcxtError as error:
            raise StartRefused(f"book.account: whose the keys are is not told: {other.secrets.words(error)}") from None
        finally:
            await x.close()
        if same:
            raise StartRefused(
                f"book.account: {self.name} is the account that is hedged with at {other.settings.name}; hedge on "
                "another, or its own hedges become the book"
            )


def _deal(raw: Raw, size: Decimal) -> Deal:
    units = Decimal(str(raw["amount"])) * size
    price = Decimal(str(raw["price"]))
    return Deal(str(raw["id"]), units if raw["side"] == "buy" else -units, price)

"""Websockets of an exchange: each life on a fresh ccxt instance, ended by the first thing that is not right.

ccxt merges a new snapshot into the old book after a reconnect, takes no notice of a gap in the sequence, and stops
reading without a word after an error frame: so a book begins with its life, every message is looked at before ccxt
reads it, and silence ends a life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from serve.clock import SECOND, Clock
from serve.dialects import Raw, Reading
from serve.events import Malformed
from serve.venues.connection import Connection, expired
from serve.venues.ordering import Ordering, Tell

NEAR = Decimal("0.0005")  # of the middle, within which depth counts
PAUSE = 0.2  # seconds on the wall before a new life
BIRTH = 2.0  # seconds on the wall that a life may take to quote every asset, before nobody waits for it any longer


@dataclass(frozen=True)
class Book:
    """Prices and base units, best first."""

    time: int  # our clock's
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]

    @property
    def middle(self) -> Decimal:
        return (self.asks[0][0] + self.bids[0][0]) / 2

    @property
    def half_spread(self) -> float:
        """Fraction of the middle."""
        return float((self.asks[0][0] - self.middle) / self.middle)

    @property
    def depth(self) -> float:
        """Quote currency near the middle on the thinner side, and never less than the best price's.

        The mark comes by another message than the book, so the book's own middle stands for it.
        """
        reach = self.middle * NEAR
        bids = [p * u for p, u in self.bids if p >= self.middle - reach] or [self.bids[0][0] * self.bids[0][1]]
        asks = [p * u for p, u in self.asks if p <= self.middle + reach] or [self.asks[0][0] * self.asks[0][1]]
        return float(min(sum(bids), sum(asks)))


Show = Callable[[str, Reading, Book], None]


class Broken(Exception):
    """What the exchange sends cannot be relied on."""


class Streams:
    """`quotes`: ccxt's symbols, by asset. `others`: those that are heard and quote none. `show`: told of each ticker of
    an asset beside a book that is whole. What has expired is heard no more.
    """

    def __init__(
        self,
        line: Connection,
        quotes: Mapping[str, str],
        ordering: Ordering,
        tell: Tell,
        show: Show,
        clock: Clock,
        others: Iterable[str] = (),
    ) -> None:
        self._line, self._quotes, self._ordering, self._tell = line, quotes, ordering, tell
        self._show, self._clock = show, clock
        self._symbols = {**quotes, **{symbol: symbol for symbol in others}}
        self.books: dict[str, Book] = {}  # by ccxt's symbol
        self.readings: dict[str, Reading] = {}
        self._steps: dict[str, int] = {}
        self._fed: Mapping[str, str] = {}  # of the symbols, those of the life at hand
        self._heard: dict[str, int] = {}  # when each feed last spoke, by our clock
        self._ends: asyncio.Future[str] | None = None
        self._x: Any = None
        self._born = asyncio.Event()

    async def run(self) -> None:
        """One life after another."""
        while True:
            asyncio.get_running_loop().call_later(BIRTH, self._born.set)
            try:
                why = await self._lived()
            except Exception as error:  # a life that cannot even be buried is over too
                why = self._line.secrets.words(error)
            self._tell(Malformed(0, self._line.settings.name, "market data", why))
            self._born.clear()
            await asyncio.sleep(PAUSE)

    async def born(self) -> None:
        """Returns once the life at hand quotes every asset, or takes too long."""
        await self._born.wait()

    def end(self, why: str) -> None:
        """Of the life at hand."""
        if self._ends is not None and not self._ends.done():
            self._ends.set_result(why)

    async def looked(self, silence_seconds: float) -> None:
        """Ends the life in which a feed is silent."""
        now = self._clock.now()
        for name in [name for name, symbol in self._fed.items() if expired(self._line.market(symbol), now)]:
            self._gone(name)
        for feed, at in self._heard.items():
            if now - at > silence_seconds * SECOND:
                self.end(f"{feed} silent for {(now - at) / SECOND:g} s")

    async def _lived(self) -> str:
        """Why it ended, in words."""
        ends = self._ends = asyncio.get_running_loop().create_future()
        self.books, self.readings, self._steps = {}, {}, {}
        now = self._clock.now()
        fed = self._fed = {
            name: each for name, each in self._symbols.items() if not expired(self._line.market(each), now)
        }
        self._heard = {f"{kind} of {name}": now for name in fed for kind in ("ticker", "book")}
        x = self._x = self._line.made(self._message)
        feeds = [self._tickers(x, each) for each in fed] + [self._book(x, each) for each in fed]
        tasks = [asyncio.create_task(feed) for feed in (*feeds, self._fills(x), self._orders(x))]
        try:
            done, _ = await asyncio.wait([ends, *tasks], return_when=asyncio.FIRST_COMPLETED)
            self.end("; ".join(self._line.secrets.words(error) for each in done if (error := each.exception())))
            why: str = ends.result()
            return why
        finally:
            await self._buried(x, tasks)

    def _gone(self, name: str) -> None:
        """What has expired: its feeds may fall silent."""
        symbol = self._fed[name]
        self._fed = {other: each for other, each in self._fed.items() if other != name}
        for kind in ("ticker", "book"):
            self._heard.pop(f"{kind} of {name}", None)
        self.books.pop(symbol, None)
        self.readings.pop(symbol, None)

    async def _buried(self, x: Any, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await x.close()

    def _message(self, message: Raw) -> None:
        """Every message of the life, before ccxt reads it."""
        try:
            why = self._line.secrets.scrubbed(self._line.dialect.fault(message)) or self._gap(message)
        except Exception as error:
            why = f"a message that cannot be read: {self._line.secrets.words(error)}"
        if why:
            self.end(why)

    def _gap(self, message: Raw) -> str:
        step = self._line.dialect.step(self._x, message)
        if step is None:
            return ""
        last = self._steps.get(step.symbol)
        self._steps[step.symbol] = step.last
        if step.previous is None or step.previous == last:
            return ""
        return f"book of {step.symbol}: {step.previous} follows {last}"

    async def _tickers(self, x: Any, name: str) -> None:
        symbol = self._symbols[name]
        while True:
            raw = await self._line.dialect.ticker(x, symbol)
            if name not in self._fed:
                continue
            reading = self._line.dialect.reading(raw)
            self._heard[f"ticker of {name}"] = self._clock.now()
            self.readings[symbol] = reading
            if symbol in self.books and self._alive:
                self._shown(name, symbol)

    async def _book(self, x: Any, name: str) -> None:
        symbol, unit = self._symbols[name], self._line.unit(self._symbols[name])
        while True:
            raw = await x.watch_order_book(symbol)
            if name not in self._fed:
                continue
            self._heard[f"book of {name}"] = self._clock.now()
            book = Book(self._clock.now(), _levels(raw["bids"], unit), _levels(raw["asks"], unit))
            if not (book.bids and book.asks) and name not in self._quotes:
                self.books.pop(symbol, None)  # it is no quote, and nothing else hangs on it
                continue
            if not book.bids or not book.asks:
                raise Broken(f"book of {symbol} has one side")
            if book.bids[0][0] >= book.asks[0][0]:
                raise Broken(f"book of {symbol} is crossed, {book.bids[0][0]} bid and {book.asks[0][0]} asked")
            if self._alive:
                first = symbol not in self.books
                self.books[symbol] = book
                if first and symbol in self.readings:
                    self._shown(name, symbol)

    def _shown(self, name: str, symbol: str) -> None:
        if name in self._quotes:
            self._show(name, self.readings[symbol], self.books[symbol])
        if all(each in self.books and each in self.readings for each in self._fed.values()):
            self._born.set()

    async def _fills(self, x: Any) -> None:
        while True:
            for raw in await x.watch_my_trades():
                await self._ordering.traded(raw)

    async def _orders(self, x: Any) -> None:
        while True:
            for raw in await x.watch_orders():
                await self._ordering.told(raw)

    @property
    def _alive(self) -> bool:
        return self._ends is not None and not self._ends.done()


def _levels(rows: Any, unit: Decimal) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(str(row[0])), Decimal(str(row[1])) * unit) for row in rows)

"""An exchange through ccxt: what the core commands goes out on lanes, and what comes back waits here for the loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

from serve.clock import HOUR, SECOND, Clock
from serve.commands import Ask, CancelOrder, LookUp, SubmitOrder
from serve.dialects import Reading
from serve.errors import StartRefused
from serve.events import Event, Listed, Malformed, Rejected, SurfaceQuote
from serve.market import Listing
from serve.router.books import Level, Nature, Snapshot
from serve.state import State
from serve.venues.accounting import Accounting
from serve.venues.connection import Connection
from serve.venues.instruments import Instruments
from serve.venues.lanes import Lanes
from serve.venues.ordering import Ordering
from serve.venues.sources import Other
from serve.venues.streams import Book, Streams
from serve.venues.tracks import Tracks

OVERDUE = HOUR  # past its expiry, an order of before a restart is no longer cancelled
Account = tuple[str, str | None, str]  # exchange, its rehearsal, and whose it is there
PATIENCE = 2.0  # seconds on the wall that a clock which stands still waits for answers


@dataclass(frozen=True)
class Tick:
    """What one asset's market showed."""

    asset: str
    reading: Reading
    half_spread: float  # fraction of the book's middle
    depth: float  # quote currency


class Exchange:
    """Every method is the decision loop's; none that it calls as it turns waits for the exchange."""

    def __init__(self, line: Connection, lanes: Lanes, instruments: Instruments, tracks: Tracks, clock: Clock) -> None:
        """`line`: one that is loaded; `instruments`: checked. Nothing is sent before the first command."""
        self._line, self._lanes, self._clock, self._instruments = line, lanes, clock, instruments
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._ticks: SimpleQueue[Tick] = SimpleQueue()
        settings, symbols, tell = line.settings, instruments.symbols, self._events.put
        self._settings, self._tracks = settings, tracks
        self._ordering = Ordering(line, tracks, symbols, tell, clock)
        self._accounting = Accounting(line, self._ordering, tracks, symbols, tell, self._mark, clock)
        self._streams = Streams(line, settings.quotes, self._ordering, tell, self._shown, clock, instruments.others)
        self._others = [Other(settings, name, tell, clock) for name in settings.sources]
        self._rests: dict[str, int] = {}  # orders that rest, and when each is next cancelled
        self._polls = self._surfaces = 0  # when each is due
        self._renews: int | None = None  # when the dead man's switch is, where it is armed
        self._mortal = 0  # until when an order may begin to rest, as it is renewed

    def begin(self, past: Sequence[Event], sent: Mapping[str, SubmitOrder]) -> None:
        """Subscribes, after what was journalled before a restart."""
        self._tracks.remember(past, sent, self._instruments.symbols)
        self._ordering.remember(past)
        self._accounting.remember(past, self._clock.now())
        ended = past[-1].time - OVERDUE if past else 0
        self._rests = {
            name: each.expires_at for name, each in sent.items() if each.post_only and each.expires_at >= ended
        }
        self._lanes.keep(self._streams.run())
        for each in self._others:
            self._lanes.keep(each.run())

    def account(self) -> Account:
        """By what the exchange says, else by the key. Raises StartRefused where it cannot be asked."""
        try:
            owner = self._lanes.ask(self._line.dialect.owner(self._ordering.questions))
        except Exception as error:
            words = self._line.secrets.words(error)
            raise StartRefused(f"{self._settings.name} does not say whose the key is: {words}") from None
        key = self._line.secrets.shown()[self._line.dialect.credentials[0]]
        return self._settings.name, self._settings.rehearsal, owner or key

    def arm(self) -> None:
        """The dead man's switch, which is renewed from here on: without it nothing rests.

        Raises StartRefused where the exchange does not take it.
        """
        self._renews = self._clock.now()
        try:
            self._lanes.ask(self._armed(self._renews))
        except Exception as error:
            raise StartRefused(
                f"{self._settings.name}: the dead man's switch cannot be set ({self._line.secrets.words(error)}), so "
                "what rests would outlive a hedger that dies; change its dead_man_seconds, or set "
                "execution.resting_seconds to 0"
            ) from None

    def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
        """Nothing goes out to rest while the dead man's switch is not renewed."""
        if order.post_only and self._clock.now() >= self._mortal:
            return (Rejected(order.time, order.order, "the dead man's switch is not renewed, so nothing may rest"),)
        if order.post_only:
            self._rests[order.order] = order.expires_at
        self._lanes.send(self._ordering.submit(order))
        return ()

    def cancel(self, order: CancelOrder) -> tuple[Event, ...]:
        """Of one that rests, again and again until nothing of it does."""
        if order.order in self._rests:
            self._rests[order.order] = order.time + round(self._settings.timeout_seconds * SECOND)
        self._lanes.send(self._ordering.cancel(order.order))
        return ()

    def look_up(self, order: LookUp) -> tuple[Event, ...]:
        self._lanes.send(self._ordering.look_up(order.order))
        return ()

    def report(self, question: Ask) -> tuple[Event, ...]:
        self._lanes.send(self._accounting.report(question))
        return ()

    def before(self, event: Event, state: State) -> tuple[Event, ...]:
        if isinstance(event, Listed):
            self.listed(event.symbol, Listing(event.strike, event.expiry))
        return ()

    def after(self, event: Event, state: State) -> tuple[Event, ...]:
        return ()

    def listed(self, leg: str, listing: Listing) -> None:
        """What an option leg trades from here on."""
        self._instruments.listed(leg, listing)

    def passed(self, now: int) -> list[Event]:
        self._renew(now)
        self._rests = {name: at for name, at in self._rests.items() if not self._tracks.over(name)}
        for name in [name for name, at in self._rests.items() if at <= now]:
            self.cancel(CancelOrder(now, name))
        self._lanes.send(self._streams.looked(self._settings.silence_seconds))
        if now >= self._polls:
            self._polls = now + round(self._settings.poll_seconds * SECOND)
            self._lanes.send(self._accounting.poll())
        if self._settings.surface_seconds > 0 and now >= self._surfaces and self._streams.readings:
            self._surfaces = now + round(self._settings.surface_seconds * SECOND)
            for asset in self._settings.quotes:
                self._lanes.send(self._surface(asset))
        return [replace(event, time=now) for event in _drained(self._events)]

    def ticks(self) -> list[Tick]:
        """What the market showed since the last call, oldest first."""
        return _drained(self._ticks)

    def book(self, leg: str) -> Snapshot | None:
        """Of a linear leg's instrument; None where there is none that can be relied on."""
        symbol = self._instruments.symbols.get(leg, "")
        reading, book = self._streams.readings.get(symbol), self._streams.books.get(symbol)
        if reading is None or book is None:
            return None
        bids, asks = (tuple(Level(*row) for row in side) for side in (book.bids, book.asks))
        return Snapshot(book.time, bids, asks, reading.mark, reading.index, reading.funding_rate)

    def nature(self, leg: str) -> Nature:
        return self._instruments.nature(leg)

    def candles(self, asset: str, timeframe: str, since: int, count: int) -> list[list[float]]:
        """Start, open, high, low, close and volume of the instrument that quotes an asset, oldest first."""
        return list(self._lanes.ask(self._candles(self._settings.quotes[asset], timeframe, since, count)))

    async def _candles(self, symbol: str, timeframe: str, since: int, count: int) -> list[list[float]]:
        """However few of them the exchange gives at a time."""
        found: list[list[float]] = []
        while len(found) < count:
            rows = await self._ordering.questions.fetch_ohlcv(symbol, timeframe, since, count - len(found))
            page = [row for row in rows if not found or row[0] > found[-1][0]]  # some begin with the bar before
            if not page:
                break
            found += page
            since = int(page[-1][0]) + 1
        return found

    def settle(self) -> None:
        self._lanes.settle(self._settings.timeout_seconds)

    def rest(self) -> None:
        """The same for a clock that stands still meanwhile: market data are awaited too, and nothing for long."""
        self._lanes.settle(PATIENCE)
        self._lanes.ask(self._streams.born())
        for each in self._others:
            self._lanes.ask(each.born())

    def unexplained(self, state: State, declared: Iterable[Event]) -> str | None:
        return self._instruments.unexplained(state, declared)

    def close(self) -> None:
        """What was sent last still goes out."""
        self._lanes.settle(self._settings.timeout_seconds)
        self._lanes.ask(self._ordering.close())
        self._lanes.close()

    def _renew(self, now: int) -> None:
        """The dead man's switch, thrice in its time."""
        if self._renews is not None and now >= self._renews:
            self._renews = now + round(self._settings.dead_man_seconds * SECOND / 3)
            self._lanes.send(self._renewed(now))

    async def _renewed(self, now: int) -> None:
        try:
            await self._armed(now)
        except Exception as error:  # it is tried again soon, and the switch cancels if none gets through
            self._renews = now + round(self._settings.timeout_seconds * SECOND)
            self._fault("dead man's switch", error)

    async def _armed(self, now: int) -> None:
        """A third of its time is left for an order to arrive in."""
        seconds = self._settings.dead_man_seconds
        await self._ordering.renew(seconds)
        self._mortal = now + round(seconds * SECOND * 2 / 3)

    async def _surface(self, asset: str) -> None:
        try:
            points = await self._line.dialect.surface(self._ordering.questions, self._instruments.base(asset))
        except Exception as error:
            self._fault("surface", error)
            return
        if points:
            self._events.put(SurfaceQuote(0, asset, self._clock.now(), points))

    def _shown(self, asset: str, reading: Reading, book: Book) -> None:
        self._ticks.put(Tick(asset, reading, book.half_spread, book.depth))

    def _fault(self, what: str, error: Exception) -> None:
        self._events.put(Malformed(0, self._settings.name, what, self._line.secrets.words(error)))

    def _mark(self, symbol: str) -> float | None:
        reading = self._streams.readings.get(symbol)
        return None if reading is None else reading.mark


def _drained(queue: SimpleQueue[Any]) -> list[Any]:
    found = []
    while True:
        try:
            found.append(queue.get_nowait())
        except Empty:
            return found

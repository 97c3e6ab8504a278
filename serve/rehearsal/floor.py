"""The exchange in its surroundings: its time, the market that moves it, and the faults that come between.

One `Floor` serves every protocol. What commands make happen gathers in `told` until the server sends it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from serve.rehearsal.exchange import Exchange
from serve.rehearsal.faults import SKEW, THIN, Faults, beyond
from serve.rehearsal.types import (
    Cancel,
    Command,
    Gone,
    Happening,
    LevelsChanged,
    Maintain,
    Move,
    Place,
    Refused,
    Traded,
    Transfer,
)
from serve.rehearsal.views import Candle


class Driven(Protocol):
    """What moves the exchange."""

    @property
    def starts(self) -> int: ...

    def commands(self, until: int) -> Iterator[Command]:
        """Those to `until` that were not given yet, in order of time."""
        ...

    def past(self, asset: str) -> Sequence[Candle]:
        """Hourly candles of the index before the start."""
        ...


class Kept(Protocol):
    """An exchange that survives a kill."""

    @property
    def exchange(self) -> Exchange: ...

    def apply(self, command: Command) -> tuple[Happening, ...]: ...


class Floor:
    def __init__(self, recorded: Kept, market: Driven, faults: Faults) -> None:
        self._recorded, self._market, self._faults = recorded, market, faults
        self._now = max(recorded.exchange.now, market.starts)
        self._maintained = False
        self.told: list[Happening] = []

    @property
    def exchange(self) -> Exchange:
        return self._recorded.exchange

    @property
    def now(self) -> int:
        return self._now

    @property
    def shown(self) -> int:
        skewed = self._faults.lasting("clock_skewed", self._now)
        return self._now if skewed is None else self._now + round(SKEW * skewed.size)

    def apply(self, command: Command) -> tuple[Happening, ...]:
        """An order may meet the fault that its price is refused, which the exchange then never sees."""
        if isinstance(command, Cancel):
            self._taken(command)
        if isinstance(command, Place) and self._faults.strikes("price_band", self._now, command.client_id):
            happened: tuple[Happening, ...] = (
                Refused(self._now, command.account, command.client_id, "price_band", "beyond the limit"),
            )
        else:
            happened = self._recorded.apply(command)
        self.told += happened
        return happened

    def candles(self, instrument: str, since: int, interval: int) -> Sequence[Candle]:
        own = self.exchange.candles(instrument, since, interval)
        begun = own[0].time if own else self._now
        past = self._market.past(self.exchange.instrument(instrument).base)
        return [*(each for each in past if since <= each.time < begun), *own]

    def advance(self, until: int) -> Iterator[None]:
        """The market goes on to `until`; after each of its commands there may be news to send."""
        for command in self._market.commands(until):
            self._now = max(self._now, command.time)
            self._maintain()
            self.told += self._recorded.apply(self._thinned(command))
            yield
        self._now = max(self._now, until)
        if self._now > self.exchange.now:
            self.told += self._recorded.apply(Maintain(self._now, self._maintained))
        yield

    def news(self) -> list[Happening]:
        """What has happened since this was asked last, as far as, and as, the venue tells it."""
        happened, self.told = self.told, []
        news: list[Happening] = []
        for each in happened:
            news += self._levels(each) if isinstance(each, LevelsChanged) else [each]
            if isinstance(each, Traded) and self._faults.strikes("fill_doubled", self._now, str(each.fill.fill_id)):
                news.append(each)
        return self._swapped(news)

    def _taken(self, command: Cancel) -> None:
        """Before its cancel arrives somebody may take the order, and all that stands before it."""
        own, sent = self.exchange.order(command.order_id), (command.account, "open")
        if own is None or (own.account, own.status) != sent:
            return
        if not self._faults.strikes("cancel_late", self._now, own.client_id):
            return
        book, sign = self.exchange.book(own.instrument), Decimal(1).copy_sign(own.units)
        side = book.bids if sign > 0 else book.asks
        size = sum((level[1] for level in side if (level[0] - own.price) * sign >= 0), Decimal(0))
        taker, currency = f"taker-{own.order_id}", self.exchange.instrument(own.instrument).settle
        self.told += self._recorded.apply(Transfer(self._now, taker, currency, size * own.price))
        self.told += self._recorded.apply(
            Place(self._now, taker, "", own.instrument, -sign * size, own.price, "ioc"),
        )

    def _maintain(self) -> None:
        on = self._faults.lasting("maintenance", self._now) is not None
        if on is not self._maintained:
            self._maintained = on
            self.told += self._recorded.apply(Maintain(self._now, on))

    def _thinned(self, command: Command) -> Command:
        if not isinstance(command, Move) or self._faults.lasting("book_thin", self._now, command.asset) is None:
            return command
        return replace(command, depth=command.depth * THIN)

    def _levels(self, changed: LevelsChanged) -> list[Happening]:
        """A change of a book, after the faults that concern books: perpetuals' books, which are listened to."""
        if self.exchange.instrument(changed.instrument).kind != "perpetual":
            return [changed]
        gone = [change for change in changed.changes if change[2] == 0]
        if self._faults.strikes("gap", self._now, changed.instrument):
            return []
        if gone and self._faults.strikes("ghost", self._now, changed.instrument):
            return [replace(changed, changes=tuple(change for change in changed.changes if change[2] != 0))]
        ask = self.exchange.book(changed.instrument, 1).asks
        if ask and self._faults.strikes("crossed", self._now, changed.instrument):
            price = beyond(ask[0][0], self.exchange.instrument(changed.instrument).tick)
            return [replace(changed, changes=(*changed.changes, ("bid", price, Decimal(1))))]
        return [changed]

    def _swapped(self, news: list[Happening]) -> list[Happening]:
        """An account's own news with the last first, where that fault is due."""
        own = [place for place, each in enumerate(news) if isinstance(each, Traded | Gone)]
        if len(own) < 2 or not self._faults.strikes("fill_swapped", self._now):
            return news
        turned = dict(zip(own, reversed(own), strict=True))
        return [news[turned.get(place, place)] for place in range(len(news))]

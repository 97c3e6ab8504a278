"""Orders at an exchange: sending, cancelling and looking up, and what every answer or silence means.

Only what is on ccxt's list of definitive refusals is a rejection; after any other exception the order may be there, and
is looked up by our id, never sent again. Everything here runs on the lanes' thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

from serve.clock import SECOND, Clock
from serve.commands import SubmitOrder
from serve.dialects import Raw
from serve.events import (
    Absent,
    Acknowledged,
    Cancelled,
    Deleveraged,
    Event,
    Filled,
    OutcomeUnknown,
    Rejected,
)
from serve.venues import wire
from serve.venues.connection import Connection, expired
from serve.venues.tracks import Track, Tracks

Tell = Callable[[Event], None]
GONE = ("canceled", "expired", "scheduledCancel")  # the last: Hyperliquid's dead man's switch, unread by ccxt
SENDING = "still being sent"
OVERLAP = 60 * SECOND  # of what is read again, as clocks and feeds differ


class Ordering:
    """Each lane has a throttle of its own: a flood of questions delays no order, and one of orders no cancel."""

    def __init__(self, line: Connection, tracks: Tracks, symbols: Mapping[str, str], tell: Tell, clock: Clock) -> None:
        """`symbols`: ccxt's, by leg; it may change."""
        self._line, self._tracks, self._symbols, self._tell, self._clock = line, tracks, symbols, tell, clock
        self.orders, self.cancels, self.questions = line.made(), line.made(), line.made()
        self._foreign = set[str]()  # trades that are not ours and were looked at
        self._sending = set[str]()  # orders whose sending nothing is known of yet
        self._withdrawn = set[str]()  # of these, what we no longer want
        self.skew = 0  # of the exchange's clock, milliseconds

    def remember(self, past: Iterable[Event]) -> None:
        """What was journalled before a restart."""
        self._foreign |= {event.trade for event in past if isinstance(event, Deleveraged) and event.why != "expired"}

    async def submit(self, order: SubmitOrder) -> None:
        track = self._tracks.sent(order, self._symbols.get(order.symbol, ""))
        self._sending.add(order.order)
        raw = await self._submitted(track)
        self._sending.discard(order.order)
        if raw is not None:
            await self._carefully(order.order, self._answered(track, raw))
        if order.order in self._withdrawn and not track.over:
            await self.cancel(order.order)
        self._withdrawn.discard(order.order)

    async def cancel(self, name: str) -> None:
        """By an exchange's silence nothing is concluded: the order is looked up."""
        track = self._tracks.orders.get(name)
        if track is None:
            self._tell(OutcomeUnknown(0, name, "no order of this session"))
            return
        await self._carefully(name, self._cancelled(track))

    async def renew(self, seconds: float) -> None:
        """What rests is cancelled by the exchange so long from now, unless this is called before."""
        way = self.orders if self._line.dialect.tied else self.cancels
        await self._line.dialect.renew(way, tuple(self._symbols.values()), seconds)

    async def look_up(self, name: str) -> None:
        track = self._tracks.orders.get(name)
        if track is None:
            self._tell(Absent(0, name))
        elif name in self._sending:
            self._tell(OutcomeUnknown(0, name, SENDING))
        else:
            await self._carefully(name, self._looked_up(track))

    async def told(self, raw: Raw) -> None:
        """An order as the exchange tells it, unasked: news where it has ended."""
        track = self._tracks.of(self._line.dialect.named(raw), str(raw["id"]))
        if track is not None and not track.over and raw["status"] not in (None, "open"):
            await self._carefully(track.order.order, self._known(track, raw))

    async def traded(self, raw: Raw) -> None:
        """A fill, told for the first time or again."""
        name, venue_id = self._line.dialect.named(raw), str(raw.get("order") or "")
        trade, track = str(raw["id"]), self._tracks.of(name, venue_id)
        if trade in self._foreign:
            return
        if track is None and not name and venue_id and not self._line.dialect.taken_over(raw):
            with suppress(wire.OrderNotFound):  # forgotten there; where it was ours, the positions say so
                order = await self.questions.fetch_order(venue_id, raw["symbol"])
                name = self._line.dialect.named(order)
                track = self._tracks.of(name, venue_id)
        if track is None:
            self._stranger(raw, name)
            self._foreign.add(trade)
            return
        self._tracks.known(track, venue_id or track.venue_id)
        filled = self._tracks.fill(track, raw, self._line.unit(raw["symbol"]))
        if filled is not None:
            self._tell(filled)

    async def _submitted(self, track: Track) -> Raw | None:
        """The reply, where there is one."""
        name = track.order.order
        try:
            price = await self._price(track)
        except Exception as error:  # nothing was sent
            track.over = True
            self._tell(Rejected(0, name, self._words(error)))
            return None
        try:
            return await self._sent(track, price)
        except Exception as error:
            track.over = wire.rejected(error)
            kind = Rejected if track.over else OutcomeUnknown
            self._tell(kind(0, name, self._words(error)))
            return None

    async def _price(self, track: Track) -> Decimal:
        """Within the exchange's band, on its grid, and no worse than the limit. Raises ValueError where none is, or
        where the order is no longer to be sent, which is looked at last, as the exchange takes its time.
        """
        order = track.order
        buy = order.units > 0
        if not track.symbol:
            raise ValueError(f"{order.symbol} is not listed at the exchange")
        market = self._line.market(track.symbol)
        if expired(market, self._clock.now() + self.skew):
            raise ValueError(f"{track.symbol} has expired")
        if market.get("spot") and not buy:
            await self._owned(track)
        band = await self._line.dialect.band(self.orders, track.symbol)
        low, high = band or (Decimal(0), Decimal("Infinity"))
        price = self._line.priced(track.symbol, min(order.limit, high) if buy else max(order.limit, low), buy)
        if not low <= price <= high:
            raise ValueError(f"limit {order.limit} is outside the exchange's band of {low} to {high}")
        if order.order in self._withdrawn or self._clock.now() > order.expires_at:
            raise ValueError("withdrawn or expired before it was sent")
        return price

    async def _owned(self, track: Track) -> None:
        """Raises ValueError where less of a spot is held than is to be sold."""
        held = (await self._line.dialect.positions(self.orders, [track.symbol]))[track.symbol]
        if held + track.order.units < 0:
            raise ValueError(f"{-track.order.units} of {track.symbol} are to be sold, and {held} are held")

    async def _sent(self, track: Track, price: Decimal) -> Raw:
        """A spot is never short, so the exchange knows no reduce-only order of it."""
        order, side = track.order, "buy" if track.order.units > 0 else "sell"
        if self._line.market(track.symbol).get("spot"):
            order = replace(order, reduce_only=False)
        amount = float(abs(order.units) / self._line.unit(track.symbol))
        terms = self._line.dialect.parameters(order, track.spelled)
        return dict(await self.orders.create_order(track.symbol, "limit", side, amount, float(price), terms))

    async def _answered(self, track: Track, raw: Raw) -> None:
        """The reply to a submit; some exchanges' says no more than that the order is there."""
        if raw.get("status") is None:
            self._tracks.known(track, str(raw["id"]))
            raw = await self._found(track) or raw
        if not track.over:
            await self._known(track, raw)

    async def _cancelled(self, track: Track) -> None:
        name = track.order.order
        sending = name in self._sending
        if sending:  # this cancel may overtake it
            self._withdrawn.add(name)
        with suppress(wire.OrderNotFound):  # it may have ended, or be on its way
            await self._line.dialect.cancel(self.cancels, track.symbol, track.spelled, track.venue_id)
        if sending:
            self._tell(OutcomeUnknown(0, name, SENDING))
        else:
            await self._looked_up(track)

    async def _looked_up(self, track: Track) -> None:
        raw = await self._found(track)
        if raw is not None:
            await self._known(track, raw)
            return
        await self._fills(track)
        name, late = track.order.order, self._clock.now() > track.order.expires_at
        track.over = late or track.whole
        if not track.told:
            self._tell(Absent(0, name))
        elif not track.whole:
            self._tell(Cancelled(0, name) if late else OutcomeUnknown(0, name, "filled in part, and not found"))

    async def _known(self, track: Track, raw: Raw) -> None:
        """What the order as told means; that its rest is gone is not said before all its fills are."""
        name, unit = track.order.order, self._line.unit(track.symbol)
        self._tracks.known(track, str(raw["id"]))
        track.over = raw["status"] == "rejected"
        if track.over:
            self._tell(Rejected(0, name, "refused by the exchange"))
            return
        for trade in raw.get("trades") or ():
            await self.traded(trade)
        filled = Decimal(str(raw.get("filled") or 0)) * unit
        if track.filled < filled:
            await self._fills(track)
        if track.filled < filled:
            self._tell(OutcomeUnknown(0, name, f"{filled} filled, of which {track.filled} are told"))
            return
        self._tell(Acknowledged(0, name))
        track.over = raw["status"] in ("closed", *GONE)
        if track.over and not (raw["status"] == "closed" and filled >= abs(track.order.units)):
            self._tell(Cancelled(0, name))

    async def _found(self, track: Track) -> Raw | None:
        return await self._line.dialect.found(self.questions, track.symbol, track.spelled, track.venue_id)

    async def _fills(self, track: Track) -> None:
        """The order's fills by request."""
        since = track.order.time + self.skew - OVERLAP
        for raw in await self._line.dialect.trades(self.questions, [track.symbol], since):
            await self.traded(raw)

    def _stranger(self, raw: Raw, name: str) -> None:
        """A fill that is the exchange's doing, or that bears our name and is not of this database; others are a
        person's, and show in the positions.
        """
        leg = next((leg for leg, symbol in self._symbols.items() if symbol == raw["symbol"]), None)
        if leg is None:
            return
        price = Decimal(str(raw["price"]))
        amount = Decimal(str(raw["amount"])) * self._line.unit(raw["symbol"])
        units = amount if raw["side"] == "buy" else -amount
        why = self._line.dialect.taken_over(raw)
        if bearing := self._tracks.bearing(name):
            self._tell(Filled(0, bearing, str(raw["id"]), units, price, self._line.dialect.fee(raw)))
        elif why:
            self._tell(Deleveraged(0, leg, units, price, why, str(raw["id"])))

    async def _carefully(self, name: str, work: Any) -> None:
        try:
            await work
        except Exception as error:  # whatever it is, the order may be there
            self._tell(OutcomeUnknown(0, name, self._words(error)))

    def _words(self, error: Exception) -> str:
        return self._line.secrets.words(error)

    async def close(self) -> None:
        await asyncio.gather(*(x.close() for x in (self.orders, self.cancels, self.questions)))

"""What the exchange has told of each of our orders: whose an order or a fill is, and whether it was told before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from serve.commands import SubmitOrder
from serve.dialects import Dialect, Raw
from serve.events import Cancelled, Event, Filled, Rejected


@dataclass
class Track:
    order: SubmitOrder
    spelled: str  # our id on the wire
    symbol: str  # ccxt's
    venue_id: str = ""
    told: dict[str, Decimal] = field(default_factory=dict)  # units by trade
    over: bool = False  # nothing of it rests any more

    @property
    def filled(self) -> Decimal:
        """Units of the fills told, without their sign."""
        return abs(sum(self.told.values(), Decimal(0)))

    @property
    def whole(self) -> bool:
        """Whether every unit is told."""
        return self.filled == abs(self.order.units)


class Tracks:
    """`name` and `instance` of the session, which every id of ours bears."""

    def __init__(self, dialect: Dialect, name: str, instance: str) -> None:
        self._dialect, self._name, self._instance = dialect, name, instance
        self.orders: dict[str, Track] = {}  # by our id
        self._spelled: dict[str, Track] = {}
        self._venue: dict[str, Track] = {}

    def sent(self, order: SubmitOrder, symbol: str) -> Track:
        if order.order not in self.orders:
            number = order.order.removeprefix(f"{self._name}-").split("-")[0]
            spelled = self._dialect.spelled(self._name, self._instance, number)
            self.orders[order.order] = self._spelled[spelled] = Track(order, spelled, symbol)
        return self.orders[order.order]

    def known(self, track: Track, venue_id: str) -> None:
        """The exchange's own id of an order."""
        track.venue_id = venue_id
        self._venue[venue_id] = track

    def of(self, spelled: str, venue_id: str) -> Track | None:
        """By what an order or a fill bears."""
        return self._spelled.get(spelled) or self._venue.get(venue_id)

    def over(self, name: str) -> bool:
        """Whether nothing of one of our orders rests any more."""
        track = self.orders.get(name)
        return track is not None and (track.over or track.whole)

    def bearing(self, spelled: str) -> str:
        """An order that bears our name and is not of this database, as the core tells ours; empty where it does not."""
        prefix = self._dialect.prefix(self._name)
        return f"{self._name}-{spelled.removeprefix(prefix)}" if spelled.startswith(prefix) else ""

    def fill(self, track: Track, raw: Raw, unit: Decimal) -> Filled | None:
        """None where it was told before."""
        trade, amount = str(raw["id"]), Decimal(str(raw["amount"])) * unit
        if trade in track.told:
            return None
        units, price = amount if raw["side"] == "buy" else -amount, Decimal(str(raw["price"]))
        filled = Filled(0, track.order.order, trade, units, price, self._dialect.fee(raw))
        track.told[trade] = units  # last: one that cannot be read is tried again
        return filled

    def remember(self, past: Iterable[Event], sent: Mapping[str, SubmitOrder], symbols: Mapping[str, str]) -> None:
        """What was journalled before a restart; `symbols`: ccxt's, by leg."""
        for order in sent.values():
            self.sent(order, symbols.get(order.symbol, ""))
        for event in past:
            if not isinstance(event, Filled | Cancelled | Rejected) or event.order not in self.orders:
                continue
            track = self.orders[event.order]
            if isinstance(event, Filled):
                track.told[event.trade] = event.units
            else:
                track.over = True

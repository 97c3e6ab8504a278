"""What Deribit sends to a websocket of its own accord: a line for each channel that a happening concerns."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from serve.rehearsal.protocols import Floor, Session
from serve.rehearsal.protocols import _deribit as spelt
from serve.rehearsal.protocols._deribit_margin import portfolios
from serve.rehearsal.types import (
    Accepted,
    Fill,
    Funded,
    Gone,
    Happening,
    Instrument,
    LevelsChanged,
    Moved,
    Order,
    Printed,
    Settled,
    Traded,
)

INTERVALS = ("100ms", "raw", "agg2")
_SIDES = (("bids", "bid"), ("asks", "ask"))


def pushed(session: Session, happening: Happening, floor: Floor) -> list[str]:
    told = _told(session, happening, floor)
    return [_line(channel, data) for channel, data in told if channel in session.channels]


def snapshots(session: Session, channels: Iterable[str], floor: Floor) -> list[str]:
    """What a new subscription begins with."""
    return [_line(channel, data) for channel in channels if (data := _first(session, channel, floor)) is not None]


def _line(channel: str, data: Any) -> str:
    params = {"channel": channel, "data": data}
    return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})


def _told(session: Session, happening: Happening, floor: Floor) -> list[tuple[str, Any]]:
    if isinstance(happening, LevelsChanged):
        return _levels(session, happening, floor)
    if isinstance(happening, Moved):
        listed = (each for each in floor.exchange.instruments() if each.base == happening.asset)
        return [line for each in listed for line in _ticked(session, each, floor)]
    if isinstance(happening, Printed):
        name = spelt.name(floor.exchange.instrument(happening.instrument))
        return [(f"trades.{name}.{each}", [spelt.printed(happening, name)]) for each in INTERVALS]
    return _private(session, happening, floor)


def _private(session: Session, happening: Happening, floor: Floor) -> list[tuple[str, Any]]:
    """What the account alone hears."""
    if isinstance(happening, Traded) and happening.fill.account == session.account:
        return [*_traded(happening.fill, floor), *_ordered(happening.order, floor), *_worth(session, floor)]
    if isinstance(happening, Accepted | Gone) and happening.order.account == session.account:
        return _ordered(happening.order, floor)
    if isinstance(happening, Funded | Settled) and happening.account == session.account:
        return _worth(session, floor)
    return []


def _traded(fill: Fill, floor: Floor) -> list[tuple[str, Any]]:
    listed = floor.exchange.instrument(fill.instrument)
    told = [spelt.trade(fill, spelt.name(listed))]
    return [(f"user.trades.{scope}.{each}", told) for scope in _scopes(listed) for each in INTERVALS]


def _ordered(order: Order, floor: Floor) -> list[tuple[str, Any]]:
    listed = floor.exchange.instrument(order.instrument)
    told = spelt.order(order, spelt.name(listed))
    return [(f"user.orders.{scope}.raw", told) for scope in _scopes(listed)]


def _scopes(listed: Instrument) -> tuple[str, ...]:
    return ("any.any", f"any.{listed.settle}", spelt.name(listed))


def _worth(session: Session, floor: Floor) -> list[tuple[str, Any]]:
    lines = portfolios(floor.exchange, session.account)
    return [(f"user.portfolio.{spelling}", line) for line in lines for spelling in _cases(line["currency"])]


def _cases(currency: str) -> tuple[str, str]:
    return currency, currency.lower()


def _ticked(session: Session, listed: Instrument, floor: Floor) -> list[tuple[str, Any]]:
    """Nothing is made for a ticker that nobody hears."""
    name = spelt.name(listed)
    wanted = [channel for each in INTERVALS if (channel := f"ticker.{name}.{each}") in session.channels]
    if not wanted:
        return []
    told = spelt.ticker(floor.exchange.ticker(listed.name), name, floor.shown)
    return [(channel, told) for channel in wanted]


def _levels(session: Session, changed: LevelsChanged, floor: Floor) -> list[tuple[str, Any]]:
    """A level is `new` where this connection has not been told of it."""
    name = spelt.name(floor.exchange.instrument(changed.instrument))
    told: list[tuple[str, Any]] = []
    if f"quote.{name}" in session.channels:
        told.append((f"quote.{name}", spelt.quote(floor.exchange.ticker(changed.instrument), name, floor.shown)))
    wanted = [channel for each in INTERVALS if (channel := f"book.{name}.{each}") in session.channels]
    if not wanted:
        return told
    known: set[Any] = session.notes.setdefault(name, set())
    data: dict[str, Any] = {"type": "change", "timestamp": floor.shown, "instrument_name": name}
    data |= {"prev_change_id": changed.sequence - 1, "change_id": changed.sequence}
    for spelling, side in _SIDES:
        data[spelling] = [_level(known, *change) for change in changed.changes if change[0] == side]
    return [*told, *((channel, data) for channel in wanted)]


def _level(known: set[Any], side: str, price: Any, size: Any) -> list[Any]:
    if size == 0:
        known.discard((side, price))
        return ["delete", float(price), 0.0]
    word = "change" if (side, price) in known else "new"
    known.add((side, price))
    return [word, float(price), float(size)]


def _first(session: Session, channel: str, floor: Floor) -> Any:
    topic, _, rest = channel.partition(".")
    name = rest.rpartition(".")[0] if topic in ("book", "ticker") else rest
    listed = next((each for each in floor.exchange.instruments() if spelt.name(each) == name), None)
    if topic == "user" and rest.startswith("portfolio."):
        return next((data for name, data in _worth(session, floor) if name == channel), None)
    if listed is None:
        return None
    if topic == "ticker":
        return spelt.ticker(floor.exchange.ticker(listed.name), name, floor.shown)
    if topic == "quote":
        return spelt.quote(floor.exchange.ticker(listed.name), name, floor.shown)
    return _snapshot(session, listed, floor) if topic == "book" else None


def _snapshot(session: Session, listed: Instrument, floor: Floor) -> dict[str, Any]:
    name, seen = spelt.name(listed), floor.exchange.book(listed.name)
    sides = (("bids", "bid", seen.bids), ("asks", "ask", seen.asks))
    session.notes[name] = {(side, price) for _, side, levels in sides for price, _ in levels}
    rows = {spelling: [["new", float(p), float(s)] for p, s in levels] for spelling, _, levels in sides}
    head = {"type": "snapshot", "timestamp": floor.shown, "instrument_name": name, "change_id": seen.sequence}
    return head | rows

"""Our records against the venue's: before a session begins, and again and again while it lasts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from serve.clock import SECOND
from serve.commands import Ask, CancelOrder, Output
from serve.config import Reconcile
from serve.events import BalanceReport, Event, Heartbeat, OrdersReport, PositionsReport, Started
from serve.facts import broken
from serve.holding import Holding
from serve.holdings import Book
from serve.ledger import ZERO
from serve.state import BALANCE, ORDERS, POSITIONS, REPORTS, TIME, State, VenueSide
from serve.states import Monitor

CLOCK = "clock_step"  # the breaker that a new measurement confirms or clears
Report = OrdersReport | PositionsReport | BalanceReport


def reported(state: State, event: Report, session: str, symbols: tuple[str, ...], tolerance: Decimal) -> State:
    """A report that does not agree is a mismatch; before the session has begun it halts."""
    if isinstance(event, OrdersReport):
        what, wrong = ORDERS, _orders(state, event, session)
        venue = replace(state.venue, resting=event.resting)
    elif isinstance(event, PositionsReport):
        what, (venue, wrong) = POSITIONS, _positions(state, event, symbols)
    else:
        what, (venue, wrong) = BALANCE, _balance(state, event, tolerance)
    venue = _judged(venue, what, wrong, event.time)
    starting = what in state.venue.awaited
    state = replace(state, venue=venue, fresh={**state.fresh, what: event.time})
    return broken(state, f"start refused: {wrong}") if starting and wrong else state


def asked(state: State, event: Event, every_seconds: float, rules: Reconcile) -> tuple[State, list[Output]]:
    """The venue is asked for its reports and its time as often as the settings say, and soon again where one differs.

    Of legs on which the session has not agreed with it yet it is asked until it has.
    """
    venue, now = state.venue, event.time
    due = venue.asked_at is None or now - venue.asked_at >= every_seconds * SECOND
    if due and isinstance(event, Started | Heartbeat):
        venue = replace(venue, asked_at=now, rechecks=0, rechecked_at=now)
        return replace(state, venue=venue), [*(Ask(now, what) for what in REPORTS), Ask(now, TIME)]
    off = state.monitors.get(CLOCK, Monitor()).suspicious
    again = {*venue.mismatches, *([TIME] if off else [])} if venue.rechecks < rules.rechecks else set[str]()
    again |= {POSITIONS} if venue.unproven else set()
    if not again or now - venue.rechecked_at < rules.recheck_seconds * SECOND:
        return state, []
    venue = replace(venue, rechecks=venue.rechecks + 1, rechecked_at=now)
    asks: list[Output] = [Ask(now, what) for what in REPORTS if what in again]
    return replace(state, venue=venue), [*asks, Ask(now, TIME)] if TIME in again else asks


def strays(state: State, event: Event) -> list[Output]:
    """Cancels of our own orders that rest although our records say they ended; nobody else's are ever touched."""
    if not isinstance(event, OrdersReport):
        return []
    ended = [name for name in event.resting if name in state.orders and not state.orders[name].reserved]
    return [CancelOrder(event.time, name) for name in ended]


def mismatch(venue: VenueSide) -> str | None:
    """What does not agree, in words."""
    return "; ".join(words for _, words in sorted(venue.mismatches.items())) or None


def _judged(venue: VenueSide, what: str, wrong: str | None, now: int) -> VenueSide:
    rest = {name: words for name, words in venue.mismatches.items() if name != what}
    found = rest if wrong is None else {**rest, what: wrong}
    awaited = venue.awaited if wrong else venue.awaited - {what}
    return replace(venue, mismatches=found, awaited=awaited, heard={**venue.heard, what: now})


def _orders(state: State, event: OrdersReport, session: str) -> str | None:
    """Everything that rests must be ours."""
    foreign = [name for name in event.resting if name not in state.orders]
    if not foreign:
        return None
    whose = "bears our name and is not in our records" if foreign[0].startswith(f"{session}-") else "is not ours"
    return f"order {foreign[0]} rests on the account and {whose}"


def _positions(state: State, event: PositionsReport, symbols: tuple[str, ...]) -> tuple[VenueSide, str | None]:
    """A leg with something in flight, or with a fill after the report was made, may differ: that proves nothing."""
    venue, told = state.venue, dict(event.positions)
    crossed = {order.symbol for order in state.reserved}
    crossed |= {symbol for symbol, at in venue.changed_at.items() if event.as_of <= at}
    found = {symbol: _differs(symbol, told, state.ledger.position(symbol)) for symbol in symbols}
    off = {symbol: words for symbol, words in found.items() if words is not None}
    wrong = next((words for symbol, words in off.items() if symbol not in crossed), None)
    beside = {name: units for name, units in told.items() if name not in symbols}
    if POSITIONS in venue.awaited:
        venue = replace(venue, beside=beside)
    wrong = wrong or _unexplained(venue.beside, beside, state.book)
    return replace(venue, positions=told, as_of=event.as_of, unproven=venue.unproven & off.keys()), wrong


def _unexplained(began: Mapping[str, Decimal], held: Mapping[str, Decimal], book: Book) -> str | None:
    """What is held beside the legs is as the session began with it, gone, or as much as the book has of something."""
    news = {name: units for name, units in held.items() if units not in (ZERO, began.get(name))}
    if not news:
        return None
    booked = defaultdict[Holding, Decimal](Decimal)
    for each in book.holdings.values():
        booked[replace(each, id="", units=ZERO)] += each.units
    name = next((name for name, units in news.items() if units not in booked.values()), None)
    return None if name is None else f"{news[name]:f} {name} is held, and neither our fills nor the book explain it"


def _differs(symbol: str, told: Mapping[str, Decimal], held: Decimal) -> str | None:
    """What is missing from the report is not flat."""
    if symbol not in told and held != 0:
        return f"the venue's positions leave out {symbol}, of which we hold {held}"
    return f"the venue says {told[symbol]} {symbol}, we say {held}" if told.get(symbol, ZERO) != held else None


def _balance(state: State, event: BalanceReport, tolerance: Decimal) -> tuple[VenueSide, str | None]:
    """The venue's cash less ours stays what it was when it first told."""
    ours, venue = state.ledger.hedge_cash, replace(state.venue, cash_as_of=event.as_of)
    if venue.cash_start is None:
        return replace(venue, cash_start=event.cash - ours), None
    if state.reserved or event.as_of <= max(venue.changed_at.values(), default=-1):
        return venue, None
    off = event.cash - ours - venue.cash_start
    return venue, f"the venue's cash is {off:f} from ours, tolerance {tolerance:f}" if abs(off) > tolerance else None

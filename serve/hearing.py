"""The venue on our orders and our money."""

from __future__ import annotations

from serve.clock import HOUR
from serve.commands import CancelOrder, LookUp, Output
from serve.errors import OrderError, Refused
from serve.events import Absent, Acknowledged, Cancelled, Deleveraged, Event, Filled, FundingPaid, Rejected
from serve.facts import broken
from serve.frozen import replace
from serve.market import Market
from serve.orders import Order, OrderEvent, Status, applied, unknown
from serve.state import Record, State
from serve.states import Monitor, RiskState

LOOKS = 3  # without an answer, at an order that has expired, until people hear of it
UNTOLD = (Status.UNKNOWN, Status.ABSENT)
KEPT = 256  # orders remembered after their end, for messages that come late
ENDED_SHORT = frozenset({Status.CANCELLED, Status.REJECTED, Status.LOST, Status.ABSENT})  # with a rest to hedge anew


def heard(state: State, event: OrderEvent, market: Market, session: str, retry: int) -> State:
    """A new fill is money and is booked even where the order's state forbids it.

    Raises Refused for another's order, OrderError for one that bears our name and that we never sent.
    What an order left undone is decided anew: at once if it rested or the venue does not have it, else at `retry`. And
    so, at once, is what fills after all of one that had ended: its work may have been done by another.
    """
    order = state.orders.get(event.order)
    if order is None:
        return _stranger(state, event, session)
    if order.repeats(event):
        raise Refused(f"fill {getattr(event, 'trade', '')} of {order.id} repeats")
    if isinstance(event, Filled):
        state = _filled(state, order, event)
    state = replace(state, record=_ended(state.record, order, event))
    try:
        now = applied(order, event)
    except OrderError as error:
        return broken(_with(state, _counted(order, event)), str(error))
    state, asset = _with(state, now), market.asset_of[order.symbol]
    if order.status in ENDED_SHORT:
        return state.owing(asset) if isinstance(event, Filled) else state
    if now.status not in ENDED_SHORT:
        return state
    if isinstance(event, Absent) or order.rests:
        return state.owing(asset)
    return replace(state, again={**state.again, asset: retry})


def chased(state: State, patience: float) -> tuple[State, list[Output]]:
    """Orders without an outcome for `patience` milliseconds are looked up by id, never sent again."""
    orders, outputs = dict(state.orders), list[Output]()
    for order in state.reserved:
        restarted = order.status in UNTOLD and order.asked_at is None
        since = order.sent_at if order.asked_at is None else order.asked_at
        if order.rests and order.status in (Status.ACCEPTED, Status.PARTIAL):
            since = max(since, order.expires_at)
        if restarted or state.time - since >= patience:
            late = order.late + (state.time >= order.expires_at) if order.status in UNTOLD else 0
            orders[order.id] = replace(unknown(order, state.time), late=late)
            outputs.append(LookUp(state.time, order.id))
    return (replace(state, orders=orders) if outputs else state), outputs


def missed(state: State) -> State:
    """REDUCING for as long as the venue does not say what became of an order, asked again and again after its end:
    nothing else is sent for its work, so that a person has to know.
    """
    lost = next((order for order in state.reserved if order.late > LOOKS and order.status in UNTOLD), None)
    was = state.monitors.get("outcome", Monitor())
    if (lost is None) == (was.level is RiskState.ACTIVE):
        return state
    now = Monitor()
    if lost is not None:
        words = f"order {lost.id} expired, {LOOKS} look-ups did not tell its outcome, and its hedge waits for it"
        now = Monitor(RiskState.REDUCING, reason=words)
    return replace(state, monitors={**state.monitors, "outcome": now})


def overtaken(before: State, after: State, event: Event) -> list[Output]:
    """The cancel of an order that turns up after all: its work is being decided anew, or nothing may rest at all."""
    if not isinstance(event, Acknowledged | Filled) or event.order not in after.orders:
        return []
    was, order = before.orders.get(event.order), after.orders[event.order]
    gone = was is not None and was.status in (Status.ABSENT, Status.LOST)
    flattening = after.flatten is not None and after.flatten.stage == "reducing"
    halted = after.risk is before.risk is RiskState.HALTED and not flattening
    return [CancelOrder(event.time, order.id)] if order.reserved and (gone or halted) else []


def funded(state: State, event: FundingPaid) -> State:
    return replace(state, ledger=state.ledger.funded(event.symbol, event.cash))


def deleveraged(state: State, event: Deleveraged, asset: str) -> State:
    """The hedge is short of a leg at once: a decision is owed. What expired as it had to is no sign of strain."""
    zero = event.units * 0
    ledger = state.ledger.filled(event.symbol, event.units, event.price, zero)
    when = {**state.record.deleveraged}
    if event.why != "expired":
        when[event.symbol] = event.time
    changed = replace(state.venue, changed_at={**state.venue.changed_at, event.symbol: event.time})
    return replace(state, ledger=ledger, record=replace(state.record, deleveraged=when), venue=changed).owing(asset)


def sent(record: Record, now: int, crosses: bool) -> Record:
    """`crosses`: one of ours might still trade on the other side."""
    record = replace(record, sent=(*_recent(record.sent, now), now))
    return replace(record, crossed=(*_recent(record.crossed, now), now)) if crosses else record


def executed(record: Record, now: int) -> Record:
    return replace(record, executions=(*_recent(record.executions, now), now))


def _stranger(state: State, event: OrderEvent, session: str) -> State:
    if event.order.startswith(f"{session}-"):
        raise OrderError(f"the venue speaks of order {event.order}, which bears our name and which we never sent")
    raise Refused(f"order {event.order} is not ours")


def _filled(state: State, order: Order, event: Filled) -> State:
    worse = (event.price / order.price - 1) * (1 if event.units > 0 else -1)
    slippages = tuple(pair for pair in state.record.slippages if event.time - pair[0] < HOUR)
    record = replace(state.record, slippages=(*slippages, (event.time, float(worse) * 1e4)))
    record = _turned(record, order.symbol, event)
    venue = replace(state.venue, changed_at={**state.venue.changed_at, order.symbol: event.time})
    ledger = state.ledger.filled(order.symbol, event.units, event.price, event.fee)
    return replace(state, ledger=ledger, record=record, venue=venue)


def _ended(record: Record, order: Order, event: OrderEvent) -> Record:
    """With an order that was refused, or that went without a fill."""
    if isinstance(event, Rejected):
        return replace(record, rejections=(*_recent(record.rejections, event.time), event.time))
    if isinstance(event, Cancelled) and order.filled == 0 and not (order.rests and event.time >= order.expires_at):
        return replace(record, pulled=(*_recent(record.pulled, event.time), event.time))
    return record


def _turned(record: Record, symbol: str, event: Filled) -> Record:
    buys = event.units > 0
    times = _recent(record.turned, event.time)
    turned = (*times, event.time) if record.bought.get(symbol, buys) != buys else times
    return replace(record, turned=turned, bought={**record.bought, symbol: buys})


def _counted(order: Order, event: OrderEvent) -> Order:
    """The order with a fill that its state forbids marked as booked, so that a repeat is not booked again."""
    return replace(order, trades=order.trades | {event.trade}) if isinstance(event, Filled) else order


def _with(state: State, order: Order) -> State:
    orders = {**state.orders, order.id: order}
    done = [name for name, each in orders.items() if not each.reserved]
    for name in done[: max(0, len(done) - KEPT)]:
        del orders[name]
    return replace(state, orders=orders)


def _recent(times: tuple[int, ...], now: int) -> tuple[int, ...]:
    return tuple(at for at in times if now - at < HOUR)

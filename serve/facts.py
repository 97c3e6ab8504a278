"""What each event makes of the state, where no settings are needed for it."""

from __future__ import annotations

from dataclasses import replace

from serve.errors import OrderError
from serve.events import DecisionDue, Filled, FundingPaid, Operator, OptionSettled, QuoteEvent
from serve.orders import Order, OrderEvent, Status, applied
from serve.state import State
from serve.states import Monitor, RiskState, acknowledged, tripped

KEPT = 256  # orders remembered after their end, for messages that come late


def quoted(state: State, event: QuoteEvent) -> State:
    return replace(state, quote=event)


def due(state: State, event: DecisionDue) -> State:
    return replace(state, due=True)


def settled(state: State, event: OptionSettled) -> State:
    """Raises OrderError for an option that is not in the book."""
    if state.option is None or state.option.option != event.option:
        raise OrderError(f"{event.option} settled, but is not in the book")
    return replace(state, option=None, ledger=state.ledger.option_cash(event.cash), due=True)


def funded(state: State, event: FundingPaid) -> State:
    return replace(state, ledger=state.ledger.funded(event.cash))


def operated(state: State, event: Operator) -> State:
    """`halt` and `resume` move the operator's own monitor; `acknowledge` releases another's latch."""
    monitors = dict(state.monitors)
    words = f"{event.who}: {event.why}"
    if event.action == "halt":
        monitors["operator"] = tripped(Monitor(), words, RiskState.HALTED, 1, event.time)
    elif event.action == "resume":
        monitors["operator"] = Monitor(reason=words)
    elif event.action == "acknowledge" and event.subject == "integrity":
        monitors["integrity"] = Monitor(reason=words)
    elif event.action == "acknowledge" and event.subject in monitors:
        monitors[event.subject] = acknowledged(monitors[event.subject], event.time)
    return replace(state, monitors=monitors)


def broken(state: State, words: str) -> State:
    """Something that cannot be true was journalled: halt, for a person to look."""
    was = state.monitors.get("integrity", Monitor())
    monitor = tripped(was, words, RiskState.HALTED, 1, state.time)
    return replace(state, monitors={**state.monitors, "integrity": monitor})


def order_heard(state: State, event: OrderEvent) -> State:
    """The venue on one of our orders. A new fill is money and is booked even where the order's state forbids it."""
    order = state.orders.get(event.order)
    if order is None:
        raise OrderError(f"the venue speaks of order {event.order}, which is not ours")
    if isinstance(event, Filled) and not order.repeats(event):
        state = replace(state, ledger=state.ledger.filled(event.units, event.price, event.fee))
    try:
        now = applied(order, event)
        lost = now.status is Status.LOST and order.status is not Status.LOST
        return _with(replace(state, due=state.due or lost), now)
    except OrderError as error:
        return broken(_with(state, _counted(order, event)), str(error))


def _counted(order: Order, event: OrderEvent) -> Order:
    """The order with a fill that its state forbids marked as booked, so that a repeat is not booked again."""
    return replace(order, trades=order.trades | {event.trade}) if isinstance(event, Filled) else order


def _with(state: State, order: Order) -> State:
    orders = {**state.orders, order.id: order}
    done = [name for name, each in orders.items() if not each.in_flight]
    for name in done[: max(0, len(done) - KEPT)]:
        del orders[name]
    return replace(state, orders=orders)

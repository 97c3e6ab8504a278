"""The verified flatten: cancel, confirm that nothing rests, reduce, confirm by two sources, and only then say flat."""

from __future__ import annotations

from dataclasses import replace

from serve.commands import Ask, CancelOrder, Flat, Output
from serve.ledger import ZERO
from serve.market import Market
from serve.state import ORDERS, POSITIONS, Flatten, State

Acted = tuple[State, list[Output]]


def progressed(before: State, state: State, market: Market) -> Acted:
    """What the stage at hand asks for, and the next stage once it is done."""
    flatten = state.flatten
    if flatten is None:
        return state, []
    if before.flatten != flatten and flatten.stage == "cancelling":
        cancels = [CancelOrder(state.time, order.id) for order in state.reserved]
        return state, [*cancels, Ask(state.time, ORDERS)]
    if flatten.stage == "cancelling":
        return _cancelled(state, flatten)
    if flatten.stage == "confirming":
        return _confirmed(state, flatten, market)
    return state, []


def asked(before: State, state: State) -> list[Output]:
    """Both sources are asked anew when there is nothing more to reduce."""
    now, then = state.flatten, before.flatten
    if now is None or now.stage != "confirming" or (then is not None and then.stage == "confirming"):
        return []
    return [Ask(state.time, ORDERS), Ask(state.time, POSITIONS)]


def _cancelled(state: State, flatten: Flatten) -> Acted:
    """On to reducing once neither our records nor a report made since know of an order."""
    told = state.venue.heard.get(ORDERS, -1) >= flatten.since
    if state.reserved or not told or _rests(state):
        return state, []
    state = replace(state, flatten=replace(flatten, stage="reducing", since=state.time))
    return state.owing(*state.pasts), []


def _confirmed(state: State, flatten: Flatten, market: Market) -> Acted:
    """Flat is what both our ledger and the venue's own reports, made since, call flat."""
    heard, venue = state.venue.heard, state.venue
    told = min(heard.get(ORDERS, -1), heard.get(POSITIONS, -1), venue.as_of) >= flatten.since
    if not told or state.reserved or _rests(state):
        return state, []
    held = {symbol: state.ledger.position(symbol) for symbol in market.symbols}
    agreed = all(venue.positions.get(symbol, ZERO) == units for symbol, units in held.items())
    gone = flatten.mode == "neutralise" or not any(held.values())
    if not (agreed and gone):
        return state, []
    done = Flat(state.time, flatten.mode, tuple(held.items()), venue.as_of)
    return replace(state, flatten=None), [done]


def _rests(state: State) -> bool:
    return any(name in state.orders for name in state.venue.resting)

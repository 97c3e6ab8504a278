"""The verified flatten: cancel, confirm that nothing rests, reduce, confirm by two sources, and only then say flat."""

from __future__ import annotations

from dataclasses import replace

from serve.commands import Ask, Flat, Output
from serve.halting import insisted, quiet
from serve.ledger import ZERO
from serve.market import Market
from serve.state import ORDERS, POSITIONS, Flatten, State

Acted = tuple[State, list[Output]]


def progressed(before: State, state: State, market: Market, patience: float) -> Acted:
    """What the stage at hand asks for, again after so many milliseconds, and the next stage once it is done."""
    flatten = state.flatten
    if flatten is None or flatten.stage == "reducing":
        return state, []
    if before.flatten != flatten and flatten.stage == "cancelling":
        return state, insisted(state)
    after, outputs = _cancelled(state, flatten) if flatten.stage == "cancelling" else _confirmed(state, flatten, market)
    if after is not state or state.time - max(flatten.since, flatten.asked_at) < patience:
        return after, outputs
    again = [Ask(state.time, POSITIONS)] if flatten.stage == "confirming" else []
    return replace(state, flatten=replace(flatten, asked_at=state.time)), [*insisted(state), *again]


def asked(before: State, state: State) -> list[Output]:
    """Both sources are asked anew when there is nothing more to reduce."""
    now, then = state.flatten, before.flatten
    if now is None or now.stage != "confirming" or (then is not None and then.stage == "confirming"):
        return []
    return [Ask(state.time, ORDERS), Ask(state.time, POSITIONS)]


def _cancelled(state: State, flatten: Flatten) -> Acted:
    """On to reducing."""
    if not quiet(state, flatten.since):
        return state, []
    state = replace(state, flatten=replace(flatten, stage="reducing", since=state.time))
    return state.owing(*state.pasts), []


def _confirmed(state: State, flatten: Flatten, market: Market) -> Acted:
    """Flat is what both our ledger and the venue's own reports, made since, call flat."""
    venue = state.venue
    told = min(venue.heard.get(POSITIONS, -1), venue.as_of) >= flatten.since
    if not told or not quiet(state, flatten.since):
        return state, []
    held = {symbol: state.ledger.position(symbol) for symbol in market.symbols}
    agreed = all(venue.positions.get(symbol, ZERO) == units for symbol, units in held.items())
    gone = flatten.mode == "neutralise" or not any(held.values())
    if not (agreed and gone):
        return state, []
    done = Flat(state.time, flatten.mode, tuple(held.items()), venue.as_of)
    return replace(state, flatten=None), [done]

"""The verified halt: cancel, ask what rests, again while something does, and only then say that all is quiet."""

from __future__ import annotations

from dataclasses import replace

from serve.commands import Ask, CancelOrder, Output, Quiet
from serve.state import ORDERS, Halt, State
from serve.states import RiskState


def progressed(before: State, state: State, patience: float) -> tuple[State, list[Output]]:
    """`patience`: milliseconds for the venue to answer. A flatten verifies for itself, until a halt ends it."""
    if state.risk is not RiskState.HALTED or state.flatten is not None:
        return (state if state.halt is None else replace(state, halt=None)), []
    if before.risk is not RiskState.HALTED or before.flatten is not None:
        return replace(state, halt=Halt(state.time, state.time)), insisted(state)
    halt = state.halt
    if halt is None:
        return state, []
    if quiet(state, halt.since):
        return replace(state, halt=None), [Quiet(state.time, halt.since)]
    if state.time - halt.asked_at < patience:
        return state, []
    return replace(state, halt=replace(halt, asked_at=state.time)), insisted(state)


def insisted(state: State) -> list[Output]:
    """Cancels of all that may rest of ours, and the question whether anything does."""
    names = {order.id for order in state.reserved} | {name for name in state.venue.resting if name in state.orders}
    return [*(CancelOrder(state.time, name) for name in sorted(names)), Ask(state.time, ORDERS)]


def quiet(state: State, since: int) -> bool:
    """Whether neither our records nor the venue's report, made since then, know of an order of ours."""
    told = state.venue.heard.get(ORDERS, -1) >= since
    return told and not state.reserved and not any(name in state.orders for name in state.venue.resting)

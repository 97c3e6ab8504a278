"""Where the profit came from: the parts add up to it, and each is what the textbook says."""

from __future__ import annotations

import pytest

from serve.attributing import PARTS, Attribution
from serve.events import BarClosed, Event, History
from serve.exposure import net, profit
from serve.mirror import Mirror
from serve.runner import Core
from tests.serve.api.conftest import Beside
from tests.serve.support import SPOT, START, call, opening, quote


def followed(events: list[Event]) -> tuple[Attribution, Core]:
    core, made = Core(), Attribution()
    for event in events:
        before = core.state
        core.step(event)
        made.followed(event, before, core.state)
    return made, core


def test_the_parts_add_up_to_the_profit_at_every_bar(beside: Beside) -> None:
    mirror = Mirror(beside.journal)
    while mirror.entries < beside.journal.head[0]:
        mirror.advance(200)
        if mirror.curve:
            parts, last = mirror.attribution.parts, mirror.curve[-1]
            assert tuple(parts) == PARTS
            assert last.profit is not None
    assert mirror.state is not None
    ended = mirror.attribution
    ended.followed(BarClosed(mirror.state.time, mirror.state.time), mirror.state, mirror.state)
    assert sum(ended.parts.values()) == pytest.approx(profit(mirror.state), abs=1e-6)
    fees = sum(float(each.fees) for each in mirror.state.ledger.accounts.values())
    funding = sum(float(each.funding) for each in mirror.state.ledger.accounts.values())
    assert (ended.parts["fees"], ended.parts["funding"]) == pytest.approx((-fees, funding))
    assert ended.parts["fees"] < 0 < ended.parts["rest"], "it sold time, and paid to hedge it"
    assert ended.parts["gamma"] < 0, "short gamma loses by a crash"


def test_a_move_is_delta_gamma_and_a_rest() -> None:
    """By one move of one and a half per cent, at the greeks before it."""
    events = [*opening(), call(START + 2)]
    made, core = followed(events)
    assert core.state is not None
    before, was = dict(made.parts), core.state
    held = net(was, was.valuations["BTC"], 0.0)
    moved = SPOT * 1.015
    core.step(quote(START + 3, moved))
    after = core.state
    made.followed(BarClosed(START + 3, START + 3), after, after)
    gained = {name: value - before[name] for name, value in made.parts.items()}
    step = moved - SPOT
    assert gained["delta"] == pytest.approx(held.delta * step)
    assert gained["gamma"] == pytest.approx(0.5 * held.gamma * 100 / SPOT * step**2)
    assert sum(gained.values()) == pytest.approx((profit(after) or 0) - (profit(was) or 0))
    assert gained["spread"] == gained["fees"] == gained["book"] == 0


def test_the_premium_over_the_mark_is_the_books() -> None:
    made, core = followed(opening())
    assert core.state is not None
    assert made.parts["book"] == pytest.approx(profit(core.state))
    assert sum(made.parts.values()) == made.parts["book"]


def test_a_gap_without_prices_is_the_markets() -> None:
    """Taken up again, the state has no prices at first; what moved meanwhile is not the desk's doing."""
    made, core = followed(opening())
    book = made.parts["book"]
    state = core.state
    assert state is not None
    unpriced = state.__class__(**{**vars(state), "valuations": {}})
    core.step(quote(START + 5, SPOT * 0.97))
    assert core.state is not None
    made.followed(History(START + 5, "BTC", START, (SPOT, SPOT)), state, unpriced)
    made.followed(BarClosed(START + 5, START + 5), unpriced, core.state)
    assert made.parts["book"] == pytest.approx(book)
    assert sum(made.parts.values()) == pytest.approx(profit(core.state))

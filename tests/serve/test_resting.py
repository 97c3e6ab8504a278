"""Orders that rest at the touch: when they may, and that one that waits in vain or too long leaves nothing unhedged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from serve.clock import SECOND
from serve.commands import CancelOrder, LookUp, Output, SubmitOrder
from serve.config import ServeConfig
from serve.engine import Engine
from serve.events import (
    Acknowledged,
    BookTraded,
    Cancelled,
    Event,
    Filled,
    Heartbeat,
    Operator,
    OrdersReport,
    Rejected,
    VenueTime,
)
from serve.journal import Journal
from serve.session import Source, run
from serve.state import State
from tests.serve.books import fold as folded
from tests.serve.support import SPOT, START, call, opening, quote, started, write_bars

D = Decimal
CHANGES: dict[str, Any] = {"execution__resting_seconds": 30, "clocks__order_seconds": 10.0}
SOLD = START + 2
ENDED = SOLD + 30 * SECOND


@cache
def engine() -> Engine:
    return Engine.opened(started(with_model=False, **CHANGES))


def fold(*events: Event, state: State | None = None) -> tuple[State, list[Output]]:
    return folded(engine(), list(events), state)


@cache
def calm() -> State:
    """Warm, quoted, nothing sold; as calm as its volatility says."""
    state, _ = fold(started(with_model=False, **CHANGES), *opening()[1:-1], quote(START + 1, half_spread=1e-4))
    return at_volatility(state, 0.3)


def at_volatility(state: State, volatility: float) -> State:
    return replace(state, pasts={name: replace(past, volatility=volatility) for name, past in state.pasts.items()})


def sent(outputs: list[Output]) -> SubmitOrder:
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    return order


def sold(name: str = "call-1", at: int = SOLD) -> BookTraded:
    return call(at, name=name)


def waiting() -> tuple[State, SubmitOrder]:
    """An order that rests."""
    state, outputs = fold(sold(), state=calm())
    order = sent(outputs)
    return fold(Acknowledged(SOLD + 1, order.order), state=state)[0], order


def test_it_rests_at_the_bid_until_it_expires() -> None:
    _, order = waiting()
    assert (order.post_only, order.limit, order.expires_at) == (True, D("19998"), ENDED)
    assert order.units > 0


def test_under_strain_or_a_breaker_or_a_persons_word_it_takes() -> None:
    assert not sent(fold(sold(), state=at_volatility(calm(), 1.2))[1]).post_only
    slow = [VenueTime(START + 1, 0, 10**4)] * 2
    assert not sent(fold(*slow, sold(), state=calm())[1]).post_only
    state, order = waiting()
    state, _ = fold(Filled(SOLD + 2, order.order, "1", order.units, order.limit, D(0)), state=state)
    close = Operator(SOLD + 3, "flatten", "ann", "drill", "close")
    assert not sent(fold(close, OrdersReport(SOLD + 4, ()), state=state)[1]).post_only


@pytest.mark.parametrize(
    "end", [Cancelled, lambda at, name: Rejected(at, name, "post only, and it would trade at once")]
)
def test_after_one_that_waited_in_vain_the_next_takes_at_once_and_the_one_after_rests(
    end: Callable[[int, str], Event],
) -> None:
    state, outputs = fold(sold(), state=calm())
    order = sent(outputs)
    known = [Acknowledged(SOLD + 1, order.order)] * (end is Cancelled)
    state, outputs = fold(*known, end(ENDED + 1, order.order), state=state)
    second = sent(outputs)
    assert (second.post_only, second.time, second.units) == (False, ENDED + 1, order.units)
    filled = Filled(ENDED + 2, second.order, "1", second.units, D(20_000), D(0))
    _, outputs = fold(filled, sold("call-2", ENDED + 3), state=state)
    assert sent(outputs).post_only


def test_what_was_filled_in_part_is_not_sent_again() -> None:
    state, order = waiting()
    part = Filled(SOLD + 2, order.order, "1", D(2), order.limit, D(0))
    _, outputs = fold(part, Cancelled(ENDED + 1, order.order), state=state)
    assert sent(outputs).units == order.units - 2


def test_while_it_rests_nothing_else_is_sent_and_a_new_trade_withdraws_it() -> None:
    state, order = waiting()
    state, outputs = fold(sold("call-2", SOLD + 2), quote(SOLD + 3, half_spread=1e-4), state=state)
    assert not [each for each in outputs if isinstance(each, SubmitOrder)]
    assert [each for each in outputs if isinstance(each, CancelOrder)] == [CancelOrder(SOLD + 2, order.order)]
    state, outputs = fold(Cancelled(SOLD + 4, order.order), state=state)
    assert sent(outputs).units > order.units
    assert len(state.record.pulled) == 1


def test_a_quote_that_is_doubted_withdraws_it() -> None:
    state, order = waiting()
    _, outputs = fold(quote(SOLD + 2, SPOT * 0.9), state=state)
    assert CancelOrder(SOLD + 2, order.order) in outputs


def test_one_that_rests_is_not_looked_up_before_it_expired_and_its_end_is_no_pattern() -> None:
    state, order = waiting()
    state, outputs = fold(Heartbeat(ENDED - 1), state=state)
    assert not [each for each in outputs if isinstance(each, LookUp)]
    _, outputs = fold(Heartbeat(ENDED + 10 * SECOND), state=state)
    assert [each.order for each in outputs if isinstance(each, LookUp)] == [order.order]
    state, _ = fold(Cancelled(ENDED + 1, order.order), state=state)
    assert state.record.pulled == ()


def test_a_session_on_paper_is_hedged_by_an_order_that_rested(settings: ServeConfig, tmp_path: Path) -> None:
    bars, found = str(write_bars(tmp_path / "bars.csv")), list[SubmitOrder | Filled]()
    wide = {"resting_seconds": 1200, "calm_volatility": 2.5, "calm_intensity": 2.9}
    config = settings.model_copy(update={"execution": settings.execution.model_copy(update=wide)})

    def told(event: Event, outputs: tuple[Output, ...]) -> None:
        found.extend(each for each in (event, *outputs) if isinstance(each, SubmitOrder | Filled))

    with closing(Journal(str(tmp_path / "j.db"))) as journal:
        run(config, journal, Source((bars,), START, 1), told)
    order, fill = found
    assert isinstance(order, SubmitOrder)
    assert isinstance(fill, Filled)
    assert (order.post_only, fill.units, fill.price) == (True, order.units, order.limit)
    assert order.time < fill.time <= order.expires_at

"""Limits that begin small and grow while the hedger runs well (RTS 6, 8: controlled deployment)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from pydantic import ValidationError

from serve.clock import HOUR
from serve.commands import Denied, Output, SubmitOrder
from serve.config import ServeConfig
from serve.engine import Engine
from serve.events import BarClosed, BookTraded, Event, Operator
from serve.limits import Deployment
from serve.state import State
from serve.states import RiskState
from tests.serve.books import fold as folded
from tests.serve.support import START, call, opening, quote, raw_config, started

D = Decimal
CHANGES: dict[str, Any] = {
    "limits__deployment": {"share": "0.25", "days": "1"},
    "limits__legs__BTC-PERP__position": {"soft": "6", "hard": "9"},
}


@pytest.mark.parametrize(("bars", "share"), [(0, "0.25"), (8, "0.5"), (16, "0.75"), (24, "1"), (90, "1")])
def test_the_share_grows_with_the_bars_until_it_is_whole(bars: int, share: str) -> None:
    assert Deployment(share=D("0.25"), days=D(1)).grown(bars, HOUR) == D(share)


def test_a_share_of_all_is_whole_at_once() -> None:
    assert Deployment(share=D(1), days=D(0)).grown(0, HOUR) == 1


@cache
def engine() -> Engine:
    return Engine.opened(started(with_model=False, **CHANGES))


def fold(*events: Event, state: State | None = None) -> tuple[State, list[Output]]:
    return folded(engine(), list(events), state)


def ran(hours: int, *first: Event) -> State:
    """Warm, and as many bars later; what `first` does is done before."""
    state, _ = fold(started(with_model=False, **CHANGES), *opening()[1:-1], *first)
    for k in range(1, hours + 1):
        state, _ = fold(quote(START + k * HOUR), BarClosed(START + k * HOUR + 1, START + k * HOUR), state=state)
    return state


def sold(state: State) -> BookTraded:
    return call(state.time + 1)


@pytest.mark.parametrize(("hours", "units"), [(0, "1.500"), (12, "3.750")])
def test_a_position_is_as_large_as_its_share(hours: int, units: str) -> None:
    """A quarter of 6 at first, and five eighths of it after half a day."""
    state = ran(hours)
    _, outputs = fold(sold(state), state=state)
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    (denied,) = (each for each in outputs if isinstance(each, Denied))
    assert order.units == D(units)
    assert "soft limit position:BTC-PERP" in denied.reason


def test_bars_under_a_breaker_do_not_count() -> None:
    halt, resume = (Operator(START + 5, action, "ann", "drill", "") for action in ("halt", "resume"))
    assert ran(3).good_bars == 3
    state = ran(3, halt, resume)
    assert (state.risk, state.good_bars) == (RiskState.REDUCING, 0)


def test_a_person_may_lift_it_to_the_hard_limit() -> None:
    lifted = ran(0, Operator(START + 5, "override", "ann", "expiry", "position:BTC-PERP"))
    _, outputs = fold(sold(lifted), state=lifted)
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    assert D("1.5") < order.units <= 9


def test_orders_their_value_and_the_notional_grow_too() -> None:
    limited, state = engine().setup.limited, fold(*(), state=ran(0))[0]
    state, _ = fold(replace(sold(state), premium=D(0)), state=state)
    notional = next(each for each in limited.measures(state, "BTC-PERP") if each.name == "notional")
    assert (notional.soft, notional.hard) == (D("2.5e6"), D("1e7"))


def test_a_beginning_that_leaves_no_lot_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"BTC-PERP\.order\.soft leaves no lot under stress; raise it"):
        ServeConfig.model_validate(raw_config(limits__deployment={"share": "0.00001", "days": "9"}))

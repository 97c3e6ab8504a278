"""A listed option as a hedge: bought for targets of gamma and vega, and left alone when it is worth nothing."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Literal

import pytest

from envs.task import Task
from serve.clock import HOUR
from serve.codec import canonical
from serve.commands import Denied, Output, SubmitOrder
from serve.config import ServeConfig
from serve.engine import Engine
from serve.events import BookSettled, Event, Filled, Listed, Started, TargetSet
from serve.exposure import Net, net
from serve.state import State
from serve.states import RiskState
from tests.serve.books import LISTED, OPTIONS, fold, option_config, sold, task_of
from tests.serve.support import CALIBRATION, SPOT, START, history, quote, reports

D = Decimal
CALL = "BTC-CALL"
EXPIRY = START + 60 * HOUR
Greek = Literal["gamma", "vega"]


def task(greek: Greek) -> Task:
    listed = LISTED.model_copy(update={"neutralises": greek})
    changes = {"hedges": (listed, OPTIONS.hedges[1]), "greek_band": 1e-3}
    return task_of(OPTIONS.model_copy(update=changes), CALIBRATION)


@cache
def engine(greek: Greek) -> Engine:
    narrow = {"bands__calm_width": 0.01, "bands__stress_width": 0.01}
    config = ServeConfig.model_validate(option_config(**narrow))
    texts = [canonical(each.model_dump(mode="json")).decode() for each in (config, task(greek))]
    return Engine.opened(Started(START, *texts, "", ""))


def filled(state: State, outputs: list[Output], at: int) -> list[Event]:
    sent = [each for each in outputs if isinstance(each, SubmitOrder)]
    price = {each.symbol: max(state.mark(each.symbol), D("0.01")) for each in sent}
    return [Filled(at, each.order, f"{each.order}/1", each.units, price[each.symbol], D(0)) for each in sent]


def hedged(greek: Greek, *events: Event, depth: float = 5e8) -> State:
    """A call sold, the option leg listed, and `events`; every order filled at its mark."""
    config, of = engine(greek).setup.config, task(greek)
    texts = [canonical(each.model_dump(mode="json")).decode() for each in (config, of)]
    start = [Started(START, *texts, "", ""), *reports(), history(), quote(START + 1, depth=depth)]
    state, _ = fold(engine(greek), [*start, Listed(START + 1, CALL, SPOT, EXPIRY)])
    for event in [sold(START + 2, hours=72), *events]:
        state, outputs = fold(engine(greek), [event], state)
        state, _ = fold(engine(greek), filled(state, outputs, event.time), state)
    return state


def target(at: int, gamma: float = 0.0, vega: float = 0.0) -> TargetSet:
    return TargetSet(at, "BTC", 0.0, gamma, vega, 1.0, 0.0, 0.0, "ann")


def greeks(state: State) -> Net:
    return net(state, state.valuations["BTC"], 0.0)


@pytest.mark.parametrize(("greek", "wanted"), [("gamma", -0.4), ("vega", -60.0)])
def test_a_target_is_reached_with_the_option_and_its_delta_with_the_perpetual(greek: Greek, wanted: float) -> None:
    """To a lot of the option, 0.01, and the all but closed band around it."""
    plain = hedged(greek)
    steered = hedged(greek, target(START + 3, **{greek: wanted}))
    one = getattr(plain.valuations["BTC"].legs[CALL], greek)
    assert getattr(greeks(plain), greek) == pytest.approx(0.0, abs=0.1 * one)
    assert getattr(greeks(steered), greek) == pytest.approx(wanted, abs=0.1 * one)
    assert abs(greeks(steered).delta) < 0.05


def test_what_an_option_may_not_bring_yet_the_perpetual_hedges_meanwhile() -> None:
    """Of the options that it takes the depth gives a slice: gamma waits for the next one, delta does not."""
    whole, sliced = hedged("gamma"), hedged("gamma", depth=5e6)
    assert sliced.ledger.position(CALL) == D("5.00") < whole.ledger.position(CALL)
    assert greeks(sliced).gamma < -0.3
    assert abs(greeks(sliced).delta) < 0.01


def test_a_leg_that_is_worth_nothing_is_left_and_the_rest_is_hedged() -> None:
    """An hour before its end and at half the strike the option's value is 0 to the last bit."""
    half, late = SPOT / 2, EXPIRY - 1_000_000
    state = hedged("gamma", quote(late, half), quote(late + 1, half))
    assert state.ledger.position(CALL) > 0
    assert state.mark(CALL) == 0
    ended: list[Event] = [BookSettled(late + 2, "BTC-20000", half, D(0)), quote(late + 20_000, half)]
    state, outputs = fold(engine("gamma"), [*ended, quote(late + 15_000_000, half)], state)
    assert "BTC-CALL is worth nothing" in [each.reason for each in outputs if isinstance(each, Denied)]
    assert state.risk < RiskState.HALTED


def test_a_target_that_no_option_can_reach_moves_nothing() -> None:
    half, late = SPOT / 2, EXPIRY - 1_000_000
    state = hedged("gamma", quote(late, half), quote(late + 1, half), target(late + 2, gamma=1.0))
    assert state.risk < RiskState.HALTED

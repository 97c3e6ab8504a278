"""What holds for every breaker: confirmations in, hysteresis, a dwell per rung out, latches, and failing closed."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from serve import breaker
from serve.breaker import Breaker, Recollection, View
from serve.clock import HOUR
from serve.config import build_breakers
from serve.state import State
from serve.states import Finding, RiskState, acknowledged
from serve.watch import transitions, watched
from tests.serve.breaker_settings import BREAKERS as RAW
from tests.serve.support import START
from tests.serve.watching import BREAKERS, CALM, CASES, MINUTE, fed, shown

LATCHING = {name for name, each in BREAKERS.items() if each.kind.takes is RiskState.HALTED} | {"repeated_execution"}


def built(name: str, **changes: Any) -> Breaker:
    return build_breakers({**RAW, name: {**RAW[name], **changes}}, "test")[name]


def confirmed(name: str) -> list[View]:
    """A breach confirmed, after a calm that began long before."""
    case = CASES[name]
    return [case.clear(START - 100 * HOUR), case.breach(START), case.breach(START + MINUTE)]


def test_every_file_has_a_case() -> None:
    assert {*CASES, "price_jump"} == set(breaker.names()), "price_jump's are in test_breakers_market.py"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("confirmations", [1, 2, 4])
def test_trips_on_so_many_confirmations_in_a_row_and_says_why(name: str, confirmations: int) -> None:
    case, own = CASES[name], built(name, confirmations=confirmations)
    before = case.clear(START - 100 * HOUR)
    breaches = [case.breach(START + k) for k in range(confirmations)]
    broken = [*breaches[1:], case.clear(START + 10), *(case.breach(START + 20 + k) for k in range(confirmations - 1))]
    assert shown(own, [before, *broken]).level is RiskState.ACTIVE
    monitor = shown(own, [before, *breaches])
    assert monitor.level is own.kind.takes
    assert re.search(case.words, monitor.reason)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.between is not None])
def test_holds_between_exit_and_entry(name: str) -> None:
    between = CASES[name].between
    assert between is not None
    views = [between(START + k * HOUR) for k in range(1, 9)]
    assert fed(name, [*confirmed(name), *views]).level is BREAKERS[name].kind.takes
    assert fed(name, [CASES[name].clear(START - 100 * HOUR), *views]).level is RiskState.ACTIVE


@pytest.mark.parametrize("name", sorted(set(CASES) - LATCHING))
def test_recovers_after_its_dwell_a_rung_at_a_time(name: str) -> None:
    views, levels = confirmed(name), []
    for k in range(4):
        views.append(CASES[name].clear(START + 2 * MINUTE + k * HOUR))
        levels.append(fed(name, views).level)
    rungs = [RiskState(level) for level in range(BREAKERS[name].kind.takes, -1, -1)]
    assert levels == (rungs + [RiskState.ACTIVE] * 4)[:4]


@pytest.mark.parametrize("name", sorted(LATCHING))
def test_what_latches_at_once_waits_for_a_person(name: str) -> None:
    later = [CASES[name].clear(START + k * HOUR) for k in range(1, 9)]
    monitor = fed(name, confirmed(name))
    assert monitor.latched
    assert fed(name, [*confirmed(name), *later]).level is BREAKERS[name].kind.takes
    assert shown(BREAKERS[name], later, acknowledged(monitor, START + HOUR)).level is RiskState.ACTIVE


@pytest.mark.parametrize("name", sorted(set(CASES) - LATCHING))
def test_latches_after_trips_in_an_hour(name: str) -> None:
    case, own = CASES[name], built(name, confirmations=1, dwell_seconds=60, latch_trips=3)
    views, latched = [case.clear(START - 100 * HOUR)], []
    for k in range(3):
        start = START + k * 10 * MINUTE
        views += [case.breach(start), *(case.clear(start + j * MINUTE) for j in range(1, 9))]
        monitor = shown(own, views)
        latched.append((monitor.latched, monitor.level is RiskState.ACTIVE))
    assert latched == [(False, True), (False, True), (True, False)]
    spread = [case.clear(START - 100 * HOUR)]
    for k in range(5):
        start = START + k * 31 * MINUTE
        spread += [case.breach(start), *(case.clear(start + j * MINUTE) for j in range(1, 9))]
    assert not shown(own, spread).latched


class Raising:
    """Some breaker whose judgement fails."""

    def __init__(self, like: Breaker) -> None:
        self.Settings, self.kind, self.settings = like.Settings, like.kind, like.settings

    def judge(self, view: View, memory: Recollection) -> tuple[Finding | None, Recollection]:
        raise ZeroDivisionError("float division by zero")


@pytest.mark.parametrize("name", breaker.names())
def test_one_that_raises_takes_its_class_at_once(name: str, calm_state: State) -> None:
    broken = Raising(BREAKERS[name])
    state = watched(calm_state, {name: broken}, CALM)
    assert state.risk is BREAKERS[name].kind.takes
    assert "raised ZeroDivisionError: float division by zero" in state.monitors[name].reason
    assert [type(output).__name__ for output in transitions(calm_state, state)] == ["Transition", "Alert"]
    again = watched(state, {name: broken}, replace(CALM, time=START + HOUR))
    assert again.monitors[name].level is BREAKERS[name].kind.takes


def test_one_that_raises_does_not_blind_the_others(calm_state: State) -> None:
    others = {"aaa": Raising(BREAKERS["loss"]), "order_rate": built("order_rate", confirmations=1)}
    state = watched(calm_state, others, CASES["order_rate"].breach(START))
    assert state.monitors["order_rate"].level is RiskState.REDUCING

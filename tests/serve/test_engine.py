from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from functools import cache

import pytest
import torch

from envs import decision
from serve.clock import HOUR, SECOND
from serve.codec import decode, encode
from serve.commands import CancelOrder, Decision, Denied, Dropped, Infer, Output, SubmitOrder, Transition
from serve.engine import Engine
from serve.events import (
    Acknowledged,
    BarClosed,
    BookSettled,
    DecisionDue,
    Event,
    Filled,
    Heartbeat,
    Inference,
    Operator,
    VenueTime,
)
from serve.state import State
from serve.states import RiskState
from tests.serve.support import PERP, SPOT, START, call, history, opening, quote, reports, started

NEUTRAL, MODEL = (0.0, 0.0), "ab" * 32


@cache
def usual() -> Engine:
    return Engine.opened(started())


def bar(ended: int) -> BarClosed:
    return BarClosed(ended, ended)


def fold(events: Iterable[Event], engine: Engine | None = None) -> tuple[State, list[Output]]:
    """The state after the events, and all outputs; every item survives its encoding on the way."""
    events = [*events]
    engine = usual() if engine is None else engine
    state, outputs = engine.initial(), list[Output]()
    for event in events:
        again = decode(encode(event))
        assert isinstance(again, Event)
        state, more = engine.step(state, again)
        assert [decode(encode(output)) for output in more] == [*more] or "nan" in str(more)
        outputs += more
    return state, outputs


def of(kind: type[Output], outputs: list[Output]) -> list[Output]:
    return [output for output in outputs if isinstance(output, kind)]


def reply(action: tuple[float, ...] | None = NEUTRAL, number: int = 1, at: int = START + 3) -> Inference:
    return Inference(at, f"test-q{number:06d}", MODEL, action, "")


def filled(outputs: list[Output], at: int = START + 4, trade: str = "t") -> list[Event]:
    order = of(SubmitOrder, outputs)[-1]
    assert isinstance(order, SubmitOrder)
    return [Acknowledged(at, order.order), Filled(at, order.order, trade, order.units, Decimal(20_001), Decimal("1.5"))]


def account(state: State) -> Decimal:
    """Cash of the hedge's margin account beyond its collateral."""
    return usual().decider.sight(state).cash[0]


def test_a_warm_session_asks_the_policy_and_trades_to_its_band(engine: Engine) -> None:
    state, outputs = fold(opening(), engine)
    question = of(Infer, outputs)[0]
    assert isinstance(question, Infer)
    assert len(question.features) == len(engine.setup.market.observer.names)
    assert of(SubmitOrder, outputs) == []
    assert state.question is not None
    seen = engine.setup.market.situation(state.question.seen.sight).observation
    band = decision.read(torch.tensor([[[0.3, -0.2]]], dtype=torch.float64), seen)
    state, outputs = fold([*opening(), reply((0.3, -0.2))], engine)
    order = of(SubmitOrder, outputs)[0]
    assert isinstance(order, SubmitOrder)
    assert float(order.units) == pytest.approx(float(band.lower) * 10, abs=0.0005)
    made = of(Decision, outputs)[0]
    assert isinstance(made, Decision)
    assert (made.source, made.state, made.model) == ("policy", "ACTIVE", "ab" * 32)
    assert made.config == engine.setup.config_sha256


def test_before_the_filter_is_warm_the_analytic_hedge_decides() -> None:
    state, outputs = fold([started(), *reports(), history(bars=10), quote(START + 1), call(START + 2)])
    made = of(Decision, outputs)[0]
    assert isinstance(made, Decision)
    assert (made.source, state.risk) == ("fallback", RiskState.FALLBACK)
    assert "seen 10 of 30 bars" in made.reason
    assert len(of(SubmitOrder, outputs)) == 1


def test_an_old_history_does_not_warm() -> None:
    old = replace(history(), ended=START - 2 * HOUR)
    state, _ = fold([started(), *reports(), old, quote(START + 1), call(START + 2)])
    assert state.risk is RiskState.FALLBACK
    assert "seen 0 of 30 bars" in state.strictest()


def test_without_a_model_the_analytic_hedge_serves() -> None:
    first = started(with_model=False)
    state, outputs = fold([first, *opening()[1:]], Engine.opened(first))
    assert state.risk is RiskState.FALLBACK
    assert of(Infer, outputs) == []
    assert len(of(SubmitOrder, outputs)) == 1


def test_bars_advance_memory_and_ticks_do_not() -> None:
    ticks = [quote(START + k * 600 * SECOND, SPOT + k) for k in range(1, 7)]
    state, _ = fold([*opening(), *ticks])
    assert int(state.pasts["BTC"].memory.bars) == 40
    state, _ = fold([*opening(), *ticks, bar(START + HOUR)])
    assert int(state.pasts["BTC"].memory.bars) == 41
    assert state.pasts["BTC"].spot == SPOT + 6


def test_a_gap_pauses_memory_and_no_return_spans_it() -> None:
    late = [
        quote(START + 1),
        bar(START + HOUR),
        bar(START + 2 * HOUR),
        quote(START + 3 * HOUR - 1, 21_000.0),
    ]
    state, _ = fold([*opening(), *late, bar(START + 3 * HOUR)])
    assert int(state.pasts["BTC"].memory.bars) == 41
    later = [quote(START + 4 * HOUR - 1, 21_001.0), bar(START + 4 * HOUR)]
    state, _ = fold([*opening(), *late, bar(START + 3 * HOUR), *later])
    assert int(state.pasts["BTC"].memory.bars) == 42


@pytest.mark.parametrize("action", [None, (float("nan"), 0.0), (0.1,), (2.0, 0.0)])
def test_a_bad_answer_is_not_followed(action: tuple[float, ...] | None) -> None:
    state, outputs = fold([*opening(), reply(action)])
    made = of(Decision, outputs)[0]
    assert isinstance(made, Decision)
    assert (made.source, made.action, made.request) == ("fallback", NEUTRAL, "test-q000001")
    assert len(of(SubmitOrder, outputs)) == 1
    assert state.monitors["policy_invalid"].suspicious


def test_two_bad_answers_fall_back_and_good_ones_recover() -> None:
    first = opening()
    _, outputs = fold([*first, reply(None)])
    events = [*first, reply(None), *filled(outputs)]
    for k in range(2, 8):
        at = START + k * 4 * HOUR
        answer = reply(None if k == 2 else NEUTRAL, k, at + 1)
        events += [quote(at - 1), DecisionDue(at), answer]
        state, outputs = fold(events)
        if state.in_flight:
            events += filled(outputs, at + 2, f"t{k}")
        if k in (2, 3):
            assert state.risk is RiskState.FALLBACK
    assert state.risk is RiskState.ACTIVE
    sources = [made.source for made in of(Decision, outputs) if isinstance(made, Decision)]
    assert sources[:3] == ["fallback", "fallback", "fallback"]
    assert sources[-1] == "policy"


def test_an_overdue_answer_is_not_waited_for_and_not_read_when_it_comes() -> None:
    late = [Heartbeat(START + 5 * SECOND), reply((0.9, 0.9), at=START + 6 * SECOND)]
    state, outputs = fold([*opening(), *late])
    assert [made.source for made in of(Decision, outputs) if isinstance(made, Decision)] == ["fallback"]
    assert state.question is None


def test_one_hedge_at_a_time() -> None:
    state, outputs = fold([*opening(), reply(), DecisionDue(START + HOUR), quote(START + HOUR + 1)])
    assert len(of(SubmitOrder, outputs)) == 1
    assert len(of(Infer, outputs)) == 1
    assert state.due


@pytest.mark.parametrize(
    ("event", "words"),
    [(Acknowledged(START + 9, "test-000099"), "never sent"), (Heartbeat(START - 1), "time went back")],
)
def test_what_cannot_be_true_halts_until_a_person_looks(event: Event, words: str) -> None:
    state, outputs = fold([*opening(), event])
    assert state.risk is RiskState.HALTED
    assert words in state.strictest()
    assert len(of(Dropped, outputs)) == isinstance(event, Heartbeat), "what is not acted on is told so"
    clear = Operator(START + 10, "acknowledge", "ann", "checked", "integrity")
    assert fold([*opening(), event, clear])[0].risk is RiskState.REDUCING
    assert fold([*opening(), event, clear, clear])[0].risk is RiskState.ACTIVE


def test_halt_cancels_sends_nothing_and_resuming_twice_decides_at_once() -> None:
    halt = Operator(START + 5, "halt", "ann", "exercise", "")
    state, outputs = fold([*opening(), reply(), halt, DecisionDue(START + HOUR), quote(START + HOUR + 1)])
    assert state.risk is RiskState.HALTED
    assert of(CancelOrder, outputs) == [CancelOrder(at, "test-000001") for at in (START + 5, START + HOUR)]
    assert len(of(SubmitOrder, outputs)) == 1
    _, before = fold([*opening(), reply()])
    resume = Operator(START + 7, "resume", "ann", "over", "")
    state, _ = fold([*opening(), reply(), *filled(before), halt, resume])
    assert state.risk is RiskState.REDUCING
    state, outputs = fold([*opening(), reply(), *filled(before), halt, resume, resume])
    assert state.risk is RiskState.ACTIVE
    assert len(of(Infer, outputs)) == 2


def test_a_person_takes_the_hedge_from_the_policy_and_gives_it_back() -> None:
    person = [Operator(START + 5, action, "ann", "drill", "") for action in ("fallback", "resume", "halt")]
    fallback, resume, halt = person
    state, outputs = fold([*opening()[:-1], fallback, call(START + 6)])
    assert state.risk is RiskState.FALLBACK
    assert [each.source for each in of(Decision, outputs)] == ["fallback"]
    state, outputs = fold([*opening()[:-1], fallback, resume, call(START + 6)])
    assert state.risk is RiskState.ACTIVE
    assert of(Decision, outputs) == []
    assert len(of(Infer, outputs)) == 1
    state, outputs = fold([*opening(), halt, fallback])
    assert (state.risk, state.dropped) == (RiskState.HALTED, {"Operator": 1})


def test_a_halt_between_question_and_answer_holds_the_order() -> None:
    _, outputs = fold([*opening(), Operator(START + 2, "halt", "ann", "stop", ""), reply()])
    assert of(SubmitOrder, outputs) == []
    assert isinstance(of(Denied, outputs)[0], Denied)


def test_nothing_is_decided_on_a_doubted_quote() -> None:
    bad = quote(START + HOUR, SPOT * 1.3)
    _, first = fold([*opening(), reply()])
    events = [*opening(), reply(), *filled(first), bad, DecisionDue(START + HOUR)]
    state, outputs = fold(events)
    assert len(of(Infer, outputs)) == 1
    assert state.trusted["BTC"].spot == SPOT
    _, outputs = fold([*events, quote(START + HOUR + 1)])
    assert len(of(Infer, outputs)) == 2


def test_a_confirmed_jump_reduces_at_once_by_the_analytic_hedge() -> None:
    _, first = fold([*opening(), reply()])
    jump = [quote(START + HOUR, SPOT * 0.9), quote(START + HOUR + 600 * SECOND, SPOT * 0.9)]
    state, outputs = fold([*opening(), reply(), *filled(first), *jump])
    assert state.risk is RiskState.REDUCING
    last = of(Decision, outputs)[-1]
    assert isinstance(last, Decision)
    assert (last.source, last.state) == ("fallback", "REDUCING")
    assert last.legs[0].sent < 0, "the call lost delta, so the hedge shrinks"
    moved = of(Transition, outputs)[-1]
    assert isinstance(moved, Transition)
    assert (moved.breaker, moved.after) == ("price_jump", "REDUCING")


def test_an_answer_about_a_call_that_is_gone_is_dropped_and_the_next_call_asked_about() -> None:
    settled = BookSettled(START + 3, "call-1", SPOT, Decimal(0))
    second = call(START + 4, strike=SPOT * 1.01, name="call-2")
    state, outputs = fold([*opening(), settled, second, reply(at=START + 5)])
    assert of(Decision, outputs) == []
    assert state.question is not None
    assert (state.question.asked.request, [*state.question.seen.sight.book.holdings]) == ("test-q000002", ["call-2"])


def test_the_margin_account_begins_anew_with_every_call() -> None:
    _, first = fold([*opening(), reply()])
    held, _ = fold([*opening(), reply(), *filled(first)])
    units = held.ledger.position(PERP)
    assert account(held) == -units * 20_001 - Decimal("1.5")
    events = [*opening(), reply(), *filled(first), BookSettled(START + 9, "call-1", SPOT, Decimal(-7))]
    second = call(START + 12, name="call-2")
    over, _ = fold([*events, quote(START + 11, 19_000.0), second])
    assert account(over) == -units * 19_000, "what the hedge lost before is settled, and what it still holds is not"


def test_a_settled_book_closes_its_hedge() -> None:
    _, first = fold([*opening(), reply()])
    settled = BookSettled(START + 9, "call-1", SPOT, Decimal(0))
    _, outputs = fold([*opening(), reply(), *filled(first), settled])
    orders = of(SubmitOrder, outputs)
    assert isinstance(orders[0], SubmitOrder)
    assert isinstance(orders[1], SubmitOrder)
    assert orders[1].units == -orders[0].units


def test_a_second_breaker_is_hedged_at_once_though_the_first_holds_as_much() -> None:
    """Once the price has jumped, a latency that has been at REDUCING all the while delays nothing."""
    slow: list[Event] = [VenueTime(START + 5 + k, 0, 10**4) for k in range(2)]
    slow.append(reply(at=START + 8))
    state, outputs = fold([*opening(), *slow])
    assert state.risk is RiskState.REDUCING
    before = len(of(Decision, outputs))
    jump = [quote(START + 10 + k, SPOT * 0.9) for k in range(2)]
    _, outputs = fold([*opening(), *slow, *filled(outputs, START + 9), *jump])
    assert len(of(Decision, outputs)) == before + 1

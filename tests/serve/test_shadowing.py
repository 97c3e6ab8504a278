"""Shadow mode, hot swap and the last good policy."""

from __future__ import annotations

import statistics
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
import torch

from agents import card
from serve.codec import decode
from serve.commands import Decision, Infer, ModelChanged, Output, ShadowDecision, SubmitOrder
from serve.config import ServeConfig
from serve.engine import Engine
from serve.events import DecisionDue, Event, Filled, Heartbeat, Inference, ModelOffered, ModelSwapped, Operator
from serve.holdings import DTYPE
from serve.journal import Journal
from serve.runner import replayed
from serve.session import Source, run
from serve.state import State
from serve.states import RiskState
from tests.serve.support import (
    HOUR,
    PERP,
    START,
    opening,
    quote,
    raw_config,
    save_model,
    started,
    write_bars,
)

OLD, NEW = "ab" * 32, "cd" * 32


@cache
def engine() -> Engine:
    return Engine.opened(started())


def fold(events: list[Event], state: State | None = None) -> tuple[State, list[Output]]:
    state, outputs = engine().initial() if state is None else state, list[Output]()
    for event in events:
        state, more = engine().step(state, event)
        outputs += more
    return state, outputs


def answer(outputs: list[Output], action: tuple[float, ...] | None = (0.0, 0.0)) -> list[Event]:
    """To every question of `outputs`."""
    asked = [each for each in outputs if isinstance(each, Infer)]
    return [Inference(each.time + 1, each.request, each.model, action, "boom") for each in asked]


def fills(outputs: list[Output]) -> list[Event]:
    sent = [each for each in outputs if isinstance(each, SubmitOrder)]
    return [Filled(each.time + 1, each.order, "1", each.units, Decimal(20_000), Decimal(0)) for each in sent]


def offered(role: str = "candidate", time: int = START + 1) -> ModelOffered:
    return ModelOffered(time, NEW, started().trained, role)  # type: ignore[arg-type]


def swapped() -> tuple[State, list[Output]]:
    """Warm, the new model swapped in, a call sold."""
    *before, last = opening()
    return fold([*before, offered(), ModelSwapped(START + 1, NEW, "ann", "better"), last])


def sources(outputs: list[Output]) -> list[tuple[str, str]]:
    return [(each.source, each.model) for each in outputs if isinstance(each, Decision)]


def test_a_swap_lets_the_open_question_be_answered_and_asks_the_new_model_next() -> None:
    state, asked = fold([*opening(), offered(time=START + 2)])
    state, outputs = fold([ModelSwapped(START + 3, NEW, "ann", "better")], state)
    assert [(each.before, each.after) for each in outputs if isinstance(each, ModelChanged)] == [(OLD, NEW)]
    state, outputs = fold(answer(asked), state)
    assert sources(outputs) == [("last_good", OLD)]
    state, _ = fold(fills(outputs), state)
    _, outputs = fold([quote(START + HOUR), DecisionDue(START + HOUR)], state)
    assert [each.model for each in outputs if isinstance(each, Infer)] == [NEW]


def test_a_model_that_was_not_offered_whole_is_not_swapped_in() -> None:
    state, _ = fold([*opening(), ModelSwapped(START + 3, NEW, "ann", "hurry")])
    assert (state.models.active, state.dropped) == (OLD, {"ModelSwapped": 1})


def test_a_bad_answer_goes_to_the_last_good_model_and_then_to_the_analytic_hedge() -> None:
    state, asked = swapped()
    state, outputs = fold(answer(asked, None), state)
    assert [each.model for each in outputs if isinstance(each, Infer)] == [OLD]
    assert sources(outputs) == []
    _, good = fold(answer(outputs), state)
    assert sources(good) == [("last_good", OLD)]


def test_a_breaker_that_loses_trust_in_the_policy_leaves_the_last_good_one_deciding() -> None:
    state, asked = swapped()
    state, outputs = fold(answer(asked, None), state)
    state, outputs = fold(answer(outputs, None), state)
    assert [(each.before, each.after) for each in outputs if isinstance(each, ModelChanged)] == [(NEW, OLD)]
    assert (state.risk, state.models.last_good) == (RiskState.ACTIVE, "")
    assert sources(outputs)[-1][0] == "fallback", "this decision, after two bad answers"


def test_a_person_rolls_back() -> None:
    state, _ = swapped()
    state, _ = fold([Operator(START + 4, "rollback", "ann", "worse", "")], state)
    assert (state.models.active, state.models.last_good) == (OLD, "")
    again, _ = fold([Operator(START + 5, "rollback", "ann", "once more", "")], state)
    assert again.dropped == {"Operator": 1}


def test_a_challenger_that_fails_is_counted_and_ours_goes_on() -> None:
    *before, last = opening()
    state, asked = fold([*before, offered("challenger"), last])
    ours, theirs = answer(asked)
    assert isinstance(theirs, Inference)
    state, outputs = fold([ours, Inference(START + 3, theirs.request, NEW, None, "boom")], state)
    assert sources(outputs) == [("policy", OLD)]
    assert state.shadow is not None
    assert (state.shadow.faults, state.shadow.ledger.position(PERP)) == (1, 0)
    assert state.monitors["policy_invalid"].breaches == 0


def test_a_restart_drops_the_questions_and_keeps_the_shadows_ledger() -> None:
    *before, last = opening()
    state, asked = fold([*before, offered("challenger"), last])
    state, _ = fold([*answer(asked), started(START + 9), Heartbeat(START + 10)], state)
    assert state.shadow is not None
    assert state.shadow.question is None
    assert state.shadow.ledger.position(PERP) > 0


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State, list[object]]:
    """Two days in which the challenger is a model of other weights."""
    folder = tmp_path_factory.mktemp("shadow")
    save_model(folder / "ours", seed=7)
    save_model(folder / "theirs", seed=8)
    raw = raw_config(model=str(folder / "ours"), challenger=str(folder / "theirs"), book__roll=False)
    bars = str(write_bars(folder / "bars.csv"))
    journal = Journal(str(folder / "j.db"))
    core = run(ServeConfig.model_validate(raw), journal, Source((bars,), START, 2))
    items: list[object] = [decode(entry.body) for entry in journal.read()]
    replayed(journal)
    journal.close()
    assert core.state is not None
    return folder, core.state, items


def test_the_challenger_earns_what_it_earns_when_it_serves(session: tuple[Path, State, list[object]]) -> None:
    """The shadow's ledger against a session in which its model decides: the same trades, fees and funding."""
    folder, state, items = session
    raw = raw_config(model=str(folder / "theirs"), book__roll=False)
    journal = Journal(str(folder / "theirs.db"))
    core = run(ServeConfig.model_validate(raw), journal, Source((str(folder / "bars.csv"),), START, 2))
    real = [decode(entry.body) for entry in journal.read()]
    journal.close()
    assert core.state is not None
    assert state.shadow is not None
    wanted = [made.legs[0].wanted for made in real if isinstance(made, Decision) and made.source == "policy"]
    shadow = [made.legs[0].wanted for made in items if isinstance(made, ShadowDecision)]
    assert shadow == wanted
    ours, theirs = state.shadow.ledger.account(PERP), core.state.ledger.account(PERP)
    assert (ours.position, ours.fees) == (theirs.position, theirs.fees)
    assert float(ours.cash) == pytest.approx(float(theirs.cash), abs=0.05), "but for a second's funding"


def test_the_paired_statistics_are_those_of_the_gains(session: tuple[Path, State, list[object]]) -> None:
    """Welford's sums against the gaps that the shadow decisions record."""
    _, state, items = session
    shadow = state.shadow
    assert shadow is not None
    made = [each for each in items if isinstance(each, ShadowDecision)]
    assert shadow.pairs >= len(made) > 8
    assert shadow.mean * shadow.pairs == pytest.approx(shadow.ahead, abs=1e-6)
    assert statistics.fmean([each.ahead for each in made]) != 0


@torch.no_grad()
def test_what_leaves_is_ours_alone(session: tuple[Path, State, list[object]]) -> None:
    """Orders are our model's, answered from the features that the journal holds."""
    folder, _, items = session
    network = card.load(folder / "ours", DTYPE).network
    questions = {each.request: each for each in items if isinstance(each, Infer)}
    decided = [each for each in items if isinstance(each, Decision) and each.source == "policy"]
    assert len(decided) > 8
    for made in decided:
        action = network(torch.tensor(questions[made.request].features, dtype=DTYPE))
        assert made.action == pytest.approx(tuple(action.tolist()), rel=1e-12, abs=1e-15)

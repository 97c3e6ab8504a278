"""Persons and a running hedger: each instruction is journalled once, and a halt holds orders that are on their way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from envs.task import Task
from serve.clock import HOUR, VirtualClock
from serve.codec import decode
from serve.commands import CancelOrder, Dropped, Infer, ModelChanged, Output, SubmitOrder
from serve.config import ServeConfig
from serve.errors import InboxError
from serve.events import Cancelled, Event, Inference, Malformed, ModelSwapped, Operator, OutcomeUnknown
from serve.inbox import Inbox
from serve.journal import Journal
from serve.latched import Latched
from serve.people import People, command
from serve.policy import NetworkPolicies
from serve.promoting import Loader
from serve.runner import Core, Runner, replayed
from serve.session import Source, run
from serve.states import RiskState
from tests.serve.busy import Exchange, Killed, Mortal
from tests.serve.support import START, opening, raw_config, save_model, task, write_bars

ANN = "ann"


def told(action: str, subject: str = "", why: str = "drill") -> Operator:
    return Operator(START, action, ANN, why, subject)  # type: ignore[arg-type]


class Asked:
    """A policy that wants to trade."""

    def answer(self, question: Infer) -> Inference:
        return Inference(question.time, question.request, question.model, (0.0, -1.0), "")


def hedger(journal: Journal, venue: Exchange, of: Task | None = None) -> tuple[Runner, People]:
    """Taken up from the journal, with the inbox beside it."""
    core, past = replayed(journal) if journal.head[0] > 0 else (Core(), list[Event]())
    clock = VirtualClock(START if core.state is None else max(START, core.state.time))
    loader = Loader(task() if of is None else of, NetworkPolicies(clock, 2.0))
    people = People(journal.inbox(), loader, clock, past)
    return Runner(journal, Latched(venue, people), Asked(), core, people.told, clock), people


def items(journal: Journal) -> list[Event | Output]:
    return [decode(entry.body) for entry in journal.read()]


def test_a_halt_that_nobody_has_read_holds_the_order_that_is_on_its_way(tmp_path: Path) -> None:
    """The loop does not look between question and order; the sending adapter does."""
    journal, venue = Journal(str(tmp_path / "j.db")), Exchange()
    runner, people = hedger(journal, venue)
    *before, sale = opening()
    for event in before:
        runner.handle(event)
    inbox = journal.inbox()
    name = inbox.tell(told("halt"))
    runner.handle(sale)
    order = next(each for each in items(journal) if isinstance(each, SubmitOrder))
    assert venue.received == {}, "nothing was sent"
    assert runner.state.risk is RiskState.HALTED
    kinds = [type(each) for each in items(journal) if isinstance(each, SubmitOrder | Cancelled | Operator)]
    assert kinds == [SubmitOrder, Cancelled, Operator]
    assert not runner.state.orders[order.order].reserved
    assert (inbox.answered(name), people.held()) == ("taken", False)
    replayed(journal)
    journal.close()


def test_an_inbox_that_is_silent_holds_orders_and_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, venue = Journal(str(tmp_path / "j.db")), Exchange()
    runner, people = hedger(journal, venue)

    def silent(self: Inbox) -> None:
        raise InboxError("does not answer")

    with monkeypatch.context() as gone:
        gone.setattr(Inbox, "halts", silent)
        gone.setattr(Inbox, "waiting", silent)
        for event in opening():
            runner.handle(event)
        assert people.look() == ()
    runner.flush()
    assert venue.received == {}
    assert [each.reason for each in items(journal) if isinstance(each, Malformed)] == ["does not answer"]
    assert not people.held()
    journal.close()


def test_what_a_venue_raises_is_an_unknown_outcome(tmp_path: Path) -> None:
    class Raising(Exchange):
        def submit(self, order: SubmitOrder) -> tuple[Event, ...]:
            raise TypeError("no JSON")

    journal = Journal(str(tmp_path / "j.db"))
    runner, _ = hedger(journal, Raising())
    for event in opening():
        runner.handle(event)
    runner.flush()
    unknown = [each for each in items(journal) if isinstance(each, OutcomeUnknown)]
    assert {each.reason for each in unknown} == {"TypeError: no JSON"}
    assert runner.state.orders[unknown[0].order].reserved, "it may have arrived all the same"
    journal.close()


SCRIPT = (
    told("halt"),
    told("resume"),
    told("acknowledge", "no_such_breaker"),
    told("resume"),
    told("override", "delta:BTC"),
    told("flatten"),
)


def lived(journal: Journal, venue: Exchange) -> bool:
    """A life of the hedger: its opening, where it has none yet, and what persons told; whether it came to its end."""
    try:
        runner, people = hedger(journal, venue)
        begun = any(isinstance(each, Event) for each in items(journal))
        for event in opening()[:5] if begun else opening():
            runner.handle(replace(event, time=max(event.time, 0 if not begun else runner.core.state.time)))  # type: ignore[union-attr]
        for event in people.look():
            runner.handle(event)
        runner.flush()
    except Killed:
        return False
    return True


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("death", [4, 6, 9, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2, 5, 7, 99))])
def test_each_instruction_is_journalled_once_wherever_the_process_dies(
    death: int, before: bool, tmp_path: Path
) -> None:
    url, venue = str(tmp_path / "j.db"), Exchange()
    mortal = Mortal(url)
    mortal.death, mortal.before = death, before
    inbox = mortal.inbox()
    names = [inbox.tell(each) for each in SCRIPT]
    ended = lived(mortal, venue)
    mortal.close()
    journal = Journal(url)
    if not ended:
        assert lived(journal, venue)
    taken = [command(each) for each in items(journal) if isinstance(each, Event) and command(each)]
    assert taken == names
    answers = [inbox.answered(name) for name in names]
    assert [each == "taken" for each in answers if each is not None].count(True) >= 5
    assert inbox.waiting() == ()
    replayed(journal)
    journal.close()
    inbox.close()


def test_a_promotion_is_loaded_beside_the_loop_and_swapped_in_whole(tmp_path: Path) -> None:
    loader = Loader(task(), NetworkPolicies(VirtualClock(START), 2.0))
    folder = save_model(tmp_path / "new", seed=8)
    loader.begin(replace(told("promote", str(folder)), command="1"))
    loader._loading[0][1].result()
    offer, swap = loader.done(START + 5)
    assert isinstance(swap, ModelSwapped)
    assert (swap.who, swap.why, swap.command, swap.time) == (ANN, "drill", "1", START + 5)
    assert vars(offer)["model"] == swap.model
    assert loader.done(START + 6) == ()


@pytest.mark.parametrize("harm", ["cut", "gone", "other task"])
def test_a_folder_that_is_no_whole_model_of_this_task_is_refused(harm: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "new", seed=8, of=task(decision_bars=2) if harm == "other task" else None)
    weights = folder / "weights.safetensors"
    if harm == "cut":
        weights.write_bytes(weights.read_bytes()[:-64])
    elif harm == "gone":
        weights.unlink()
    loader = Loader(task(), NetworkPolicies(VirtualClock(START), 2.0))
    loader.begin(told("promote", str(folder)))
    loader._loading[0][1].exception()
    (event,) = loader.done(START + 5)
    assert isinstance(event, Operator)
    assert str(folder) in event.fault


@pytest.mark.slow
def test_a_promoted_model_decides_after_a_restart_too_and_can_be_rolled_back(tmp_path: Path) -> None:
    """The restart comes with the same settings, which name the old model."""
    old, new = save_model(tmp_path / "old", seed=7), save_model(tmp_path / "new", seed=8)
    config = ServeConfig.model_validate(raw_config(model=str(old)))
    bars, url = str(write_bars(tmp_path / "bars.csv")), str(tmp_path / "j.db")
    journal = Journal(url)
    run(config, journal, Source((bars,), START, 1))
    core, past = replayed(journal)
    loader = Loader(task(), NetworkPolicies(VirtualClock(START), 2.0))
    loader.begin(told("promote", str(new)))
    loader._loading[0][1].result()
    assert core.state is not None
    runner = Runner(journal, Exchange(), None, core)
    for event in loader.done(core.state.time):
        runner.handle(event)
    runner.flush()
    count = len(items(journal))
    run(config, journal, Source((bars,), START, 2))
    after = items(journal)[count:]
    asked = {each.model for each in after if isinstance(each, Infer)}
    assert asked == {runner.state.models.active} != {past[0].model}  # type: ignore[attr-defined]
    inbox = journal.inbox()
    inbox.tell(told("rollback"))
    run(config, journal, Source((bars,), START, 3))
    changes = [each.after for each in items(journal) if isinstance(each, ModelChanged)]
    assert changes[-1] == past[0].model  # type: ignore[attr-defined]
    assert not [each for each in items(journal) if isinstance(each, Dropped) and each.what == "Operator"]
    journal.close()
    inbox.close()


def test_a_session_hears_while_it_runs(tmp_path: Path, settings: ServeConfig) -> None:
    """A halt that comes in the middle of a day stops it there."""
    journal = Journal(str(tmp_path / "j.db"))
    inbox, bars = journal.inbox(), str(write_bars(tmp_path / "bars.csv"))
    names = list[str]()

    def watched(event: Event, outputs: tuple[Output, ...]) -> None:
        if event.time >= START + 12 * HOUR and not names:
            names.append(inbox.tell(told("halt")))

    core = run(settings, journal, Source((bars,), START, 1), watched)
    assert core.state is not None
    assert core.state.risk is RiskState.HALTED
    every = items(journal)
    place = next(k for k, each in enumerate(every) if isinstance(each, Operator))
    assert every[place].time - START - 12 * HOUR <= HOUR
    assert not any(isinstance(each, SubmitOrder) for each in every[place:])
    assert [each for each in every[:place] if isinstance(each, SubmitOrder)]
    assert all(not isinstance(each, CancelOrder) for each in every[:place])
    assert inbox.answered(names[0]) == "taken"
    journal.close()
    inbox.close()

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serve import runner as runner_module
from serve.clock import HOUR, SECOND, VirtualClock, show
from serve.codec import decode, encode
from serve.commands import Alert, Output, SubmitOrder, Transition
from serve.config import ServeConfig
from serve.errors import JournalError, ReplayMismatch, StartRefused
from serve.events import Event, Filled, Heartbeat, Malformed, Operator, QuoteEvent
from serve.journal import Journal
from serve.market import Market
from serve.orders import Status
from serve.runner import Core, Runner, replayed
from serve.session import Source, run
from serve.states import RiskState
from serve.tally import Tally
from serve.venues.paper import Paper
from tests.serve.support import ASSETS, LEGS, PERP, START, VENUE, opening, task, write_bars


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bars(tmp_path_factory.mktemp("bars") / "bars.csv", jump_at=75))


@pytest.fixture(scope="session")
def day(settings: ServeConfig, bars: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Journal, Core, Tally]:
    journal, tally = Journal(str(tmp_path_factory.mktemp("day") / "j.db")), Tally()
    core = run(settings, journal, Source((bars,), START, 2), tally.told)
    journal.close()
    return journal, core, tally


def items(journal: Journal) -> list[Event | Output]:
    return [decode(entry.body) for entry in journal.read()]


def copied(journal: Journal, path: Path, count: int) -> Journal:
    """A journal of the first `count` entries."""
    cut = Journal(str(path))
    cut.append([entry.body for entry in journal.read()][:count])
    return cut


def test_two_days_with_a_crash(day: tuple[Journal, Core, Tally]) -> None:
    _, core, tally = day
    assert core.state is not None
    assert core.state.ledger.position(PERP) == 0, "the call settled with the last bar, and its hedge was closed"
    assert core.state.ledger.account(PERP).traded > 0
    assert tally.counts["decisions by policy"] > 5
    assert tally.counts["fills"] == tally.counts["orders"] > 0
    text = "\n".join(tally.words(core.state))
    assert "price_jump took REDUCING: price went from" in text
    assert "ACTIVE again at" in text
    assert "1-1-1 settled at" in text


def test_a_replay_makes_the_same_outputs(day: tuple[Journal, Core, Tally]) -> None:
    journal, core, _ = day
    again, _ = replayed(journal)
    assert again.state is not None
    assert core.state is not None
    assert again.state.ledger == core.state.ledger
    assert again.state.monitors == core.state.monitors
    assert again.state.orders == core.state.orders
    journal.close()


def test_the_same_day_served_twice_is_the_same_journal(
    day: tuple[Journal, Core, Tally], settings: ServeConfig, bars: str, tmp_path: Path
) -> None:
    other = Journal(str(tmp_path / "again.db"))
    run(settings, other, Source((bars,), START, 2))
    assert other.head == day[0].head
    other.close()


def test_a_replay_finds_an_order_that_the_core_would_not_send(day: tuple[Journal, Core, Tally], tmp_path: Path) -> None:
    forged = Journal(str(tmp_path / "forged.db"))
    bodies = [entry.body for entry in day[0].read()]
    place = next(k for k, body in enumerate(bodies) if isinstance(decode(body), SubmitOrder))
    order = decode(bodies[place])
    assert isinstance(order, SubmitOrder)
    forged.append([*bodies[:place], encode(replace(order, units=2 * order.units))])
    with pytest.raises(ReplayMismatch, match=f"entry {place + 1} is not what the core makes"):
        replayed(forged)
    forged.close()
    day[0].close()


@pytest.mark.parametrize("share", [0.02, 0.21, 0.5, 0.77, 0.99])
def test_a_restart_ends_where_the_whole_day_ends(
    day: tuple[Journal, Core, Tally], settings: ServeConfig, bars: str, tmp_path: Path, share: float
) -> None:
    """Cut where no order or question was open, latches and all."""
    journal, whole, _ = day
    everything = items(journal)
    place = next(
        k
        for k in range(int(share * len(everything)), len(everything))
        if isinstance(everything[k], Heartbeat) and isinstance(everything[k - 1], Event)
    )
    cut = copied(journal, tmp_path / "cut.db", place)
    core = run(settings, cut, Source((bars,), START, 2))
    assert core.state is not None
    assert whole.state is not None
    assert core.state.ledger == whole.state.ledger
    assert core.state.monitors == whole.state.monitors
    assert [fill for fill in items(cut) if isinstance(fill, Filled)] == [
        fill for fill in everything if isinstance(fill, Filled)
    ]
    assert int(core.state.pasts["BTC"].memory.bars) == int(whole.state.pasts["BTC"].memory.bars)
    replayed(cut)
    cut.close()
    journal.close()


def test_a_restart_with_an_order_in_flight_finds_it_again(
    day: tuple[Journal, Core, Tally], settings: ServeConfig, bars: str, tmp_path: Path
) -> None:
    everything = items(day[0])
    place = next(k for k, item in enumerate(everything) if isinstance(item, SubmitOrder))
    cut = copied(day[0], tmp_path / "cut.db", place + 1)
    core = run(settings, cut, Source((bars,), START, 2))
    assert core.state is not None
    ids = [item.order for item in items(cut) if isinstance(item, SubmitOrder)]
    assert len(ids) == len(set(ids))
    assert core.state.orders[ids[0]].status is Status.FILLED
    assert core.state.orders[ids[0]].asked_at is not None, "looked up, not sent again"
    assert day[1].state is not None
    assert core.state.ledger.cash == day[1].state.ledger.cash
    cut.close()
    day[0].close()


class Full(Journal):
    """A journal whose disk fills up."""

    full = False

    def append(self, bodies: object) -> None:
        if self.full:
            raise JournalError("database or disk is full")
        super().append(bodies)  # type: ignore[arg-type]


def test_what_cannot_be_journalled_does_not_leave(tmp_path: Path) -> None:
    journal, venue, core = Full(str(tmp_path / "full.db")), Paper(Market(task(), ASSETS, LEGS), VENUE), Core()
    runner = Runner(journal, venue, None, core)
    *before, seen, sold = opening()
    assert isinstance(seen, QuoteEvent)
    for event in (*before, seen):
        runner.handle(event)
    venue.show(seen, runner.state.pasts["BTC"].memory)
    runner.flush()
    journal.full = True
    with pytest.raises(JournalError, match="full"):
        runner.handle(sold)
    assert venue._records.made == 0
    with pytest.raises(JournalError):
        runner.handle(Heartbeat(START + 90 * SECOND))
    journal.close()


@pytest.mark.parametrize("parts", [1, 2])
def test_what_no_utf8_can_say_is_journalled_and_replayed_all_the_same(parts: int, tmp_path: Path) -> None:
    """Half of a surrogate pair in an exchange's words; two halves are no character either."""
    journal, core, heard = Journal(str(tmp_path / "j.db")), Core(), list[Event]()
    runner = Runner(
        journal, Paper(Market(task(), ASSETS, LEGS), VENUE), None, core, lambda event, _: heard.append(event)
    )
    for event in (*opening()[:-1], Malformed(START + 1, "deribit", "\ude00", "10009 " + "\ud83d\ude00"[:parts])):
        runner.handle(event)
    runner.flush()
    assert heard[-1] == Malformed(START + 1, "deribit", "?", "10009 " + "?" * parts)
    assert replayed(journal)[1] == heard
    journal.close()


def test_one_that_stops_leaves_no_order_behind(
    settings: ServeConfig, bars: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled, left = list[str](), list[str]()

    def interrupted(event: Event, outputs: tuple[Output, ...]) -> None:
        left.extend(each.order for each in outputs if isinstance(each, SubmitOrder))
        if left:
            raise KeyboardInterrupt

    monkeypatch.setattr(Paper, "cancel", lambda self, order: cancelled.append(order.order) or ())
    journal = Journal(str(tmp_path / "j.db"))
    core = run(settings, journal, Source((bars,), START, 1), interrupted)
    assert core.state is not None
    assert cancelled == left == [order.id for order in core.state.reserved]
    assert len(left) == 1
    journal.close()


def test_a_clock_behind_the_journal_is_refused_before_anything_is_written(
    day: tuple[Journal, Core, Tally], settings: ServeConfig, bars: str, tmp_path: Path
) -> None:
    cut, ticks = copied(day[0], tmp_path / "cut.db", 40), tmp_path / "ticks.csv"
    ticks.write_text("time,spot\n")
    latest, head = items(cut)[-1].time, cut.head
    for behind, refused in ((5 * SECOND + 1, True), (5 * SECOND, False)):
        clock = VirtualClock(latest - behind)
        source = Source((bars,), START, 0, follow=ticks, clock=clock, stop_at=clock.now() + SECOND)
        if refused:
            with pytest.raises(StartRefused, match="is 5 s ahead of this clock; set the clock right"):
                run(settings, cut, source)
            assert cut.head == head
        else:
            run(settings, cut, source)
    cut.close()
    day[0].close()


def test_a_replay_that_differs_says_by_what_the_journal_was_computed(
    day: tuple[Journal, Core, Tally], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = Journal(str(tmp_path / "forged.db"))
    forged.append([*[entry.body for entry in day[0].read()][:40], encode(Alert(START, "never said"))])
    with pytest.raises(ReplayMismatch) as here:
        replayed(forged)
    assert "computed" not in str(here.value)
    monkeypatch.setattr(runner_module, "computed", lambda: "torch 9 with NEON")
    with pytest.raises(ReplayMismatch, match=r"computed by torch \S+ with \w+, and here by torch 9 with NEON"):
        replayed(forged)
    forged.close()
    day[0].close()


def test_a_halt_survives_a_restart(
    day: tuple[Journal, Core, Tally], settings: ServeConfig, bars: str, tmp_path: Path
) -> None:
    cut = copied(day[0], tmp_path / "cut.db", 40)
    core, _ = replayed(cut)
    assert core.state is not None
    runner = Runner(cut, Paper(Market(task(), ASSETS, LEGS), VENUE), None, core)
    runner.handle(Operator(core.state.time, "halt", "ann", "exercise", ""))
    orders = core.state.orders_made
    again = run(settings, cut, Source((bars,), START, 2))
    assert again.state is not None
    assert (again.state.risk, again.state.orders_made) == (RiskState.HALTED, orders)
    assert again.state.strictest() == "operator: ann: exercise"
    cut.close()
    day[0].close()


class Ticking(VirtualClock):
    """A clock that moves whenever it is read, as a real one does."""

    def now(self) -> int:
        self.wait_until(super().now() + 1)
        return super().now()


def test_following_a_file_by_the_clock(settings: ServeConfig, bars: str, tmp_path: Path) -> None:
    ticks, clock = tmp_path / "ticks.csv", Ticking(START + 1)
    rows = [f"{show(START)},20000.0", f"{show(START)},20010.0"]
    ticks.write_text("\n".join(["time,spot", *rows]) + "\n")
    journal = Journal(str(tmp_path / "live.db"))
    source = Source((bars,), START, 0, follow=ticks, clock=clock, stop_at=START + 2 * HOUR)
    core = run(settings, journal, source)
    assert core.state is not None
    assert core.state.risk is RiskState.REDUCING
    assert "stale_input: " in core.state.strictest()
    assert core.state.ledger.position(PERP) > 0
    assert [type(item) for item in items(journal)].count(QuoteEvent) == 2
    assert "integrity" not in core.state.monitors, "no event was dated before another"
    moved = [item for item in items(journal) if isinstance(item, Transition) and item.breaker == "stale_input"]
    assert [(item.before, item.after) for item in moved] == [("ACTIVE", "REDUCING")]
    replayed(journal)
    journal.close()

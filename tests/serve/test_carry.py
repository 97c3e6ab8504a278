"""The desk that holds a carry trade while it pays, and perpetuals elsewhere in the book."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
import tomli_w

from agents.carry import Threshold
from envs.instruments.perpetual import Perpetual
from envs.instruments.spot import Spot
from envs.types import BadInput
from serve.bookfile import BookFile
from serve.carrying import Funding, Signal
from serve.clock import DAY, HOUR, parse
from serve.commands import Decision, Dropped, Output, SubmitOrder
from serve.config import Book, ServeConfig, load
from serve.desk import Desk
from serve.events import BookFunded, BookSettled, BookTraded, Event
from serve.holding import Holding
from serve.journal import Journal
from serve.market import Market
from serve.runner import Core, replayed
from serve.session import Source, run
from tests.serve.papers import standing
from tests.serve.support import ASSETS, LEGS, PERP, START, opening, quote, raw_config, save_model, task, write_bars
from tests.serve.test_engine import fold, of
from tests.serve.test_parity_basis import carry_task, funding_file

CONFIGS = Path(__file__).parents[2] / "configs"
RULE = Threshold(enter=0.3, leave=-0.01, days=1)
MEANS = (5e-4, 5e-4, -3e-3)  # of the days' rates of eight hours: 55 % and -329 % a year


def test_the_signal_waits_for_its_days_and_keeps_what_it_has() -> None:
    signal, said = Signal(RULE, HOUR), list[bool]()
    for hour, rate in enumerate([0.9] * 23 + [0.31] + [0.0] * 40 + [-0.1] * 20):
        signal.saw(START + hour * HOUR, rate)
        signal.saw(START + hour * HOUR + 1, -9.0)
        said.append(signal.on)
    below = 23 + 1 + 40 + 3  # hours until the mean of 24 is under -1 %
    assert said == [False] * 23 + [True] * (below - 24) + [False] * (len(said) - below + 1)


def test_a_perpetual_elsewhere_pays_each_bar_at_what_it_began_with() -> None:
    funding = Funding(HOUR, {})
    held = [Holding("p", "BTC", "perpetual", Decimal(-2)), Holding("s", "BTC", "spot", Decimal(5))]
    assert not funding.saw(quote(START + 1000, mark=100.0, funding_rate=0.876), held)
    assert not funding.saw(quote(START + 5000, mark=900.0, funding_rate=0.1), held)
    (paid,) = funding.saw(quote(START + HOUR, mark=200.0, funding_rate=-0.876), held)
    whole = Decimal("0.02") * (HOUR - 1000) / HOUR
    assert (paid.holding, paid.cash) == ("p", whole.quantize(Decimal("1e-8")))
    (then,) = funding.saw(quote(START + 2 * HOUR, mark=1.0), held)
    assert then.cash == Decimal("-0.04")
    recorded = Funding(HOUR, {START // DAY: 0.438})
    recorded.saw(quote(START + HOUR, mark=100.0), held)
    (own,) = recorded.saw(quote(START + 2 * HOUR, mark=100.0), held)
    assert own.cash == Decimal("0.01")


def test_funding_in_the_book_is_cash_and_of_what_is_not_there_it_is_dropped() -> None:
    elsewhere = BookTraded(START + 3, Holding("p", "BTC", "perpetual", Decimal("-4")), Decimal(0))
    before, _ = fold([*opening()[:-1], elsewhere])
    state, outputs = fold(
        [
            *opening()[:-1],
            elsewhere,
            BookFunded(START + 4, "p", Decimal("12.5")),
            BookFunded(START + 5, "q", Decimal(1)),
        ]
    )
    assert state.ledger.book - before.ledger.book == Decimal("12.5")
    (dropped,) = of(Dropped, outputs)
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "q is not in the book"
    assert state.valuations["BTC"].book.delta == -4.0


def test_what_a_perpetual_elsewhere_paid_is_read_from_the_book_file(tmp_path: Path) -> None:
    path, now = tmp_path / "book.jsonl", quote(START)
    path.write_text('{"type": "BookFunded", "holding": "okx-1", "cash": "-3.25"}\n')
    assert BookFile(path, ()).saw(now, standing({})) == (BookFunded(START, "okx-1", Decimal("-3.25")),)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("carry")
    return str(write_bars(folder / "bars.csv")), funding_file(folder, MEANS)


def session(journal: Path, model: Path, files: tuple[str, str], days: int) -> tuple[Core, list[Event], list[Output]]:
    events, outputs = list[Event](), list[Output]()

    def told(event: Event, more: tuple[Output, ...]) -> None:
        events.append(event)
        outputs.extend(more)

    raw = raw_config(model=str(model), book__carry=RULE.model_dump())
    with closing(Journal(str(journal))) as kept:
        core = run(ServeConfig.model_validate(raw), kept, Source(files[:1], START, days, funding=files[1:]), told)
        replayed(kept)
    return core, events, outputs


def test_the_trade_is_held_while_it_pays_and_a_restart_changes_nothing(files: tuple[str, str], tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", of=carry_task(Spot()))
    core, events, outputs = session(tmp_path / "whole.db", model, files, 2)
    trades = [(type(each), each.time - START) for each in events if isinstance(each, BookTraded | BookSettled)]
    assert trades == [(BookTraded, 24 * HOUR), (BookSettled, 43 * HOUR)]
    assert core.state is not None
    assert not core.state.book.holdings
    assert core.state.ledger.position(PERP) == 0
    sent = [each.time for each in of(SubmitOrder, outputs)]
    assert min(sent) >= START + 24 * HOUR

    _, first, _ = session(tmp_path / "cut.db", model, files, 1)
    again, then, _ = session(tmp_path / "cut.db", model, files, 2)
    assert again.state is not None
    assert [each for each in (*first, *then) if isinstance(each, BookTraded | BookSettled)] == [
        each for each in events if isinstance(each, BookTraded | BookSettled)
    ]
    assert again.state.ledger == core.state.ledger


def test_a_rule_that_the_desk_cannot_follow_is_refused() -> None:
    with pytest.raises(BadInput, match=r"book\.carry: only of one asset's spot or perpetual; drop it for this task"):
        Desk(Book(source="desk", carry=RULE), Market(task(), ASSETS, LEGS), 0)
    with pytest.raises(ValueError, match=r'book\.carry and book\.funding belong to source = "desk"'):
        Book(source="file", path="book.jsonl", carry=RULE)


def test_funding_is_recorded_for_every_asset_or_none(files: tuple[str, str], tmp_path: Path) -> None:
    of_spot = tmp_path / "task.toml"
    of_spot.write_text(tomli_w.dumps(carry_task(Spot()).model_dump(mode="json", exclude_none=True)))
    settings = ServeConfig.model_validate(raw_config(model=None, task=str(of_spot)))
    twice = Source(files[:1], START, 1, funding=(files[1], files[1]))
    with (
        closing(Journal(str(tmp_path / "j.db"))) as kept,
        pytest.raises(BadInput, match="--funding names 2 records for 1 assets"),
    ):
        run(settings, kept, twice)


@pytest.mark.slow
def test_a_perpetual_elsewhere_is_held_while_the_leg_pays_more(files: tuple[str, str], tmp_path: Path) -> None:
    """Elsewhere every day pays 11 %; the leg's 55 % of the second day is worth it, by 44 % and no more."""
    (tmp_path / "elsewhere").mkdir()
    elsewhere, leg = (
        funding_file(tmp_path / "elsewhere", [1e-4] * 4),
        funding_file(tmp_path, (1e-4, 5e-4, -3e-4, -3e-4)),
    )
    of_perpetuals = carry_task(Perpetual())
    raw = raw_config(
        model=None, task=str(tmp_path / "task.toml"), book__carry=RULE.model_dump(), book__funding=elsewhere
    )
    (tmp_path / "task.toml").write_text(tomli_w.dumps(of_perpetuals.model_dump(mode="json", exclude_none=True)))
    events = list[Event]()
    with closing(Journal(str(tmp_path / "j.db"))) as kept:
        source = Source(files[:1], START, 3, funding=(leg,))
        run(ServeConfig.model_validate(raw), kept, source, lambda event, outputs: events.append(event))
    trades = [(type(each), each.time - START) for each in events if isinstance(each, BookTraded | BookSettled)]
    assert trades == [(BookTraded, 32 * HOUR), (BookSettled, 52 * HOUR)]
    paid = [each.cash for each in events if isinstance(each, BookFunded)]
    assert len(paid) == 20
    assert [float(each) for each in paid] == pytest.approx([-200_000 * 1e-4 / 8] * 20, rel=0.05)


@pytest.mark.slow
def test_the_shipped_settings_hold_the_trade_when_funding_is_high(tmp_path: Path) -> None:
    settings, made = load(CONFIGS / "paper_basis.toml"), list[Output]()
    settings = settings.model_copy(update={"model": str(CONFIGS.parent / str(settings.model))})

    def told(event: Event, outputs: tuple[Output, ...]) -> None:
        made.extend(outputs)

    with closing(Journal(str(tmp_path / "j.db"))) as journal:
        core = run(settings, journal, Source(("btc",), parse("2024-02-20"), 9, funding=("btc",)), told)
    assert core.state is not None
    (held,) = core.state.book.holdings.values()
    assert held.kind == "spot"
    assert -held.units <= core.state.ledger.position(PERP) < 0
    assert any(isinstance(each, Decision) and each.source == "policy" for each in made)

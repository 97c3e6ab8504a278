"""Whole sessions whose book is a desk's account, at the exchange that they hedge on and on paper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tomli_w
from typer.testing import CliRunner

from envs.types import BadInput
from rehedge import app
from serve.clock import HOUR, SECOND, show
from serve.codec import decode
from serve.commands import Dropped
from serve.config import ServeConfig
from serve.engine import Engine
from serve.errors import StartRefused
from serve.events import BookSeen, BookSettled, BookTraded, Filled
from serve.journal import Journal
from serve.rehearsal.protocols import DESK
from serve.rehearsal.types import Move, Place, Settled, Transfer
from serve.runner import replayed
from serve.session import Source, _explained, run
from serve.state import State
from serve.venues.lanes import Lanes
from tests.serve.dialects.house import START, TRADED, House, house
from tests.serve.support import START as BARS
from tests.serve.support import call, raw_config, started, write_bars
from tests.serve.test_config import ACCOUNT
from tests.serve.test_session import Ticking
from tests.serve.venues.desk import LEG, settings
from tests.serve.venues.test_opening import Paced
from tests.serve.venues.test_subaccount import NEAR

MINUTE = 60_000
SETTLED = START + HOUR + 2 * MINUTE


@contextmanager
def apart(tmp_path: Path) -> Iterator[House]:
    """An exchange on a thread of its own; the market moves each minute, and is in the money when the option expires."""
    lanes, own = Lanes(), house("deribit", tmp_path, NEAR)
    with ExitStack() as ending:
        ending.callback(lanes.close)
        found = lanes.ask(own.__aenter__())
        ending.callback(lambda: lanes.ask(own.__aexit__(None, None, None)))
        moves = [Move(START + MINUTE * n, "BTC", Decimal(84_000 + 40 * min(n, 20))) for n in range(1, 120)]
        found.floor._market = Paced(moves)
        found.floor.apply(Transfer(START, DESK.account, "USDC", Decimal(200_000)))
        yield found


def account(own: House) -> dict[str, Any]:
    terms = {"name": "otc", "exchange": "deribit", "keys": {"file": "never-read.toml"}, "rehearsal": own.address}
    return {**terms, "timeout_seconds": 10, "poll_seconds": 60}


def wanted(own: House, model: Path) -> ServeConfig:
    venue = settings(own.address, surface_seconds=600).model_dump(mode="json", exclude={"sources"})
    changes: dict[str, Any] = {"book": {"source": "account", "account": account(own)}, "reconcile__cash_tolerance": "1"}
    return ServeConfig.model_validate(raw_config(model=str(model), venue=venue, name="desk", **changes))


def served(own: House, model: Path, journal: Path, until: int) -> list[Any]:
    """What the journal holds once the exchange has ended."""
    own.server._span = (START, until)
    kept = Journal(str(journal))
    try:
        run(wanted(own, model), kept, Source((), 0, 0))
        replayed(kept)
        return [decode(entry.body) for entry in kept.read()]
    finally:
        kept.close()


@pytest.mark.slow
def test_an_account_s_option_is_hedged_through_a_restart_until_it_expires(tmp_path: Path, model: Path) -> None:
    """The desk is long a perpetual too, whose delta is most of what is hedged."""
    with apart(tmp_path) as own:
        for name, units in ((NEAR.name, "-0.2"), (LEG, "0.5")):
            own.floor.apply(Place(START, DESK.account, "", name, Decimal(units), None, "ioc"))
        first = served(own, model, tmp_path / "j.db", START + 30 * MINUTE)
        traded = [each for each in first if isinstance(each, BookTraded)]
        assert {each.holding.kind: each.holding.units for each in traded} == {
            "option": Decimal("-0.2"),
            "perpetual": Decimal("0.5"),
        }
        hedge = sum(each.units for each in first if isinstance(each, Filled))
        assert Decimal("-0.5") < hedge < Decimal("-0.2")
        whole = served(own, model, tmp_path / "j.db", SETTLED + 30 * MINUTE)
        assert [each for each in whole if isinstance(each, BookTraded)] == traded
        (settled,) = [each for each in whole if isinstance(each, BookSettled)]
        (paid,) = [each for each in own.floor.exchange.payments(DESK.account) if isinstance(each, Settled)]
        (option,) = [each.holding.id for each in traded if each.holding.kind == "option"]
        assert (settled.holding, settled.cash) == (option, paid.paid)
        hedge = sum(each.units for each in whole if isinstance(each, Filled))
        assert hedge == own.floor.exchange.account(TRADED).positions[0].units < Decimal("-0.4")
        again = served(own, model, tmp_path / "j.db", SETTLED + 40 * MINUTE)
        assert [each for each in again if isinstance(each, BookTraded | BookSettled)] == [*traded, settled]


def on_paper(own: House, model: Path) -> dict[str, Any]:
    return raw_config(model=str(model), book={"source": "account", "account": account(own)})


def test_an_account_is_hedged_on_paper_by_ticks_that_come(tmp_path: Path, model: Path) -> None:
    bars, ticks = write_bars(tmp_path / "bars.csv", first=START - 60 * HOUR), tmp_path / "ticks.csv"
    ticks.write_text("".join(f"{row}\n" for row in ("time,spot", *[f"{show(START)},84000.0"] * 3)))
    source = Source((str(bars),), START, 0, follow=ticks, clock=Ticking(START + 1), stop_at=START + SECOND)
    with apart(tmp_path) as own, closing(Journal(str(tmp_path / "j.db"))) as kept:
        own.floor.apply(Place(START, DESK.account, "", LEG, Decimal("0.5"), None, "ioc"))
        run(ServeConfig.model_validate(on_paper(own, model)), kept, source)
        found = [decode(entry.body) for entry in kept.read()]
    (traded,) = [each for each in found if isinstance(each, BookTraded)]
    assert (traded.holding.id, traded.holding.units) == ("otc:BTC/USDC:USDC", Decimal("0.5"))
    assert any(isinstance(each, BookSeen) for each in found)
    assert sum(each.units for each in found if isinstance(each, Filled)) < Decimal("-0.4")


def test_what_a_person_tells_is_no_change_of_an_account(tmp_path: Path) -> None:
    engine = Engine.opened(started(with_model=False, book={"source": "account", "account": ACCOUNT}))
    state = engine.initial()
    told = replace(call(BARS), who="ann", why="block", command="c-1")
    after, outputs = engine.step(state, told)
    (dropped,) = [each for each in outputs if isinstance(each, Dropped)]
    assert dropped.reason == "the book is what its account holds; trade there"
    assert not after.book.holdings
    after, _ = engine.step(state, replace(told, command=""))
    assert len(after.book.holdings) == 1


def test_a_position_of_ours_is_not_explained_by_what_another_account_holds() -> None:
    def unexplained(state: State, declared: object) -> str | None:
        return None if state.book.holdings else "0.2 of C is held here"

    floor: Any = SimpleNamespace(unexplained=unexplained)
    wide = ServeConfig.model_validate(raw_config(book={"source": "account", "account": ACCOUNT}))
    engine = Engine.opened(started(with_model=False))
    state, _ = engine.step(engine.initial(), call(BARS))
    _explained(state, floor, ServeConfig.model_validate(raw_config()), ())
    with pytest.raises(StartRefused, match="held here"):
        _explained(state, floor, wide, ())


def test_the_doctor_looks_at_the_account(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "hedger.toml"
    with apart(tmp_path) as own:
        path.write_text(tomli_w.dumps(on_paper(own, model)))
        arguments = ["doctor", str(path), "--journal", str(tmp_path / "j.db"), "--json"]
        said = {each["name"]: each for each in json.loads(CliRunner().invoke(app, arguments).stdout)}
    assert said["book of otc"]["fine"]
    assert said["book of otc"]["words"] == "0 positions to hedge, and 0 that cannot be"
    said = {each["name"]: each for each in json.loads(CliRunner().invoke(app, arguments).stdout)}
    assert not said["book of otc"]["fine"]
    assert "deribit cannot be reached" in said["book of otc"]["words"]


def test_quotes_of_the_past_are_no_market_for_an_account_of_now(model: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"book": {"source": "account", "account": ACCOUNT}}
    config = ServeConfig.model_validate(raw_config(model=str(model), **changes))
    bars = write_bars(tmp_path / "bars.csv")
    with (
        closing(Journal(str(tmp_path / "j.db"))) as kept,
        pytest.raises(BadInput, match=r"book\.account: .* follow live ticks with --follow"),
    ):
        run(config, kept, Source((str(bars),), BARS, 2))

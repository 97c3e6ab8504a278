"""Every kind of book for which settings are shipped is hedged from them as they are, on the bars that ship."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from serve import config
from serve.clock import parse
from serve.commands import Decision, Output, Transition
from serve.events import Event
from serve.journal import Journal
from serve.session import Source, run
from serve.states import RiskState

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bars"), [("paper_multi_asset", ("btc", "eth")), ("paper_option_book", ("btc",))])
def test_a_day_is_hedged_in_every_leg_by_the_policy(name: str, bars: tuple[str, ...], tmp_path: Path) -> None:
    settings, made = config.load(CONFIGS / f"{name}.toml"), list[Output]()
    settings = settings.model_copy(update={"model": str(CONFIGS.parent / str(settings.model))})

    def told(event: Event, outputs: tuple[Output, ...]) -> None:
        made.extend(each for each in outputs if isinstance(each, Decision | Transition))

    with closing(Journal(str(tmp_path / "j.db"))) as journal:
        state = run(settings, journal, Source(bars, parse("2023-03-01"), 1), told).state
    assert state is not None
    assert state.risk < RiskState.HALTED
    assert all(state.ledger.position(leg.symbol) != 0 for leg in settings.legs)
    assert any(isinstance(each, Decision) and each.source == "policy" for each in made)

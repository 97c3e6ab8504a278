"""A journal under other limits and under another model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w
from typer.testing import CliRunner

from agents import card
from serve.cli import app
from serve.clock import VirtualClock
from serve.codec import decode
from serve.commands import Decision
from serve.config import ServeConfig
from serve.holdings import DTYPE
from serve.journal import Journal
from serve.session import Source, run
from serve.whatif import Change, compared
from tests.serve.support import START, raw_config, save_model, write_bars


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days served by one model, journalled."""
    made = tmp_path_factory.mktemp("whatif")
    save_model(made / "model", seed=7)
    save_model(made / "other", seed=8)
    journal = Journal(str(made / "j.db"))
    config = ServeConfig.model_validate(raw_config(model=str(made / "model")))
    run(config, journal, Source((str(write_bars(made / "bars.csv")),), START, 2))
    journal.close()
    return made


def kept(folder: Path) -> Journal:
    return Journal(str(folder / "j.db"), readonly=True)


def decisions(folder: Path) -> list[Decision]:
    journal = kept(folder)
    items = [decode(entry.body) for entry in journal.read()]
    journal.close()
    return [each for each in items if isinstance(each, Decision)]


def test_the_same_settings_and_model_decide_the_same(folder: Path) -> None:
    config = ServeConfig.model_validate(raw_config(model=str(folder / "model")))
    change = Change(config, card.load(folder / "model", DTYPE).network)
    journal = kept(folder)
    assert compared(journal, change, VirtualClock()) == (len(decisions(folder)), [])
    journal.close()


def test_a_tighter_limit_would_have_cut_the_orders_that_were_larger(folder: Path) -> None:
    limit = {"order": {"soft": "1", "hard": "1"}, "position": {"soft": "20", "hard": "20"}}
    config = ServeConfig.model_validate(raw_config(model=str(folder / "model"), **{"limits__legs__BTC-PERP": limit}))
    journal = kept(folder)
    _, found = compared(journal, Change(config), VirtualClock())
    journal.close()
    larger = [k for k, made in enumerate(decisions(folder), 1) if abs(made.legs[0].sent) > 1]
    assert [each.decision for each in found] == larger
    assert all("order:BTC-PERP is 1" in each.other for each in found)


def test_another_model_would_have_decided_otherwise(folder: Path) -> None:
    journal = kept(folder)
    _, found = compared(journal, Change(model=card.load(folder / "other", DTYPE).network), VirtualClock())
    journal.close()
    by_policy = [k for k, made in enumerate(decisions(folder), 1) if made.source == "policy"]
    assert found
    assert {each.decision for each in found} <= set(by_policy)


def test_the_command_says_so(folder: Path) -> None:
    tight = raw_config(model=str(folder / "model"), limits__max_messages=1, limits__per_seconds=3600)
    (folder / "tight.toml").write_text(tomli_w.dumps(tight))
    runner, journal = CliRunner(), str(folder / "j.db")
    plain = runner.invoke(app, ["replay", journal, "--config", str(folder / "tight.toml")])
    assert plain.exit_code == 0, plain.output
    assert "decisions would have been others" in plain.output
    machine = runner.invoke(app, ["replay", journal, "--model", str(folder / "other"), "--json"])
    assert json.loads(machine.output)["decisions"] == len(decisions(folder))

"""A walk forward by the command, with real calibration and training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envs.history import load_bars
from tests.train.test_commands import TASK, command
from tests.train.test_walk import as_csv


@pytest.mark.slow
def test_a_whole_walk_by_the_command(tmp_path: Path) -> None:
    """Real calibration and training, small; the same command again does nothing but tell it."""
    task, recipe = tmp_path / "task.toml", tmp_path / "recipe.toml"
    task.write_text(TASK)
    recipe.write_text(
        f"tuning_paths = 2048\ntask = '{task}'\n[learning]\nsteps = 512\npaths = 16\nhedgers = 4\nrollout = 4\n"
        "minibatches = 2\nepochs = 1\nwarm_up = 2\nwarm_up_paths = 32\nvalidation_paths = 32\nvalidations = 1\n"
    )
    record = as_csv(load_bars("btc").window("2020-01-01", "2020-12-15"), tmp_path / "btc.csv")
    call = ("walk", str(tmp_path / "walk"), "--recipe", str(recipe), "--data", record, "--threads", "1", "--json")
    folds = ("--folds", "2", "--from", "2020-10-01", "--report", str(tmp_path / "walk.html"))
    done = command(*call, *folds)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [fold["until"][:10] for fold in told["folds"]] == ["2020-10-01", "2020-11-06"]
    assert told["notes"]
    assert told == json.loads((tmp_path / "walk" / "verdict.json").read_text())
    assert told == json.loads(command(*call, *folds).stdout)
    assert "<html" in (tmp_path / "walk.html").read_text()

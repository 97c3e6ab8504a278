"""A sweep tries every cell of its grid once, whatever dies on the way."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import tomli_w

import rehedge
from envs.types import BadInput
from tests.serve.databases import served
from train import frontier, sweep, workers
from train.sweep import Queue, Sweep

SWEEP = Sweep.model_validate(
    {
        "grid": {"task": ["short_call", "short_straddle"], "task.objective.weight": [0.2, 0.8], "seed": [1, 2]},
        "search": {"learning.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}},
    }
)
SETTINGS = """
recipe = { tuning_paths = 4096 }
grid = { seed = [1, 2, 3], "task.objective.weight" = [0.2, 0.8] }
"""
ROW = {"cost": 0.002, "cvar95": 0.03, "measure": 0.01}
STUB = f"""
import json, os, signal, sys
folder = sys.argv[1]
job = json.load(open(folder + "/job.json"))
life = len([name for name in os.listdir(folder) if name.startswith("life")])
open(f"{{folder}}/life_{{life}}", "w").close()
if job["number"] == 1 and life < 2 or job["number"] == 4 and HOPELESS:
    os.kill(os.getpid(), signal.SIGKILL)
row = {ROW!r}
found = {{"value": -1e-4 * job["seed"], "agents": {{"PPO": row, "delta": row, "band": row}}}}
json.dump({{"failed": "it diverged"}} if job["number"] == 2 and HOPELESS else found, open(folder + "/result.json", "w"))
"""


def stub(folder: Path, hopeless: bool = False) -> tuple[str, ...]:
    """A worker that dies twice in trial 1; where `hopeless`, trial 2 diverges and trial 4 always dies."""
    path = folder / "worker.py"
    path.write_text(STUB.replace("HOPELESS", str(hopeless)))
    return sys.executable, str(path)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'study.db'}"


def command(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        rehedge.main(["sweep", *arguments])
    return ended.value.code


def test_every_cell_is_handed_out_once_with_its_own_settings(tmp_path: Path) -> None:
    queue, seen = Queue(SWEEP, sweep.opened(SWEEP, url(tmp_path), "s"), tmp_path), []
    while (job := queue.next()) is not None:
        task, rate = job.recipe["task"], job.recipe["learning"]["learning_rate"]
        seen.append((task["id"], task["objective"]["weight"], job.seed))
        assert 1e-5 <= rate <= 1e-3
        queue.tell(job.number, {"value": -rate})
    assert seen == [(id, w, s) for id in ("ShortCall", "ShortStraddle") for w in (0.2, 0.8) for s in (1, 2)]


def goes_on(url: str, folder: Path) -> None:
    queue = Queue(SWEEP, sweep.opened(SWEEP, url, "s"), folder)
    first, second = queue.next(), queue.next()
    assert first is not None
    queue.tell(first.number, {"value": 0.0})
    again = Queue(SWEEP, sweep.opened(SWEEP, url, "s"), folder)
    assert again.count == 7
    assert again.next() == second


def test_trials_of_a_killed_sweep_come_first(tmp_path: Path) -> None:
    """With the same numbers, folders and settings, those of the search too."""
    goes_on(url(tmp_path), tmp_path)


@pytest.mark.slow
def test_a_study_may_lie_in_postgresql(tmp_path: Path) -> None:
    with served() as server:
        goes_on(server.url, tmp_path)


def test_a_database_out_of_reach_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"--study sqlite:////nowhere/study\.db: .*give a database that can be written"):
        sweep.opened(SWEEP, "sqlite:////nowhere/study.db", "s")


def test_a_study_with_other_settings_is_refused_in_one_line(tmp_path: Path) -> None:
    sweep.opened(SWEEP, url(tmp_path), "s")
    other = SWEEP.model_copy(update={"paths": 1234})
    with pytest.raises(BadInput, match="study 's' exists with paths 30000, not 1234; give the same, or another --name"):
        sweep.opened(other, url(tmp_path), "s")
    sweep.opened(other, url(tmp_path), "t")


def test_a_study_that_is_no_sweeps_is_left_alone(tmp_path: Path) -> None:
    optuna.create_study(storage=url(tmp_path), study_name="s").enqueue_trial({"x": 1})
    with pytest.raises(BadInput, match="not of rehedge sweep"):
        sweep.opened(SWEEP, url(tmp_path), "s")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grid": {"learning.moon": [1]}}, "learning.moon: no setting of the recipe is named so"),
        ({"grid": {"task": ["lunar"]}}, "lunar"),
        ({"grid": {"learning.steps": [-1]}}, r"learning\.steps = -1: learning\.steps"),
        ({"grid": {"seed": [2026]}}, "draws the paths that judge"),
        ({"grid": {"seed": [0.5]}}, "seed 0.5: not a whole number"),
        ({"grid": {"seed": []}}, "grid: seed has no values"),
        ({"search": {"learning.learning_rate": {"low": 1, "high": 0.5}}}, "needs low < high"),
        ({"recipe": "nowhere.toml"}, "nowhere.toml: no such file"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(tomli_w.dumps(change))
    with pytest.raises(BadInput, match=said) as refused:
        Sweep.load(tmp_path / "sweep.toml")
    assert "\n" not in str(refused.value)


def test_a_killed_worker_loses_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "WORKER", stub(tmp_path))
    (tmp_path / "sweep.toml").write_text(SETTINGS)
    arguments = (str(tmp_path / "sweep.toml"), str(tmp_path / "out"), "--processes", "2")
    assert command(*arguments) == 0
    lives = [len(list(folder.glob("life*"))) for folder in sorted((tmp_path / "out" / "trials").iterdir())]
    assert lives == [1, 3, 1, 1, 1, 1]
    assert (tmp_path / "out" / "frontier.png").read_bytes().startswith(b"\x89PNG")
    assert command(*arguments) == 0  # nothing is left to do
    assert lives == [len(list(folder.glob("life*"))) for folder in sorted((tmp_path / "out" / "trials").iterdir())]


def test_what_fails_is_told_and_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "WORKER", stub(tmp_path, hopeless=True))
    (tmp_path / "sweep.toml").write_text(SETTINGS)
    assert command(str(tmp_path / "sweep.toml"), str(tmp_path / "out"), "--retries", "1", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in told["trials"]] == [
        "complete",
        "failed",
        "failed",
        "complete",
        "failed",
        "complete",
    ]
    reasons = [row["result"].get("failed", "") for row in told["trials"]]
    assert reasons[2] == "it diverged"
    assert reasons[1].startswith("its process ended 2 times, last with code -9; see")


def test_the_table_has_what_varies_and_what_came_of_it(tmp_path: Path) -> None:
    study = sweep.opened(SWEEP, url(tmp_path), "s")
    queue = Queue(SWEEP, study, tmp_path)
    for number in range(8):
        job = queue.next()
        assert job is not None
        agents = {"PPO": ROW, "delta": ROW, "band": ROW}
        queue.tell(number, {"value": -2e-4, "agents": agents} if number else {"failed": "no"})
    found = frontier.rows(study, SWEEP)
    assert list(found[0].values) == ["task", "task.objective.weight", "seed", "learning.learning_rate"]
    assert [row.state for row in found[:2]] == ["failed", "complete"]
    made = frontier.table(found)
    cells = [list(column.cells) for column in made.columns]
    assert cells[1] == ["short_call"] * 4 + ["short_straddle"] * 4
    assert [column[1] for column in cells[5:]] == ["1.000", "-2.00", "0.200", "3.000", "3.000", "3.000"]
    assert cells[5][0] == "failed"
    frontier.draw(tmp_path / "f.png", [replace(row) for row in found])
    assert os.stat(tmp_path / "f.png").st_size > 10_000

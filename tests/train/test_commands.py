"""The command line: bad input is one line and exit code 2; what is printed for machines is one JSON object."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import rehedge

ROOT = Path(__file__).parents[2]
BTC = "envs/data/btc_2017_2022.toml"
PAIR = ("calibrate", "--out", "runs/x.toml", "--data")


TASK = """
id = "Brief"
about = "a short call of two days"
[market]
settings.assets = ["btc_2017_2022"]
[contract]
bars = 48
claims = [{ instrument = { kind = "option", bars = 48 } }]
"""


class Done(NamedTuple):
    returncode: object
    stdout: str
    stderr: str


def command(*arguments: str) -> Done:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        rehedge.main(list(arguments))
    return Done(ended.value.code, out.getvalue(), err.getvalue())


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, small_market: None) -> Path:
    """Trained for a moment."""
    folder = tmp_path_factory.mktemp("trained")
    task, recipe = folder / "task.toml", folder / "recipe.toml"
    task.write_text(TASK)
    recipe.write_text(
        f"tuning_paths = 1024\ntask = '{task}'\n[learning]\nsteps = 512\npaths = 16\nhedgers = 4\n"
        "rollout = 4\nminibatches = 2\nepochs = 1\nwarm_up = 2\nwarm_up_paths = 32\n"
        "validation_paths = 32\nvalidations = 1\n"
    )
    done = command("train", str(folder / "model"), "--recipe", str(recipe), "--threads", "1")
    assert done.returncode == 0, done.stderr
    return folder / "model"


def test_evaluate_prints_one_object_with_every_agent_and_difference(model: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    settings = ("--paths", "1000", "--from", "2024-12-01", "--threads", "1")
    done = command("evaluate", str(model), *settings, "--json", "--report", str(page))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    statistics = {"mean", "std", "y", "cvar95", "cvar99", "turnover", "cost", "fees", "slippage", "liquidated", "paths"}
    for where in (told, told["history"]):
        assert {"no hedge", "delta", "Whalley-Wilmott", "Zakamouline", "PPO untrained", "PPO"} <= set(where["agents"])
        assert all(statistics <= set(row) for row in where["agents"].values())
        for versus in ("vs_delta", "vs_best_band", "vs_action0"):
            assert {"measure", "diff", "low", "high"} <= set(where[versus])
            assert where[versus]["low"] <= where[versus]["diff"] <= where[versus]["high"]
    assert told["agents"]["PPO"]["paths"] == 1000
    assert told["agents"]["no hedge"]["turnover"] == 0
    assert told["agents"]["delta"]["turnover"] > told["agents"]["Zakamouline"]["turnover"] > 0
    action0 = told["agents"]["PPO untrained"]
    assert action0["mean"] == pytest.approx(told["agents"]["Zakamouline"]["mean"], abs=1e-6)
    assert "<html" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate", "nowhere"), "nowhere/card.json: no such file"),
        (("models", "show", "nowhere"), "nowhere/card.json: no such file"),
        (("models", "promote", "nowhere"), "nowhere/card.json: no such file"),
        (("models", "promote", "models/short_call"), "is the incumbent itself"),
        (("models", "promote", "models/short_call", "--over", "nowhere"), "--over nowhere: no model there"),
        (("evaluate", "models/short_call", "--agent", "lunar"), "no classical hedge is named 'lunar'"),
        (("evaluate", "models/short_call", "--agent", "delta-vega"), "delta-vega: needs options"),
        (("evaluate", "models/short_call", "--agent", "models/uniswap_lp"), "trained for another market or book"),
        (("evaluate", "models/short_call", "--data", "eth"), "the bars are of eth, the model was trained on a market"),
        (("evaluate", "models/short_call", "--data", "btc", "--data", "eth"), "--data: 2 given"),
        (("evaluate", "models/short_call", "--from", "2021-01-01"), "overlaps the model's training window"),
        (("train", "runs/x", "--recipe", "nowhere.toml"), "nowhere.toml: no such file"),
        (("train", "runs/x", "--device", "tpu"), "--device tpu: not available"),
        (("train", "runs/x", "--task", "lunar"), "task 'lunar': unknown"),
        (("train", "runs/x", "--task", "nowhere.toml"), "nowhere.toml: no such file"),
        (("train", "runs/x", "--task", "multi_asset", "--calibration", BTC), "takes 2 calibrations, 1 given"),
        (("calibrate", "--data", "nowhere.csv", "--out", "runs/x.toml"), "nowhere.csv"),
        ((*PAIR, "btc", "--data", "btc"), "btc and btc hold the same bars"),
        ((*PAIR, "btc", "--data", "eth", "--first", "2030-01-01"), "no bars from 2030-01-01"),
        ((*PAIR, "btc", "--data", "eth", "--data", "eth"), "--data: 3 given"),
        ((*PAIR, "btc", "--calibration", BTC), "--calibration: 1 given for 1 --data"),
        ((*PAIR, "btc", "--data", "eth", "--contest"), "--contest: compares models of one asset"),
        (("serve", "nowhere.toml", "--journal", "runs/x.db"), "nowhere.toml: no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def test_a_process_ends_with_the_exit_code() -> None:
    done = process("rehedge.py", "models", "show", "nowhere")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_an_unknown_key_in_a_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[learning]\nlearning_rat = 0.1\n")
    done = command("train", str(tmp_path / "model"), "--recipe", str(recipe))
    assert (done.returncode, "learning.learning_rat" in done.stderr) == (2, True)


def test_a_broken_row(tmp_path: Path) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text(
        "time,open,high,low,close,volume\n2024-01-01T00:00:00Z,1,2,1,1,1\n2024-01-01T01:00:00Z,1,2,1,-1,1\n"
    )
    done = command("calibrate", "--data", str(bars), "--out", str(tmp_path / "x.toml"))
    assert done.returncode == 2
    assert "bars.csv" in done.stderr
    assert "row 3" in done.stderr


def test_the_seed_of_training_cannot_judge(model: Path) -> None:
    done = command("evaluate", str(model), "--seed", "0")
    assert (done.returncode, "choose another" in done.stderr) == (2, True)


def test_help_names_every_command_and_imports_no_library() -> None:
    done = process("-X", "importtime", "rehedge.py", "--help")
    assert all(name in done.stdout for name in ("demo", "calibrate", "train", "evaluate", "serve", "replay"))
    assert "stable_baselines3" not in done.stderr

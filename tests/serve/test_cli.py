from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
from typer.testing import CliRunner

from serve.cli import app
from serve.clock import show
from tests.serve.support import START, raw_config, write_bars

RUNNER = CliRunner()


@pytest.fixture
def config(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "paper.toml"
    path.write_text(tomli_w.dumps(raw_config(model=str(model))))
    return path


def test_serve_replay_verify(config: Path, tmp_path: Path) -> None:
    journal, feed = str(tmp_path / "runs" / "j.db"), str(write_bars(tmp_path / "bars.csv"))
    options = ["--journal", journal, "--feed", feed, "--from", show(START), "--days", "1"]
    served = RUNNER.invoke(app, ["serve", str(config), *options])
    assert served.exit_code == 0, served.output
    assert "State: ACTIVE." in served.output
    replayed = RUNNER.invoke(app, ["replay", journal])
    assert replayed.exit_code == 0
    assert "byte for byte" in replayed.output
    as_json = RUNNER.invoke(app, ["journal", "verify", journal, "--json"])
    head = json.loads(as_json.output)["head"]
    assert head in served.output
    assert RUNNER.invoke(app, ["journal", "verify", journal, "--head", head]).exit_code == 0
    shown = RUNNER.invoke(app, ["journal", "show", journal, "--kind", "BarClosed", "--last", "2", "--json"])
    assert [json.loads(line)["type"] for line in shown.output.splitlines()] == ["BarClosed"] * 2
    plain = RUNNER.invoke(app, ["journal", "show", journal, "--first", "1", "--kind", "Started"])
    assert plain.output.startswith(f"       1  {show(START)}  Started  computed=torch ")
    other = RUNNER.invoke(app, ["journal", "verify", journal, "--head", f"9:{'0' * 64}"])
    assert (other.exit_code, "missing" in other.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "none.toml", "--journal", "j.db"], "no such file"),
        (["replay", "none.db"], "no such journal"),
        (["journal", "verify", "none.db"], "no such journal"),
        (["journal", "verify", "none.db", "--head", "x"], "no"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1
    assert words in result.output


def test_a_bad_start_and_a_model_that_is_not_there(config: Path, tmp_path: Path) -> None:
    journal = ["--journal", str(tmp_path / "j.db")]
    result = RUNNER.invoke(app, ["serve", str(config), *journal, "--from", "noon"])
    assert (result.exit_code, "not a time" in result.output) == (2, True)
    config.write_text(tomli_w.dumps(raw_config(model=str(tmp_path / "none"))))
    result = RUNNER.invoke(app, ["serve", str(config), *journal])
    assert (result.exit_code, "give the folder of a trained model" in result.output) == (2, True)


@pytest.mark.slow
def test_serving_loads_no_training_library() -> None:
    code = (
        "import sys, serve.cli; from serve import breaker; [breaker.load(name) for name in breaker.names()]; "
        "print([name for name in ('stable_baselines3', 'train', 'tensorboard') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"

"""The tutorial, run as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envs.calibration import read_toml, validated
from train.pipeline import Recipe

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
MADE = Path("runs") / "tutorial"


def test_its_settings_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The book and the recipe that it writes, on a market that ships."""
    monkeypatch.chdir(tmp_path)
    MADE.mkdir(parents=True)
    shutil.copy(ROOT / "envs" / "data" / "btc_2017_2022.toml", MADE / "market.toml")
    written = re.findall(r"cat > (\S+) <<'END'\n(.*?)^END$", TEXT, re.DOTALL | re.MULTILINE)
    for name, text in written:
        Path(name).write_text(text, encoding="utf-8")
    assert [Path(name).name for name, _ in written] == ["call.toml", "recipe.toml"]
    recipe = validated(Recipe, read_toml(MADE / "recipe.toml"), "recipe")
    assert recipe.task.id == "WeekCall"
    assert recipe.task.contract.decisions == 42


@pytest.mark.slow
def test_it_runs_as_it_stands(tmp_path: Path) -> None:
    """All blocks, one after the other, in a folder that has what a checkout has."""
    for name, place in (("envs", ROOT / "envs"), ("configs", ROOT / "configs"), (".venv", Path(sys.prefix))):
        (tmp_path / name).symlink_to(place)
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", "\n".join(BLOCKS)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    made = tmp_path / MADE
    for name in ("market.toml", "market.html", "week_call/card.json", "walk/verdict.json", "walk.html", "paper.db"):
        assert (made / name).is_file(), name
    report = (made / "report.html").read_text(encoding="utf-8")
    for title in ("Judged on prices", "Where gains and losses come from", "The policy as a picture"):
        assert title in report, title
    assert any(line.startswith("refused: ") for line in done.stdout.splitlines())
    assert "exit code 1: refused" in done.stdout
    assert not (made / "models").exists()
    assert "byte for byte" in done.stdout

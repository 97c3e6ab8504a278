"""The tutorial, run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```sh( slow)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run(folder: Path, slow: bool) -> subprocess.CompletedProcess[str]:
    """All blocks, one after the other, in a folder that has what a checkout has; `slow`: those marked so too."""
    for name, place in (("envs", ROOT / "envs"), ("configs", ROOT / "configs"), (".venv", Path(sys.prefix))):
        (folder / name).symlink_to(place)
    blocks = BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    script = "\n".join(text for mark, text in blocks if slow or not mark)
    one = {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **one},
        capture_output=True,
        text=True,
        check=False,
    )


def checked(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    """It ended well, and left what the text says."""
    assert done.returncode == 0, done.stderr[-3000:]
    made = folder / "runs" / "tutorial"
    for name in ("market.toml", "market.html", "week_call/card.json", "week_call/weights.safetensors", "paper.db"):
        assert (made / name).is_file(), name
    report = (made / "report.html").read_text(encoding="utf-8")
    for title in ("Judged on prices", "Where gains and losses come from", "The policy as a picture"):
        assert title in report, title
    refused = [line for line in done.stdout.splitlines() if line.startswith("refused: ")]
    assert refused
    assert "exit code 1: refused" in done.stdout
    assert not (made / "models").exists()
    assert "byte for byte" in done.stdout


def test_the_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    checked(run(tmp_path, slow=False), tmp_path)


@pytest.mark.slow
def test_the_whole_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    done = run(tmp_path, slow=True)
    checked(done, tmp_path)
    assert (tmp_path / "runs" / "tutorial" / "walk" / "verdict.json").is_file()
    assert (tmp_path / "runs" / "tutorial" / "walk.html").is_file()

"""What ships for deploying names only what is there: series, breakers, commands and their options."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from rehedge import app
from serve.api.metrics import exposed
from tests.serve.api.conftest import Beside

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "configs" / "deploy"
PROMTOOL = shutil.which("promtool")
SERIES = re.compile(r"\brehedge_[a-z_]+")


def test_rules_and_panels_read_series_that_are_exposed(shown: Beside) -> None:
    text = exposed(shown.broadcast).decode()
    there = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    rules = yaml.safe_load((DEPLOY / "rehedge.rules.yml").read_text())
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    read = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    read += [target["expr"] for panel in panels for target in panel["targets"]]
    named = {name for expression in read for name in SERIES.findall(expression)}
    assert len(named) > 15
    assert named <= there | {f"{name}_bucket" for name in there}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_takes_the_rules() -> None:
    assert PROMTOOL is not None, "or it is skipped"
    subprocess.run([PROMTOOL, "check", "rules", str(DEPLOY / "rehedge.rules.yml")], check=True, capture_output=True)


def test_units_start_commands_with_options_that_exist() -> None:
    for unit in DEPLOY.glob("*.service"):
        line = re.search(r"^ExecStart=\S+/rehedge (.*)$", unit.read_text(), re.MULTILINE)
        assert line, unit
        name, *words = shlex.split(line[1])
        text = CliRunner().invoke(app, [name, "--help"], terminal_width=200).stdout
        assert all(word in text for word in words if word.startswith("--")), unit


def test_every_breaker_has_its_paragraph_in_the_guide_and_no_other_has() -> None:
    told = re.findall(r"^### `(\w+)`\n\n.{100}", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert told == sorted(file.stem for file in (ROOT / "serve" / "breakers").glob("[a-z]*.py"))

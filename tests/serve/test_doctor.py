"""The doctor finds what would go wrong, a line each, and leaves nothing behind."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
import tomli_w
from typer.testing import CliRunner

from rehedge import app
from serve.api import tokens
from serve.journal import Journal
from tests.serve.support import raw_config


@pytest.fixture
def config(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "hedger.toml"
    path.write_text(tomli_w.dumps(raw_config(model=str(model))))
    return path


def examined(*arguments: object) -> tuple[int, dict[str, tuple[bool, str]]]:
    done = CliRunner().invoke(app, ["doctor", *map(str, arguments), "--json"])
    return done.exit_code, {each["name"]: (each["fine"], each["words"]) for each in json.loads(done.stdout)}


def test_a_sound_set_up_is_fine_and_nothing_is_left(config: Path, tmp_path: Path) -> None:
    file, services = tmp_path / "tokens.toml", tmp_path / "urls"
    tokens.issued(file, "ann", "read")
    services.touch(0o600)
    services.write_text("json://127.0.0.1:9/\n")
    before = set(tmp_path.iterdir())
    code, found = examined(config, "--journal", tmp_path / "j.db", "--tokens", file, "--services", services)
    assert code == 0, found
    assert set(found) == {"settings and model", "journal", "disk", "clock", "tokens", "services"}
    assert found["journal"][1].startswith("new; a commit takes ")
    assert set(tmp_path.iterdir()) == before


def test_each_fault_is_its_own_line(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace('collar = "0.02"', ""))
    (tmp_path / "tokens.toml").write_text("")
    with closing(Journal(str(tmp_path / "j.db"))) as journal:
        journal.append([b"{}", b"{}"])
    (tmp_path / "j.db.head").write_text("9:" + "0" * 64)
    code, found = examined(config, "--journal", tmp_path / "j.db", "--tokens", tmp_path / "tokens.toml")
    assert code == 1
    bad = {name: words for name, (fine, words) in found.items() if not fine}
    assert set(bad) == {"settings and model", "journal", "tokens"}
    assert "collar" in bad["settings and model"]
    assert "anchored head" in bad["journal"]
    assert all("\n" not in words for words in bad.values())

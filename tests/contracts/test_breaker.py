"""What every breaker in serve/breakers/ keeps to; a new file there is picked up by name."""

from __future__ import annotations

import copy
import inspect
import math
import sys
from functools import cache, reduce
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from envs.calibration import read_toml
from envs.types import BadInput
from serve import breaker
from serve.breaker import Breaker
from serve.config import build_breakers
from serve.states import BreakerClass, Discipline, RiskState
from tests.serve.support import START
from tests.serve.watching import CALM, at, bar, shown, silent, timed

SHIPPED = Path(__file__).parents[2] / "configs" / "paper.toml"
RAW: dict[str, dict[str, Any]] = read_toml(SHIPPED)["breakers"]
NAMES = breaker.names()


@cache
def made(name: str) -> Breaker:
    return build_breakers(RAW, "paper.toml")[name]


def test_the_shipped_settings_name_every_breaker_and_no_other() -> None:
    assert set(RAW) == set(NAMES)
    with pytest.raises(BadInput, match=r"breakers\.os: no such breaker; have auto_deleveraging"):
        breaker.load("os")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_one_public_class_that_says_what_it_guards(name: str) -> None:
    kind = breaker.load(name)
    module = sys.modules[kind.__module__]
    public = [
        each
        for label, each in vars(module).items()
        if inspect.isclass(each) and each.__module__ == kind.__module__ and not label.startswith("_")
    ]
    assert public == [kind]
    assert (module.__doc__ or "").startswith("Trips when") or (module.__doc__ or "").startswith("Trips on")
    assert kind.__doc__
    assert isinstance(kind.kind, BreakerClass)


@pytest.mark.parametrize("name", NAMES)
def test_no_setting_has_a_default_and_none_is_unknown(name: str) -> None:
    kind = breaker.load(name).Settings
    assert issubclass(kind, Discipline)
    assert all(field.is_required() for field in kind.model_fields.values())
    for field in kind.model_fields:
        with pytest.raises(ValidationError, match=field):
            kind.model_validate({key: value for key, value in RAW[name].items() if key != field})
    with pytest.raises(ValidationError, match="entyr"):
        kind.model_validate({**RAW[name], "entyr": 1})


def limits(raw: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where in a breaker's settings an entry and an exit stand together."""
    found = [path] if "entry" in raw else []
    return found + [at for key, each in raw.items() if isinstance(each, dict) for at in limits(each, (*path, key))]


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_has_an_exit_apart_from_it(name: str) -> None:
    """Hysteresis: an exit at the entry, or beyond it, is refused."""
    for path in limits(RAW[name]):
        for beyond in (0.0, 1.0):
            raw = copy.deepcopy(RAW[name])
            section = reduce(lambda at, key: at[key], path, raw)
            section["exit"] = section["entry"] + beyond * (section["entry"] - section["exit"])
            with pytest.raises(ValidationError, match="exit"):
                breaker.load(name).Settings.model_validate(raw)


@pytest.mark.parametrize("name", NAMES)
def test_calm_trips_nothing_and_memory_is_numbers(name: str) -> None:
    calm = [at(START, profit=0.0), bar(START + 1), timed(START + 2), silent(START + 3, 5)]
    monitor = shown(made(name), calm)
    assert (monitor.level, monitor.breaches) == (RiskState.ACTIVE, 0)
    _, memory = made(name).judge(CALM, ())
    assert isinstance(memory, tuple)
    assert all(math.isfinite(each) for each in memory)


@pytest.mark.parametrize("name", NAMES)
def test_a_judgement_depends_on_nothing_else(name: str) -> None:
    """Two of a kind, one of which has judged before: the same memory gives the same answer, as a replay needs."""
    fresh, used = (build_breakers(RAW, "paper.toml")[name] for _ in range(2))
    views = [at(START), bar(START + 1), timed(START + 2), silent(START + 3, 9_000), at(START + 4, 25_000.0)]
    for view in views:
        used.judge(view, ())
    memory = fresh.judge(views[0], ())[1]
    for view in views[1:]:
        finding, after = fresh.judge(view, memory)
        assert used.judge(view, memory) == (finding, after)
        memory = after


def test_a_new_file_is_a_breaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "night_watch.py").write_text(
        '"""Trips on nothing."""\n'
        "from serve.states import BreakerClass, Discipline\n\n\n"
        "class NightWatch:\n"
        '    """A new one."""\n\n'
        "    Settings = Discipline\n"
        "    kind = BreakerClass.MARKET\n\n"
        "    def __init__(self, settings):\n        self.settings = settings\n\n"
        "    def judge(self, view, memory):\n        return None, memory\n"
    )
    monkeypatch.setattr("serve.breakers.__path__", [*breaker.serve.breakers.__path__, str(tmp_path)])
    assert "night_watch" in breaker.names()
    with pytest.raises(BadInput, match=r"breakers\.night_watch is missing"):
        build_breakers(RAW, "paper.toml")
    discipline = {"confirmations": 1, "dwell_seconds": 1, "latch_trips": 1}
    assert build_breakers({**RAW, "night_watch": discipline}, "x")["night_watch"].judge(CALM, ()) == (None, ())

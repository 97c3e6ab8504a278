"""The table of controls tells of files and tests that exist, and of every breaker."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from serve import breaker
from serve.commands import Denied, SubmitOrder
from serve.engine import Engine
from tests.serve.books import fold
from tests.serve.support import SPOT, opening, started

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "controls.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (C\d+) \| (.+) \| (\S+) \| (\S+) \|$", PAGE, re.MULTILINE)


def test_every_control_has_its_row() -> None:
    assert [name for name, *_ in ROWS] == [f"C{k}" for k in range(1, 25)]


@pytest.mark.parametrize(("name", "words", "file", "test"), ROWS)
def test_a_row_names_a_file_and_a_test_that_exist_or_says_that_it_is_not_built(
    name: str, words: str, file: str, test: str
) -> None:
    if (file, test) == ("–", "–"):
        assert "Not built" in words, name
        return
    assert (ROOT / file).is_file(), file
    named = re.findall(r"`(test_\w+)`", words)
    source = (ROOT / test).read_text(encoding="utf-8")
    assert named, f"{name} names no test"
    assert [each for each in named if f"def {each}(" not in source] == [], f"not in {test}"


def test_every_breaker_is_told_with_its_class() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| .+ \| (\w+) \|$", PAGE, re.MULTILINE))
    assert told == {name: breaker.load(name).kind.value for name in breaker.names()}


def test_no_order_is_worth_more_than_the_notional_leaves() -> None:
    tight = {"soft": "20000", "hard": "20000"}
    first = started(with_model=False, limits__notional=tight)
    _, outputs = fold(Engine.opened(first), [first, *opening()[1:]])
    (order,) = [each for each in outputs if isinstance(each, SubmitOrder)]
    assert order.units * Decimal(SPOT) == Decimal(20_000)
    assert any(isinstance(each, Denied) and "notional is 20000" in each.reason for each in outputs)

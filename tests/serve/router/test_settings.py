"""What the router's settings allow."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from serve.clock import DAY, HOUR
from tests.serve.router.fakes import LEG, START, settings


def test_a_basis_decays_by_half_in_each_half_life() -> None:
    routing = settings("a", holding_hours=16, basis_half_life_hours=8)
    assert routing.kept(None, START) == 0.25
    assert math.isclose(routing.horizon.holding, 16 * HOUR)


def test_a_dated_futures_basis_is_gone_when_it_expires() -> None:
    routing, dated = settings("a", holding_hours=24), START + 4 * DAY
    assert routing.kept(dated, START) == 0.75
    assert routing.kept(dated, START + 4 * DAY) == 0.0
    assert routing.kept(dated, START + 3 * DAY + 12 * HOUR) == 0.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"routes": {LEG: {"b": {"taker": 0, "maker": 0}}}}, "is no venue; have a"),
        ({"routes": {LEG: {}}}, "names 0 venues; name 1 to 8"),
        ({"routes": {LEG: {"a": {"taker": 0, "maker": 0, "expiry": "2026-03-27"}}}}, "expiry"),
        ({"routes": {LEG: {"a": {"taker": 0, "maker": 0, "gas": -1}}}}, "gas"),
        ({"venues": {}}, "venues"),
        ({"hurry": 1}, "hurry"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings("a", **changes)


def test_more_venues_than_can_be_tried_in_every_set_are_refused() -> None:
    with pytest.raises(ValidationError, match="name 1 to 8"):
        settings(*"abcdefghi")

"""What every hedge in agents/classical/ keeps to; a new file there is picked up, tuned and judged by being there."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import agents.classical
from agents import card
from agents import register as agents_register
from agents.base import Classical
from agents.classical.delta import Delta
from agents.classical.fixed_band import FixedBand
from envs import decision, register
from envs.observation import Observation
from envs.seeding import generators
from envs.types import BadInput
from tests.train import support
from train import cohort, evaluate, tune

KINDS = register.kinds(agents_register.FOLDER)
TWO_ASSETS: dict[str, Any] = {"kind": "gbm", "settings": {"volatility": [0.6, 0.9]}}
ON_BOTH = [{"instrument": {"kind": "perpetual", "asset": asset}} for asset in (0, 1)]
SPREAD = [{"instrument": {"kind": "option", "bars": 24, "asset": asset}} for asset in (0, 1)]
BOOKS = {
    "call": support.task(bars=24),
    "option": support.task(bars=24, hedges=support.WITH_OPTION),
    "spread": support.task(TWO_ASSETS, bars=24, claims=SPREAD, hedges=ON_BOTH),
    "coin": support.task(bars=24, numeraire="coin"),
    "pool": support.task(bars=24, claims=[{"instrument": {"kind": "liquidity_position"}}]),
}
Check = Callable[[type[Classical]], None]


def made(kind: type[Classical], factor: float = 1.0) -> Classical:
    """At `factor` times the number where its tuning begins, what it waits for at that one's own."""
    starts = {one.name: one.start for one in agents_register.every().values() if one.start is not None}
    if kind.start is not None:
        starts[kind.name] = factor * kind.start
    return agents_register.made(kind.name, starts)


@functools.cache
def sights(dtype: torch.dtype) -> dict[str, tuple[Observation, Tensor]]:
    """Per book what two hedgers a path see two decisions on, one at delta and one in a wide band, and the lots."""
    rows = {}
    for name, book in BOOKS.items():
        world = book.world(16, 2, generators(31, 1)[0], dtype)
        world.reset(staggered=False)
        for _ in range(2):
            world.advance(cohort.joint(world, [Delta(), FixedBand(0.3)]))
        rows[name] = (world.observation, world.lots())
    return rows


def seen(kind: type[Classical], dtype: torch.dtype = torch.float64) -> list[tuple[Observation, Tensor]]:
    """In every book that suits it."""
    suited = [name for name, book in BOOKS.items() if kind in agents_register.suiting(book.contract)]
    return [sights(dtype)[name] for name in suited]


def tensors(observation: Observation) -> dict[str, Tensor]:
    own = {field.name: getattr(observation, field.name) for field in fields(Observation)}
    return {name: value.clone() for name, value in own.items() if isinstance(value, Tensor)}


def a_file_holds_one_hedge_of_a_name_of_its_own(kind: type[Classical]) -> None:
    stem = kind.__module__.rsplit(".", 1)[1]
    assert [one for one in register.classes(agents_register.FOLDER, stem) if issubclass(one, Classical)] == [kind]
    assert kind.__name__.lower() == stem.replace("_", "")
    assert agents_register.every()[kind.name] is kind
    assert sys.modules[kind.__module__].__doc__


def some_book_suits_it(kind: type[Classical]) -> None:
    assert seen(kind)


def bands_are_sound(kind: type[Classical]) -> None:
    """Shaped as what is held, of its dtype, finite, the lower edge not above the upper."""
    for dtype in (torch.float32, torch.float64):
        for both, _ in seen(kind, dtype):
            for hedger in (0, 1):
                sees = both.of(hedger)
                band = made(kind).band(sees)
                for edge in (band.lower, band.upper):
                    assert edge.shape == sees.hedge.shape
                    assert edge.dtype == dtype
                    assert edge.isfinite().all()
                assert (band.lower <= band.upper).all()


def looking_changes_nothing(kind: type[Classical]) -> None:
    """Neither what was looked at nor the answer when asked again."""
    for both, _ in seen(kind):
        sees, agent = both.of(1), made(kind)
        before = tensors(sees)
        first, second = agent.band(sees), agent.band(sees)
        assert torch.equal(first.lower, second.lower)
        assert torch.equal(first.upper, second.upper)
        assert all(torch.equal(before[name], after) for name, after in tensors(sees).items())


def orders_lead_into_the_band(kind: type[Classical]) -> None:
    """To a lot, where one instrument hedges: an option's trade moves the band of what trades after it."""
    for both, lots in seen(kind):
        sees = both.of(1)
        band, base = made(kind).band(sees), sees.scene.columns(sees.scene.book.base)
        order = decision.orders(band, sees.scene, lots)
        assert order.isfinite().all()
        if order.shape[-1] == 1:
            held = sees.hedge + order / base
            assert (held >= band.lower - lots / base).all()
            assert (held <= band.upper + lots / base).all()


def a_number_to_tune_is_positive_and_matters(kind: type[Classical]) -> None:
    if kind.start is None:
        return
    assert kind.start > 0
    assert kind.name in tune.tunable(BOOKS["option"].contract)
    pairs = [(made(kind, 1 / 9).band(both.of(0)), made(kind, 9.0).band(both.of(0))) for both, _ in seen(kind)]
    assert any(not torch.equal(one.lower, other.lower) for one, other in pairs)


CHECKS: list[Check] = [
    a_file_holds_one_hedge_of_a_name_of_its_own,
    some_book_suits_it,
    bands_are_sound,
    looking_changes_nothing,
    orders_lead_into_the_band,
    a_number_to_tune_is_positive_and_matters,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", agents_register.every().values(), ids=lambda kind: kind.__name__)
def test_every_hedge(kind: type[Classical], check: Check) -> None:
    check(kind)


NEWCOMER = '''
"""Upside down."""
import torch
from agents.base import Classical, around

class Newcomer(Classical):
    name = "newcomer"
    start = 2.0

    def __init__(self, half_width):
        self.half_width = 1e-3

    def band(self, observation):
        return around(observation, observation.neutral, torch.full_like(observation.limit, -self.half_width))
'''


def test_a_file_added_to_the_folder_is_checked_tuned_and_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks find its two faults and no other."""
    (tmp_path / "newcomer.py").write_text(NEWCOMER)
    monkeypatch.setattr(agents.classical, "__path__", [*agents.classical.__path__, str(tmp_path)])
    failed = set()
    for check in CHECKS:
        try:
            check(agents_register.every()["newcomer"])
        except AssertionError:
            failed.add(check)
    model = card.load(support.save_model(tmp_path / "model", BOOKS["call"]))
    assert "newcomer" in tune.tunable(BOOKS["call"].contract)
    assert "newcomer" in [agent.name for agent in evaluate.roster(model)]
    monkeypatch.delitem(sys.modules, f"{agents_register.FOLDER}.newcomer")
    assert failed == {bands_are_sound, a_number_to_tune_is_positive_and_matters, orders_lead_into_the_band}


def test_hedges_of_this_project_are_in_the_folder() -> None:
    expected = {"no_hedge", "delta", "delta_filtered", "delta_forecast", "leland", "whalley_wilmott", "zakamouline"}
    expected |= {"minimum_variance", "fixed_band", "fixed_time", "delta_gamma", "delta_vega", "greek_band"}
    assert expected <= set(KINDS)
    assert len(KINDS) == len(agents_register.every())


def test_an_unknown_hedge_is_one_line_that_lists_the_known() -> None:
    with pytest.raises(BadInput, match=r"^no classical hedge is named 'martingale'; use one of .*Zakamouline.*$"):
        agents_register.made("martingale", {})


def test_none_of_them_needs_what_trains() -> None:
    program = (
        "import sys; from agents import register; register.every();"
        "print(*(name for name in sys.modules if name.split('.')[0] in ('stable_baselines3', 'train', 'serve')))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []

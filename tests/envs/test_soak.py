"""Random actions in every registered environment against an account of the audit's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import soak
from envs import book as books
from envs.book import Book
from envs.markets import garch as simulation
from envs.task import FOLDER, Task
from tests.envs.worlds import contract, task

NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
QUICK = ("basis_trade", "uniswap_lp")  # no options to price


@pytest.fixture
def _short_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "BURN_IN", 100)


@pytest.mark.usefixtures("_short_start")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_random_actions_make_and_lose_no_money(name: str) -> None:
    """A third of a hundred thousand decisions each: past every age, through whole episodes and restarts."""
    found = soak.soaked(Task.load(name), 34_000, 170, 1)
    assert found["steps"] == 34_000  # 200 decisions of each path: more than one life of 180
    assert soak.sound(found), found


def test_liquidations_options_and_coins_are_audited_too() -> None:
    """In a book with all of them, on little collateral; in a market that moves 300 % a year."""
    hedges = [{"instrument": {"kind": "option", "bars": 96}}, {"instrument": {"kind": "future"}}, {}]
    claims = [
        {"instrument": {"bars": [8, 48], "settlement": "coin", "averaging_hours": 0.5}, "count": 2},
        {"instrument": {"kind": "liquidity_position"}, "units": 0.5},
    ]
    margin = {"mode": "isolated", "collateral": [{"amount": 0.2}]}
    rules = contract(claims=claims, hedges=hedges, margin=margin)
    found = soak.soaked(task(rules, {"kind": "gbm", "settings": {"volatility": [3.0]}}), 20_000, 500, 2)
    assert found["liquidations"] > 100
    assert soak.sound(found), found


def lost(function: Callable[..., Any]) -> Callable[..., Any]:
    """A book function that mislays a thousandth of what it brings."""

    def leaking(book: Book, *given: Any) -> Book:
        after: Book = function(book, *given)
        leak: Tensor = after.cash - 1e-3 * (after.cash - book.cash)
        return Book(**{**vars(after), "cash": leak, "claims": after.claims - 1e-3 * (after.claims - book.claims)})

    return leaking


@pytest.mark.parametrize("name", ["filled", "carried", "credited", "closed"])
def test_a_leak_anywhere_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit would be worth nothing if it read the books."""
    claims = [{"instrument": {"bars": 48}}, {"instrument": {"kind": "liquidity_position"}, "units": 1.0}]
    future = {"instrument": {"kind": "future", "basis": 0.5}}
    rules = contract(claims=claims, hedges=[future, {}], closing="mark")
    made = task(rules, {"kind": "gbm", "settings": {"volatility": [1.0]}})
    if name == "carried":
        monkeypatch.setattr("envs.constant.Venue.quote", paying(made))
    assert soak.sound(soak.soaked(made, 2_000, 100, 3))
    monkeypatch.setattr(books, name, lost(getattr(books, name)))
    assert not soak.sound(soak.soaked(made, 2_000, 100, 3))


def paying(made: Task) -> Callable[..., Any]:
    """The quote of a calm venue, with funding of 30 % a year."""
    plain = type(made.market.settings).quote  # type: ignore[attr-defined]

    def quote(self: Any, spot: Tensor, *rest: Tensor) -> Any:
        found = plain(self, spot, *rest)
        return type(found)(**{**vars(found), "funding_rate": torch.full_like(spot, 30.0)})

    return quote


def test_a_price_or_a_number_that_goes_wrong_is_found() -> None:
    sound = {"conservation_error": 0.0, "least_price": 1.0, "not_finite": 0}
    assert soak.sound(sound)
    for name, value in (("conservation_error", 1e-3), ("least_price", 0.0), ("not_finite", 1)):
        assert not soak.sound({**sound, name: value})
    assert not soak.sound({**sound, "conservation_error": float("nan")})


def test_an_execution_without_a_formula_is_refused() -> None:
    rules = contract(hedges=[{"execution": {"gas": 1.0}}])
    with pytest.raises(soak.BadInput, match="extend its _cost"):
        soak.soaked(task(rules), 10, 10, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_ten_million_random_actions(name: str) -> None:
    found = soak.soaked(Task.load(name), 10_000_000 // len(NAMES), 4096, 4)
    assert soak.sound(found), found

"""What the card says a policy must not be used for is true of its task."""

from __future__ import annotations

import pytest

from envs.task import FOLDER, Task
from tests.train import support
from train import limits


def told(task: Task) -> str:
    return " ".join(limits.of(task))


def test_margin_is_told_as_it_is_modelled() -> None:
    assert "No margin call or liquidation of the hedger is modelled" in told(support.task())
    margined = support.task(margin={"mode": "cross", "collateral": [{"amount": 0.5}, {"amount": 0.25, "asset": 0}]})
    assert "cross margin with 0.75 × notional posted" in told(margined)


def test_orders_are_told_as_they_are_modelled() -> None:
    assert "Orders fill at once and whole" in told(support.task())
    slow = {"instrument": {"kind": "perpetual"}, "execution": {"rejection": 0.1, "latency_bars": 1}}
    assert "Orders may be rejected or delayed" in told(support.task(hedges=[slow]))
    partial = {"instrument": {"kind": "perpetual"}, "execution": {"participation": 0.5}}
    assert "Orders may be filled in part" in told(support.task(hedges=[partial]))


def test_the_market_is_told_as_it_is() -> None:
    assert "gbm market of the literature" in told(support.task())
    assert "implied volatility" not in told(support.task())
    calibrated = told(support.task(support.CALIBRATED))
    assert "No history of implied volatility" in calibrated
    assert "by strike and expiry would replace it" in calibrated
    assert "later history" in calibrated
    assert "later history" in told(Task.load("multi_asset"))


def test_a_measure_that_is_not_monotone_or_in_coin_is_owned_up_to() -> None:
    assert "monotone" not in told(support.task())
    assert "mean + 1.5 × standard deviation, is not monotone" in told(support.task(objective={"kind": "mean_std"}))
    assert "counted in the coin" in told(support.task(numeraire="coin"))


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.toml")))
def test_every_shipped_task_has_its_book_in_words(name: str) -> None:
    task = Task.load(name)
    assert task.about in limits.of(task)[0]
    assert all(line.endswith(".") for line in limits.of(task))

"""A recipe names its task in any of three ways, and a task moves to other calibrated markets whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.calibration import Calibration, read_toml, validated
from envs.task import DATA, FOLDER, Task
from envs.types import BadInput
from tests.train import support
from train import pipeline
from train.pipeline import Recipe

BTC, ETH = (Calibration.load(DATA / name) for name in ("btc_2017_2022.toml", "eth_2022_2024_btc_regimes.toml"))


def test_a_task_is_named_by_its_file_by_a_path_or_spelled_out() -> None:
    short = Task.load("short_straddle")
    path = FOLDER / "short_straddle.toml"
    assert Recipe().task == Task.load("short_call")
    for raw in ("short_straddle", str(path), read_toml(path)):
        assert validated(Recipe, {"task": raw}, "recipe").task == short


def test_an_unknown_task_is_bad_input_that_names_the_recipe() -> None:
    with pytest.raises(BadInput, match=r"mine\.toml: task: .*lunar.*short_call"):
        validated(Recipe, {"task": "lunar"}, "mine.toml")


def test_the_shipped_recipe_is_valid() -> None:
    path = Path(__file__).parents[2] / "configs" / "short_call.toml"
    assert validated(Recipe, read_toml(path), str(path)).task == Task.load("short_call")


def test_a_task_on_another_market_differs_in_it_alone() -> None:
    both = Task.load("multi_asset")
    moved = pipeline.on_markets(both, [ETH, BTC])
    assert moved.market.settings.assets == (ETH, BTC)  # type: ignore[attr-defined]
    assert pipeline.on_markets(moved, [BTC, ETH]) == both


def test_as_many_calibrations_as_assets() -> None:
    with pytest.raises(BadInput, match="takes 1 calibrations, 2 given"):
        pipeline.on_markets(Task.load("short_call"), [BTC, ETH])
    with pytest.raises(BadInput, match="takes 0 calibrations, 1 given"):
        pipeline.on_markets(support.task(), [BTC])

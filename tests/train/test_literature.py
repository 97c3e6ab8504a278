"""The literature's benchmark: its cases hang together, and the shipped policies are what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import literature
from benchmarks.literature import SHARE, Case
from train.learn import Settings

CASES = literature.cases()
FEW = {"price": 32_768, "money": 4096}  # paths; else 8,192: the premium's bands are nearly the optimum themselves
PAPERS = [name for name, case in CASES.items() if case.unit != SHARE]


@pytest.mark.parametrize("name", CASES)
def test_shipped_policies_were_learned_as_the_case_says(name: str) -> None:
    """On the case's own book, each with its own seed, and the ceiling by gradients alone."""
    case = CASES[name]
    policies = literature.shipped(case)
    assert [model.card.training.seed for model in policies.ppo] == list(case.seeds)
    for model in (*policies.ppo, policies.pathwise):
        assert model.card.task.contract.claims == case.task.contract.claims
        assert model.card.task.market == case.task.market


@pytest.mark.slow  # `test_the_goal_is_met` says more, of more paths
@pytest.mark.parametrize("name", PAPERS)
def test_shipped_policies_beat_every_tuned_hedge(name: str) -> None:
    """On few paths, paired: each seed's policy is better than the best tuned hedge, the whole interval on its side."""
    case = CASES[name]
    case = case.model_copy(update={"paths": FEW.get(case.unit, 8192)})
    found = literature.judged(case, literature.shipped(case))
    assert [row["seed"] for row in found["ppo"]["seeds"]] == list(case.seeds)
    assert found["ppo"]["value"] == max(row["value"] for row in found["ppo"]["seeds"])
    for row in found["ppo"]["seeds"]:
        assert row["less_best_band"]["high"] < 0


def test_training_tunes_once_for_all_seeds_and_the_ceiling(tmp_path: Path) -> None:
    small = {"paths": 64, "hedgers": 2, "minibatches": 2, "validation_paths": 64, "warm_up_paths": 64, "hidden": (8,)}
    case = CASES["cao_gbm_1m_daily"]
    recipe = case.recipe.model_copy(
        update={"learning": Settings(steps=5000, rollout=20, warm_up=0, **small), "tuning_paths": 512}
    )
    ceiling = Settings(warm_up=2, **small)
    case = case.model_copy(update={"recipe": recipe, "ceiling": ceiling, "seeds": (5, 6), "shipped": ("a", "b")})
    said: list[str] = []
    policies = literature.trained(case, tmp_path, said.append)
    found = literature.judged(case.model_copy(update={"paths": 256}), policies)
    assert len(said) == 3
    assert {model.card.task.contract.risk_aversion for model in (*policies.ppo, policies.pathwise)} == {
        policies.pathwise.card.opponents.tuned["Zakamouline"]
    }
    assert [row["seed"] for row in found["ppo"]["seeds"]] == [5, 6]
    assert [row["steps"] for row in found["ppo"]["seeds"]] == [5120, 5120]
    assert found["pathwise"]["steps"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_goal_is_met(name: str) -> None:
    threads = torch.get_num_threads()
    try:
        found = json.loads(literature.line(name, None))
    finally:
        torch.set_num_threads(threads)
    assert found["met"]


@pytest.mark.slow
def test_the_script_says_so() -> None:
    name = "no_transaction_band"
    command = [sys.executable, str(literature.ROOT / "benchmarks" / "literature.py"), "--shipped", "--case", name]
    lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    (found,) = map(json.loads, lines)
    assert {"case", "measure", "goal", "met", "delta", "classical", "pathwise", "ppo"} <= found.keys()
    assert found["case"] == name
    assert found["met"]


def _share(value: float, high: float) -> dict[str, Any]:
    return {"value": 1.0, "share": {"value": value}, "less_best_band": {"high": high}}


@pytest.mark.parametrize(
    ("rows", "met"),
    [
        ([_share(0.8, -1.0), _share(0.7, -0.1)], True),
        ([_share(0.8, -1.0), _share(0.69, -0.1)], False),
        ([_share(0.8, -1.0), _share(0.9, 0.1)], False),
    ],
)
def test_a_share_is_met_by_every_seed_and_beyond_doubt(rows: list[dict[str, Any]], met: bool) -> None:
    case = next(iter(CASES.values())).model_copy(update={"unit": SHARE, "goal": 0.7})
    assert literature.met(case, literature.worst(rows)) is met


@pytest.mark.parametrize(("value", "met"), [(1.0, True), (1.01, False)])
def test_a_value_is_met_by_the_worst_seed(value: float, met: bool) -> None:
    case = next(iter(CASES.values())).model_copy(update={"goal": 1.0})
    assert literature.met(case, literature.worst([{"value": 0.9}, {"value": value}])) is met


def test_a_case_without_folders_gets_those_of_its_name() -> None:
    raw = {"goal": 1.0, "unit": "price", "recipe": {}, "ceiling": {}, "seeds": [4, 7]}
    found = Case.model_validate(literature.spelled("no_transaction_band", raw))
    assert found.shipped == ("literature/no_transaction_band/ppo_4", "literature/no_transaction_band/ppo_7")
    assert found.task.id == "NoTransactionBand"

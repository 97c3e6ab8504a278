"""Small tasks to learn, judge and report on, and models of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from agents import card, register
from agents.learned import LOSS
from agents.network import ActorNetwork
from envs.task import Task
from train import limits, tune

CALIBRATED: dict[str, Any] = {"kind": "garch", "settings": {"assets": ["btc_2017_2022"]}}
BROWNIAN: dict[str, Any] = {
    "kind": "gbm",
    "settings": {"volatility": [0.6], "half_spread": 1e-4, "option_half_spread": 0.01},
}
WITH_OPTION: list[dict[str, Any]] = [
    {"instrument": {"kind": "option", "bars": 96}, "lot_fraction": 1e-2},
    {"instrument": {"kind": "perpetual"}},
]


def task(market: dict[str, Any] = BROWNIAN, objective: dict[str, Any] | None = None, **contract: Any) -> Task:
    """A call of two days sold, with `contract`'s settings in place of the defaults."""
    bars = contract.setdefault("bars", 48)
    claims = [{"instrument": {"kind": "option", "bars": bars}}]
    raw = {"id": "Test", "about": "a short call", "market": market, "contract": {"claims": claims, **contract}}
    return Task.model_validate(raw if objective is None else {**raw, "objective": objective})


def save_model(folder: Path, of: Task, seed: int = 7, sees_loss: bool = False, **described: Any) -> Path:
    """A small network with random weights for the task `of`, and its card with what is `described`."""
    tuned = {name: register.every()[name].start for name in tune.tunable(of.contract)}
    of = tune.adopted(of, tuned)
    observer = of.observer()
    names = (*observer.names, *([LOSS] if sees_loss else []))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ActorNetwork(len(names), (8,), "silu", of.actions)
    whole = {
        "name": "test",
        "features": names,
        "features_sha256": observer.sha256,
        "trained_range": dict.fromkeys(names, (-1.0, 1.0)),
        "hidden": (8,),
        "activation": "silu",
        "task": of,
        "opponents": {"tuned": tuned, "best": "fixed band", "seed": 3, "paths": 16},
        "training": {"seed": 4, "steps": 123456, "seconds": 1.5, "settings": {}},
        "limits": limits.of(of),
        "evaluation": {},
    }
    card.save(folder, network, {**whole, **described})
    return folder

"""PPO on a problem of a few decisions, against its exact optimum by dynamic programming."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from agents.base import Agent
from agents.classical.zakamouline import Zakamouline
from agents.learned import Learned, Untrained
from envs.seeding import generators
from envs.task import Task
from tests.reference.no_transaction_band import solve
from tests.train.test_learn import CPU
from train import cohort
from train.learn import Settings, learn

DECISIONS, WEEK, COST, VOLATILITY, AVERSION = 4, 168.0, 0.01, 0.3, 30.0
PATHS = 65_536
SETTINGS = Settings(
    steps=600_000,
    paths=256,
    hedgers=8,
    rollout=8,
    minibatches=8,
    learning_rate=5e-3,
    log_std=-1.5,
    gae_lambda=1.0,
    warm_up=0,
    hidden=(32, 32),
    validation_paths=4096,
    validations=3,
)


def task(risk_aversion: float) -> Task:
    """A call at the money for four weeks, hedged once a week at 1 % of every trade; action 0 at `risk_aversion`."""
    execution = {"tiers": [{"maker": COST, "taker": COST}], "impact": 0.0}
    contract = {
        "bars": DECISIONS,
        "decision_bars": 1,
        "bar_hours": WEEK,
        "closing": "mark",
        "risk_aversion": risk_aversion,
        "claims": [{"instrument": {"kind": "option", "bars": DECISIONS}}],
        "hedges": [{"instrument": {"kind": "spot"}, "lot_fraction": 0.0, "execution": execution}],
    }
    market = {"kind": "gbm", "settings": {"volatility": [VOLATILITY], "bar_hours": WEEK}}
    objective = {"kind": "entropic", "risk_aversion": AVERSION}
    raw = {"id": "Weekly", "about": "a test", "market": market, "contract": contract, "objective": objective}
    return Task.model_validate(raw)


def prices(of: Task, agents: list[Agent]) -> tuple[Tensor, Tensor]:
    """The premium (n,) that pays for each hedge, and numbers (PATHS, n) of which it is the mean, to first order."""
    (world,) = of.cohort(PATHS, len(agents), generators(9, 1)[0], PATHS)
    received = float(world.episode.book.claims[0, 0]) / of.contract.notional
    losses = cohort.run(iter([world]), agents).loss.double()
    values = [of.objective.transform(column, of.objective.dual(column)) for column in losses.T]
    return of.objective.value(losses.T) + received, torch.stack(values, 1) + received


def error(numbers: Tensor) -> float:
    """Standard error of their mean."""
    return float(numbers.std()) / PATHS**0.5


@pytest.mark.slow
def test_ppo_comes_near_the_optimum_from_far_away() -> None:
    """Nineteen twentieths of the way from an untuned band; to three standard errors, no worse than the best of its kind
    and not beyond the optimum.
    """
    far = task(20.0)
    network = learn(far, SETTINGS, 1, CPU).network
    rivals: list[Agent] = [Zakamouline(parameter) for parameter in (40.0, 60.0, 80.0, 110.0, 160.0, 240.0)]
    found, numbers = prices(far, [Untrained(), *rivals, Learned(network)])
    best = solve(AVERSION, COST, DECISIONS, WEEK / 8760, VOLATILITY, prices=401, holdings=201).price
    start, learned, rival = float(found[0]), float(found[-1]), int(found[1:-1].argmin()) + 1
    assert learned - best < 0.05 * (start - best)
    assert learned - float(found[rival]) < 3 * error(numbers[:, -1] - numbers[:, rival])
    assert best - learned < 3 * error(numbers[:, -1])

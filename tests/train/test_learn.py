"""Learning is repeatable, starts at action 0, and gains where there is something to gain."""

from __future__ import annotations

import pytest
import torch

from agents.network import ActorNetwork
from envs import simulated
from envs.calibration import Calibration
from envs.contract import Contract
from envs.objective import MeanShortfall
from envs.seeding import generators
from train import pathwise
from train.learn import Settings, Validator, learn, outlook

CALIBRATION = Calibration.load(simulated.SHIPPED_CALIBRATION)
CONTRACT = Contract(option_bars=48, risk_aversion=200.0, lot_fraction=0.0)  # far from tuned: much to gain
SMALL = Settings(
    steps=1024,
    paths=32,
    hedgers=4,
    rollout=4,
    minibatches=2,
    epochs=1,
    warm_up=2,
    warm_up_paths=64,
    validation_paths=64,
    validations=1,
)


def validator(paths: int, seed: int = 3) -> Validator:
    (generator,) = generators(seed, 1)
    return Validator(simulated.world(CALIBRATION, CONTRACT, MeanShortfall(), paths, 2, generator, controlled=True))


def blank() -> ActorNetwork:
    """Of action 0."""
    network = ActorNetwork(11, (16,), "silu", 2)
    last = network.layers[-1]
    for parameter in last.parameters():
        torch.nn.init.zeros_(parameter)
    return network


def test_one_seed_gives_one_policy_and_another_gives_another() -> None:
    device = torch.device("cpu")
    one, same, other = (learn(CALIBRATION, CONTRACT, MeanShortfall(), SMALL, seed, device) for seed in (5, 5, 6))
    weights = [torch.cat([p.flatten() for p in each.network.parameters()]) for each in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert one.steps >= SMALL.steps
    assert set(one.trained_range) == set(simulated.observer(CALIBRATION, CONTRACT, torch.float32, device).names)
    assert all(low < high for low, high in one.trained_range.values())


def test_action_0_gains_nothing_and_always_the_same_paths_judge() -> None:
    judge = validator(64)
    assert judge.improvement(blank()) == 0
    network = blank()
    torch.nn.init.constant_(network.layers[-1].bias, 0.3)
    first = judge.improvement(network)
    assert first == judge.improvement(network) != 0


def test_pathwise_gradients_gain() -> None:
    (generator,) = generators(11, 1)
    world = simulated.world(CALIBRATION, CONTRACT, MeanShortfall(), 512, 1, generator)
    torch.manual_seed(0)
    network = pathwise.warmed(world, blank(), iterations=40, learning_rate=1e-2)
    gains = torch.tensor([validator(2048, seed).improvement(network) for seed in range(4)])
    assert float(gains.mean()) < -4 * float(gains.std()) / 2  # four standard errors of four runs


def test_outlook_is_the_quantile_mean_and_deviation() -> None:
    losses = torch.linspace(0, 1, 1001)
    seen = outlook(MeanShortfall(level=0.9), losses)
    assert float(seen.dual) == pytest.approx(0.9, abs=0.002)
    assert seen.drift == pytest.approx(0.5, abs=1e-6)
    assert seen.spread == pytest.approx(float(losses.std()), rel=1e-6)

"""Learning is repeatable, starts at action 0, and gains where there is something to gain."""

from __future__ import annotations

import math

import pytest
import torch

from agents.learned import LOSS
from agents.network import ActorNetwork
from envs.objectives.mean_shortfall import MeanShortfall
from envs.objectives.mean_std import MeanStd
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from tests.train import support
from train import pathwise
from train.duals import outlook
from train.family import Family, members
from train.learn import Settings, learn, model_for
from train.validation import Validator

HEDGE = {"instrument": {"kind": "perpetual"}, "lot_fraction": 0.0}
TASK = support.task(risk_aversion=2000.0, hedges=[HEDGE])  # far from tuned: much to gain
CURVED = support.task(hedges=support.WITH_OPTION, greek_band=5.0)
CPU = torch.device("cpu")
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


def validator(paths: int, seed: int = 3, task: Task = TASK) -> Validator:
    (generator,) = generators(seed, 1)
    return Validator(task.world(paths, 2, generator, controlled=True))


def blank(task: Task = TASK) -> ActorNetwork:
    """Of action 0."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = ActorNetwork(len(task.observer().names), (16,), "silu", task.actions)
    for parameter in network.layers[-1].parameters():
        torch.nn.init.zeros_(parameter)
    return network


def weights(network: ActorNetwork) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in network.parameters()])


def test_one_seed_gives_one_policy_and_another_gives_another() -> None:
    one, same, other = (learn(TASK, SMALL, seed, CPU) for seed in (5, 5, 6))
    assert torch.equal(weights(one.network), weights(same.network))
    assert not torch.equal(weights(one.network), weights(other.network))
    assert one.steps >= SMALL.steps
    names = TASK.observer().names
    assert set(one.trained_range) == set(names)
    assert all(low <= high for low, high in one.trained_range.values())
    moving = {"delta", "gamma", "last_expiry", "hedge_less_centre", "half_width"}
    assert all(low < high for name, (low, high) in one.trained_range.items() if name in moving)


def test_a_policy_learns_from_its_loss_only_where_it_sees_it() -> None:
    found = learn(TASK, SMALL.model_copy(update={"sees_loss": True}), 5, CPU)
    assert tuple(found.trained_range) == (*TASK.observer().names, LOSS)
    assert found.network.features == len(found.trained_range)
    low, high = found.trained_range[LOSS]
    assert low < 0 < high
    assert learn(TASK, SMALL, 5, CPU).network.features == len(TASK.observer().names)


def test_a_blind_policy_is_deaf_to_what_it_does_not_see_and_to_nothing_else() -> None:
    hidden = ("forecast_over_implied", "vega")
    found = learn(TASK, SMALL.model_copy(update={"blind": hidden}), 5, CPU)
    heard = found.network.layers[0].weight.abs().amax(0) > 0
    names = TASK.observer().names
    assert [name for name, audible in zip(names, heard.tolist(), strict=True) if not audible] == sorted(
        hidden, key=names.index
    )
    with pytest.raises(BadInput, match="blind: no feature is named moon"):
        learn(TASK, SMALL.model_copy(update={"blind": ("moon",)}), 5, CPU)


def test_the_learning_rate_never_falls_below_0() -> None:
    """A rollout may end beyond the last step."""
    family = Family(members(TASK, 1, 4, 2, *generators(1, 1)))
    model = model_for(family, SMALL)
    assert model.lr_schedule(0.5) == pytest.approx(0.5 * SMALL.learning_rate)
    assert model.lr_schedule(-0.25) == 0


@pytest.mark.parametrize(
    "objective", [{"kind": "mean_std"}, {"kind": "entropic"}, {"kind": "clipped_mean_std"}, {"kind": "kolm_ritter"}]
)
def test_every_objective_is_learned_from(objective: dict[str, object]) -> None:
    """Duals of one number and of two, and rewards that do not telescope; options among the hedges."""
    task = support.task(objective=objective, hedges=support.WITH_OPTION)
    found = learn(task, SMALL, 1, CPU)
    assert weights(found.network).isfinite().all()
    assert found.history[-1].measure is None or math.isfinite(found.history[-1].measure)
    assert all(math.isfinite(end) for ends in found.trained_range.values() for end in ends)


def test_action_0_gains_nothing_and_always_the_same_paths_judge() -> None:
    judge = validator(64)
    assert judge.judged(blank()).improvement == 0
    network = blank()
    torch.nn.init.constant_(network.layers[-1].bias, 0.3)
    first = judge.judged(network)
    assert first == judge.judged(network)
    assert first.improvement != 0


def test_an_improvement_is_the_difference_of_the_measures() -> None:
    """To three standard errors of what the validator leaves out, which has mean zero."""
    judge, network, paths = validator(4096), blank(), 4096
    torch.nn.init.constant_(network.layers[-1].bias, 1.0)  # a wide band far from the centre
    found = judge.judged(network).improvement
    losses = judge.world.episode.loss
    value = judge.world.objective.transform(losses, judge.world.outlook.dual)
    difference = value[:, 1] - value[:, 0]
    error = float(difference.std()) / math.sqrt(paths)
    assert abs(found - float(difference.mean())) < 3 * error
    assert abs(found) > 6 * error


def test_pathwise_gradients_gain() -> None:
    (generator,) = generators(11, 1)
    network = pathwise.warmed([TASK.world(512, 1, generator)], blank(), iterations=25, learning_rate=2e-2)
    gains = torch.tensor([validator(2048, seed).judged(network).improvement for seed in range(4)])
    assert float(gains.mean()) < -4 * float(gains.std()) / 2  # four standard errors of four runs


def test_pathwise_gradients_reach_options_too() -> None:
    """From a band so wide that no option trades, on a book whose options are cheap to trade."""
    (generator,) = generators(12, 1)
    world = pathwise.divisible(CURVED).world(256, 1, generator)
    network = pathwise.warmed([world], blank(CURVED), iterations=2, learning_rate=1e-2)
    by_action = network.layers[-1].weight
    assert by_action.isfinite().all()
    assert (by_action.abs().amax(-1) > 0).all()


def test_a_divisible_task_differs_in_its_lots_alone() -> None:
    changed = pathwise.divisible(CURVED)
    assert [hedge.lot_fraction for hedge in changed.contract.hedges] == [0.0, 0.0]
    hedges = tuple(
        hedge.model_copy(update={"lot_fraction": before.lot_fraction})
        for hedge, before in zip(changed.contract.hedges, CURVED.contract.hedges, strict=True)
    )
    assert changed.contract.model_copy(update={"hedges": hedges}) == CURVED.contract


def test_outlook_is_the_quantile_mean_and_deviation() -> None:
    losses = torch.linspace(0, 1, 1001)
    seen = outlook(MeanShortfall(level=0.9), losses)
    assert float(seen.dual) == pytest.approx(0.9, abs=0.002)
    assert seen.drift == pytest.approx(0.5, abs=1e-6)
    assert seen.spread == pytest.approx(float(losses.std()), rel=1e-6)
    assert outlook(MeanStd(), losses).dual.shape == (2,)


def test_gradients_are_finite_once_claims_have_expired() -> None:
    """Nothing is left to hedge then: gamma is exactly 0, where a square root has no slope."""
    claims = [{"instrument": {"kind": "option", "bars": bars, "moneyness": [0.8, 1.2]}} for bars in (12, 24)]
    task = support.task(bars=48, claims=claims, hedges=support.WITH_OPTION)
    (generator,) = generators(13, 1)
    network = pathwise.warmed([pathwise.divisible(task).world(64, 1, generator)], blank(task), 2, 1e-2)
    assert weights(network).isfinite().all()

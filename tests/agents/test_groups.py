"""Groups of environments on one path: minibatches keep them whole, and the critic learns differences within them."""

from __future__ import annotations

import pytest
import torch

from agents.base import Diverged
from agents.ppo import TensorRolloutBuffer
from agents.vec_env import Step, TensorVecEnv
from tests.agents.support import OnePeriodHedge, filled, model, rollout


@pytest.mark.parametrize("batch_size", [1, 5, 8, None])
def test_minibatches_hold_every_group_once_and_whole(batch_size: int | None) -> None:
    buffer = filled(TensorRolloutBuffer, rollout(7, 6), 3, torch.zeros(6), torch.ones(6))
    buffer.returns = torch.arange(42.0).view(7, 6)
    batches = [batch.returns.long() for batch in buffer.get(batch_size)]
    assert {len(batch) for batch in batches} == {{1: 3, 5: 3, 8: 6, None: 42}[batch_size]}
    groups = torch.cat(batches).view(-1, 3)
    assert torch.equal(groups, groups[:, :1] + torch.arange(3))
    assert sorted(groups[:, 0].tolist()) == list(range(0, 42, 3))


def test_the_value_loss_counts_what_differs_within_a_group() -> None:
    learner = model()
    learner.rollout_buffer.group_size = 4
    values, returns = torch.randn(2, 12).unbind()
    error = (values - returns).view(3, 4)
    by_hand = sum(float((row - row.mean()).square().sum()) for row in error) / 12
    assert float(learner._value_loss(values, returns)) == pytest.approx(by_hand, rel=1e-5)
    shifted = returns + torch.randn(3).repeat_interleave(4)
    assert float(learner._value_loss(values, shifted)) == pytest.approx(by_hand, rel=1e-5)
    learner.rollout_buffer.group_size = 1
    assert float(learner._value_loss(values, returns)) == pytest.approx(float(error.square().mean()), rel=1e-5)


def test_a_group_size_that_does_not_divide_a_minibatch_trains() -> None:
    learner = model(TensorVecEnv(OnePeriodHedge(8, 3)), batch_size=64)
    learner.learn(8 * 24)
    assert learner._n_updates == 2


def test_a_reward_that_is_not_finite_ends_training() -> None:
    class Broken(OnePeriodHedge):
        def step(self, action: torch.Tensor) -> Step:
            found = super().step(action)
            return found._replace(reward=found.reward.index_fill(0, torch.tensor([3]), float("nan")))

    with pytest.raises(Diverged, match="loss is nan after 2 epochs: lower learning_rate, or mend the rewards"):
        model(TensorVecEnv(Broken(8, 4))).learn(1)

"""The rollout buffer and the pieces of PPO's loss against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from torch import Tensor

from agents.ppo import TensorRolloutBuffer, clipped_surrogate, standardised
from tests.agents.support import filled, rollout


def gae_by_hand(data: dict[str, Tensor], last: Tensor, dones: Tensor) -> np.ndarray:
    """GAE as its definition: the sum of (discount · λ)^k δ_{t+k} up to the episode's end."""
    steps, envs = data["reward"].shape
    advantages = np.zeros((steps, envs))
    for env in range(envs):
        for start in range(steps):
            weight = 1.0
            for row in range(start, steps):
                ended = bool(dones[env] if row == steps - 1 else data["episode_start"][row + 1, env])
                following = 0.0 if ended else float(last[env] if row == steps - 1 else data["value"][row + 1, env])
                delta = float(data["reward"][row, env]) + 0.97 * following - float(data["value"][row, env])
                advantages[start, env] += weight * delta
                weight *= 0.97 * 0.9
                if ended:
                    break
    return advantages


@pytest.mark.parametrize("group_size", [1, 2, 3, 6])
def test_gae_and_the_group_baseline_against_plain_loops(group_size: int) -> None:
    data, last, dones = (
        rollout(7, 6),
        torch.randn(6, generator=torch.Generator().manual_seed(2)),
        torch.arange(6) % 2 == 0,
    )
    buffer = filled(TensorRolloutBuffer, data, group_size, last, dones)
    plain = gae_by_hand(data, last, dones)
    expected = plain.copy()
    for row in range(7):
        for first in range(0, 6, group_size):
            members = slice(first, first + group_size)
            if group_size > 1:
                expected[row, members] -= plain[row, members].sum() / group_size
    np.testing.assert_allclose(buffer.advantages.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(buffer.returns.numpy(), plain + data["value"].numpy(), atol=1e-5)


def test_ungrouped_buffer_equals_sb3s_own() -> None:
    data, last, dones = rollout(7, 6), torch.randn(6), torch.arange(6) % 3 == 0
    ours = filled(TensorRolloutBuffer, data, 1, last, dones)
    arrays = {name: table if name in ("value", "log_prob") else table.numpy() for name, table in data.items()}
    theirs = filled(RolloutBuffer, arrays, 1, last, dones.numpy())
    for name in ("observations", "actions", "rewards", "values", "log_probs"):
        assert np.array_equal(getattr(ours, name).numpy(), getattr(theirs, name))
    for name in ("advantages", "returns"):
        np.testing.assert_allclose(getattr(ours, name).numpy(), getattr(theirs, name), atol=1e-5)


@pytest.mark.parametrize("batch_size", [5, 42, None])
def test_minibatches_hold_every_sample_once_and_whole(batch_size: int | None) -> None:
    data = rollout(7, 6)
    data["reward"] = torch.arange(42.0).view(7, 6)
    buffer = filled(TensorRolloutBuffer, data, 1, torch.zeros(6), torch.ones(6))
    buffer.returns = data["reward"].clone()
    batches = list(buffer.get(batch_size))
    assert [len(batch.returns) for batch in batches] == ([42] if batch_size in (42, None) else [5] * 8 + [2])
    order = torch.cat([batch.returns for batch in batches]).long()
    assert sorted(order.tolist()) == list(range(42))
    assert order.tolist() != list(range(42))
    for field, table in (
        ("observations", "obs"),
        ("actions", "action"),
        ("old_log_prob", "log_prob"),
        ("old_values", "value"),
    ):
        found = torch.cat([getattr(batch, field) for batch in batches])
        assert torch.equal(found, data[table].flatten(0, 1)[order])


def test_pieces_of_the_loss_against_plain_loops() -> None:
    log_ratio, advantages = torch.randn(50), torch.randn(50)
    terms = [
        min(np.exp(a) * b, np.clip(np.exp(a), 0.8, 1.2) * b)
        for a, b in zip(log_ratio.tolist(), advantages.tolist(), strict=True)
    ]
    assert clipped_surrogate(log_ratio, advantages, 0.2).item() == pytest.approx(np.mean(terms), rel=1e-5)
    scaled = (advantages.numpy() - advantages.numpy().mean()) / advantages.numpy().std(ddof=1)
    np.testing.assert_allclose(standardised(advantages).numpy(), scaled, rtol=1e-4, atol=1e-6)
    assert standardised(advantages[:1]) is not None
    assert torch.equal(standardised(advantages[:1]), advantages[:1])

"""Stable-Baselines3's PPO on tensors: neither a rollout nor an update leaves the device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.base import Diverged
from agents.vec_env import Infos, TensorVecEnv
from envs.types import BadInput

DIAGNOSTICS = ("policy_gradient_loss", "value_loss", "entropy_loss", "loss", "clip_fraction", "approx_kl")


class TensorRolloutBuffer(RolloutBuffer):
    """T steps of B environments as tensors (T, B, ...) on the device; G = `group_size` adjacent ones share a path."""

    group_size: int = 1
    observations: Tensor  # type: ignore[assignment]
    actions: Tensor  # type: ignore[assignment]
    rewards: Tensor  # type: ignore[assignment]
    returns: Tensor  # type: ignore[assignment]
    episode_starts: Tensor  # type: ignore[assignment]
    values: Tensor  # type: ignore[assignment]
    log_probs: Tensor  # type: ignore[assignment]
    advantages: Tensor  # type: ignore[assignment]

    def reset(self) -> None:
        """Make room for a rollout."""
        lead = (self.buffer_size, self.n_envs)
        dtype = torch.as_tensor(np.zeros(0, self.observation_space.dtype)).dtype
        self.observations = torch.zeros(*lead, *self.obs_shape, dtype=dtype, device=self.device)
        self.actions = torch.zeros(*lead, self.action_dim, device=self.device)
        for name in ("rewards", "returns", "episode_starts", "values", "log_probs", "advantages"):
            setattr(self, name, torch.zeros(lead, device=self.device))
        self.pos, self.full = 0, False

    def add(  # type: ignore[override]
        self, obs: Tensor, action: Tensor, reward: Tensor, episode_start: Tensor, value: Tensor, log_prob: Tensor
    ) -> None:
        """Copy one step of all environments: obs (B, ...), action (B, A), the others B numbers each."""
        row = self.pos
        self.observations[row] = obs.view_as(self.observations[row])
        self.actions[row] = action.view_as(self.actions[row])
        self.rewards[row] = reward
        self.episode_starts[row] = episode_start
        self.values[row] = value.flatten()
        self.log_probs[row] = log_prob.flatten()
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def compute_returns_and_advantage(self, last_values: Tensor, dones: Tensor) -> None:  # type: ignore[override]
        """Fill returns (T, B) by GAE, then advantages (T, B) less the mean of their group at each step.

        last_values (B,) is the value after the last step, dones (B,) whether the last step ended an episode.
        """
        alive = 1.0 - torch.cat([self.episode_starts[1:], dones.to(self.values).view(1, -1)])
        following = torch.cat([self.values[1:], last_values.view(1, -1)])
        self.advantages = self.rewards + self.gamma * alive * following - self.values
        decay = self.gamma * self.gae_lambda * alive
        for row in range(self.buffer_size - 2, -1, -1):
            self.advantages[row].addcmul_(decay[row], self.advantages[row + 1])
        self.returns = self.advantages + self.values
        if self.group_size > 1:
            self.advantages = self.less_group_mean(self.advantages)

    def less_group_mean(self, table: Tensor) -> Tensor:
        """Return the table (..., B) less the mean over each G adjacent columns."""
        grouped = table.reshape(-1, self.group_size)
        return (grouped - grouped.mean(1, keepdim=True)).view_as(table)

    def get(self, batch_size: int | None = None) -> Iterator[RolloutBufferSamples]:  # type: ignore[override]
        """Yield every sample once in minibatches of a fresh random order, those of a group next to each other."""
        assert self.full
        tables = (self.observations, self.actions, self.values, self.log_probs, self.advantages, self.returns)
        flat = [table.flatten(0, 1) for table in tables]
        order = torch.randperm(len(flat[0]) // self.group_size, device=self.device)
        size = len(order) if batch_size is None else max(1, batch_size // self.group_size)
        members = torch.arange(self.group_size, device=self.device)
        for groups in torch.split(order, size):
            chosen = (groups[:, None] * self.group_size + members).flatten()
            yield RolloutBufferSamples(*(table.index_select(0, chosen) for table in flat))


class TensorPPO(PPO):
    """PPO with SB3's constructor, callbacks, logging, save and load.

    The host reads the device once per rollout and once per update, with target_kl also after each epoch. That is on a
    `TensorVecEnv`; any other `VecEnv` or Gymnasium environment with one array of observations is converted at its
    boundary. The environment's attribute `group_size` (1 without it) sets the groups whose mean is subtracted from the
    advantages.
    """

    rollout_buffer: TensorRolloutBuffer

    def _setup_model(self) -> None:
        """Make the networks and a tensor buffer."""
        if isinstance(self.observation_space, spaces.Dict):
            raise BadInput("observation space is a Dict: wrap it in gymnasium.wrappers.FlattenObservation")
        self.rollout_buffer_class = TensorRolloutBuffer
        super()._setup_model()

    def _excluded_save_params(self) -> list[str]:
        """Name what stays out of a saved file, so that it opens on any device and as plain PPO."""
        return [*super()._excluded_save_params(), "rollout_buffer_class", "_last_obs", "_last_episode_starts"]

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer with n_rollout_steps of every environment; False if the callback stopped it."""
        assert isinstance(rollout_buffer, TensorRolloutBuffer)
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        rollout_buffer.group_size = _group_size(env)
        callback.on_rollout_start()
        for n_steps in range(n_rollout_steps):
            self._renew_noise(n_steps)
            obs_tensor, starts = self._tensor(self._last_obs), self._tensor(self._last_episode_starts)
            with torch.no_grad():
                actions, values, log_probs = self.policy(obs_tensor)
            new_obs, rewards, dones, infos = env.step(self._executable(actions, env))
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            earned = self._earned(env, rewards, dones, infos)
            rollout_buffer.add(obs_tensor, actions, earned, starts, values, log_probs)
            self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
        with torch.no_grad():
            last_values = self.policy.predict_values(self._tensor(new_obs))
        rollout_buffer.compute_returns_and_advantage(last_values, self._tensor(dones))
        self._log_episodes(env)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Update the policy from the buffer; target_kl is looked at after each epoch, other diagnostics at the end."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        clip = self._scheduled(self.clip_range)
        clip_values = None if self.clip_range_vf is None else self._scheduled(self.clip_range_vf)
        seen: list[Tensor] = []
        for _ in range(self.n_epochs):
            epoch = [self._descend(batch, clip, clip_values) for batch in self.rollout_buffer.get(self.batch_size)]
            seen.append(torch.stack(epoch).mean(0))
            self._n_updates += 1
            if self.target_kl is not None and seen[-1][-1].item() > 1.5 * self.target_kl:
                break
        self._log_update(torch.stack(seen), clip, clip_values)

    def _descend(self, batch: RolloutBufferSamples, clip: float, clip_values: float | None) -> Tensor:
        """Take one optimizer step on a minibatch; return its `DIAGNOSTICS` as one tensor."""
        if self.normalize_advantage:
            batch = batch._replace(advantages=standardised(batch.advantages))
        loss, diagnostics = self._loss(batch, clip, clip_values)
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        return diagnostics

    def _loss(self, batch: RolloutBufferSamples, clip: float, clip_values: float | None) -> tuple[Tensor, Tensor]:
        """Return the loss to descend and the minibatch's `DIAGNOSTICS`."""
        actions = batch.actions
        if isinstance(self.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, actions)
        log_ratio = log_prob - batch.old_log_prob
        surrogate = -clipped_surrogate(log_ratio, batch.advantages, clip)
        value_loss = self._value_loss(_near(values.flatten(), batch.old_values, clip_values), batch.returns)
        negative_entropy = log_prob.mean() if entropy is None else -entropy.mean()
        loss = surrogate + self.ent_coef * negative_entropy + self.vf_coef * value_loss
        with torch.no_grad():
            change = log_ratio.expm1()  # ratio − 1
            spread = ((change.abs() > clip).float().mean(), (change - log_ratio).mean())
        return loss, torch.stack([surrogate, value_loss, negative_entropy, loss, *spread]).detach()

    def _value_loss(self, values: Tensor, returns: Tensor) -> Tensor:
        """Return the mean squared error of values (N,), within groups where there are any.

        Advantages there are differences between members of a group, in which only differences of their values count;
        what the path does to all of them is noise that the critic need not fit.
        """
        error = values - returns
        if self.rollout_buffer.group_size > 1:
            error = self.rollout_buffer.less_group_mean(error)
        return error.square().mean()

    def _log_update(self, epochs: Tensor, clip: float, clip_values: float | None) -> None:
        """Record the diagnostics (epochs, len(DIAGNOSTICS)): means over all, approx_kl that of the last.

        Raises Diverged for a loss that is not finite.
        """
        buffer = self.rollout_buffer
        returns, values = buffer.returns, buffer.values
        if buffer.group_size > 1:
            returns, values = buffer.less_group_mean(returns), buffer.less_group_mean(values)
        explained = 1.0 - (returns - values).var() / returns.var()
        row, names = [*epochs.mean(0)[:-1], epochs[-1, -1], explained], [*DIAGNOSTICS, "explained_variance"]
        if hasattr(self.policy, "log_std"):
            row, names = [*row, self.policy.log_std.detach().exp().mean()], [*names, "std"]
        record = dict(zip(names, torch.stack(row).tolist(), strict=True))
        if not math.isfinite(loss := record["loss"]):
            raise Diverged(f"loss is {loss} after {self._n_updates} epochs: lower learning_rate, or mend the rewards")
        for name, value in record.items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", clip)
        if clip_values is not None:
            self.logger.record("train/clip_range_vf", clip_values)

    def _scheduled(self, schedule: Any) -> float:
        """Return a schedule's value now."""
        return float(schedule(self._current_progress_remaining))

    def _tensor(self, array: Any) -> Tensor:
        """Return an array or tensor as a tensor on the model's device."""
        return torch.as_tensor(array, device=self.device)

    def _renew_noise(self, step: int) -> None:
        """Draw gSDE's exploration matrix where it is due."""
        due = step == 0 or (self.sde_sample_freq > 0 and step % self.sde_sample_freq == 0)
        if self.use_sde and due:
            self.policy.reset_noise(self.n_envs)

    def _executable(self, actions: Tensor, env: VecEnv) -> Any:
        """Return the actions (B, A) as the environment takes them: a tensor world clips them itself."""
        if isinstance(env, TensorVecEnv):
            return actions
        array = actions.cpu().numpy()
        if not isinstance(self.action_space, spaces.Box):
            return array
        if self.policy.squash_output:
            return self.policy.unscale_action(array)
        return np.clip(array, self.action_space.low, self.action_space.high)

    def _earned(self, env: VecEnv, rewards: Any, dones: Any, infos: Infos) -> Tensor:
        """Return rewards (B,), plus the discounted value of the last observation where a time limit cut an episode."""
        earned = self._tensor(rewards).float()
        if isinstance(env, TensorVecEnv):
            return earned
        self._update_info_buffer(infos, dones)
        cut = [index for index in np.flatnonzero(dones) if _cut_by_time(infos[index])]
        if not cut:
            return earned
        terminal = np.stack([infos[index]["terminal_observation"] for index in cut])
        with torch.no_grad():
            values = self.policy.predict_values(self.policy.obs_to_tensor(terminal)[0])
        return earned.index_add(0, self._tensor(np.array(cut)), values.flatten(), alpha=self.gamma)

    def _log_episodes(self, env: VecEnv) -> None:
        """Log the means over the episodes that a tensor world finished since the last rollout."""
        summary = env.episode_summary() if isinstance(env, TensorVecEnv) else None
        if summary is not None:
            self.logger.record("rollout/ep_loss_mean", summary["loss"])
            cast(Any, self.ep_info_buffer).clear()
            cast(Any, self.ep_info_buffer).append(summary)


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Return PPO's objective: the mean over N of min(ratio · A, clip(ratio, 1 ± clip) · A)."""
    ratio = log_ratio.exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + clip) * advantages).mean()


def standardised(advantages: Tensor) -> Tensor:
    """Return advantages (N,) at mean 0 and standard deviation 1; a single one as it is."""
    if len(advantages) == 1:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def _near(values: Tensor, old: Tensor, clip: float | None) -> Tensor:
    """Return values (N,) held within clip of the old ones, or as they are without a clip."""
    return values if clip is None else old + (values - old).clamp(-clip, clip)


def _cut_by_time(info: dict[str, Any]) -> bool:
    return bool(info.get("TimeLimit.truncated", False)) and info.get("terminal_observation") is not None


def _group_size(env: VecEnv) -> int:
    """Return how many adjacent environments share a path: the environment's attribute, 1 without it."""
    size = int(getattr(env, "group_size", 1))
    if size < 1 or env.num_envs % size:
        raise BadInput(f"group_size {size} does not divide num_envs {env.num_envs}: make num_envs a multiple of it")
    return size

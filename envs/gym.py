"""Gymnasium's view of the hedging world: a vector environment, and its batch of one."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from envs import decision, simulated
from envs.calibration import Calibration
from envs.contract import Contract
from envs.hedging import HedgingWorld
from envs.objective import MeanShortfall
from envs.seeding import generators
from envs.types import BadInput

Array = NDArray[Any]


class HedgingVectorEnv(gymnasium.vector.VectorEnv[Array, Array, Array]):
    """Short calls hedged with a perpetual, many markets at once.

    ## Description
    A 30-day at-the-money call on one asset was sold at its mark; the perpetual hedges it until expiry. The market is
    the calibrated regime-switching GARCH with liquidation cascades.

    ## Action Space
    `Box(-1, 1, (2,))`: offset of the no-transaction band's centre, and log-stretch of its half-width, both in units
    of the tuned Zakamouline half-width (`envs/decision.py`). Action 0 is that classical hedge.

    ## Observation Space
    `Box(-inf, inf, (F,))`: the features named in `Observer.names`, then the loss so far and its excess over the dual,
    both over a usual premium, and the odds, from -1 to 1, of passing the dual.

    ## Rewards
    Falls of φ(loss so far) over a usual premium, φ(0) − φ(final loss) in all; `envs/objective.py` says which φ.

    ## Starting State
    A freshly sold option; the market's regime, variance and premium are drawn from their stationary law and the
    filters are warm.

    ## Episode End
    Terminates at expiry, after 180 decisions by default; nothing truncates. Autoreset happens in the same step; the
    last observation and info are in `infos["final_obs"]` and `infos["final_info"]`.

    ## Arguments
    `num_envs`; `hedgers`: so many adjacent environments share a market path; `calibration`, `contract`, `objective`:
    default to the shipped ones.

    ## Version History
    v0: first.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        num_envs: int = 1,
        hedgers: int = 1,
        calibration: Calibration | None = None,
        contract: Contract | None = None,
        objective: MeanShortfall | None = None,
    ) -> None:
        if num_envs < 1 or hedgers < 1 or num_envs % hedgers:
            raise BadInput(
                f"num_envs={num_envs} does not make whole groups of hedgers={hedgers}; give at least one group"
            )
        self.num_envs, self.hedgers = num_envs, hedgers
        self.calibration = calibration or Calibration.load(simulated.SHIPPED_CALIBRATION)
        self.contract = contract or Contract()
        self.objective = objective or MeanShortfall()
        self.world = self._seeded(int(np.random.SeedSequence().entropy))  # type: ignore[arg-type]
        self.single_observation_space = self.world.observation_space
        self.single_action_space = self.world.action_space
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """A seed starts the market afresh; without one it goes on, and new options are sold on it."""
        if seed is not None:
            self.world = self._seeded(seed)
        return self.world.reset(staggered=False).numpy(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        world = self.world
        action = torch.as_tensor(np.asarray(actions), dtype=torch.float32).view(world.paths, world.group_size, 2)
        reward, ended, loss = world.advance(decision.read(action, world.observation))
        terminated = ended[:, None].expand_as(loss).reshape(-1).numpy()
        infos: dict[str, Any] = {}
        if terminated.any():
            final = np.full(self.num_envs, None, dtype=object)
            rows = world.features().numpy()
            for index in np.flatnonzero(terminated):
                final[index] = rows[index]
            infos = {"final_obs": final, "_final_obs": terminated}
            infos["final_info"] = {"loss": loss.reshape(-1).numpy(), "_loss": terminated}
            infos["_final_info"] = terminated
            world.restart(ended)
        rewards = reward.reshape(-1).numpy().astype(np.float64)
        return world.features().numpy(), rewards, terminated, np.zeros_like(terminated), infos

    def _seeded(self, seed: int) -> HedgingWorld:
        (generator,) = generators(seed, 1)
        paths = self.num_envs // self.hedgers
        return simulated.world(self.calibration, self.contract, self.objective, paths, self.hedgers, generator)


class HedgingEnv(gymnasium.Env[Array, Array]):
    """One market of `HedgingVectorEnv`, whose docstring describes it; `**settings` are its keyword arguments."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, **settings: Any) -> None:
        self.batch = HedgingVectorEnv(num_envs=1, **settings)
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        observation, info = self.batch.reset(seed=seed, options=options)
        return observation[0], info

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        world = self.batch.world
        raw = torch.as_tensor(np.asarray(action), dtype=torch.float32).view(1, 1, 2)
        reward, ended, loss = world.advance(decision.read(raw, world.observation))
        return world.features()[0].numpy(), reward.item(), bool(ended[0]), False, {"loss": loss.item()}

"""Gymnasium's view of the hedging world: a vector environment, and its batch of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from envs import decision, picture
from envs.contract import Contract
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.objective import Objective
from envs.seeding import generators
from envs.task import MarketChoice, Task
from envs.types import BadInput

Array = NDArray[Any]
MEND = "bring the task's settings nearer to those of a real market"
RENDER_MODES = ["rgb_array"]
PICTURES_PER_SECOND = 10  # where they are shown as a film


class HedgingVectorEnv(gymnasium.vector.VectorEnv[Array, Array, Array]):
    """A book of claims hedged with perpetuals, futures, spot or options, many markets at once.

    ## Description
    The task's claims (`about` in its file of `envs/tasks/`, or `env.task.about`) are opened at their marks; the hedging
    instruments are traded at every decision until the episode ends. The market is the task's own.

    ## Action Space
    `Box(-1, 1, (2K,))`, K hedging instruments in the contract's order: for each the offset of its no-transaction band's
    centre, and the log-stretch of its half-width, both in units of the classical half-width (`envs/decision.py`).
    Action 0 is the tuned classical hedge.

    ## Observation Space
    `Box(-inf, inf, (F,))`: the features named in `env.world.observer.names`, then the loss so far and its excess over
    the dual, both over a usual premium, and the odds, from -1 to 1, of passing the dual.

    ## Rewards
    Falls of φ(loss so far) over a usual premium, φ(0) − φ(final loss) in all; the task's objective says which φ.

    ## Starting State
    Freshly opened claims and no hedges; the market's state is drawn from its stationary law, the filters are warm.

    ## Episode End
    Terminates after `contract.decisions` decisions, when the book's life is over; nothing truncates. A liquidated
    hedger stays, out of the market, until then. Autoreset happens in the same step; the last observation and info are
    in `infos["final_obs"]` and `infos["final_info"]`.

    ## Arguments
    `num_envs`; `task`: a name in `envs/tasks/` or a .toml file; `hedgers`: so many adjacent environments share a market
    path; `market`, `contract`, `objective`: in place of the task's own; `render_mode`: "rgb_array" draws the first
    environment's episode so far.

    ## Version History
    v0: first.
    """

    metadata = {  # noqa: RUF012 (Gymnasium's own form)
        "render_modes": RENDER_MODES,
        "render_fps": PICTURES_PER_SECOND,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        task: str | Path | Task = "short_call",
        hedgers: int = 1,
        market: MarketChoice | None = None,
        contract: Contract | None = None,
        objective: Objective | None = None,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1 or hedgers < 1 or num_envs % hedgers:
            raise BadInput(
                f"num_envs={num_envs} does not make whole groups of hedgers={hedgers}; give at least one group"
            )
        if render_mode not in (None, *RENDER_MODES):
            raise BadInput(f"render_mode={render_mode!r} is unknown; use one of {', '.join(RENDER_MODES)}")
        whole = task if isinstance(task, Task) else Task.load(task)
        given = {"market": market, "contract": contract, "objective": objective}
        self.task = whole.model_copy(update={name: part for name, part in given.items() if part is not None})
        self.num_envs, self.hedgers, self.render_mode = num_envs, hedgers, render_mode
        self.tape = picture.Tape()
        self.world = self._seeded(int(np.random.SeedSequence().entropy))  # type: ignore[arg-type]
        self.single_observation_space = self.world.observation_space
        self.single_action_space = self.world.action_space
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """A seed starts the market afresh; without one it goes on, and new claims are opened on it."""
        if seed is not None:
            self.world = self._seeded(seed)
        features = self.world.reset(staggered=False)
        _check_numbers("observation", features, self.num_envs, MEND)
        if self.render_mode is not None:
            self.tape.begin(self.world)
        return features.numpy(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        reward, ended, loss = self._advanced(actions)
        world = self.world
        terminated = ended[:, None].expand_as(loss).reshape(-1).numpy()
        infos: dict[str, Any] = {}
        if terminated.any():
            infos = self._final(terminated, loss)
            world.restart(ended)
            if self.render_mode is not None and terminated[0]:
                self.tape.begin(world)
        rewards = reward.reshape(-1).numpy().astype(np.float64)
        return world.features().numpy(), rewards, terminated, np.zeros_like(terminated), infos

    def render(self) -> tuple[Array, ...] | None:
        """The first environment's episode so far, (height, width, 3) uint8, as the one picture of a tuple."""
        if self.render_mode is None:
            return None
        if not self.tape.days:
            raise gymnasium.error.ResetNeeded("there is no episode to draw yet; call reset first")
        return (picture.drawn(self.tape, self.world),)

    def _advanced(self, actions: Array) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Raises BadInput for actions that are no numbers, or not as many as the environments take."""
        world = self.world
        raw = torch.as_tensor(np.asarray(actions), dtype=torch.float32)
        if raw.shape != self.action_space.shape:
            raise BadInput(f"actions are of shape {tuple(raw.shape)}; give them the shape {self.action_space.shape}")
        _check_numbers("action", raw, self.num_envs, "give numbers")
        band: Band = decision.read(raw.view(world.paths, world.group_size, -1), world.observation)
        if self.render_mode is not None:
            self.tape.decided(band)
        advanced = world.advance(band)
        _check_numbers("reward", advanced[0], self.num_envs, MEND)
        if self.render_mode is not None:
            self.tape.lived(world)
        return advanced

    def _final(self, terminated: Array, loss: torch.Tensor) -> dict[str, Any]:
        final = np.full(self.num_envs, None, dtype=object)
        rows = self.world.features().numpy()
        for index in np.flatnonzero(terminated):
            final[index] = rows[index]
        return {
            "final_obs": final,
            "_final_obs": terminated,
            "final_info": {"loss": loss.reshape(-1).numpy(), "_loss": terminated},
            "_final_info": terminated,
        }

    def _seeded(self, seed: int) -> HedgingWorld:
        (generator,) = generators(seed, 1)
        return self.task.world(self.num_envs // self.hedgers, self.hedgers, generator)


class HedgingEnv(gymnasium.Env[Array, Array]):
    """One market of `HedgingVectorEnv`, whose docstring describes it; `**settings` are its keyword arguments."""

    metadata = {"render_modes": RENDER_MODES, "render_fps": PICTURES_PER_SECOND}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        self.batch = HedgingVectorEnv(num_envs=1, render_mode=render_mode, **settings)
        self.render_mode = render_mode
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        observation, info = self.batch.reset(seed=seed, options=options)
        return observation[0], info

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        reward, ended, loss = self.batch._advanced(np.asarray(action)[None])
        return self.batch.world.features()[0].numpy(), reward.item(), bool(ended[0]), False, {"loss": loss.item()}

    def render(self) -> Array | None:
        """The episode so far, (height, width, 3) uint8."""
        frames = self.batch.render()
        return None if frames is None else frames[0]


def _check_numbers(what: str, values: torch.Tensor, count: int, mend: str) -> None:
    """Raises BadInput where one of the `values` of `count` environments is not finite."""
    wrong = ~values.reshape(count, -1).isfinite()
    if wrong.any():
        environment, place = wrong.nonzero()[0].tolist()
        value = float(values.reshape(count, -1)[environment, place])
        raise BadInput(f"{what} of environment {environment} is {value}; {mend}")

"""Learning a policy: PPO on the simulated market, its dual moved between rollouts.

Its progress validated on paths of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from agents.base import Agent
from agents.learned import Learned, Untrained
from agents.network import ActorNetwork
from agents.policy import BandActorCritic
from agents.ppo import TensorPPO
from agents.vec_env import TensorVecEnv
from envs.calibration import Positive, Section
from envs.hedging import HedgingWorld
from envs.objective import Objective
from envs.rewards import Outlook
from envs.seeding import generators
from envs.task import Task
from train import cohort, pathwise

MEMORY = 40_000  # finished episodes that make the outlook


class Settings(Section):
    """How PPO learns. The defaults are the ones that did best; docs/learning.md has what was tried."""

    steps: int = Field(default=4_000_000, gt=0)
    paths: int = Field(default=1024, gt=0)  # distinct market paths at a time
    hedgers: int = Field(default=8, gt=0)  # books on each path, whose mean advantage is the baseline
    rollout: int = Field(default=45, gt=0)  # decisions per rollout
    minibatches: int = Field(default=32, gt=0)
    epochs: int = Field(default=4, gt=0)
    learning_rate: Positive = 1e-4  # falls to 0
    log_std: float = -2.0  # at the start
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    warm_up: int = Field(default=40, ge=0)  # steps of pathwise gradients before PPO
    warm_up_paths: int = Field(default=2048, gt=0)
    warm_up_rate: Positive = 3e-3  # falls to 0
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "silu"
    validation_paths: int = Field(default=16384, gt=0)
    validations: int = Field(default=5, ge=1)  # times that the policy is validated


@dataclass(frozen=True)
class Progress:
    """Where learning stands."""

    warmed: int  # pathwise steps done
    steps: int  # decisions that PPO learned from
    measure: float | None  # of the explored episodes finished in the last rollout
    improvement: float | None  # validated measure of the policy less that of action 0, at the last validation


@dataclass(frozen=True)
class Learnt:
    network: ActorNetwork
    trained_range: dict[str, tuple[float, float]]
    steps: int
    seconds: float
    history: list[Progress]


def learn(
    task: Task,
    settings: Settings,
    seed: int,
    device: torch.device,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Learnt:
    """The policy of the best validation. One seed gives one policy on one device.

    Rewards that do not telescope are learned from as they are.
    """
    started = time.perf_counter()
    market, validation, warming, torch_seed = generators(seed, 4, device)
    torch.manual_seed(torch_seed.initial_seed())
    world = task.world(settings.paths, settings.hedgers, market, controlled=task.objective.telescopes)
    validator = Validator(task.world(settings.validation_paths, 2, validation, controlled=True))
    model = _ppo(world, settings)
    if settings.warm_up:
        _warmed(model, task, settings, warming, report)
    callback = Learning(world, validator, settings, report)
    model.learn(settings.steps, callback=callback)
    seconds = time.perf_counter() - started
    return Learnt(callback.best(model), callback.trained_range(), model.num_timesteps, seconds, callback.history)


class Validator:
    """The policy against action 0 on paths of their own, always the same, without the martingale part of the rewards.

    Without it a difference of a basis point shows on paths too few to show it in the losses themselves.
    """

    def __init__(self, world: HedgingWorld) -> None:
        """`world` holds two hedgers a path and is controlled."""
        self.world = world
        self.start = world.market.initial(world.paths)
        self.noise = world.generator.get_state()
        self._carried([Untrained(), Untrained()])
        world.outlook = outlook(world.objective, world.episode.loss[:, 0])

    def improvement(self, network: ActorNetwork) -> float:
        """Measure of the policy less that of action 0, per notional, at action 0's dual; negative is better."""
        earned = self._carried([Untrained(), Learned(network.to(self.world.device))])
        return float(earned[:, 0].mean() - earned[:, 1].mean()) * self.world.scale

    @torch.no_grad()
    def _carried(self, agents: Sequence[Agent]) -> Tensor:
        """Rewards (P, 2) that add up over whole episodes."""
        world = self.world
        world.generator.set_state(self.noise)
        world.begin(*self.start)
        earned = torch.zeros_like(world.episode.loss)
        for _ in range(world.contract.decisions):
            earned += world.advance(cohort.joint(world, agents))[0]
        return earned


def outlook(objective: Objective, losses: Tensor) -> Outlook:
    """What final `losses` (N,) say."""
    return Outlook(objective.dual(losses), float(losses.mean()), float(losses.std()))


class Learning(BaseCallback):
    """Between rollouts: the dual to that of late losses, the features' range, validation, progress."""

    def __init__(
        self, world: HedgingWorld, validator: Validator, settings: Settings, report: Callable[[Progress], None]
    ) -> None:
        super().__init__()
        self.world, self.validator, self.settings, self.report = world, validator, settings, report
        self.losses: list[Tensor] = []
        self.low = torch.full((world.actor_features,), float("inf"))
        self.high = -self.low
        self.history: list[Progress] = []
        self.found: tuple[float, ActorNetwork] | None = None

    def _on_step(self) -> bool:
        """Keep the losses of finished episodes."""
        terminated: Tensor = self.locals["dones"]
        if terminated.any():
            self.losses.append(self.world.last.loss[terminated])
        return True

    def _on_rollout_end(self) -> None:
        seen = self.locals["rollout_buffer"].observations[..., : self.world.actor_features].flatten(0, 1)
        self.low, self.high = torch.minimum(self.low, seen.amin(0)), torch.maximum(self.high, seen.amax(0))
        measure = self._outlook() if self.losses else None
        every = self.settings.steps / self.settings.validations
        due = self.num_timesteps // every > (self.history[-1].steps if self.history else 0) // every
        improvement = self._validated() if due else None
        self.history.append(Progress(self.settings.warm_up, self.num_timesteps, measure, improvement))
        self.report(self.history[-1])

    def best(self, model: TensorPPO) -> ActorNetwork:
        """The policy of the best validation, the last update's included."""
        self.model = model
        self._validated()
        assert self.found is not None
        return self.found[1]

    def trained_range(self) -> dict[str, tuple[float, float]]:
        bounds = zip(self.low.tolist(), self.high.tolist(), strict=True)
        return dict(zip(self.world.observer.names, bounds, strict=True))

    def _outlook(self) -> float:
        """Move the world's outlook to the late losses; their measure."""
        late = torch.cat(self.losses[::-1])[:MEMORY]
        while sum(map(len, self.losses[1:])) > MEMORY:
            self.losses.pop(0)
        self.world.outlook = outlook(self.world.objective, late)
        return float(self.world.objective.value(late))

    def _validated(self) -> float:
        policy = self.model.policy
        assert isinstance(policy, BandActorCritic)
        network = policy.actor_network()
        improvement = self.validator.improvement(network)
        if self.found is None or improvement < self.found[0]:
            self.found = (improvement, network)
        return improvement


def _warmed(
    model: TensorPPO, task: Task, settings: Settings, generator: torch.Generator, report: Callable[[Progress], None]
) -> None:
    """The actor after pathwise gradients."""
    world = pathwise.divisible(task).world(settings.warm_up_paths, 1, generator)
    policy = model.policy
    assert isinstance(policy, BandActorCritic)
    network = policy.actor_network().to(world.device)
    pathwise.warmed(
        world, network, settings.warm_up, settings.warm_up_rate, lambda done: report(Progress(done, 0, None, None))
    )
    policy.adopt(network)


def _ppo(world: HedgingWorld, settings: Settings) -> TensorPPO:
    batch = world.num_envs * settings.rollout // settings.minibatches
    return TensorPPO(
        BandActorCritic,
        TensorVecEnv(world),
        n_steps=settings.rollout,
        batch_size=batch,
        n_epochs=settings.epochs,
        gamma=1.0,
        gae_lambda=settings.gae_lambda,
        learning_rate=lambda left: settings.learning_rate * left,
        policy_kwargs={
            "actor_features": world.actor_features,
            "hidden": settings.hidden,
            "activation": settings.activation,
            "log_std_init": settings.log_std,
        },
        device=world.device,
    )

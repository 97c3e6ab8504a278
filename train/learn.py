"""Learning a policy: PPO on the simulated market, its dual moved between rollouts.

Its progress validated on paths of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from pydantic import Field, field_validator
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor, nn

from agents import register
from agents.base import Agent
from agents.learned import LOSS, Learned, Untrained
from agents.network import ActorNetwork
from agents.policy import BandActorCritic
from agents.ppo import TensorPPO
from agents.vec_env import TensorVecEnv
from envs.calibration import Positive, Section
from envs.hedging import HedgingWorld
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from train import cohort, imitation, pathwise
from train.duals import Late, outlook
from train.family import Family, members


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
    warm_up: int = Field(default=40, ge=0)  # episodes of the warm start before PPO
    warm_up_from: str = pathwise.NAME  # by gradients through the simulator, or the classical hedge that is imitated
    warm_up_paths: int = Field(default=2048, gt=0)
    warm_up_rate: Positive = 3e-3  # falls to 0
    members: int = Field(default=8, gt=0)  # worlds side by side that fill the ranges of the task's dials, if it has any
    blind: tuple[str, ...] = ()  # features that the actor does not see
    sees_loss: bool = False  # the actor sees the loss so far; such a policy is judged, not served
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "silu"
    validation_paths: int = Field(default=16384, gt=0)
    validations: int = Field(default=5, ge=1)  # times that the policy is validated

    @field_validator("warm_up_from")
    @classmethod
    def _known(cls, name: str) -> str:
        known = (pathwise.NAME, *register.every())
        if name not in known:
            raise ValueError(f"nothing is named {name!r}; use one of {', '.join(known)}")
        return name


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
    tuned: Mapping[str, float] | None = None,
) -> Learnt:
    """The policy of the best validation. One seed gives one policy on one device.

    Rewards that do not telescope are learned from as they are.
    """
    started = time.perf_counter()
    market, validation, warming, torch_seed = generators(seed, 4, device)
    torch.manual_seed(torch_seed.initial_seed())
    family = Family(members(task, settings.members, settings.paths, settings.hedgers, market))
    judges = [Validator(world) for world in members(task, settings.members, settings.validation_paths, 2, validation)]
    model = model_for(family, settings)
    if settings.warm_up:
        warmed(model, task, settings, warming, report, tuned or {})
    callback = Learning(family, judges, settings, report)
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


class Learning(BaseCallback):
    """Between rollouts: each world's dual to that of its late losses, the features' range, validation, progress."""

    def __init__(
        self, family: Family, judges: Sequence[Validator], settings: Settings, report: Callable[[Progress], None]
    ) -> None:
        super().__init__()
        self.judges, self.settings, self.report = judges, settings, report
        self.late = [Late(world) for world in family.worlds]
        self.names = (*family.names, *([LOSS] if settings.sees_loss else []))
        self.low = torch.full((len(self.names),), float("inf"))
        self.high = -self.low
        self.history: list[Progress] = []
        self.found: tuple[float, ActorNetwork] | None = None

    def _on_step(self) -> bool:
        for late in self.late:
            late.note()
        return True

    def _on_rollout_end(self) -> None:
        seen = self.locals["rollout_buffer"].observations[..., : len(self.names)].flatten(0, 1)
        self.low, self.high = torch.minimum(self.low, seen.amin(0)), torch.maximum(self.high, seen.amax(0))
        measures = [measure for late in self.late if (measure := late.settle()) is not None]
        every = self.settings.steps / self.settings.validations
        due = self.num_timesteps // every > (self.history[-1].steps if self.history else 0) // every
        improvement = self._validated() if due else None
        measure = sum(measures) / len(measures) if measures else None
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
        return dict(zip(self.names, bounds, strict=True))

    def _validated(self) -> float:
        policy = self.model.policy
        assert isinstance(policy, BandActorCritic)
        network = policy.actor_network()
        improvement = sum(judge.improvement(network) for judge in self.judges) / len(self.judges)
        if self.found is None or improvement < self.found[0]:
            self.found = (improvement, network)
        return improvement


def warmed(
    model: TensorPPO,
    task: Task,
    settings: Settings,
    generator: torch.Generator,
    report: Callable[[Progress], None] = lambda progress: None,
    tuned: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """The actor after pathwise gradients or imitation, of a hedge at its `tuned` parameter."""
    worlds = members(pathwise.divisible(task), settings.members, settings.warm_up_paths, 1, generator)
    policy = model.policy
    assert isinstance(policy, BandActorCritic)
    network = policy.actor_network().to(generator.device)
    _blinded(network.layers[0], worlds[0].observer.names, settings.blind)
    how = (settings.warm_up, settings.warm_up_rate, lambda done: report(Progress(done, 0, None, None)))
    if settings.warm_up_from == pathwise.NAME:
        pathwise.warmed(worlds, network, *how)
    else:
        imitation.cloned(worlds, network, register.made(settings.warm_up_from, tuned), *how)
    policy.adopt(network)


def _blinded(first: nn.Module, names: Sequence[str], blind: Sequence[str]) -> None:
    """The first layer of an actor deaf to the features `blind`: their weights are 0 and stay so."""
    if unknown := set(blind) - set(names):
        raise BadInput(f"blind: no feature is named {', '.join(sorted(unknown))}; the task has {', '.join(names)}")
    assert isinstance(first, nn.Linear)
    kept = torch.tensor([name not in blind for name in names] + [True] * (first.in_features - len(names)))
    heard = kept.to(first.weight)
    first.weight.data.mul_(heard)
    first.weight.register_hook(lambda gradient: gradient * heard)  # type: ignore[no-untyped-call]


def model_for(world: Family, settings: Settings) -> TensorPPO:
    """PPO on `world`, before anything is learned. Raises BadInput for an unknown feature in `settings.blind`."""
    model = TensorPPO(
        BandActorCritic,
        TensorVecEnv(world),
        n_steps=settings.rollout,
        batch_size=world.num_envs * settings.rollout // settings.minibatches,
        n_epochs=settings.epochs,
        gamma=1.0,
        gae_lambda=settings.gae_lambda,
        learning_rate=lambda left: (
            settings.learning_rate * max(0.0, left)
        ),  # the last rollout ends beyond the last step
        policy_kwargs={
            "actor_features": world.actor_features + settings.sees_loss,
            "hidden": settings.hidden,
            "activation": settings.activation,
            "log_std_init": settings.log_std,
        },
        device=world.device,
    )
    _blinded(model.policy.mlp_extractor.policy_net[0], world.names, settings.blind)
    return model

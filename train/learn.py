"""Learning a policy: PPO on the simulated market, its dual moved between rollouts.

Its progress validated on paths of its own. With a run it leaves checkpoints, and goes on from the last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from types import MappingProxyType
from typing import Any

import torch
from pydantic import Field, field_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor, nn

from agents import register
from agents.learned import LOSS
from agents.network import ActorNetwork
from agents.policy import BandActorCritic
from agents.ppo import TensorPPO
from agents.vec_env import TensorVecEnv
from envs.calibration import Positive, Section
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from train import imitation, pathwise, validation
from train.duals import Late
from train.family import Family, members
from train.keeping import Keeping
from train.run import Run
from train.validation import Validation, Validator
from train.watch import Watch


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
    warm_up_boundary: float = Field(default=0.0, ge=0)  # width of the kernel that counts liquidations; 0: none does
    members: int = Field(default=8, gt=0)  # worlds side by side that fill the ranges of the task's dials, if it has any
    blind: tuple[str, ...] = ()  # features that the actor does not see
    sees_loss: bool = False  # the actor sees the loss so far; such a policy is judged, not served
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "silu"
    validation_paths: int = Field(default=16384, gt=0)
    validations: int = Field(default=5, ge=1)  # times that the policy is validated
    patience: int | None = Field(default=None, ge=1)  # validations in a row without a better one that end learning

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
    validation: Validation | None  # where there was one


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
    run: Run | None = None,
) -> Learnt:
    """The policy of the best validation. One seed gives one policy on one device, in one process or several.

    Rewards that do not telescope are learned from as they are. Raises Diverged, one line.
    """
    began = time.perf_counter()
    saved = None if run is None else run.checkpoints.latest()
    market, judging, warming, torch_seed = generators(seed, 4, device)
    torch.manual_seed(torch_seed.initial_seed())
    family = Family(members(task, settings.members, settings.paths, settings.hedgers, market))
    judges = [Validator(world) for world in members(task, settings.members, settings.validation_paths, 2, judging)]
    model = model_for(family, settings)
    learning, watch = Learning(family, judges, settings, report, began), Watch()
    callbacks: list[BaseCallback] = [learning, watch]
    if run is not None:
        callbacks.append(keeping := Keeping(run, family.worlds, (learning, watch)))
    if saved is not None:
        keeping.restore(model, saved)
    elif settings.warm_up:
        warmed(model, task, settings, warming, report, tuned or {})
    with nullcontext() if run is None else run.logger(model.num_timesteps) as logger:
        if logger is not None:
            model.set_logger(logger)
        model.learn(settings.steps - model.num_timesteps, callbacks, reset_num_timesteps=saved is None)
    network = learning.best(model)
    return Learnt(network, learning.trained_range(), model.num_timesteps, learning.seconds, learning.history)


class Learning(BaseCallback):
    """Between rollouts: each world's dual to that of its late losses, the features' range, validation, progress."""

    def __init__(
        self,
        family: Family,
        judges: Sequence[Validator],
        settings: Settings,
        report: Callable[[Progress], None],
        began: float,
    ) -> None:
        """`began`: when, by `time.perf_counter`."""
        super().__init__()
        self.judges, self.settings, self.report, self.began = judges, settings, report, began
        self.late = [Late(world) for world in family.worlds]
        self.names = (*family.names, *([LOSS] if settings.sees_loss else []))
        self.low = torch.full((len(self.names),), float("inf"))
        self.high = -self.low
        self.history: list[Progress] = []
        self.found: tuple[float, dict[str, Tensor]] | None = None  # the best improvement, and its actor's weights

    @property
    def seconds(self) -> float:
        """That learning took, in all of its processes."""
        return time.perf_counter() - self.began

    def saved(self) -> dict[str, Any]:
        return {
            "late": [late.losses for late in self.late],
            "range": [self.low, self.high],
            "history": [astuple(each) for each in self.history],
            "found": self.found,
            "seconds": self.seconds,
        }

    def restore(self, tree: dict[str, Any]) -> None:
        for late, losses in zip(self.late, tree["late"], strict=True):
            late.losses = [each.to(late.world.device) for each in losses]
        self.low, self.high = (each.to(self.late[0].world.device) for each in tree["range"])
        self.history = [
            Progress(warmed, steps, measure, judged and Validation(*judged))
            for warmed, steps, measure, judged in tree["history"]
        ]
        self.found = None if tree["found"] is None else tuple(tree["found"])
        self.began -= tree["seconds"]

    def _on_step(self) -> bool:
        for late in self.late:
            late.note()
        return not self._exhausted()

    def _on_rollout_end(self) -> None:
        seen = self.locals["rollout_buffer"].observations[..., : len(self.names)].flatten(0, 1)
        self.low, self.high = torch.minimum(self.low, seen.amin(0)), torch.maximum(self.high, seen.amax(0))
        measures = [measure for late in self.late if (measure := late.settle()) is not None]
        every = self.settings.steps / self.settings.validations
        due = self.num_timesteps // every > (self.history[-1].steps if self.history else 0) // every
        judged = self._validated() if due else None
        measure = sum(measures) / len(measures) if measures else None
        self.history.append(Progress(self.settings.warm_up, self.num_timesteps, measure, judged))
        for name, value in {"measure": measure, **(judged._asdict() if judged else {})}.items():
            if value is not None:
                self.logger.record(f"policy/{name}", value)
        self.report(self.history[-1])

    def best(self, model: TensorPPO) -> ActorNetwork:
        """The policy of the best validation, the last update's included."""
        self.model = model
        self._validated()
        assert self.found is not None
        network = _policy(model).actor_network()
        network.load_state_dict(self.found[1])
        return network

    def trained_range(self) -> dict[str, tuple[float, float]]:
        bounds = zip(self.low.tolist(), self.high.tolist(), strict=True)
        return dict(zip(self.names, bounds, strict=True))

    def _exhausted(self) -> bool:
        """Whether the last `patience` validations brought nothing better."""
        if self.settings.patience is None:
            return False
        found = [each.validation.improvement for each in self.history if each.validation is not None]
        return bool(found) and len(found) - 1 - found.index(min(found)) >= self.settings.patience

    def _validated(self) -> Validation:
        network = _policy(self.model).actor_network()
        weights = network.state_dict()
        judged = validation.mean([judge.judged(network) for judge in self.judges])
        if self.found is None or judged.improvement < self.found[0]:
            self.found = (judged.improvement, weights)
        return judged


def _policy(model: BaseAlgorithm) -> BandActorCritic:
    assert isinstance(model.policy, BandActorCritic)
    return model.policy


def warmed(
    model: TensorPPO,
    task: Task,
    settings: Settings,
    generator: torch.Generator,
    report: Callable[[Progress], None] = lambda progress: None,
    tuned: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """The actor after pathwise gradients or imitation, of a hedge at its `tuned` parameter."""
    hedgers = 2 if settings.warm_up_boundary > 0 else 1
    worlds = members(pathwise.divisible(task), settings.members, settings.warm_up_paths, hedgers, generator)
    policy = _policy(model)
    network = policy.actor_network().to(generator.device)
    _blinded(network.layers[0], worlds[0].observer.names, settings.blind)
    how = (settings.warm_up, settings.warm_up_rate, lambda done: report(Progress(done, 0, None, None)))
    if settings.warm_up_from == pathwise.NAME:
        pathwise.warmed(worlds, network, *how, settings.warm_up_boundary)
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

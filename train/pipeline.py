"""From a task to a model folder: tune the opponents, learn, write the card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, field_validator
from rich.progress import Progress

from agents import card as cards
from agents.card import Model, Opponents
from envs.calibration import Calibration, Section, validated
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from train import learn, limits, tune
from train.learn import Learnt, Settings


class Recipe(Section):
    """Everything that a training run may set."""

    name: str | None = Field(default=None, min_length=1)  # of the policy; None: the task's id
    task: Task = Field(default="short_call", validate_default=True)
    learning: Settings = Settings()
    tuning_paths: int = Field(default=32768, gt=0)

    @field_validator("task", mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        """A task by the name of its file in `envs/tasks/`, by its path, or spelled out."""
        return Task.load(raw) if isinstance(raw, str) else raw


def on_markets(task: Task, calibrations: Sequence[Calibration]) -> Task:
    """The task on other calibrated markets, one per asset. Raises BadInput where its market takes another number."""
    settings = task.market.settings
    had = len(getattr(settings, "assets", ()))
    if had != len(calibrations):
        raise BadInput(f"task {task.id}: its market takes {had} calibrations, {len(calibrations)} given; give {had}")
    raw = {**dict(settings), "assets": tuple(calibrations)}
    market = task.market.model_copy(update={"settings": validated(type(settings), raw, f"task {task.id}: market")})
    return task.model_copy(update={"market": market})


def trained(
    out: Path,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    progress: Progress,
    opponents: Opponents | None = None,
) -> Model:
    """Tune, learn, save in `out`; the tuned classical hedge becomes action 0 and the policy's unit.

    `opponents` tuned for the same task before are taken as they are.
    """
    if opponents is None:
        opponents = _tuned(recipe, int(generators(seed, 4)[3].initial_seed() % 2**31), progress)
    task = tune.adopted(recipe.task, opponents.tuned)
    learnt = _learnt(task, recipe, opponents, seed, device, progress)
    cards.save(out, learnt.network, _card(task, recipe, opponents, learnt, seed))
    return cards.load(out)


def _tuned(recipe: Recipe, seed: int, progress: Progress) -> Opponents:
    total = len(tune.tunable(recipe.task.contract))
    bar = progress.add_task("tuning the classical hedges", total=total, note="")

    def report(name: str) -> None:
        progress.update(bar, advance=1, note=name)

    return tune.opponents(recipe.task, seed, recipe.tuning_paths, report)


def _learnt(
    task: Task, recipe: Recipe, opponents: Opponents, seed: int, device: torch.device, progress: Progress
) -> Learnt:
    bar = progress.add_task("learning", total=recipe.learning.steps, note="")

    def report(now: learn.Progress) -> None:
        progress.update(bar, completed=now.steps)
        if now.steps == 0:
            progress.update(bar, note=f"warm start, step {now.warmed} of {recipe.learning.warm_up}")
        if now.improvement is not None:
            progress.update(bar, note=f"validated: {1e4 * now.improvement:+.2f} bp against action 0")

    return learn.learn(task, recipe.learning, seed, device, report, opponents.tuned)


def _card(task: Task, recipe: Recipe, opponents: Opponents, learnt: Learnt, seed: int) -> dict[str, object]:
    observer = task.observer()
    return {
        "name": task.id if recipe.name is None else recipe.name,
        "features": tuple(learnt.trained_range),
        "features_sha256": observer.sha256,
        "trained_range": learnt.trained_range,
        "hidden": recipe.learning.hidden,
        "activation": recipe.learning.activation,
        "task": task,
        "opponents": opponents,
        "training": {
            "seed": seed,
            "steps": learnt.steps,
            "seconds": round(learnt.seconds, 1),
            "settings": recipe.learning.model_dump(mode="json"),
        },
        "limits": limits.of(task),
        "evaluation": {},
    }

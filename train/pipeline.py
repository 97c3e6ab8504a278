"""From a task to a model folder: tune the opponents, learn, write the card.

A run that was killed goes on from where it stood.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pydantic import Field, field_validator
from rich.progress import Progress

from agents import card as cards
from agents.card import Model, Opponents
from agents.network import ActorNetwork
from envs.calibration import Calibration, Section, validated
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from train import checkpoint, learn, limits, tune
from train import run as runs
from train.learn import Learnt, Settings
from train.run import Run
from train.validation import Validation


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
    every: float = runs.EVERY,
) -> Model:
    """Tune, learn, save in `out`; the tuned classical hedge becomes action 0 and the policy's unit.

    `opponents` tuned for the same task before are taken as they are. A checkpoint `every` seconds at most; a run begun
    in `out` with the same settings goes on, and a finished one is returned. Raises as `runs.opened`, and Diverged.
    """
    with runs.opened(out, settings(recipe, seed, device), every) as run:
        if not run.finished:
            opponents = _opponents(out, recipe, seed, progress) if opponents is None else opponents
            task = tune.adopted(recipe.task, opponents.tuned)
            learnt = _learnt(task, recipe, opponents, seed, device, progress, run)
            _saved(out, learnt.network, _card(task, recipe, opponents, learnt, seed))
            run.checkpoints.clear()
    return cards.load(out)


def settings(recipe: Recipe, seed: int, device: torch.device) -> dict[str, Any]:
    """All that a run's weights follow from, but versions; JSON."""
    where = {"device": device.type, "threads": torch.get_num_threads()}
    return {"recipe": recipe.model_dump(mode="json"), "seed": seed, **where}


def _opponents(out: Path, recipe: Recipe, seed: int, progress: Progress) -> Opponents:
    """Tuned, or as they were tuned before the run was killed."""
    path = out / runs.OPPONENTS
    if not path.is_file():
        found = _tuned(recipe, int(generators(seed, 4)[3].initial_seed() % 2**31), progress)
        checkpoint.atomic(path, found.model_dump_json(indent=1).encode())
    return validated(Opponents, json.loads(path.read_text(encoding="utf-8")), str(path))


def _saved(out: Path, network: ActorNetwork, card: dict[str, object]) -> None:
    """The model in `out`, the card last: where there is one it is whole."""
    with TemporaryDirectory(dir=out) as made:
        cards.save(Path(made), network, card)
        for name in (cards.WEIGHTS, cards.CARD):
            checkpoint.atomic(out / name, (Path(made) / name).read_bytes())


def _tuned(recipe: Recipe, seed: int, progress: Progress) -> Opponents:
    total = len(tune.tunable(recipe.task.contract))
    bar = progress.add_task("tuning the classical hedges", total=total, note="")

    def report(name: str) -> None:
        progress.update(bar, advance=1, note=name)

    return tune.opponents(recipe.task, seed, recipe.tuning_paths, report)


def _learnt(
    task: Task, recipe: Recipe, opponents: Opponents, seed: int, device: torch.device, progress: Progress, run: Run
) -> Learnt:
    bar = progress.add_task("learning", total=recipe.learning.steps, note="")
    told = ""

    def report(now: learn.Progress) -> None:
        nonlocal told
        if now.validation is not None:
            told = f"; {_words(now.validation)}"
        explored = "" if now.measure is None else f"exploring {100 * now.measure:.2f} %{told}"
        warming = f"warm start, step {now.warmed} of {recipe.learning.warm_up}"
        progress.update(bar, completed=now.steps, note=explored if now.steps else warming)

    return learn.learn(task, recipe.learning, seed, device, report, opponents.tuned, run)


def _words(judged: Validation) -> str:
    difference = f"{1e4 * judged.improvement:+.2f} bp against action 0"
    return f"Y {100 * judged.y:.2f} %, delta's {100 * judged.y_delta:.2f} %, {difference}"


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

"""A sweep: a grid of recipes, each searched a number of times, as one Optuna study that is its queue and its memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import Trial, TrialState
from pydantic import Field, field_validator, model_validator
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from envs.calibration import Section, read_toml, validated
from envs.task import Task
from envs.types import BadInput
from train.pipeline import Recipe
from train.run import difference

SETTINGS = "settings"  # the study's attribute
JUDGING = 2026  # seed of the paths that judge every policy

Scalar = str | bool | int | float


class Range(Section):
    """A number to search for."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not (0 if self.log else -float("inf")) < self.low < self.high:
            raise ValueError("needs low < high, and low > 0 where log = true")
        return self


class Sweep(Section):
    """What `rehedge sweep` reads. Names in `grid` and `search` are a recipe's settings with dots, or seed."""

    recipe: Recipe = Recipe()
    grid: dict[str, tuple[Scalar, ...]] = Field(default={})
    search: dict[str, Range] = Field(default={})
    trials: int = Field(default=1, gt=0)  # of each cell of the grid
    paths: int = Field(default=30_000, ge=1000)  # simulated, that judge a policy

    @field_validator("recipe", mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        return read_toml(Path(raw)) if isinstance(raw, str) else raw

    @model_validator(mode="after")
    def _sound(self) -> Sweep:
        if empty := [name for name, values in self.grid.items() if not values]:
            raise ValueError(f"grid: {empty[0]} has no values")
        if JUDGING in self.grid.get("seed", ()):
            raise ValueError(f"seed {JUDGING} draws the paths that judge; choose another")
        for cell in self.cells():
            self.at({**cell, **{name: each.low for name, each in self.search.items()}})
        return self

    @classmethod
    def load(cls, path: Path) -> Sweep:
        """Raises BadInput, one line; every cell's settings are looked at."""
        return validated(cls, read_toml(path), str(path))

    def cells(self) -> list[dict[str, Scalar]]:
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    def at(self, values: dict[str, Any]) -> tuple[Recipe, int]:
        """The recipe and seed there. Raises BadInput, one line."""
        chosen, raw = dict(values), self.recipe.model_dump(mode="json")
        seed = chosen.pop("seed", 0)
        if not isinstance(seed, int) or seed < 0:
            raise BadInput(f"seed {seed!r}: not a whole number from 0 on; correct it")
        if "task" in chosen:
            raw["task"] = Task.load(chosen.pop("task")).model_dump(mode="json")
        for name, value in chosen.items():
            *folders, last = name.split(".")
            place: Any = raw
            for folder in folders:
                place = place.get(folder) if isinstance(place, dict) else None
            if not isinstance(place, dict) or last not in place:
                raise BadInput(f"{name}: no setting of the recipe is named so; correct it")
            place[last] = value
        return validated(Recipe, raw, ", ".join(f"{name} = {value}" for name, value in values.items())), seed


@dataclass(frozen=True)
class Job:
    """One trial to carry out, in JSON."""

    number: int
    folder: str
    recipe: dict[str, Any]
    seed: int
    paths: int
    device: str


@dataclass
class Queue:
    """Hands out the study's trials and takes their results; for one thread at a time."""

    sweep: Sweep
    study: Study
    out: Path
    device: str = "cpu"
    report: Callable[[str], None] = lambda said: None
    asked: dict[int, Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Trials that a killed sweep left behind come first."""
        states = {state: self.study.get_trials(deepcopy=False, states=(state,)) for state in TrialState}
        self.left = [Trial(self.study, each._trial_id) for each in states[TrialState.RUNNING]]
        self.waiting = len(states[TrialState.WAITING])

    @property
    def count(self) -> int:
        """Trials still to be handed out."""
        return len(self.left) + self.waiting

    def next(self) -> Job | None:
        if self.count == 0:
            return None
        if self.left:
            trial = self.left.pop(0)
        else:
            trial, self.waiting = self.study.ask(), self.waiting - 1
        self.asked[trial.number] = trial
        recipe, seed = self.sweep.at({name: _suggested(trial, name, self.sweep) for name in _names(self.sweep)})
        folder = self.out.absolute() / "trials" / f"{trial.number:04}"
        raw = recipe.model_dump(mode="json")
        return Job(trial.number, str(folder), raw, seed, self.sweep.paths, self.device)

    def tell(self, number: int, result: dict[str, Any]) -> None:
        """`result`: what `train/trial.py` found, or {"failed": why}."""
        trial = self.asked.pop(number)
        for name, value in result.items():
            trial.set_user_attr(name, value)
        if "failed" in result:
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, result["value"])
        self.report(f"trial {number}: {result.get('failed', 'done')}")


def opened(sweep: Sweep, url: str, name: str) -> Study:
    """The study `name` at the SQLAlchemy `url`, every trial of the sweep in it.

    Raises BadInput, one line, where it cannot be reached, and where it has other settings.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool}),
            study_name=name,
            direction="minimize",
            sampler=optuna.samplers.TPESampler(seed=0),
            load_if_exists=True,
        )
    except (SQLAlchemyError, ImportError, RuntimeError) as error:
        raise BadInput(f"--study {url}: {str(error).splitlines()[0]}; give a database that can be written") from None
    wanted = json.loads(sweep.model_dump_json())
    had = study.user_attrs.get(SETTINGS)
    if had is None and study.trials:
        raise BadInput(f"study {name!r} at {url}: not of rehedge sweep; give another --name")
    if had is not None and (found := difference(had, wanted)):
        setting, old, new = found
        raise BadInput(f"study {name!r} exists with {setting} {old}, not {new}; give the same, or another --name")
    study.set_user_attr(SETTINGS, wanted)
    plan = [cell for cell in sweep.cells() for _ in range(sweep.trials)]
    for cell in plan[len(study.trials) :]:
        study.enqueue_trial(cell)
    return study


def _names(sweep: Sweep) -> list[str]:
    return [*sweep.grid, *sweep.search]


def _suggested(trial: Trial, name: str, sweep: Sweep) -> Any:
    if name in sweep.grid:
        return trial.suggest_categorical(name, sweep.grid[name])
    each = sweep.search[name]
    return trial.suggest_float(name, each.low, each.high, log=each.log)

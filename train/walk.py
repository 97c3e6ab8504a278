"""Walking forward: a policy a fold, calibrated and trained on the fold's past alone, judged on what follows it.

A folder keeps every finished stage, so that a walk which was stopped goes on where it stood.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.progress import Progress
from torch import Tensor

from agents.card import Model
from envs.calibration import Calibration
from envs.history import Bars
from envs.markets.garch import GarchMarket
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from train import calibrate, calibration_command, checkpoint, cohort, evaluate, history, pairs, pipeline
from train.cohort import Outcome
from train.evaluate import Judgement
from train.history import Past, Sources
from train.pipeline import Recipe
from train.statistics import Resampled

PLAN, TASK, MODEL, OUTCOME = "walk.json", "task.toml", "model", "outcome.safetensors"
BEST = "best tuned band"  # of each fold its own, as tuned on the fold's past

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Walk:
    """What is walked over: a fold ends its past at each of `edges` but the last, and is judged up to the next."""

    recipe: Recipe
    seed: int
    bars: tuple[Bars, ...]
    funding_rates: tuple[pd.Series[float] | None, ...]
    edges: tuple[pd.Timestamp, ...]

    @property
    def plan(self) -> dict[str, Any]:
        """What makes it this walk and no other."""
        rates = [None if each is None else [float(each.sum()), len(each)] for each in self.funding_rates]
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": self.seed,
            "bars": [each.sha256 for each in self.bars],
            "funding": rates,
            "edges": [edge.isoformat() for edge in self.edges],
        }


@dataclass(frozen=True)
class Fold:
    """One fold, judged."""

    until: pd.Timestamp  # the last bar of its past
    last: pd.Timestamp  # the last bar on which a judged window starts
    model: Model
    agents: tuple[str, ...]
    outcome: Outcome
    quarters: Tensor  # (P,) of the windows, as `history.world` counts them


def edges(first: pd.Timestamp, last: pd.Timestamp, folds: int) -> tuple[pd.Timestamp, ...]:
    """Ends of `folds` equal stretches from `first` to `last`, on whole days, and `first` before them."""
    days = (last - first) / pd.Timedelta(days=1)
    if days < folds:
        raise BadInput(f"no {folds} folds of a day or more from {first} to {last}; choose fewer, or other times")
    return tuple((first + pd.Timedelta(days=days * k / folds)).floor("D") for k in range(folds + 1))


def walked(out: Path, walk: Walk, device: torch.device, progress: Progress) -> list[Fold]:
    """Every fold, those that `out` holds as they are. Raises BadInput where another walk was begun there."""
    check(walk.recipe.task, len(walk.bars))
    _begun(out, walk)
    seeds = [int(each.initial_seed() % 2**31) for each in generators(walk.seed, len(walk.edges) - 1)]
    bar = progress.add_task("folds", total=len(seeds), note="")
    found = []
    for number, seed in enumerate(seeds, 1):
        found.append(_fold(out / f"fold_{number}", walk, number, seed, device, progress))
        progress.update(bar, advance=1, note=f"judged to {found[-1].last:%Y-%m-%d}")
    return found


def check(task: Task, assets: int) -> None:
    """Raises BadInput for a task whose market cannot be calibrated anew to each fold's past."""
    if not isinstance(task.market.settings, GarchMarket.Settings):
        raise BadInput(f"task {task.id}: a walk calibrates markets of kind garch, not {task.market.kind}")
    if (has := len(task.market.settings.assets)) != assets or assets > 2:
        raise BadInput(f"task {task.id}: its market has {has} assets, --data names {assets}; give one or two, as many")


def verdict(folds: Sequence[Fold], seed: int) -> Judgement:
    """One judgement over the windows of all folds; whole calendar quarters are resampled, across folds too.

    Beside the agents, each fold's own best tuned band stands as BEST.
    """
    outcome = cohort.joined([_with_best(fold) for fold in folds])
    resampled = Resampled(outcome.loss, generators(seed, 1)[0], torch.cat([fold.quarters for fold in folds]))
    names, card = (*folds[0].agents[:-1], BEST, folds[0].agents[-1]), folds[-1].model.card
    assets = " and ".join(each.source.asset for each in history.calibrated(card.task))
    where = f"{assets}, {folds[0].until:%Y-%m-%d} to {folds[-1].last:%Y-%m-%d}, walked forward in {len(folds)} folds"
    return evaluate.judged(where, card, names, outcome, resampled, BEST, notes=evaluate.notes(card))


def judgement(fold: Fold, seed: int) -> Judgement:
    """Of one fold alone."""
    resampled = Resampled(fold.outcome.loss, generators(seed, 1)[0], fold.quarters)
    where = f"{fold.until:%Y-%m-%d} to {fold.last:%Y-%m-%d}, by the policy of its past"
    card = fold.model.card
    return evaluate.judged(where, card, fold.agents, fold.outcome, resampled, notes=evaluate.notes(card))


def calibrated(task: Task, past: Past, tell: Tell) -> Task:
    """The task on markets fitted to the `past` alone; two assets share the first one's regimes, and a copula."""
    if len(past.bars) == 1:
        return pipeline.on_markets(task, [_fitted(past.bars[0], past.funding_rates[0], tell)])
    one, other = pairs.common((past.bars[0], past.bars[-1]), None, None)
    first = _fitted(one, past.funding_rates[0], tell)
    made = first, _fitted(other, past.funding_rates[-1], tell, first)
    copula = pairs.fitted(made, pairs.together((one, other)).to_numpy(), tell)
    found = pipeline.on_markets(task, made)
    settings = found.market.settings.model_copy(update={"correlation": ((1.0, copula), (copula, 1.0))})
    return found.model_copy(update={"market": found.market.model_copy(update={"settings": settings})})


def _fitted(bars: Bars, rates: pd.Series[float] | None, tell: Tell, like: Calibration | None = None) -> Calibration:
    first, last = (bars.frame.index[k].isoformat() for k in (0, -1))
    return calibrate.calibrate(bars, rates, first, last, tell, like)[0]


def _begun(out: Path, walk: Walk) -> None:
    path = out / PLAN
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        checkpoint.atomic(path, json.dumps(walk.plan, indent=1).encode())
    stored = json.loads(path.read_text(encoding="utf-8"))
    if other := [name for name, value in walk.plan.items() if stored.get(name) != json.loads(json.dumps(value))]:
        raise BadInput(f"{path}: another walk was begun here ({', '.join(other)} differ); choose another folder")


def _fold(out: Path, walk: Walk, number: int, seed: int, device: torch.device, progress: Progress) -> Fold:
    until, last = walk.edges[number - 1 : number + 1]
    out.mkdir(exist_ok=True)
    past = history.past(walk.bars, walk.funding_rates, until)
    recipe = walk.recipe.model_copy(update={"task": _task(out / TASK, walk.recipe.task, past, number, progress)})
    model = pipeline.trained(out / MODEL, recipe, seed, device, progress)
    if not (out / OUTCOME).is_file():
        checkpoint.write(out / OUTCOME, _judged(walk, model, until, last))
    tree = checkpoint.read(out / OUTCOME)
    return Fold(until, last, model, tuple(tree["agents"]), Outcome(**tree["outcome"]), tree["quarters"])


def _task(path: Path, task: Task, past: Past, number: int, progress: Progress) -> Task:
    """Calibrated to the past, or as it was before the walk was stopped."""
    if not path.is_file():
        bar = progress.add_task(f"fold {number}: calibrating", total=None, note="")
        found = calibrated(task, past, lambda stage: progress.update(bar, note=stage))
        checkpoint.atomic(path, calibration_command.as_toml(found).encode())
        progress.update(bar, total=1, completed=1)
    return Task.load(path)


def _judged(walk: Walk, model: Model, until: pd.Timestamp, last: pd.Timestamp) -> dict[str, Any]:
    """What became of every agent in the windows that start after `until`, up to `last`; the loader enforces it."""
    contract, calibrations = model.card.task.contract, history.calibrated(model.card.task)
    bar, life = (pd.Timedelta(hours=contract.bar_hours * bars) for bars in (1, contract.bars))
    sources = Sources(first=(until + bar).isoformat(), last=(last + life).isoformat())
    record = history.after(calibrations, walk.bars, walk.funding_rates, sources)
    agents = evaluate.roster(model)
    outcome, quarters = evaluate.carried(model, record, agents)
    return {"agents": [each.name for each in agents], "outcome": vars(outcome), "quarters": quarters}


def _with_best(fold: Fold) -> Outcome:
    """The outcome with the fold's best tuned band a second time, before PPO."""
    places = list(range(len(fold.agents)))
    places.insert(-1, fold.agents.index(fold.model.card.opponents.best))
    return Outcome(*(getattr(fold.outcome, f.name)[..., places] for f in fields(Outcome)))

"""The literature's tables and our own market's: PPO against the delta hedge, the best tuned classical one and the
pathwise ceiling, on the same fresh paths.

`literature.toml` has the cases. Prints one JSON object per case, a line each: how far each hedge gets, with its
standard error, in the case's unit; PPO's value is the worst of its seeds. Trains what it judges, or takes the policies
of `models/` with `--shipped`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from rich.progress import Progress
from torch import Tensor

from agents import card as cards
from agents import register
from agents.base import Agent
from agents.card import Model, Opponents
from agents.classical.delta import Delta
from agents.learned import Learned
from envs.calibration import Section, read_toml, validated
from envs.seeding import generators
from envs.task import Task
from train import cohort, pipeline
from train.influence import Estimate, Influences
from train.learn import Settings
from train.pipeline import Recipe

ROOT = Path(__file__).parents[1]
CASES = Path(__file__).with_suffix(".toml")
CONFIGS, MODELS = ROOT / "configs", ROOT / "models"
SEED = 20_261_121  # of the paths judged on
MONEY, PRICE, PREMIUM, SHARE = "money", "price", "premium", "share"
MEASURES = {
    MONEY: "{}, in money",
    PRICE: "premium to charge: {}",
    PREMIUM: "{}, in % of the premium",
    SHARE: "share of the pathwise gain over the best tuned band: {}",
}
NO_PPO = {"steps": 1, "learning_rate": 1e-12, "validations": 1}  # one rollout that shows the features' range


class Case(Section):
    """A row of the tables. `recipe` is a table, or the name of a file in `configs/`."""

    goal: float  # at most; for a share, at least
    unit: Literal["money", "price", "premium", "share"]
    recipe: Recipe
    ceiling: Settings  # of the warm start that is the pathwise ceiling
    seeds: tuple[int, ...] = Field(default=(1, 2, 3), min_length=1)
    shipped: tuple[str, ...]  # folders of `models/`, one per seed
    pathwise: str  # folder of `models/`
    paths: int = Field(default=102_400, gt=0)  # judged on

    @field_validator("recipe", mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        return read_toml(CONFIGS / f"{raw}.toml") if isinstance(raw, str) else raw

    @property
    def task(self) -> Task:
        return self.recipe.task


@dataclass(frozen=True)
class Policies:
    """What PPO learned with each seed, and what pathwise gradients did."""

    ppo: list[Model]
    pathwise: Model


def cases() -> dict[str, Case]:
    """By name. Raises BadInput, one line."""
    return {name: validated(Case, spelled(name, raw), f"{CASES}: {name}") for name, raw in read_toml(CASES).items()}


def spelled(name: str, raw: dict[str, Any]) -> dict[str, Any]:
    """`raw` with the folders and the task of a case that names none."""
    seeds = raw.get("seeds", Case.model_fields["seeds"].default)
    folders = {"shipped": [f"literature/{name}/ppo_{k}" for k in seeds], "pathwise": f"literature/{name}/pathwise"}
    found = {**folders, **raw}
    if isinstance(found["recipe"], dict):
        found["recipe"] = {"task": str(CONFIGS / "literature" / f"{name}.toml"), **found["recipe"]}
    return found


def shipped(case: Case) -> Policies:
    return Policies([cards.load(MODELS / each) for each in case.shipped], cards.load(MODELS / case.pathwise))


def trained(case: Case, out: Path, report: Callable[[str], None]) -> Policies:
    """Policies of every seed and the ceiling in folders of `out`, all in units tuned once."""

    def one(folder: str, recipe: Recipe, seed: int, opponents: Opponents | None) -> Model:
        found = pipeline.trained(out / folder, recipe, seed, torch.device("cpu"), Progress(disable=True), opponents)
        report(f"{folder}: learned in {found.card.training.seconds:.0f} s")
        return found

    ceiling = case.recipe.model_copy(update={"learning": case.ceiling.model_copy(update=NO_PPO)})
    pathwise = one(case.pathwise, ceiling, case.seeds[0], None)
    each = zip(case.shipped, case.seeds, strict=True)
    return Policies([one(folder, case.recipe, seed, pathwise.card.opponents) for folder, seed in each], pathwise)


def judged(case: Case, policies: Policies) -> dict[str, Any]:
    """The case's line: delta, the best tuned hedge, the ceiling and every seed's policy on the same paths."""
    opponents = policies.pathwise.card.opponents
    models = [policies.pathwise, *policies.ppo]
    hedgers: list[tuple[Task, Agent]] = [
        (policies.pathwise.card.task, Delta()),
        (policies.pathwise.card.task, register.made(opponents.best, opponents.tuned)),
        *((model.card.task, Learned(model.network)) for model in models),
    ]
    losses = _losses(hedgers, case.paths)
    influences = Influences(case.task.objective, losses)
    factor, shift = _unit(case)
    rows = [_row(influences, losses, j, factor, shift) for j in range(len(hedgers))]
    rows[0] |= {"seeds": [], "steps": 0, "seconds": 0.0}
    rows[1] |= {"name": opponents.best, "parameter": opponents.tuned[opponents.best]}
    rows[1] |= {"seeds": [opponents.seed], "steps": 0, "seconds": None}  # tuned in a time that nobody kept
    for row, model in zip(rows[2:], models, strict=True):
        row |= _effort(model)
    for j, row in enumerate(rows[3:], start=3):
        less, share = influences.difference(j, 1), influences.share(j, 1, 2)
        row |= {"less_best_band": _interval(less, factor), "share": _interval(share)}
    rows[2] |= {"seeds": [rows[2]["seed"]], "steps": rows[2]["warm_up"]}
    return {"delta": rows[0], "classical": rows[1], "pathwise": rows[2], "ppo": worst(rows[3:])}


def _losses(hedgers: Sequence[tuple[Task, Agent]], paths: int) -> Tensor:
    """(N, len(hedgers)) float64: those in units of their own in worlds of their own, all on the same paths."""
    columns: list[Tensor] = [torch.empty(0)] * len(hedgers)
    worlds: dict[str, tuple[Task, list[int]]] = {}
    for place, (task, _) in enumerate(hedgers):
        worlds.setdefault(task.model_dump_json(), (task, []))[1].append(place)
    for task, places in worlds.values():
        (generator,) = generators(SEED, 1)
        world = task.cohort(paths, len(places), generator, cohort.BLOCK)
        found = cohort.run(world, [hedgers[place][1] for place in places]).loss.double()
        for place, column in zip(places, found.unbind(-1), strict=True):
            columns[place] = column
    return torch.stack(columns, -1)


def _unit(case: Case) -> tuple[float, float]:
    """What a loss per notional is multiplied by, and what then is added, to say it in the case's unit."""
    (generator,) = generators(SEED, 1)
    world = case.task.world(1, 1, generator, dtype=torch.float64)
    world.reset(staggered=False)
    premium = float(world.episode.book.claims) / case.task.contract.notional
    factors = {MONEY: case.task.contract.notional, PRICE: 1.0, PREMIUM: 100 / premium, SHARE: 1e4}
    return factors[case.unit], premium if case.unit == PRICE else 0.0


def _row(influences: Influences, losses: Tensor, hedger: int, factor: float, shift: float) -> dict[str, Any]:
    found, own = influences.measure(hedger), losses[:, hedger]
    return {
        "value": _short(factor * found.value + shift),
        "se": _short(factor * found.se),
        "mean": _short(factor * float(own.mean()) + shift),
        "std": _short(factor * float(own.std())),
    }


def _effort(model: Model) -> dict[str, Any]:
    """What its training took: PPO's decisions, after `warm_up` pathwise gradients of so many paths each."""
    training = model.card.training
    started = {name: training.settings[name] for name in ("warm_up", "warm_up_paths")}
    return {"seed": training.seed, "steps": training.steps, "seconds": training.seconds, **started}


def _interval(estimate: Estimate, factor: float = 1.0) -> dict[str, float]:
    """Its 95 % interval."""
    return {name: _short(factor * getattr(estimate, name)) for name in ("value", "low", "high")}


def _short(number: float) -> float:
    return float(f"{number:.6g}")


def worst(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """PPO's row: that of its worst seed, and all of them."""
    return {**max(rows, key=lambda row: row["value"]), "seeds": rows}


def met(case: Case, ppo: dict[str, Any]) -> bool:
    """Whether the worst seed meets the goal; for a share, also the band beaten with the whole interval."""
    if case.unit != SHARE:
        return bool(ppo["value"] <= case.goal)
    each = ppo["seeds"]
    return all(row["share"]["value"] >= case.goal and row["less_best_band"]["high"] < 0 for row in each)


def line(name: str, out: Path | None) -> str:
    """A case's JSON, of policies trained into folders of `out`, or of the shipped ones where that is None."""
    torch.set_num_threads(1)
    case = cases()[name]
    policies = shipped(case) if out is None else trained(case, out, lambda folder: print(folder, file=sys.stderr))
    found = judged(case, policies)
    about = {"case": name, "measure": MEASURES[case.unit].format(case.task.objective.words), "goal": case.goal}
    return json.dumps({**about, "met": met(case, found["ppo"]), **found}, ensure_ascii=False)


def main() -> None:
    known = list(cases())
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--case", choices=known, help="one of them; all without it")
    parser.add_argument("--shipped", action="store_true", help="judge the policies of models/, train none")
    parser.add_argument("--out", type=Path, default=ROOT / "runs", help="where trained policies go")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time, each on one thread")
    asked = parser.parse_args()
    wanted = [asked.case] if asked.case else known
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        for found in pool.map(line, wanted, repeat(None if asked.shipped else asked.out)):
            print(found, flush=True)


if __name__ == "__main__":
    main()

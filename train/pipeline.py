"""From a calibrated market to a model folder: tune the opponents, learn, write the card."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from rich.progress import Progress

from agents import card as cards
from agents.card import Model, Opponents
from envs import simulated
from envs.calibration import Calibration, Section
from envs.contract import Contract
from envs.objective import MeanShortfall
from envs.seeding import generators
from train import learn, tune
from train.learn import Learnt, Settings

LIMITS = (
    "One short 30-day European call at a time, hedged with one linear perpetual; nothing else was trained or judged.",
    "No history of implied volatility was at hand: the marks are the filtered forecast times a constant premium. "
    "A recorded 30-day implied-volatility index would replace them.",
    "No margin call or liquidation of the hedger is modelled; orders fill at once at the modelled spread and impact.",
    "Trained on the simulated market alone: read what the evaluation says of later history before any use.",
    "Valid inside the trained range of each feature; outside it the live hedger falls back to the analytic band.",
)


class Recipe(Section):
    """Everything that a training run may set."""

    name: str = "short_call"
    contract: Contract = Contract()
    objective: MeanShortfall = MeanShortfall()
    learning: Settings = Settings()
    tuning_paths: int = Field(default=32768, gt=0)


def trained(
    out: Path, calibration: Calibration, recipe: Recipe, seed: int, device: torch.device, progress: Progress
) -> Model:
    """Tune, learn, save in `out`; the tuned Zakamouline risk aversion becomes the policy's unit."""
    tuning_seed = int(generators(seed, 4)[3].initial_seed() % 2**31)
    opponents = _tuned(calibration, recipe, tuning_seed, progress)
    contract = recipe.contract.model_copy(update={"risk_aversion": opponents.zakamouline})
    learnt = _learnt(calibration, contract, recipe, seed, device, progress)
    cards.save(out, learnt.network, _card(calibration, contract, recipe, opponents, learnt, seed))
    return cards.load(out)


def _tuned(calibration: Calibration, recipe: Recipe, seed: int, progress: Progress) -> Opponents:
    task = progress.add_task("tuning the classical hedges", total=len(tune.TUNABLE), note="")
    contract, objective = recipe.contract, recipe.objective

    def report(name: str) -> None:
        progress.update(task, advance=1, note=name)

    return tune.opponents(calibration, contract, objective, seed, recipe.tuning_paths, report)


def _learnt(
    calibration: Calibration, contract: Contract, recipe: Recipe, seed: int, device: torch.device, progress: Progress
) -> Learnt:
    task = progress.add_task("learning", total=recipe.learning.steps, note="")

    def report(now: learn.Progress) -> None:
        progress.update(task, completed=now.steps)
        if now.steps == 0:
            progress.update(task, note=f"warm start, step {now.warmed} of {recipe.learning.warm_up}")
        if now.improvement is not None:
            progress.update(task, note=f"validated: {1e4 * now.improvement:+.2f} bp against action 0")

    return learn.learn(calibration, contract, recipe.objective, recipe.learning, seed, device, report)


def _card(
    calibration: Calibration, contract: Contract, recipe: Recipe, opponents: Opponents, learnt: Learnt, seed: int
) -> dict[str, object]:
    observer = simulated.observer(calibration, contract, torch.float32, torch.device("cpu"))
    return {
        "name": recipe.name,
        "book": "one short 30-day at-the-money call, hedged with the perpetual",
        "features": observer.names,
        "features_sha256": observer.sha256,
        "trained_range": learnt.trained_range,
        "hidden": recipe.learning.hidden,
        "activation": recipe.learning.activation,
        "calibration": calibration,
        "contract": contract,
        "objective": recipe.objective,
        "opponents": opponents,
        "training": {
            "seed": seed,
            "steps": learnt.steps,
            "seconds": round(learnt.seconds, 1),
            "settings": recipe.learning.model_dump(mode="json"),
        },
        "limits": LIMITS,
        "evaluation": {},
    }

"""Every agent in every stress scenario of `train/scenarios/`: one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich import box
from rich.table import Table
from torch import Generator

from agents.base import Agent
from agents.card import Model
from envs import register
from envs.markets.garch import GarchMarket
from envs.seeding import generators
from envs.types import BadInput
from train import cohort, history, statistics
from train.scenario import Scenario, Start

FOLDER = "train.scenarios"
PATHS = 1024  # of a simulated scenario


@dataclass(frozen=True)
class Stressed:
    """What became of every agent in one scenario."""

    name: str
    about: str
    paths: int
    rows: dict[str, dict[str, float]]  # agent → measure, mean, …, liquidated

    def json(self) -> dict[str, object]:
        return {"about": self.about, "paths": self.paths, "agents": self.rows}


def every() -> dict[str, type[Scenario]]:
    """By name, in the order of their files."""
    found = [one for kind in register.kinds(FOLDER) for one in register.classes(FOLDER, kind)]
    return {one.name: one for one in found if issubclass(one, Scenario)}


def on_scenarios(
    model: Model,
    agents: Sequence[Agent],
    seed: int,
    paths: int = PATHS,
    progress: Callable[[str], None] = lambda name: None,
) -> list[Stressed]:
    """Every scenario, from the same starts. Raises BadInput for a model of a market that was calibrated on nothing."""
    opening, *sources = generators(seed, 1 + len(every()))
    start = started(model, paths, opening)
    found = []
    for scenario, generator in zip(every().values(), sources, strict=True):
        progress(scenario.name)
        found.append(_stressed(model, scenario(), start, agents, generator))
    return found


def started(model: Model, paths: int, generator: Generator) -> Start:
    """Stationary states of the market that the model was calibrated to, whatever it was trained on."""
    task, calibrations = model.card.task, history.calibrated(model.card.task)
    if not calibrations:
        raise BadInput(f"{model.folder}: its market was calibrated on nothing; stress needs a calibrated one")
    settings = task.market.settings
    if not isinstance(settings, GarchMarket.Settings):
        settings = GarchMarket.Settings(assets=calibrations)
    market = GarchMarket(settings, task.contract.horizon, generator, torch.float32, generator.device)
    return Start(task, market, *market.initial(paths))


def _stressed(
    model: Model, scenario: Scenario, start: Start, agents: Sequence[Agent], generator: Generator
) -> Stressed:
    world = scenario.world(start, len(agents), generator)
    outcome = cohort.run(iter([world]), agents)
    losses, objective = outcome.loss.double(), model.card.task.objective
    rows = {
        agent.name: {
            "measure": float(objective.value(losses[:, j])),
            **statistics.summary(losses[:, j]),
            "liquidated": float(outcome.liquidated[j]),
        }
        for j, agent in enumerate(agents)
    }
    return Stressed(scenario.name, scenario.about, world.paths, rows)


def table(found: Sequence[Stressed]) -> Table:
    """The trained measure of every agent, a column each, in every scenario."""
    shown = Table(title="Stress: trained measure, bp of notional", title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    shown.add_column("scenario", no_wrap=True)
    for name in found[0].rows:
        shown.add_column(f" {name}", justify="right", overflow="fold")
    for one in found:
        shown.add_row(one.name, *(f"{1e4 * row['measure']:,.0f}" for row in one.rows.values()))
    return shown

"""Tuning the classical hedges: an untuned opponent is no opponent.

One routine for every hedge with one positive parameter left to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from agents.banded_greeks import BandedGreeks
from agents.base import Agent
from agents.card import Opponents
from agents.fixed_band import FixedBand
from agents.greek_band import GreekBand
from agents.whalley_wilmott import WhalleyWilmott
from agents.zakamouline import Zakamouline
from envs.contract import Contract
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from train import cohort

COARSE, FINE = 3.0, 1.45  # ratios between neighbours of the two grids
WIDTH = 3  # neighbours on either side
GROWTHS = 6  # times that a grid may move on to hold its optimum
NEGLIGIBLE = 1e-6  # of the notional: what a coarse step at a grid's edge must gain for the grid to move
STARTS = {  # name → where the search begins
    Zakamouline.name: 20.0,
    WhalleyWilmott.name: 100.0,
    FixedBand.name: 0.05,
    GreekBand.name: 0.5,
    BandedGreeks.name: 0.5,
}
OPTIONS_ONLY = (GreekBand.name, BandedGreeks.name)

Make = Callable[[float], Agent]
Score = Callable[[Sequence[Agent]], list[float]]


def tunable(contract: Contract) -> list[str]:
    """Names of the hedges that suit the contract's instruments, in the order of tuning."""
    linear = all(hedge.instrument.linear for hedge in contract.hedges)
    return [name for name in STARTS if not (linear and name in OPTIONS_ONLY)]


def made(name: str, tuned: Mapping[str, float]) -> Agent:
    """The hedge `name` at its parameter in `tuned`."""
    return _maker(name, tuned)(tuned[name])


def best_parameter(make: Make, start: float, score: Score) -> tuple[float, float]:
    """The parameter of the least score, and that score: a geometric grid moved until its optimum is inside, then
    refined.

    An optimum at the edge will do where the last step to it gains next to nothing. Raises BadInput if the optimum is
    still at the edge after GROWTHS grids.
    """
    first = start
    for _ in range(GROWTHS):
        grid, scores = _scored(make, start, COARSE, score)
        place = _least(scores)
        inner = min(max(place, 1), 2 * WIDTH - 1)
        if scores[inner] - scores[place] < NEGLIGIBLE:
            grid, scores = _scored(make, grid[place], FINE, score)
            place = _least(scores)
            return grid[place], scores[place]
        start = grid[place]
    name = make(start).name
    raise BadInput(
        f"no optimum of {name} from {first:g} to {start:g}; raise tuning_paths, few paths leave it to chance"
    )


def opponents(task: Task, seed: int, paths: int, progress: Callable[[str], None] = lambda name: None) -> Opponents:
    """Every classical hedge tuned by the task's measure on the same simulated paths, drawn from `seed` alone."""

    def score(agents: Sequence[Agent]) -> list[float]:
        (generator,) = generators(seed, 1)
        losses = cohort.run(task.cohort(paths, len(agents), generator, cohort.BLOCK), agents).loss.double()
        return [float(value) for value in task.objective.value(losses.T)]

    tuned: dict[str, float] = {}
    scores: dict[str, float] = {}
    for name in tunable(task.contract):
        tuned[name], scores[name] = best_parameter(_maker(name, tuned), STARTS[name], score)
        progress(name)
    return Opponents(tuned=tuned, best=min(scores, key=scores.__getitem__), seed=seed, paths=paths)


def adopted(task: Task, tuned: Mapping[str, float]) -> Task:
    """The task with action 0 at the `tuned` parameters."""
    own = {"risk_aversion": tuned[Zakamouline.name]}
    if BandedGreeks.name in tuned:
        own["greek_band"] = tuned[BandedGreeks.name]
    return task.model_copy(update={"contract": task.contract.model_copy(update=own)})


def _maker(name: str, tuned: Mapping[str, float]) -> Make:
    if name == BandedGreeks.name:
        return partial(BandedGreeks, tuned[Zakamouline.name])
    makers: dict[str, Make] = {each.name: each for each in (Zakamouline, WhalleyWilmott, FixedBand, GreekBand)}
    return makers[name]


def _scored(make: Make, centre: float, ratio: float, score: Score) -> tuple[list[float], list[float]]:
    """The grid around `centre` and its scores."""
    grid = [centre * ratio**k for k in range(-WIDTH, WIDTH + 1)]
    return grid, score([make(parameter) for parameter in grid])


def _least(scores: Sequence[float]) -> int:
    """Place of the least score; of equal ones, the nearest to the middle."""
    return min(range(len(scores)), key=lambda place: (scores[place], abs(place - WIDTH)))

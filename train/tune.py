"""Tuning the classical hedges: an untuned opponent is no opponent.

One routine for every hedge with one positive parameter left to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence

from agents import register
from agents.base import Agent
from agents.card import Opponents
from agents.classical.banded_greeks import BandedGreeks
from agents.classical.zakamouline import Zakamouline
from envs.contract import Contract
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from train import cohort

COARSE, FINE = 3.0, 1.45  # ratios between neighbours of the two grids
WIDTH = 3  # neighbours on either side
GROWTHS = 6  # times that a grid may move on to hold its optimum
NEGLIGIBLE = 1e-6  # of the notional: what a coarse step at a grid's edge must gain for the grid to move

Make = Callable[[float], Agent]
Score = Callable[[Sequence[Agent]], list[float]]
Search = Generator[list[float], list[float], tuple[float, float]]


def tunable(contract: Contract) -> list[str]:
    """Names of the hedges with a parameter that suit the contract's instruments, in the order of tuning."""
    return [one.name for one in register.suiting(contract) if one.start is not None]


def best_parameters(
    families: Mapping[str, tuple[Make, float]], score: Score, settled: Callable[[str], None] = lambda name: None
) -> dict[str, tuple[float, float]]:
    """Of each family, made from its parameter and searched from its start: the parameter of the least score, and that.

    Grids of all families are scored together: many agents on one market cost little more than one. Raises as `search`.
    """
    searches = {name: search(name, start) for name, (_, start) in families.items()}
    grids = {name: next(one) for name, one in searches.items()}
    found: dict[str, tuple[float, float]] = {}
    while grids:
        scores = iter(score([families[name][0](parameter) for name, grid in grids.items() for parameter in grid]))
        for name, grid in list(grids.items()):
            try:
                grids[name] = searches[name].send([next(scores) for _ in grid])
            except StopIteration as end:
                found[name] = end.value
                del grids[name]
                settled(name)
    return found


def search(name: str, start: float) -> Search:
    """Yields grids and is sent their scores; ends with the parameter of the least score, and that score.

    A geometric grid is moved until its optimum is inside, then refined. An optimum at the edge will do where the last
    step to it gains next to nothing. Raises BadInput if the optimum is still at the edge after GROWTHS grids.
    """
    centre = start
    for _ in range(GROWTHS):
        grid = _grid(centre, COARSE)
        scores = yield grid
        place = _least(scores)
        inner = min(max(place, 1), 2 * WIDTH - 1)
        if scores[inner] - scores[place] < NEGLIGIBLE:
            grid = _grid(grid[place], FINE)
            scores = yield grid
            place = _least(scores)
            return grid[place], scores[place]
        centre = grid[place]
    raise BadInput(
        f"no optimum of {name} from {start:g} to {centre:g}; raise tuning_paths, few paths leave it to chance"
    )


def opponents(task: Task, seed: int, paths: int, progress: Callable[[str], None] = lambda name: None) -> Opponents:
    """Every classical hedge tuned by the task's measure on the same simulated paths, drawn from `seed` alone."""

    def score(agents: Sequence[Agent]) -> list[float]:
        (generator,) = generators(seed, 1)
        losses = cohort.run(task.cohort(paths, len(agents), generator, cohort.BLOCK), agents).loss.double()
        return [float(value) for value in task.objective.value(losses.T)]

    known, names = register.every(), tunable(task.contract)
    tuned: dict[str, float] = {}
    scores: dict[str, float] = {}
    for waits in (False, True):
        some = {name: _family(name, tuned) for name in names if (known[name].after is not None) is waits}
        found = best_parameters(some, score, progress)
        tuned |= {name: found[name][0] for name in some}
        scores |= {name: found[name][1] for name in some}
    return Opponents(tuned=tuned, best=min(scores, key=scores.__getitem__), seed=seed, paths=paths)


def adopted(task: Task, tuned: Mapping[str, float]) -> Task:
    """The task with action 0 at the `tuned` parameters."""
    own = {"risk_aversion": tuned[Zakamouline.name]}
    if BandedGreeks.name in tuned:
        own["greek_band"] = tuned[BandedGreeks.name]
    return task.model_copy(update={"contract": task.contract.model_copy(update=own)})


def _family(name: str, tuned: Mapping[str, float]) -> tuple[Make, float]:
    """What makes the hedge from its own parameter, and where the search for that begins."""
    start = register.every()[name].start
    assert start is not None
    return lambda parameter: register.made(name, {**tuned, name: parameter}), start


def _grid(centre: float, ratio: float) -> list[float]:
    return [centre * ratio**k for k in range(-WIDTH, WIDTH + 1)]


def _least(scores: Sequence[float]) -> int:
    """Place of the least score; of equal ones, the nearest to the middle."""
    return min(range(len(scores)), key=lambda place: (scores[place], abs(place - WIDTH)))

"""Tuning the classical hedges: an untuned opponent is no opponent.

One routine for every hedge with one positive parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agents.base import Agent
from agents.card import Opponents
from agents.fixed_band import FixedBand
from agents.whalley_wilmott import WhalleyWilmott
from agents.zakamouline import Zakamouline
from envs import simulated
from envs.calibration import Calibration
from envs.contract import Contract
from envs.objective import MeanShortfall
from envs.seeding import generators
from train import cohort

COARSE, FINE = 3.0, 1.45  # ratios between neighbours of the two grids
WIDTH = 3  # neighbours on either side
GROWTHS = 6  # times that a grid may move on to hold its optimum
TUNABLE: dict[str, tuple[Callable[[float], Agent], float]] = {
    "zakamouline": (Zakamouline, 20.0),
    "whalley_wilmott": (WhalleyWilmott, 100.0),
    "fixed_band": (FixedBand, 0.05),
}

Score = Callable[[Sequence[Agent]], list[float]]


def best_parameter(make: Callable[[float], Agent], start: float, score: Score) -> tuple[float, float]:
    """The parameter of the least score, and that score: a geometric grid moved until its optimum is inside, then
    refined.

    Raises RuntimeError if the optimum is still at the edge after GROWTHS grids.
    """
    for _ in range(GROWTHS):
        place, value, parameter = _least(make, start, COARSE, score)
        if 0 < place < 2 * WIDTH:
            _, value, parameter = _least(make, parameter, FINE, score)
            return parameter, value
        start = parameter
    raise RuntimeError(f"no optimum of {make(start).name} near {start:g} after {GROWTHS} grids")


def opponents(
    calibration: Calibration,
    contract: Contract,
    objective: MeanShortfall,
    seed: int,
    paths: int,
    progress: Callable[[str], None] = lambda name: None,
) -> Opponents:
    """Every classical hedge tuned by `objective` on the same simulated paths, drawn from `seed` alone."""

    def score(agents: Sequence[Agent]) -> list[float]:
        (generator,) = generators(seed, 1)
        worlds = simulated.cohort(calibration, contract, objective, paths, len(agents), generator, cohort.BLOCK)
        losses = cohort.run(worlds, agents).loss.double()
        return [float(value) for value in objective.value(losses.T)]

    found = {}
    for field, (make, start) in TUNABLE.items():
        found[field] = best_parameter(make, start, score)
        progress(field)
    best = min(found, key=lambda field: found[field][1])
    return Opponents(**{field: value for field, (value, _) in found.items()}, best=best, seed=seed, paths=paths)


def _least(make: Callable[[float], Agent], centre: float, ratio: float, score: Score) -> tuple[int, float, float]:
    """Place, score and parameter of the best of the grid around `centre`."""
    grid = [centre * ratio**k for k in range(-WIDTH, WIDTH + 1)]
    scores = score([make(parameter) for parameter in grid])
    place = min(range(len(grid)), key=scores.__getitem__)
    return place, scores[place], grid[place]

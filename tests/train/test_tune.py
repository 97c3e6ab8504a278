"""Tuning finds a known optimum, goes and looks for a far one, and says when there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import register
from agents.base import Agent
from agents.classical.banded_greeks import BandedGreeks
from agents.classical.fixed_band import FixedBand
from agents.classical.fixed_time import FixedTime
from agents.classical.greek_band import GreekBand
from agents.classical.leland import Leland
from agents.classical.whalley_wilmott import WhalleyWilmott
from agents.classical.zakamouline import Zakamouline
from agents.learned import Untrained
from envs.seeding import generators
from envs.task import Task
from envs.types import BadInput
from tests.train import support
from train import cohort, tune
from train.tune import COARSE, FINE, GROWTHS, NEGLIGIBLE, WIDTH, Score

optima = st.floats(-18, 18)  # of the logarithm of the parameter, from the start


def scored(shape: Callable[[float], float]) -> Score:
    """The scores of fixed bands by a function of the logarithm of their width."""

    def score(agents: Sequence[Agent]) -> list[float]:
        return [shape(math.log(agent.half_width)) for agent in agents if isinstance(agent, FixedBand)]

    return score


def best(start: float, score: Score) -> tuple[float, float]:
    return tune.best_parameters({FixedBand.name: (FixedBand, start)}, score)[FixedBand.name]


@given(optimum=optima, steepness=st.floats(0.01, 100), height=st.floats(-5, 5))
def test_a_convex_scores_optimum_is_found_to_half_a_fine_step(optimum: float, steepness: float, height: float) -> None:
    """However far from the start it lies: up to 27 times each of the moves."""
    parameter, value = best(1.0, scored(lambda x: height + steepness * (x - optimum) ** 2))
    assert abs(math.log(parameter) - optimum) <= math.log(FINE) / 2 * (1 + 1e-9)
    assert value == pytest.approx(height + steepness * (math.log(parameter) - optimum) ** 2)


def test_a_near_optimum_takes_one_coarse_and_one_fine_grid() -> None:
    seen: list[list[float]] = []

    def score(agents: Sequence[Agent]) -> list[float]:
        widths = [agent.half_width for agent in agents if isinstance(agent, FixedBand)]
        seen.append(widths)
        return [math.log(width / 0.06) ** 2 for width in widths]

    parameter, _ = best(0.05, score)
    assert [len(widths) for widths in seen] == [2 * WIDTH + 1] * 2
    assert seen[0] == pytest.approx([0.05 * COARSE**k for k in range(-WIDTH, WIDTH + 1)])
    assert seen[1] == pytest.approx([0.05 * FINE**k for k in range(-WIDTH, WIDTH + 1)])
    assert parameter in seen[1]


@pytest.mark.parametrize("optimum", [1e4, 1e-4])
def test_the_grid_moves_to_an_optimum_outside_it(optimum: float) -> None:
    centres: list[float] = []

    def score(agents: Sequence[Agent]) -> list[float]:
        widths = [agent.half_width for agent in agents if isinstance(agent, FixedBand)]
        centres.append(widths[WIDTH])
        return [math.log(width / optimum) ** 2 for width in widths]

    parameter, _ = best(1.0, score)
    assert parameter == pytest.approx(optimum, rel=0.12)
    assert centres[1] == pytest.approx(27.0 if optimum > 1 else 1 / 27)
    assert len(centres) > 3


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_a_score_without_an_optimum_is_an_error(slope: float) -> None:
    grids = 0

    def score(agents: Sequence[Agent]) -> list[float]:
        nonlocal grids
        grids += 1
        return [slope * math.log(agent.half_width) for agent in agents if isinstance(agent, FixedBand)]

    with pytest.raises(BadInput, match="no optimum of fixed band"):
        best(1.0, score)
    assert GROWTHS <= grids <= 2 * GROWTHS


def test_a_lopsided_scores_optimum_is_found_too() -> None:
    """Ten times as steep below the optimum as above it."""
    optimum = math.log(1.12)
    parameter, _ = best(1.0, scored(lambda x: 10 * (optimum - x) if x < optimum else x - optimum))
    assert abs(math.log(parameter) - optimum) <= math.log(FINE)


def test_a_parameter_that_does_not_matter_stays_where_it_began() -> None:
    assert best(0.05, scored(lambda x: 2.0)) == (0.05, 2.0)


@pytest.mark.parametrize("side", [1, -1])
def test_an_optimum_that_is_never_reached_ends_where_nothing_more_is_gained(side: int) -> None:
    """Score e^−x falls for ever, to 0: the search goes far enough to leave no more than a coarse step's NEGLIGIBLE."""
    parameter, value = best(1.0, scored(lambda x: math.exp(-x * side)))
    assert 0 < value < NEGLIGIBLE * 1.5
    assert math.log(parameter) * side > 0


def test_families_searched_together_find_what_each_finds_alone() -> None:
    """However many grids each needs; all are scored at once, as long as they last."""
    optima = {"near": 1.3, "far": 1e4, "indifferent": None}
    sizes: list[int] = []

    def score(agents: Sequence[Agent]) -> list[float]:
        sizes.append(len(agents))
        return [0.0 if a.of is None else math.log(a.half_width / a.of) ** 2 for a in agents]  # type: ignore

    def make(optimum: float | None) -> Callable[[float], Agent]:
        def made(width: float) -> Agent:
            band = FixedBand(width)
            band.of = optimum  # type: ignore[attr-defined]
            return band

        return made

    settled: list[str] = []
    families = {name: (make(optimum), 1.0) for name, optimum in optima.items()}
    together = tune.best_parameters(families, score, settled.append)
    assert settled == ["near", "indifferent", "far"]
    assert sizes[:2] == [3 * (2 * WIDTH + 1)] * 2
    assert set(sizes[2:]) == {2 * WIDTH + 1}
    for name, family in families.items():
        assert tune.best_parameters({name: family}, score)[name] == together[name]


# The opponents themselves.

SEED, PATHS = 951, 300
LINEAR = support.task(bars=24)
CURVED = support.task(bars=24, hedges=support.WITH_OPTION)


def measured(task: Task, *agents: Agent) -> list[float]:
    (generator,) = generators(SEED, 1)
    losses = cohort.run(task.cohort(PATHS, len(agents), generator, 4096), agents).loss.double()
    return [float(value) for value in task.objective.value(losses.T)]


def test_hedges_of_greeks_are_tuned_where_options_hedge() -> None:
    linear = {Zakamouline.name, WhalleyWilmott.name, FixedBand.name, FixedTime.name, Leland.name}
    assert set(tune.tunable(LINEAR.contract)) == linear
    assert set(tune.tunable(CURVED.contract)) == linear | {GreekBand.name, BandedGreeks.name}
    assert tune.tunable(CURVED.contract)[-1] == BandedGreeks.name  # at Zakamouline's own parameter


@pytest.mark.parametrize("task", [LINEAR, CURVED], ids=["linear", "curved"])
def test_opponents_are_at_their_best_on_the_tuning_paths(task: Task) -> None:
    """No neighbour a fine step away does better, the best is the best of all, and the seed repeats it."""
    names: list[str] = []
    found = tune.opponents(task, SEED, PATHS, names.append)
    assert set(names) == set(tune.tunable(task.contract)) == set(found.tuned)
    assert (found.seed, found.paths) == (SEED, PATHS)
    scores = {}
    for name, parameter in found.tuned.items():
        beside = [register.made(name, {**found.tuned, name: parameter * FINE**k}) for k in (-1, 0, 1)]
        below, at, above = measured(task, *beside)
        assert at <= min(below, above) + 1e-9, name
        scores[name] = at
    assert found.best == min(scores, key=scores.__getitem__)


def test_a_seed_repeats_the_opponents_and_another_does_not() -> None:
    found = tune.opponents(LINEAR, SEED, PATHS)
    assert tune.opponents(LINEAR, SEED, PATHS) == found
    assert tune.opponents(LINEAR, SEED + 1, PATHS) != found


def test_action_0_of_the_tuned_task_is_the_tuned_hedge() -> None:
    tuned = {Zakamouline.name: 44.0, BandedGreeks.name: 0.3}
    for task, name in ((LINEAR, Zakamouline.name), (CURVED, BandedGreeks.name)):
        adopted = tune.adopted(task, {k: v for k, v in tuned.items() if task is CURVED or k == Zakamouline.name})
        start, classical = measured(adopted, Untrained(), register.made(name, tuned))
        assert start == pytest.approx(classical, abs=1e-7)
        assert measured(task, Untrained())[0] != pytest.approx(classical, abs=1e-6)


def test_the_objective_decides() -> None:
    """The mean alone is least where nothing is hedged: the band opens as far as it can be told."""
    careless = LINEAR.model_copy(update={"objective": LINEAR.objective.model_copy(update={"weight": 0.0})})
    careful, wide = (tune.opponents(task, SEED, PATHS).tuned[FixedBand.name] for task in (LINEAR, careless))
    assert wide > 2 * careful

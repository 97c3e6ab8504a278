"""Tuning finds a known optimum, goes and looks for a far one, and says when there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.base import Agent
from agents.fixed_band import FixedBand
from agents.whalley_wilmott import WhalleyWilmott
from agents.zakamouline import Zakamouline
from envs import simulated
from envs.calibration import Calibration
from envs.contract import Contract
from envs.markets import garch as simulation
from envs.objective import MeanShortfall
from envs.seeding import generators
from train import cohort, tune
from train.tune import COARSE, FINE, GROWTHS, TUNABLE, WIDTH, Score

optima = st.floats(-18, 18)  # of the logarithm of the parameter, from the start


def scored(shape: Callable[[float], float]) -> Score:
    """The scores of fixed bands by a function of the logarithm of their width."""

    def score(agents: Sequence[Agent]) -> list[float]:
        return [shape(math.log(agent.half_width)) for agent in agents if isinstance(agent, FixedBand)]

    return score


@given(optimum=optima, steepness=st.floats(0.01, 100), height=st.floats(-5, 5))
def test_a_convex_scores_optimum_is_found_to_half_a_fine_step(optimum: float, steepness: float, height: float) -> None:
    """However far from the start it lies: up to 27 times each of the moves."""
    parameter, value = tune.best_parameter(FixedBand, 1.0, scored(lambda x: height + steepness * (x - optimum) ** 2))
    assert abs(math.log(parameter) - optimum) <= math.log(FINE) / 2 * (1 + 1e-9)
    assert value == pytest.approx(height + steepness * (math.log(parameter) - optimum) ** 2)


def test_a_near_optimum_takes_one_coarse_and_one_fine_grid() -> None:
    seen: list[list[float]] = []

    def score(agents: Sequence[Agent]) -> list[float]:
        widths = [agent.half_width for agent in agents if isinstance(agent, FixedBand)]
        seen.append(widths)
        return [math.log(width / 0.06) ** 2 for width in widths]

    parameter, _ = tune.best_parameter(FixedBand, 0.05, score)
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

    parameter, _ = tune.best_parameter(FixedBand, 1.0, score)
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

    with pytest.raises(RuntimeError, match="no optimum of fixed band"):
        tune.best_parameter(FixedBand, 1.0, score)
    assert GROWTHS <= grids <= 2 * GROWTHS


def test_a_lopsided_scores_optimum_is_found_too() -> None:
    """Ten times as steep below the optimum as above it."""
    optimum = math.log(1.12)
    parameter, _ = tune.best_parameter(
        FixedBand, 1.0, scored(lambda x: 10 * (optimum - x) if x < optimum else x - optimum)
    )
    assert abs(math.log(parameter) - optimum) <= math.log(FINE)


# The opponents themselves.

CALIBRATION = Calibration.load(simulated.SHIPPED_CALIBRATION)
CONTRACT = Contract(option_bars=24, decision_bars=4)
OBJECTIVE = MeanShortfall()
SEED, PATHS = 951, 300


@pytest.fixture
def _small_market(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "BURN_IN", 30)
    monkeypatch.setattr(simulation, "ATOMS", 1 << 12)


def measured(*agents: Agent) -> list[float]:
    (generator,) = generators(SEED, 1)
    worlds = simulated.cohort(CALIBRATION, CONTRACT, OBJECTIVE, PATHS, len(agents), generator, 4096)
    return [float(value) for value in OBJECTIVE.value(cohort.run(worlds, agents).loss.double().T)]


@pytest.mark.usefixtures("_small_market")
def test_opponents_are_at_their_best_on_the_tuning_paths() -> None:
    """No neighbour a fine step away does better, the best is the best of the three, and the seed repeats all."""
    names: list[str] = []
    found = tune.opponents(CALIBRATION, CONTRACT, OBJECTIVE, SEED, PATHS, names.append)
    assert names == list(TUNABLE)
    assert (found.seed, found.paths) == (SEED, PATHS)
    makers: dict[str, Callable[[float], Agent]] = {
        "zakamouline": Zakamouline,
        "whalley_wilmott": WhalleyWilmott,
        "fixed_band": FixedBand,
    }
    best = {}
    for field, make in makers.items():
        parameter = getattr(found, field)
        below, at, above = measured(*(make(parameter * FINE**k) for k in (-1, 0, 1)))
        assert at <= min(below, above) + 1e-9, field
        best[field] = at
    assert found.best == min(best, key=best.__getitem__)
    assert tune.opponents(CALIBRATION, CONTRACT, OBJECTIVE, SEED, PATHS) == found

"""The no-transaction-band setting of Imaki et al. (2023) against its exact optimum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.base import Agent
from agents.classical.delta import Delta
from agents.classical.zakamouline import Zakamouline
from envs.decision import Band
from envs.observation import Observation
from envs.pricing import black_scholes
from envs.seeding import generators
from envs.task import Task
from tests.reference.no_transaction_band import Optimum, solve
from train import cohort
from train.influence import Estimate, Influences

TASK = Task.load(Path(__file__).parents[2] / "configs" / "literature" / "no_transaction_band.toml")
COST, STEPS, BAR, VOLATILITY = 1e-3, 28, 1 / 365, 0.2
PATHS, ERRORS = 65_536, 4.0


@dataclass(frozen=True)
class Optimal:
    """The dynamic programme's band."""

    optimum: Optimum
    name = "optimal"

    def band(self, observation: Observation) -> Band:
        decision = STEPS - round(float(observation.time_to_expiry[0]) / BAR)
        place = torch.log(_moneyness(observation)).numpy()
        edges = (self.optimum.lower[decision], self.optimum.upper[decision])
        lower, upper = (torch.tensor(np.interp(place, self.optimum.log_spots, edge))[:, None, None] for edge in edges)
        return Band(lower.to(observation.hedge), upper.to(observation.hedge))


@dataclass(frozen=True)
class LateClock:
    """The delta of a call that lives two days longer than the one that was sold, as the source's features count."""

    name = "late delta"

    def band(self, observation: Observation) -> Band:
        ratio = _moneyness(observation)[:, None, None]
        time = observation.time_to_expiry + 2 * BAR
        centre = black_scholes.delta(ratio, torch.ones_like(ratio), time, torch.full_like(ratio, VOLATILITY))
        return Band(centre, centre)


def _moneyness(observation: Observation) -> Tensor:
    """(P,) spot over the strike, which was the spot at the start."""
    scene = observation.scene
    return scene.views[0].quote.spot * scene.book.base[0] / scene.contract.notional


def priced(*agents: Agent) -> Influences:
    """At λ = 100, on the same paths."""
    (generator,) = generators(2, 1)
    losses = cohort.run(TASK.cohort(PATHS, len(agents), generator, cohort.BLOCK), agents).loss
    return Influences(TASK.objective, losses.double())


@pytest.fixture(scope="module")
def optimum() -> Optimum:
    return solve(100.0, COST, STEPS, BAR, VOLATILITY, prices=401, holdings=201)


@pytest.fixture(scope="module")
def found(optimum: Optimum) -> tuple[Estimate, ...]:
    """Premiums to charge: of the optimal band, the tuned Zakamouline, the late delta and delta itself."""
    (generator,) = generators(0, 1)
    world = TASK.world(1, 1, generator)
    world.reset(staggered=False)
    received = float(world.episode.book.claims) / TASK.contract.notional
    influences = priced(Optimal(optimum), Zakamouline(150.0), LateClock(), Delta())
    losses = [influences.measure(j) for j in range(4)]
    return *(Estimate(each.value + received, each.se) for each in losses), influences.difference(0, 1)


@pytest.mark.parametrize(("risk_aversion", "price", "digit"), [(100.0, 0.02444, 5e-6), (10.0, 0.02320, 1e-5)])
def test_the_programme_gives_the_known_optimum(risk_aversion: float, price: float, digit: float) -> None:
    """That of an independent solver with interpolation, which puts its own error at 2e-5."""
    assert solve(risk_aversion, COST, STEPS, BAR, VOLATILITY, 201, 101).price == pytest.approx(price, abs=digit)


def test_the_programme_converges(optimum: Optimum) -> None:
    """Half the steps of both grids: a tenth of the distance to the bar of 0.02450 at most."""
    coarse = solve(100.0, COST, STEPS, BAR, VOLATILITY, 201, 101)
    assert coarse.price == pytest.approx(optimum.price, abs=6e-6)


def test_without_cost_the_band_is_closed_and_the_price_that_of_many_small_steps() -> None:
    free = solve(1.0, 0.0, STEPS, BAR, VOLATILITY, 401, 401)
    middle = len(free.log_spots) // 2
    assert free.upper[0, middle] - free.lower[0, middle] == pytest.approx(0, abs=1 / 200)
    assert free.price == pytest.approx(0.0220962, abs=3e-5)  # Black–Scholes at 28/365 years, and the hedging error


def test_the_optimal_band_earns_its_price_in_our_world(optimum: Optimum, found: tuple[Estimate, ...]) -> None:
    assert found[0].value == pytest.approx(optimum.price, abs=ERRORS * found[0].se)
    assert found[4].value < ERRORS * found[4].se, "no hedge is better than the optimum"


def test_the_published_delta_row_counts_two_days_too_many(found: tuple[Estimate, ...]) -> None:
    """0.024926 (papers' table): the option's life is counted from 30 days while 28 are traded."""
    late, delta = found[2], found[3]
    assert late.value == pytest.approx(0.024926, abs=ERRORS * late.se)
    assert delta.value == pytest.approx(0.025010, abs=ERRORS * delta.se)

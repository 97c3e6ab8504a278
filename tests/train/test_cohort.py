"""A cohort carried to expiry: the same as one agent alone, in whatever company and blocks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields

import pytest
import torch

from agents.classical.delta import Delta
from agents.classical.delta_gamma import DeltaGamma
from agents.classical.fixed_band import FixedBand
from agents.classical.no_hedge import NoHedge
from agents.classical.whalley_wilmott import WhalleyWilmott
from agents.classical.zakamouline import Zakamouline
from envs import decision
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.markets import garch as simulation
from envs.observation import Observation
from envs.seeding import generators
from envs.task import Task
from tests.train import support
from tests.train.test_commands import ROOT
from train import cohort
from train.cohort import Outcome

TASK = support.task(support.CALIBRATED, bars=24)


class Halfway:
    """Goes half the way from its own hedge to 0.6: unlike the classical hedges it looks at what it holds."""

    name = "halfway"

    def band(self, observation: Observation) -> Band:
        target = (observation.hedge + 0.6) / 2
        return Band(target, target)


AGENTS = [Delta(), NoHedge(), Zakamouline(5.0), WhalleyWilmott(50.0), FixedBand(0.1), Halfway()]


@pytest.fixture(autouse=True)
def _small_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about the start."""
    monkeypatch.setattr(simulation, "BURN_IN", 30)


def worlds(paths: int, hedgers: int, block: int = 100, seed: int = 901, task: Task = TASK) -> Iterator[HedgingWorld]:
    return task.cohort(paths, hedgers, generators(seed, 1)[0], block)


@pytest.mark.parametrize("place", range(len(AGENTS)))
def test_an_agent_in_a_cohort_is_that_agent_stepped_alone(place: int) -> None:
    together = cohort.run(worlds(30, len(AGENTS)), AGENTS)
    (world,) = worlds(30, 1)
    for _ in range(6):
        world.advance(AGENTS[place].band(world.observation))
    book, tolerance = world.episode.book, 1e-6  # of notional, in single precision
    alone = {
        "loss": world.episode.loss,
        "fees": book.fees / 1e6,
        "slippage": book.slippage / 1e6,
        "funding": book.funding / 1e6,
        "turnover": book.traded[..., 0] / 1e6,
    }
    assert world.episode.bars_left.tolist() == [0] * 30
    assert (together.loss[:, place] - alone.pop("loss")[:, 0]).abs().max() < tolerance
    for name, value in alone.items():
        assert abs(float(getattr(together, name)[place] - value.double().mean())) < tolerance, name


def test_every_agent_meets_the_same_paths() -> None:
    outcome = cohort.run(worlds(30, 2), [Delta(), Delta()])
    assert torch.equal(outcome.loss[:, 0], outcome.loss[:, 1])
    assert len(set(outcome.loss[:, 0].tolist())) == 30


def test_holding_nothing_costs_nothing() -> None:
    outcome = cohort.run(worlds(30, 2), [NoHedge(), Delta()])
    for name in ("fees", "slippage", "funding", "turnover", "trades"):
        assert getattr(outcome, name)[0] == 0, name
        assert getattr(outcome, name)[1] != 0, name
    assert (outcome.loss[:, 0] != 0).all()


def test_blocks_are_joined_in_order_and_reported() -> None:
    """Three blocks make 10 rows; the first block's do not depend on how many follow."""
    seen: list[int] = []
    outcome = cohort.run(worlds(10, 2, block=4), [Delta(), NoHedge()], seen.append)
    assert seen == [4, 4, 2]
    parts = [cohort.run(iter([world]), [Delta(), NoHedge()]) for world in worlds(10, 2, block=4)]
    assert torch.equal(outcome.loss, torch.cat([part.loss for part in parts]))
    for name in cohort.MEANS:
        of_parts = [getattr(part, name) for part in parts]
        torch.testing.assert_close(getattr(outcome, name), (4 * of_parts[0] + 4 * of_parts[1] + 2 * of_parts[2]) / 10)


def test_only_losses_are_kept_of_every_path() -> None:
    """All else that is kept of 40 paths is kept of 10: memory grows by a number per path and agent."""
    for paths in (10, 40):
        outcome = cohort.run(worlds(paths, 2, block=10), [Delta(), NoHedge()])
        sizes = {field.name: getattr(outcome, field.name).numel() for field in fields(Outcome)}
        assert sizes == {"loss": 2 * paths, **dict.fromkeys(cohort.MEANS, 2)}


def test_agents_stand_beside_each_other() -> None:
    outcome = cohort.run(worlds(10, 2), [Delta(), NoHedge()])
    found = cohort.beside(outcome, outcome)
    assert torch.equal(found.loss, outcome.loss.repeat(1, 2))
    assert torch.equal(found.fees, outcome.fees.repeat(2))


class Trainable:
    """A fixed band that a gradient could reach."""

    name = "trainable"

    def __init__(self) -> None:
        self.edge = torch.tensor(0.5, requires_grad=True)

    def band(self, observation: Observation) -> Band:
        return Band(self.edge.expand_as(observation.hedge), self.edge.expand_as(observation.hedge))


def test_a_cohort_remembers_no_gradient() -> None:
    assert not cohort.run(worlds(4, 1), [Trainable()]).loss.requires_grad


def test_trades_follow_the_bands() -> None:
    """A delta hedge trades at nearly every decision, an all but open band hardly, no hedge never."""
    trades = cohort.run(worlds(100, 3), [Delta(), FixedBand(0.4), NoHedge()]).trades
    assert float(trades[0]) > 0.9
    assert 0 < float(trades[1]) < 0.7 * float(trades[0])
    assert float(trades[2]) == 0


def test_trades_are_a_share_of_decisions_and_the_close() -> None:
    found = cohort.run(worlds(30, 1), [Delta()]).trades
    (world,) = worlds(30, 1)
    traded = torch.zeros(30, 1)
    for _ in range(6):
        band = Delta().band(world.observation)
        traded += decision.orders(band, world.observation.scene, world.lots())[..., 0] != 0
        world.advance(band)
        traded += 0.0 if bool(world.episode.bars_left[0] > 0) else 1.0  # every delta hedge is closed
    torch.testing.assert_close(found, (traded / 7).double().mean(0))


def test_two_instruments_are_counted_together() -> None:
    """With an option among the hedges: turnover is over both, a share of trades over what both could."""
    task = support.task(bars=24, hedges=support.WITH_OPTION)
    outcome = cohort.run(worlds(30, 2, task=task), [Delta(), DeltaGamma()])
    assert float(outcome.trades[0]) == pytest.approx(0.5, abs=0.01)
    assert 0.6 < float(outcome.trades[1]) <= 1  # the option rests where its lot is larger than the order
    (world,) = worlds(30, 1, task=task)
    for _ in range(6):
        world.advance(DeltaGamma().band(world.observation))
    traded = world.episode.book.traded[:, 0] / 1e6
    assert (traded > 0).all()
    torch.testing.assert_close(outcome.turnover[1], traded.sum(-1).double().mean())
    assert outcome.slippage[0] < outcome.slippage[1]  # an option's spread is a hundred times as wide


def test_liquidations_are_a_share_of_accounts() -> None:
    """Collateral of 2 % does not outlast a day of any large move; without margin nobody is liquidated."""
    poor = support.task(support.CALIBRATED, bars=24, margin={"mode": "isolated", "collateral": [{"amount": 0.02}]})
    found = cohort.run(worlds(200, 2, task=poor), [Delta(), NoHedge()]).liquidated
    assert 0 < found[0] < 1
    assert float(200 * found[0]) == pytest.approx(round(float(200 * found[0])))  # of 200 accounts
    assert found[1] == 0
    assert not cohort.run(worlds(50, 1), [Delta()]).liquidated.any()


PEAK = """
import resource, sys, torch
from agents.classical.delta import Delta
from agents.classical.no_hedge import NoHedge
from tests.train import support
from tests.train.test_commands import ROOT
from train import cohort
torch.set_num_threads(1)
task = support.task(bars=8)
worlds = task.cohort(int(sys.argv[1]), 2, torch.Generator().manual_seed(1), cohort.BLOCK)
found = cohort.run(worlds, [Delta(), NoHedge()])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_four_times_the_paths_take_the_memory_of_their_losses() -> None:
    """Of two agents in single precision, once in blocks and once joined; 16 MB are left to the allocator."""
    few, many = 131_072, 4 * 131_072  # the market's starts are made for as many at a time
    peaks = [int(subprocess.check_output([sys.executable, "-c", PEAK, str(paths)], cwd=ROOT)) for paths in (few, many)]
    assert peaks[1] - peaks[0] < 2 * (many - few) * 2 * 4 + 16 * 2**20

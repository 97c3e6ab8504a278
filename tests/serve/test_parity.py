"""A served path and the same path simulated: one observation, one decision, one fill model, one profit."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import tomli_w
import torch

from agents import card
from envs import decision
from envs.contract import Hedge
from envs.costs import Execution, FeeTier
from envs.hedging import HedgingWorld
from envs.markets.replay import ReplayMarket
from envs.recording import Recording, usual
from envs.task import Task
from serve import feed as feeds
from serve.clock import HOUR, SECOND, YEAR
from serve.commands import Decision, Infer, Output
from serve.config import ServeConfig
from serve.events import BookTraded, Event, Filled
from serve.holdings import DTYPE
from serve.journal import Journal
from serve.market import DEVICE
from serve.orders import Status
from serve.session import Source, run
from tests.serve.support import CALIBRATION, CONTRACT, PERP, START, raw_config, save_model, task, write_bars

SWING = 0.012  # of the bars: wide enough for the book to strain
QUANTUM = 1e-8  # to which the paper venue rounds what it pays and is paid
FIRST_SECOND = CONTRACT.notional * usual(CALIBRATION) * SECOND / YEAR  # of funding: the first quote comes after it
VENUES = {
    "plain": Execution(),
    "thin": Execution(
        tiers=(FeeTier(), FeeTier(volume=100_000, maker=1e-4, taker=3e-4)),
        passive_share=0.3,
        gas=0.5,
        gas_stress=2.0,
        participation=0.008,  # cuts the first orders; not the last, which the simulator fills whole in any case
    ),
    "slow": Execution(latency_bars=1),
}


def traded_on(name: str, lot_fraction: float = 1e-4) -> Task:
    return task(hedges=(Hedge(lot_fraction=lot_fraction, execution=VENUES[name]),))


def simulated_market(closes: tuple[float, ...], window: list[feeds.Bar], of: Task) -> HedgingWorld:
    """One book on the bars' closes, in the precision that serving has."""
    spot = torch.tensor([*closes, *(bar.close for bar in window)], dtype=DTYPE)[:, None]
    before = torch.cat([spot[:1], spot[:-1]])
    rate = torch.full_like(spot, usual(CALIBRATION))
    fine = torch.ones(len(spot), dtype=torch.bool)
    record = Recording(spot, spot.minimum(before), spot.maximum(before), rate, fine)
    generator = torch.Generator()
    history = ReplayMarket.Settings(assets=(CALIBRATION,))
    market = ReplayMarket(history, of.contract.horizon, generator, DTYPE, DEVICE, record)
    world = HedgingWorld(market, of.contract, of.objective, 1, 1, generator)
    world.begin(*market.at(torch.tensor([len(closes) - 1])))
    return world


def simulated_profit(closes: tuple[float, ...], window: list[feeds.Bar], of: Task) -> float:
    """Of the analytic hedge, action 0, on the bars' closes."""
    world = simulated_market(closes, window, of)
    for _ in range(of.contract.decisions):
        step = world.step(torch.zeros(1, 2, dtype=DTYPE))
    assert bool(step.terminated)
    return -float(step.loss) * of.contract.notional


@pytest.mark.parametrize("name", ["plain", "thin"])
def test_paper_earns_what_the_simulator_earns(tmp_path: Path, name: str) -> None:
    """But for the lot, the quantum of what is paid for each unit, fee and funding, and the funding of a second."""
    file, written, of = str(write_bars(tmp_path / "bars.csv", swing=SWING)), tmp_path / "task.toml", traded_on(name, 0)
    written.write_text(tomli_w.dumps(of.model_dump(mode="json", exclude_none=True)))
    raw = raw_config(
        task=str(written), legs=[{"symbol": PERP, "lot": str(QUANTUM)}], book__roll=False, execution__slice_seconds=1e9
    )
    del raw["model"]
    journal = Journal(str(tmp_path / "j.db"))
    core = run(ServeConfig.model_validate(raw), journal, Source((file,), START, 2))
    journal.close()
    assert core.state is not None
    closes, window = feeds.split(feeds.read_bars(file), START, 48, 30, HOUR)
    expected = simulated_profit(closes, window, of)
    assert math.isfinite(expected)
    assert core.state.ledger.position(PERP) == 0
    assert core.state.ledger.account(PERP).traded > 120_000
    partial = [order.id for order in core.state.orders.values() if order.status is Status.CANCELLED]
    assert bool(partial) == (name == "thin")
    way = sum(abs(after.close - before.close) for before, after in pairwise(window))
    assert float(core.state.ledger.cash) == pytest.approx(expected, abs=QUANTUM * (way + 100) + FIRST_SECOND)


def served(tmp_path: Path, file: str, lot: float) -> tuple[list[Output], list[Event]]:
    """What serving the model in `tmp_path` gave out over two days, and what came in."""
    outputs: list[Output] = []
    events: list[Event] = []

    def told(event: Event, more: tuple[Output, ...]) -> None:
        outputs.extend(more)
        events.append(event)

    legs = [{"symbol": PERP, "lot": str(lot)}]
    raw = raw_config(model=str(tmp_path / "model"), book__roll=False, legs=legs, execution__slice_seconds=1e9)
    journal = Journal(str(tmp_path / "j.db"))
    run(ServeConfig.model_validate(raw), journal, Source((file,), START, 2), told)
    journal.close()
    return outputs, events


def simulated_book(file: str, of: Task, option: BookTraded, lot: float) -> HedgingWorld:
    """With the units of the served one, to the decimal that was traded, and its lot."""
    world = simulated_market(*feeds.split(feeds.read_bars(file), START, 48, 30, HOUR), of)
    units = torch.tensor([float(option.holding.units)], dtype=DTYPE)
    held = replace(world.episode.portfolio, base=(-units,), units=(units[:, None],))
    world.episode = replace(world.episode, portfolio=held)
    world.lots = lambda: torch.tensor([[[lot]]], dtype=DTYPE)  # type: ignore[method-assign]
    world._observe()
    return world


@pytest.mark.parametrize(("name", "lot", "slack"), [("plain", 0.001, 0), ("thin", QUANTUM, 8), ("slow", 0.001, 0)])
@torch.no_grad()
def test_the_policy_sees_and_orders_the_same_served_and_simulated(
    tmp_path: Path, name: str, lot: float, slack: int
) -> None:
    """Within `slack` lots where fills are partial: the venue fills whole lots alone, the simulator any size."""
    file, of = str(write_bars(tmp_path / "bars.csv", swing=SWING)), traded_on(name)
    model = card.load(save_model(tmp_path / "model", seed=8, of=of), DTYPE)
    outputs, events = served(tmp_path, file, lot)
    world = simulated_book(file, of, next(event for event in events if isinstance(event, BookTraded)), lot)
    seen, orders = [], []
    for _ in range(of.contract.decisions):
        seen.append(world.observation.features[0, 0])
        band = decision.read(model.network(world.observation.features), world.observation)
        orders.append(decision.orders(band, world.observation.scene, world.lots()))
        world.advance(band)

    asked = torch.tensor([output.features for output in outputs if isinstance(output, Infer)], dtype=DTYPE)
    *others, distance = (asked - torch.stack(seen)).unbind(-1)
    fills = [event for event in events if isinstance(event, Filled)]
    rounded = QUANTUM * (sum(abs(float(fill.units)) for fill in fills) + len(fills) + CONTRACT.bars)
    assert model.observer.names[-1] == "liquidation_distance"
    assert float(distance.abs().max()) < 2 * (rounded + FIRST_SECOND) / (CONTRACT.notional / 4)
    assert float(torch.stack(others).abs().max()) < (1e-13 if slack == 0 else 1e-7)
    assert float(asked[:, model.observer.names.index("stress")].max()) > -0.9
    decided = [output for output in outputs if isinstance(output, Decision) and output.source == "policy"]
    lots = [
        round(float(order) / lot) - round(float(made.legs[0].wanted) / lot)
        for order, made in zip(orders, decided, strict=True)
    ]
    assert max(abs(each) for each in lots) <= slack
    assert all(made.legs[0].sent == made.legs[0].wanted for made in decided)
    assert sum(made.legs[0].sent != 0 for made in decided) >= 3

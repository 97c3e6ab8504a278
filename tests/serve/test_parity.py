"""A served path and the same path simulated: one observation, one decision, one fill model, one profit."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agents import card
from envs import decision, simulated
from envs.contract import Contract
from envs.funding import funding_rate
from envs.hedging import HedgingWorld
from envs.markets.replay import ReplayMarket
from envs.objective import MeanShortfall
from serve import feed as feeds
from serve.clock import HOUR
from serve.commands import Decision, Infer, Output
from serve.config import ServeConfig
from serve.events import Event, OptionTraded
from serve.journal import Journal
from serve.market import DEVICE, DTYPE
from serve.session import Source, run
from tests.serve.support import CALIBRATION, CONTRACT, START, raw_config, save_model, write_bars

FINE = CONTRACT.model_copy(update={"lot_fraction": 0.0})


def simulated_market(closes: tuple[float, ...], window: list[feeds.Bar], contract: Contract) -> HedgingWorld:
    """One book on the bars' closes, in the precision that serving has."""
    observer = simulated.observer(CALIBRATION, contract, DTYPE, DEVICE)
    spot = torch.tensor([*closes, *(bar.close for bar in window)], dtype=DTYPE)
    rate = funding_rate(torch.tensor(CALIBRATION.funding.mean_premium, dtype=DTYPE)).expand_as(spot)
    market = ReplayMarket(CALIBRATION, observer.filter, spot, torch.ones_like(spot, dtype=torch.bool), rate)
    world = HedgingWorld(market, observer, MeanShortfall(), 1, 1, torch.Generator())
    # one bar more than the option's life, for the episode that begins at its end
    world.begin(*market.at(torch.tensor([len(closes) - 1])))
    return world


def simulated_profit(closes: tuple[float, ...], window: list[feeds.Bar]) -> float:
    """Of the analytic hedge, action 0, on the bars' closes."""
    world = simulated_market(closes, window, FINE)
    for _ in range(FINE.decisions):
        step = world.step(torch.zeros(1, 2, dtype=DTYPE))
    assert bool(step.terminated)
    return -float(step.loss) * FINE.notional


def test_paper_earns_what_the_simulator_earns(tmp_path: Path) -> None:
    file, calibration = str(write_bars(tmp_path / "bars.csv")), tmp_path / "calibration.toml"
    CALIBRATION.save(calibration)
    raw = raw_config(
        calibration=str(calibration), contract=FINE.model_dump(), venue__lot="0.00000001", desk__roll=False
    )
    del raw["model"]
    journal = Journal(str(tmp_path / "j.db"))
    core = run(ServeConfig.model_validate(raw), journal, Source(file, START, 2))
    journal.close()
    assert core.state is not None
    assert core.state.ledger.position == 0
    assert core.state.ledger.traded > 100_000
    closes, window = feeds.split(feeds.read_bars(file), START, 48, 30, HOUR)
    expected = simulated_profit(closes, window)
    assert math.isfinite(expected)
    assert float(core.state.ledger.cash) == pytest.approx(expected, abs=0.01)


def served(tmp_path: Path, file: str) -> tuple[list[Output], OptionTraded]:
    """What serving the model in `tmp_path` gave out over two days, and the call that it hedged."""
    outputs: list[Output] = []
    sold: list[OptionTraded] = []

    def told(event: Event, more: tuple[Output, ...]) -> None:
        outputs.extend(more)
        sold.extend([event] if isinstance(event, OptionTraded) else [])

    raw = raw_config(model=str(tmp_path / "model"), desk__roll=False)
    journal = Journal(str(tmp_path / "j.db"))
    run(ServeConfig.model_validate(raw), journal, Source(file, START, 2), told)
    journal.close()
    (option,) = sold
    return outputs, option


@torch.no_grad()
def test_the_policy_sees_and_orders_the_same_served_and_simulated(tmp_path: Path) -> None:
    file, lot = str(write_bars(tmp_path / "bars.csv")), 0.001
    model = card.load(save_model(tmp_path / "model"), DTYPE)
    outputs, option = served(tmp_path, file)
    closes, window = feeds.split(feeds.read_bars(file), START, 48, 30, HOUR)

    world = simulated_market(closes, window, CONTRACT)
    now, units = world.episode, torch.tensor([-float(option.units)], dtype=DTYPE)  # to the decimal that was traded
    world.episode = replace(now, option=replace(now.option, units=units))
    world.lot = lambda option: torch.tensor([lot], dtype=DTYPE)  # type: ignore[method-assign]
    seen, orders = [], []
    for _ in range(CONTRACT.decisions):
        held = world.episode.book.units
        seen.append(world.observation.features[0, 0])
        band = decision.read(model.network(world.observation.features), world.observation)
        orders.append(decision.order(band, held / units, units, torch.tensor([lot], dtype=DTYPE)))
        world.advance(band)

    asked = torch.tensor([output.features for output in outputs if isinstance(output, Infer)], dtype=DTYPE)
    torch.testing.assert_close(asked, torch.stack(seen), rtol=1e-13, atol=1e-13)
    decided = [output for output in outputs if isinstance(output, Decision) and output.source == "policy"]
    assert [round(float(order) / lot) for order in orders] == [round(float(made.wanted) / lot) for made in decided]
    assert all(made.sent == made.wanted for made in decided)
    assert sum(made.sent != 0 for made in decided) >= 3

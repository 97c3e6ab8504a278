"""A served path and the same path simulated: one observation, one decision, one fill model, one profit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from envs import simulated
from envs.funding import funding_rate
from envs.hedging import HedgingWorld
from envs.markets.replay import ReplayMarket
from envs.objective import MeanShortfall
from serve import feed as feeds
from serve.clock import HOUR
from serve.config import ServeConfig
from serve.journal import Journal
from serve.market import DEVICE, DTYPE
from serve.session import Source, run
from tests.serve.support import CALIBRATION, CONTRACT, START, raw_config, write_bars

FINE = CONTRACT.model_copy(update={"lot_fraction": 0.0})


def simulated_profit(closes: tuple[float, ...], window: list[feeds.Bar]) -> float:
    """Of the analytic hedge, action 0, on the bars' closes."""
    observer = simulated.observer(CALIBRATION, FINE, DTYPE, DEVICE)
    spot = torch.tensor([*closes, *(bar.close for bar in window)], dtype=DTYPE)
    rate = funding_rate(torch.tensor(CALIBRATION.funding.mean_premium, dtype=DTYPE)).expand_as(spot)
    market = ReplayMarket(CALIBRATION, observer.filter, spot, torch.ones_like(spot, dtype=torch.bool), rate)
    world = HedgingWorld(market, observer, MeanShortfall(), 1, 1, torch.Generator())
    # one bar more than the option's life, for the episode that begins at its end
    world.begin(*market.at(torch.tensor([len(closes) - 1])))
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

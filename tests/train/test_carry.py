"""Carry trades on history: the rule knows no tomorrow, windows add up, and a trade costs and earns what it should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from agents.carry import Threshold
from agents.classical.delta import Delta
from agents.classical.no_hedge import NoHedge
from envs import constant
from envs.calibration import validated
from envs.contract import Claim, Contract
from envs.history import Bars
from envs.instruments.spot import Spot
from envs.markets.replay import ReplayMarket
from envs.objectives.mean_shortfall import MeanShortfall
from envs.observation import Observer
from envs.types import BadInput
from train import carry, history
from train.carry import SPOT_FEE, Trades

DAYS = pd.date_range("2024-01-01", periods=12, freq="D", tz="UTC")


def funding(*rates: float) -> pd.Series:
    return pd.Series(rates, index=DAYS[: len(rates)], dtype=float)


def test_the_rule_enters_and_leaves_with_a_delay_and_sees_only_days_that_ended() -> None:
    rates = funding(0.3, 0.3, 0.1, 0.1, -0.1, -0.1, 0.3)
    rule = Threshold(enter=0.25, leave=0.05, days=2)
    assert carry.held(rule, rates).tolist() == [False, False, True, True, True, False, False]
    changed = rates.copy()
    changed.iloc[4:] = 9.0
    assert carry.held(rule, changed).tolist()[:5] == carry.held(rule, rates).tolist()[:5]


def test_a_rule_that_leaves_above_where_it_enters_is_none() -> None:
    with pytest.raises(BadInput, match=r"leave = 0\.2 is above enter = 0\.1"):
        validated(Threshold, {"enter": 0.1, "leave": 0.2, "days": 1}, "rule")


def test_a_window_adds_up_the_trades_in_it() -> None:
    day, length = torch.arange(12.0, dtype=torch.float64)[:, None], torch.arange(5.0, dtype=torch.float64)
    loss = (100 * day + length)[..., None]
    loss[:, 0] = 0.0
    made = Trades(DAYS, loss)
    on = pd.Series([day in (0, 2, 3, 6, 7, 8, 9, 10, 11) for day in range(12)], index=DAYS)
    starts, losses = carry.windows(made, on)
    assert starts.tolist() == DAYS[:9].tolist()
    assert losses[:, 0].tolist() == [1 + 202, 202, 202, 301 + 601, 602, 603, 604, 704, 804]


def test_windows_that_lack_a_day_are_left_out() -> None:
    kept = [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    made = Trades(DAYS[kept], torch.zeros(11, 5, 1, dtype=torch.float64))
    starts, _ = carry.windows(made, pd.Series(True, index=DAYS))
    assert starts.tolist() == DAYS[[0, 1, 6, 7, 8]].tolist()


def test_the_rule_that_did_best_is_found() -> None:
    paid = np.array([0.4] * 6 + [-0.4] * 6)
    length = torch.arange(3.0, dtype=torch.float64)
    ahead = torch.tensor([[paid[day : day + int(n)].sum() for n in length] for day in range(12)])
    found = carry.tuned(Trades(DAYS, -ahead[..., None] + 0.1 * (length > 0)[:, None]), funding(*paid), torch.mean)
    assert found.days == 1
    assert carry.held(found, funding(*paid)).tolist() == [False] + [True] * 6 + [False] * 5


@pytest.fixture(scope="module")
def still() -> tuple[Observer, history.Record]:
    """A market that never moves, and pays 20 % a year."""
    index = pd.date_range("2024-01-01", periods=history.WARM_UP + 25 * 4, freq="h", tz="UTC", name="time")
    calm = np.where(np.arange(len(index)) % 2, 40_000.0, 40_001.0)
    columns = dict.fromkeys(("open", "high", "low", "close"), calm)
    bars = Bars("still", pd.DataFrame({**columns, "volume": 1.0, "splice": False, "venue": ""}, index=index), 1.0)
    record = history.Record((bars,), (np.full(len(index), 0.2),))
    contract = Contract(claims=(Claim(instrument=Spot(), units=1.0),), bars=72, decision_bars=12)
    calibration = constant.calibration(constant.Venue(), 0.8, news=0.05, persistence=0.99, asset="still")
    settings = ReplayMarket.Settings(assets=(calibration,))
    market = ReplayMarket(settings, 72, torch.Generator(), torch.float32, torch.device("cpu"), record.recording)
    return Observer(contract, market.calibrations, market.filters, market.surfaces), record


def test_a_trade_earns_its_funding_and_costs_its_two_ends(still: tuple[Observer, history.Record]) -> None:
    made = carry.trades(*still[:1], MeanShortfall(), still[1], [Delta(), NoHedge()])
    bare = made.loss[..., 1]
    ends = still[0].contract.hedges[0].execution
    assert made.loss.shape == (len(made.starts), 4, 2)
    assert bare[:, 1:] == pytest.approx(2 * SPOT_FEE, abs=6e-5)  # and the step of a bar
    hedged = made.loss[..., 0] - bare
    fees = 2 * ends.tiers[0].taker
    for days in (1, 2, 3):
        spent = hedged[:, days] + 0.2 * days / 365
        assert spent.min() > fees
        assert spent.max() < fees + 6e-4
    each_day = hedged[:, 2] - hedged[:, 1]
    assert each_day == pytest.approx(-0.2 / 365, abs=6e-5)

"""What arch's models say of records whose law is known, resamples laid out in order, and the tables beside them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from arch import arch_model

from envs.calibration import Calibration
from envs.history import DATA
from train import elsewhere, fitted, resampling

BTC = Calibration.load(DATA / "btc_2017_2022.toml")


def test_an_order_holds_each_bar_as_often_as_its_counts_say() -> None:
    often = resampling.counts(300, 20, 1, np.random.default_rng(5))[0]
    laid_out = resampling.order(300, 20, np.random.default_rng(5))
    assert np.bincount(laid_out, minlength=300).tolist() == often.tolist()
    assert (np.diff(laid_out) % 300 == 1).mean() > 0.9  # blocks of twenty stay together


def test_parameters_of_a_known_law_are_found() -> None:
    """GARCH(1,1)-t of α + β = .95 and five degrees of freedom: within four of arch's standard errors."""
    law = arch_model(None, mean="Zero", dist="t")
    law.distribution = type(law.distribution)(seed=np.random.default_rng(6))
    made = law.simulate([0.05, 0.10, 0.85, 5.0], 6000)["data"].to_numpy() / 100
    found = fitted.statistics(made, 1.0)
    assert found["GARCH-t, α + β"] == pytest.approx(0.95, abs=4 * 0.010)
    assert found["GARCH-t, degrees of freedom"] == pytest.approx(5.0, abs=4 * 0.32)
    assert found["BIC of GARCH-normal less GARCH-t's, per bar"] > 0.01
    assert 0 < found["BIC of FIGARCH-t less GARCH-t's, per bar"] < 0.01
    assert not any("two years" in name for name in found)


def test_targets_stand_beside_the_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitted, "statistics", lambda returns, bar_hours: {"mean": float(np.nanmean(returns))})
    real = np.random.default_rng(7).standard_normal(500)
    (target,) = fitted.judged(real, [real + 1, real + 2, real + 9], 1.0, 10, 1, lambda stage: None)
    assert target.real == pytest.approx(real.mean())
    assert target.low < target.real < target.high
    assert target.simulated == pytest.approx(real.mean() + 2)
    assert not target.inside


def test_a_market_order_pays_the_spread_and_the_root_of_its_size() -> None:
    rows = {name: simulated for name, simulated, _ in elsewhere.book(BTC.liquidity)}
    assert float(rows["slippage of $1 M, bps"]) == pytest.approx(0.01 + 2 * np.sqrt(1 / 2.8), abs=0.005)
    assert rows["spread, bps"] == "0.02 (given)"


def test_funding_and_crashes_are_read_off_the_paths() -> None:
    rate = np.tile(np.repeat([0.1095, -0.1095], 8), (2, 1500))
    fall = np.array([0.0, np.log(0.8), 0.0])
    record = SimpleNamespace(log_return=fall, low=np.array([0, -0.3, 0]), high=np.zeros(3), bar_hours=1.0)
    run = SimpleNamespace(funding=rate, records=[record, SimpleNamespace(**{**vars(record), "low": np.zeros(3)})])
    found = cast(Any, SimpleNamespace(run=run, calibration=BTC))
    rows = {name: simulated for name, simulated, _ in elsewhere.funding(found)}
    assert rows["share negative"] == rows["share at 0.01 %"] == "50%"
    assert rows["autocorrelation at one interval"] == rows["autocorrelation at nine"] == "−1.00"
    crash = elsewhere.crashes(found)[0]
    assert crash[:2] == ("2020-03-12", "100 % / 50 % / 0 %")

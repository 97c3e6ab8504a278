"""Eras are parted until the memory of a week is the record's, and only where the record refuses the likeliest.

The market here is a chain of two volatilities, which is quick; that the search does this to the fitted market is what
the shipped calibrations are tested for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from envs.calibration import Calibration
from envs.history import DATA, Bars
from envs.markets.garch import GarchMarket
from envs.volatility.garch import RegimeTensors
from envs.volatility.regimes import stationary_variance
from train import eras, fidelity, likeness, msgarch

BTC = Calibration.load(DATA / "btc_2017_2022.toml")
BARS, LAG = 4000, 24
Array = NDArray[np.float64]


def chain(settings: GarchMarket.Settings, bars: int, paths: int, seed: int, tell: Any) -> Array:
    """(bars, paths, 1) normal returns whose variance changes, by the eras' ratio of ω, every 200 bars on average."""
    rng = np.random.default_rng(seed)
    high = (rng.random((bars, paths)) < 1 / 200).cumsum(axis=0) % 2
    scale = np.where(high, math.sqrt(eras.ratio_of(settings.assets[0].regimes)), 1.0)
    return (0.005 * rng.standard_normal((bars, paths)) * scale)[..., None]


def record(ratio: float) -> Array:
    """Of typical memory among eleven, (BARS,)."""
    made = chain(GarchMarket.Settings(assets=(eras.apart(BTC, ratio),)), BARS, 11, 78, None)[:, :, 0].T
    return np.asarray(sorted(made, key=memory)[5])


def memory(path: Array) -> float:
    return float(fidelity.size_autocorrelation(path, np.ones((1, len(path))), LAG)[0])


def of(returns: Array) -> Bars:
    """Hourly bars of these log returns (n,)."""
    times = pd.date_range("2021-01-01", periods=len(returns) + 1, freq="h", tz="UTC")
    close = np.exp(np.concatenate([[0.0], returns.cumsum()]))
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    return Bars("made", pd.DataFrame(prices, index=times).assign(splice=False), 1.0)


def met(ratio: float, bars: Bars, monkeypatch: pytest.MonkeyPatch) -> tuple[Calibration, Calibration]:
    """A draft of this ratio, and what becomes of it."""
    monkeypatch.setattr(eras, "WEEK", float(LAG))
    monkeypatch.setattr(likeness, "returns", chain)
    draft = eras.apart(BTC, ratio)
    return draft, eras.met(draft, bars, lambda stage: None)


def test_parting_keeps_the_long_run_variance_and_all_but_omega() -> None:
    made = eras.apart(BTC, 30.0)
    assert eras.ratio_of(made.regimes) == pytest.approx(30.0)
    gain = BTC.shocks.news_gain
    before, after = (stationary_variance(msgarch.fed(RegimeTensors.of(c.regimes), gain)) for c in (BTC, made))
    assert after == pytest.approx(before, rel=1e-12)
    assert made.regimes.model_copy(update={"omega": BTC.regimes.omega}) == BTC.regimes
    assert eras.apart(BTC, eras.ratio_of(BTC.regimes)).regimes.omega == pytest.approx(BTC.regimes.omega, rel=1e-12)


def test_a_record_that_the_market_could_have_made_leaves_the_eras_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    draft, made = met(6.0, of(record(6.0)), monkeypatch)
    assert made is draft


@pytest.mark.parametrize("ratio", [1.5, 40.0])
def test_a_record_of_another_memory_moves_them_until_simulation_meets_it(
    ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = record(6.0)
    _, made = met(ratio, of(real), monkeypatch)
    paths = chain(GarchMarket.Settings(assets=(made,)), BARS + 1, eras.PATHS, eras.SEED, None)[:, :, 0].T
    assert float(np.median([memory(path) for path in paths])) == pytest.approx(memory(real), abs=0.005)
    assert eras.ratio_of(made.regimes) == pytest.approx(6.0, rel=0.3)


def test_a_record_that_no_eras_make_ends_at_the_widest(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = np.where(np.arange(BARS) < BARS // 2, 1e-4, 1e-2) * np.where(np.arange(BARS) % 2, 1, -1)
    _, made = met(6.0, of(steps), monkeypatch)
    assert eras.ratio_of(made.regimes) == pytest.approx(eras.WIDEST)


def test_a_record_shorter_than_four_lags_leaves_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    draft, made = met(6.0, of(record(6.0)[: 4 * LAG - 2]), monkeypatch)
    assert made is draft

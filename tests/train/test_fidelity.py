"""Statistics of a record against closed forms, known laws, and the same statistic of a record laid out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from envs.calibration import Calibration
from envs.history import DATA, Bars, load_bars, load_funding
from envs.markets import garch
from train import calibration_report, fidelity, implied, likeness, ranges, resampling
from train.fidelity import Record, Target
from train.likeness import Likeness

Array = NDArray[Any]


def record(returns: Array, **fields: Array) -> Record:
    n = len(returns)
    plain = {name: np.zeros(n) for name in ("low", "high", "move", "era")}
    return Record(bar_hours=1.0, log_return=returns, hour=np.arange(n) % 24, **{**plain, **fields})


def of(name: str, one: Record, often: Array | None = None) -> Array:
    return fidelity.of_returns(1.0)[name](one, np.ones((1, len(one))) if often is None else often)


def heavy(bars: int, seed: int) -> Array:
    return 0.01 * np.random.default_rng(seed).standard_t(4, bars)


def test_each_resample_is_as_long_as_the_record_and_every_bar_is_as_likely() -> None:
    often = resampling.counts(200, 20, 2000, np.random.default_rng(1))
    assert (often.sum(axis=1) == 200).all()
    assert (often >= 0).all()
    # The share of one bar is a mean over 2,000 resamples: six standard errors, for the largest of 200.
    assert np.abs(often.mean(axis=0) - 1).max() < 6 * often.std() / math.sqrt(2000)


def test_blocks_have_the_mean_length_asked_for() -> None:
    """Neighbours i, i+1 part company at a block's end, once in 50 bars; a rare bar alone would part every time."""
    often = resampling.counts(5000, 50, 40, np.random.default_rng(2))
    parted = np.maximum(np.diff(often, axis=1), 0).sum(axis=1)  # starts seen from outside; overlaps hide some
    assert 0.5 * 100 < parted.mean() < 1.05 * 100


@pytest.mark.parametrize(
    "name",
    ["annual volatility", "excess kurtosis", "Hill index, losses", "Hill index, gains", "worst bar", "best bar"],
)
def test_counting_a_bar_twice_is_having_it_twice(name: str) -> None:
    returns, often = heavy(30_000, 3), resampling.counts(30_000, 100, 1, np.random.default_rng(4))
    laid_out = np.repeat(returns, often[0].astype(int))
    assert float(of(name, record(returns), often)[0]) == pytest.approx(float(of(name, record(laid_out))[0]), rel=0.02)


def test_moments_are_those_of_numpy_and_scipy() -> None:
    returns = heavy(5000, 5)
    assert float(of("annual volatility", record(returns))[0]) == pytest.approx(returns.std() * math.sqrt(8760))
    assert float(of("excess kurtosis", record(returns))[0]) == pytest.approx(stats.kurtosis(returns))
    holes = np.concatenate([returns, [np.nan] * 7])
    assert float(of("excess kurtosis", record(holes))[0]) == pytest.approx(stats.kurtosis(returns))


def test_hill_finds_the_index_of_a_pareto_tail() -> None:
    """Index 3 from 2,000 tail values: the estimator's standard error is 3/√2000; four of them."""
    falls = -0.001 * np.random.default_rng(6).pareto(3.0, 200_000) - 0.001
    assert float(of("Hill index, losses", record(falls))[0]) == pytest.approx(3.0, abs=4 * 3 / math.sqrt(2000))


def test_autocorrelation_is_that_of_the_sizes() -> None:
    returns = heavy(4000, 7)
    returns[1:] *= 1 + 20 * np.abs(returns[:-1])
    expected = np.corrcoef(np.abs(returns[24:]), np.abs(returns[:-24]))[0, 1]
    assert float(of("autocorrelation of |r|, 24 h", record(returns))[0]) == pytest.approx(expected)


def test_pairs_keep_their_distance_in_a_bootstrap() -> None:
    """An exact echo at lag 168 stays one, though blocks are shorter than the lag."""
    base = np.abs(heavy(168, 8))
    echo = record(np.tile(base, 30))
    often = resampling.counts(len(echo), 50, 20, np.random.default_rng(9))
    assert of("autocorrelation of |r|, 168 h", echo, often) == pytest.approx(np.ones(20))


def test_spells_and_troughs_by_hand() -> None:
    era = np.array([0, 1, 1, 0, 1, 1, 1, 0.0])
    one = record(np.zeros(8), era=era)
    assert float(of("spell of high volatility, hours", one)[0]) == 2.5
    assert float(of("spell of low volatility, hours", one)[0]) == pytest.approx(1.0)
    assert float(of("share of high volatility", one)[0]) == 5 / 8
    moves = np.log([1.0, 1.1, 0.9, 0.5, 1.2])
    deep = record(moves, high=np.array([0, 0.2, 0, 0, 0.2]), low=np.array([0, 0, -0.1, -0.55, 0.0]))
    expected = 1.1 * 0.9 * 0.45 / 1.2 - 1  # the open of bar 3 is 1.1·0.9, its low .45 of that; the high of bar 1 is 1.2
    assert float(of("worst peak-to-trough, a week", deep)[0]) == pytest.approx(expected)


def test_events_are_counted_by_direction_and_the_day_has_a_shape() -> None:
    move = np.zeros(8760)
    move[[5, 50, 500]], move[7] = -7, 9
    one = record(heavy(8760, 10), move=move)
    assert [float(of(f"{each} beyond 6σ, a year", one)[0]) for each in ("falls", "rises")] == pytest.approx([3, 1])
    shaped = np.where(np.arange(240) % 24 == 14, 0.03, 0.01)
    assert float(of("diurnal ratio of |r|", record(shaped))[0]) == pytest.approx(3)
    assert float(of("hour of most |r|, UTC", record(shaped))[0]) == 14


def test_pair_and_funding_statistics_are_numpys() -> None:
    rng = np.random.default_rng(11)
    pair = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 5000)
    once = np.ones((1, 5000))
    found = {name: float(statistic(pair, once)[0]) for name, statistic in fidelity.of_pairs().items()}
    deep = pair[pair[:, 0] <= np.quantile(pair[:, 0], 0.01)]
    slope = np.polyfit(*pair.T, 1)[0]
    assert list(found.values()) == pytest.approx([np.corrcoef(pair.T)[0, 1], np.corrcoef(deep.T)[0, 1], slope])
    rate = np.array([0.1095, 0.2, -0.1, 0.1095, 0.3])
    daily = {name: float(statistic(rate, np.ones((1, 5)))[0]) for name, statistic in fidelity.of_funding().items()}
    assert daily["funding, share of days at 0.01 %"] == pytest.approx(0.4)
    assert daily["funding, share of days negative"] == pytest.approx(0.2)
    assert daily["funding, least a year"] == -0.1
    assert daily["funding, autocorrelation at 1 day"] == pytest.approx(np.corrcoef(rate[1:], rate[:-1])[0, 1])


def test_an_interval_covers_a_mean_as_often_as_it_says() -> None:
    """95 % intervals of the share of rises beyond 6σ, on 60 independent records: at least 50 cover (99.9 % if fair)."""
    rng, covered = np.random.default_rng(12), 0
    for seed in range(60):
        one = record(np.zeros(4000), move=np.where(rng.random(4000) < 0.01, 9.0, 0.0))
        (target,) = fidelity.compared(
            one, [one], {"rises": fidelity.of_returns(1.0)["rises beyond 6σ, a year"]}, set(), 5, seed
        )
        covered += target.low <= 87.6 <= target.high
    assert covered >= 50


def test_what_the_record_does_not_say_is_left_out() -> None:
    blind = replace(record(heavy(800, 13)), low=np.full(800, np.nan))
    targets = fidelity.compared(blind, [blind], fidelity.of_returns(1.0), fidelity.core_of(1.0), 50, 1)
    assert "worst open-to-low" not in {target.name for target in targets}
    assert {target.name for target in targets if target.core} < fidelity.core_of(1.0)


@pytest.fixture(scope="module")
def short() -> Likeness:
    """Four hundred hours of shipped prices, beside three simulated records."""
    calibration = Calibration.load(DATA / "btc_2017_2022.toml")
    bars = load_bars("btc").window("2021-01-01", "2021-06-01")
    real = likeness.of_history(calibration, bars)
    cut = slice(0, 1500)
    real = replace(real, **{name: value[cut] for name, value in vars(real).items() if isinstance(value, np.ndarray)})
    run = likeness.simulated(calibration, real, 3, lambda stage: None)
    daily = np.asarray(load_funding("btc").loc["2021-01-01":"2021-03-01"], dtype=np.float64)  # type: ignore[misc]
    targets = fidelity.compared(real, run.records, fidelity.of_returns(1.0), fidelity.core_of(1.0), 200, 1)
    return Likeness(calibration, real, run, daily, targets)


@pytest.fixture(autouse=True)
def _short_burn_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.markets.garch.BURN_IN", 50)


def test_simulated_records_are_as_long_as_the_real_one_and_coherent(short: Likeness) -> None:
    for one in short.run.records:
        assert len(one) == len(short.real) == 1500
        assert (one.low <= np.minimum(np.expm1(one.log_return), 0) + 1e-6).all()
        assert (one.high >= np.maximum(np.expm1(one.log_return), 0) - 1e-6).all()
        assert ((one.era >= 0) & (one.era <= 1 + 1e-5)).all()
    assert short.run.funding.shape == short.run.implied.shape == (3, 1500)


def test_the_page_stands_alone_and_says_inside_or_outside(short: Likeness) -> None:
    page = calibration_report.page(short)
    assert page.count("<img") == 5
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    for target in short.targets:
        assert target.name in page.replace("&lt;", "<")
    assert page.count("OUTSIDE") == sum(not target.inside for target in short.targets)
    assert f"of the {sum(t.core for t in short.targets)} statistics" in page


def test_without_funding_or_extremes_the_page_is_still_written(short: Likeness) -> None:
    blind = replace(short, daily=None, real=replace(short.real, low=np.full(len(short.real), np.nan)))
    assert calibration_report.page(blind).count("<img") == 4


def test_the_headline_names_what_a_market_must_have_and_has_not() -> None:
    good, bad = Target("a", 1, 0, 2, 1, 0, 2, True), Target("b", 1, 0, 2, 5, 0, 2, True)
    assert calibration_report.headline([good, bad]).startswith("1 of the 2 ")
    assert calibration_report.headline([good, bad]).endswith("outside: b.")


def test_risk_reversal_of_the_shipped_surface(short: Likeness) -> None:
    assert 100 * implied.risk_reversal(short) == pytest.approx(-5.8, abs=0.1)


def test_daily_means_take_the_three_funding_times() -> None:
    hourly = np.arange(49.0)
    assert likeness.daily_mean(hourly, 1.0).tolist() == [8.0, 32.0]


def test_ranges_need_highs_and_lows_and_reach_as_far_as_the_furthest() -> None:
    calibration = Calibration.load(DATA / "btc_2017_2022.toml")
    bars = load_bars("btc").window("2019-01-01", "2020-01-01")
    known = ranges.recorded(bars)
    assert known
    flat = bars.frame.assign(
        high=bars.frame[["open", "close"]].max(axis=1), low=bars.frame[["open", "close"]].min(axis=1)
    )
    assert not ranges.recorded(replace(bars, frame=flat))
    fitted = ranges.fit(bars, np.full(len(bars.frame), calibration.reference_volatility**2 / 8760))
    assert fitted.low_reach == pytest.approx(float(np.log(bars.frame["open"] / bars.frame["low"]).max()))
    assert torch.tensor(list(fitted.model_dump().values())).isfinite().all()


def test_ranges_are_recovered_from_bridges_of_known_variance() -> None:
    """The simulator's own extremes, of 200,000 bars: four standard errors."""
    law = Calibration.load(DATA / "btc_2017_2022.toml").range.model_copy(update={"low_reach": 9.0, "high_reach": 9.0})
    rng = np.random.default_rng(14)
    variance = np.full(200_000, 1e-4)
    move = rng.normal(0, 0.01, 200_000)
    uniform = torch.from_numpy(rng.uniform(0, 1, (2, 200_000)))
    below, above = garch._extremes(law, torch.from_numpy(move), torch.from_numpy(variance), *uniform)
    price = {
        "open": np.ones(200_000),
        "close": np.exp(move),
        "low": np.exp(-below.numpy()),
        "high": np.exp(above.numpy()),
    }
    fitted = ranges.fit(Bars("made", pd.DataFrame(price), 1.0), variance)
    mean = 1 - math.sqrt(garch.RAREST)  # of the bridge's multiple, whose heaviest are cut
    for name, error in (("diffusive", 0.0084), ("overshoot", 0.017)):  # relative standard errors over ten seeds
        for side in ("low", "high"):
            found, true = (getattr(each, f"{side}_{name}") for each in (fitted, law))
            assert found / true == pytest.approx(mean, abs=4 * error)

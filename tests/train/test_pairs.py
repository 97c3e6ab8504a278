"""The copula is found again from returns that it made; what is no pair is refused; the page and the task."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from envs.calibration import Calibration
from envs.history import DATA, Bars, load_bars
from envs.task import Task
from envs.types import BadInput
from train import calibration_command, fidelity, likeness, pair_report, pairs
from train.pairs import Pair

NAMES = ("btc_2017_2022", "eth_2022_2024")
BTC, ETH = (Calibration.load(DATA / f"{name}.toml") for name in NAMES)


@pytest.fixture(autouse=True)
def _few_short_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.markets.garch.BURN_IN", 5)
    monkeypatch.setattr(likeness, "PATHS", 15)


def bars(name: str, count: int, start: str = "2023-01-01", hours: float = 1.0, seed: int = 1) -> Bars:
    times = pd.date_range(start, periods=count, freq=pd.Timedelta(hours=hours), tz="UTC", name="time")
    close = np.exp(0.01 * np.random.default_rng(seed).standard_normal(count).cumsum())
    columns = dict.fromkeys(("open", "high", "low", "close"), close)
    return Bars(name, pd.DataFrame({**columns, "volume": 1.0, "splice": False, "venue": ""}, index=times), hours)


def silent(stage: str) -> None:
    pass


def made(copula: float, count: int = 60, seed: int = 5) -> list[np.ndarray]:
    return pairs.simulated((BTC, ETH), copula, count, seed, silent)


def correlation(pair: np.ndarray) -> float:
    return float(np.corrcoef(pair.T)[0, 1])


def test_a_pair_is_the_time_that_both_records_have() -> None:
    one, other = bars("a", 5000), bars("b", 5000, start="2023-02-01", seed=2)
    cut = pairs.common((one, other), "2022-12-01", "2023-06-01")
    assert [each.frame.index[0] for each in cut] == [other.frame.index[0]] * 2
    assert [str(each.frame.index[-1].date()) for each in cut] == ["2023-06-01"] * 2


def test_bars_that_one_record_lacks_are_left_out() -> None:
    one, other = bars("a", 100), bars("b", 100, seed=2)
    holed = replace(other, frame=other.frame.drop(other.frame.index[40]))
    found = pairs.together((one, holed))
    assert len(found) == 97  # neither the first bar, nor the missing one, nor that after it
    assert found[0].to_numpy() == pytest.approx(one.log_returns()[0][np.r_[1:40, 42:100]])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (bars("a", 3000), "a and a hold the same bars; give two assets"),
        (bars("b", 3000, hours=4.0, seed=2), "bring both on one length"),
        (bars("b", 3000, start="2024-01-01", seed=2), "do not overlap; bring two records of the same time"),
        (bars("b", 3000, start="2023-03-01", seed=2), "share 1584 bars of the window; a pair needs 2000"),
    ],
)
def test_what_is_no_pair_is_refused_in_one_line(other: Bars, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        pairs.common((bars("a", 3000), other), None, None)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_calibration_on_other_bars_is_refused() -> None:
    daily = ETH.model_copy(update={"source": ETH.source.model_copy(update={"bar_hours": 24.0})})
    with pytest.raises(BadInput, match="calibrate on bars of one length"):
        pairs.judged((BTC, daily), (bars("a", 3000), bars("b", 3000, seed=2)))


@pytest.mark.parametrize("copula", [0.8, -0.5])
def test_the_fit_finds_the_correlation_asked_for(copula: float) -> None:
    """On the fit's own draws: the path whose correlation is the median gives its own copula back."""
    paths = sorted(made(copula, seed=pairs.FIT_SEED), key=correlation)
    assert pairs.fitted((BTC, ETH), paths[7], silent) == pytest.approx(copula, abs=2 * pairs.TOLERANCE)


def test_no_copula_goes_beyond_its_limit() -> None:
    twins = np.repeat(np.random.default_rng(3).standard_normal((30, 1)), 2, axis=1)
    assert pairs.fitted((BTC, ETH), twins, silent) == pairs.LIMIT
    assert pairs.fitted((BTC, ETH), twins * (1, -1), silent) == -pairs.LIMIT


def test_simulated_returns_are_each_assets_own_and_seeded() -> None:
    first, again, other = made(0.9), made(0.9), made(0.9, seed=6)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array(first).shape == (15, 60, 2)
    assert np.median([correlation(path) for path in made(0.1)]) < np.median([correlation(path) for path in first])


@pytest.fixture(scope="module")
def pair() -> Pair:
    rng = np.random.default_rng(4)
    paths = [rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 4000) for _ in range(5)]
    targets = fidelity.compared(paths[0], paths[1:], fidelity.of_pairs(), set(), 50, 1)
    times = pd.Timestamp("2023-01-01", tz="UTC"), pd.Timestamp("2023-06-01", tz="UTC")
    return Pair((BTC, ETH), ("gold <x>", "silver"), *times, 0.8, paths[0], paths[1:], targets)


def test_the_page_names_every_target_and_stands_alone(pair: Pair) -> None:
    page = pair_report.page(pair)
    assert page.count("<img") == 2
    assert "gold &lt;x&gt;" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert all(name in unescape(page) for name in fidelity.of_pairs())
    assert page.count("OUTSIDE") == sum(not target.inside for target in pair.targets)
    assert "correlation 0.800: " in page


def test_the_page_says_where_the_copula_ends_and_why_a_target_is_outside(pair: Pair) -> None:
    off = replace(pair.targets[0], simulated=-1.0)
    page = pair_report.page(replace(pair, copula=pairs.LIMIT, targets=[off]))
    assert "as far as it goes (0.999): 0 of the 1" in page
    assert "no copula makes up for it" in page


def test_the_task_of_a_pair_loads_and_is_a_short_call_on_each(pair: Pair, tmp_path: Path) -> None:
    task = calibration_command.task_of(pair)
    path = tmp_path / "pair.toml"
    path.write_text(calibration_command.as_toml(task), encoding="utf-8")
    loaded = Task.load(path)
    assert loaded == task
    assert loaded.market.settings.correlation == ((1.0, 0.8), (0.8, 1.0))  # type: ignore[attr-defined]
    assert loaded.contract == Task.load("multi_asset").contract
    assert "gold <x> and silver" in loaded.about


def test_the_command_writes_a_task_a_page_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "MIN_BARS", 97)
    out, given = tmp_path / "runs" / "pair.toml", [DATA / f"{name}.toml" for name in NAMES]
    window = {"first": "2023-03-10", "last": "2023-03-14"}
    calibration_command.command(out, data=["btc", "eth"], calibration=given, json=True, **window)
    printed = json.loads(capsys.readouterr().out)
    assert printed["bars"] == 96  # after the first
    assert [target["name"] for target in printed["targets"]] == ["correlation", "beta of the second"]  # 1 % is one bar
    settings = Task.load(out).market.settings
    assert settings.assets == (BTC, ETH)  # type: ignore[attr-defined]
    assert settings.correlation[0][1] == printed["copula"]  # type: ignore[attr-defined]
    assert "2023-03-10 to 2023-03-14" in out.with_suffix(".html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_shipped_pair_correlates_as_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """On paths that the copula was not fitted on."""
    monkeypatch.undo()
    settings = Task.load("multi_asset").market.settings
    calibrations, copula = settings.assets, settings.correlation[0][1]  # type: ignore[attr-defined]
    source = calibrations[1].source
    btc, eth = (load_bars(name).window(source.first, source.last) for name in ("btc", "eth"))
    real = pairs.together((btc, eth)).to_numpy(np.float64)
    paths = pairs.simulated(calibrations, copula, len(real), likeness.SEED, silent)
    targets = fidelity.compared(real, paths, fidelity.of_pairs(), set(), likeness.BLOCK_HOURS, likeness.SEED)
    assert [target.name for target in targets if target.inside][:1] == ["correlation"]

"""The split: nothing is judged on what a model was calibrated on, but by force, which is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from agents.classical.delta import Delta
from envs import constant, funding
from envs.calibration import Calibration
from envs.contract import Claim, Contract
from envs.history import Bars
from envs.instruments.option import Option
from envs.markets.replay import ReplayMarket
from envs.objectives.mean_shortfall import MeanShortfall
from envs.observation import Observer
from envs.types import BadInput
from tests.train import support
from train import history
from train.history import Record, Sources

CPU = torch.device("cpu")
CALIBRATION = constant.calibration(constant.Venue(), 0.8, news=0.05, persistence=0.99, asset="btc")


def ended(calibration: Calibration, last: str) -> Calibration:
    return calibration.model_copy(update={"source": calibration.source.model_copy(update={"last": last})})


CALIBRATION = ended(CALIBRATION, "2022-03-01T00:00:00+00:00")
OTHER = ended(constant.calibration(constant.Venue(), 1.0, asset="eth"), "2022-04-01T00:00:00+00:00")

END = pd.Timestamp(CALIBRATION.source.last)
OBJECTIVE = MeanShortfall()
SHORT = Contract(claims=(Claim(instrument=Option(bars=48)),), bars=48, decision_bars=12)
NO_FUNDING = pd.Series([], index=pd.DatetimeIndex([], tz="UTC"), dtype=float)


def bars(first: pd.Timestamp, count: int) -> Bars:
    index = pd.date_range(first, periods=count, freq="h", name="time")
    price = 40_000 * np.exp(0.01 * np.random.default_rng(5).standard_normal(count).cumsum())
    columns = dict.fromkeys(("open", "high", "low", "close"), price)
    frame = pd.DataFrame({**columns, "volume": 1.0, "splice": False, "venue": ""}, index=index)
    return Bars("test", frame, 1.0)


def after(given: Bars, rates: pd.Series, sources: Sources | None = None) -> Record:
    return history.after([CALIBRATION], [given], [rates], sources)


def test_bars_within_the_calibration_window_are_refused() -> None:
    with pytest.raises(BadInput, match="0 bars after the calibration window's end") as raised:
        after(bars(END - pd.Timedelta(hours=3999), 4000), NO_FUNDING)
    assert len(str(raised.value).splitlines()) == 1


def test_too_few_later_bars_are_refused() -> None:
    short = 2 * history.WARM_UP - 1
    with pytest.raises(BadInput, match=f"{short} bars after"):
        after(bars(END + pd.Timedelta(hours=1), short), NO_FUNDING)


def test_only_bars_after_the_calibration_window_are_kept() -> None:
    given_bars = bars(END - pd.Timedelta(hours=99), 100 + 2 * history.WARM_UP)
    record = after(given_bars, NO_FUNDING)
    index = record.bars[0].frame.index
    assert index[0] == END + pd.Timedelta(hours=1)
    assert len(index) == len(record.funding_rates[0]) == 2 * history.WARM_UP
    assert record.first == index[history.WARM_UP]
    assert record.last == index[-1] == given_bars.frame.index[-1]
    _, may = record.bars[0].log_returns()
    assert not may[0]  # the return into the first bar begins before the split


def test_a_window_without_zone_ends_in_utc() -> None:
    naive = CALIBRATION.source.model_copy(update={"last": END.tz_localize(None).isoformat()})
    given_bars = bars(END - pd.Timedelta(hours=9), 10 + 2 * history.WARM_UP)
    record = history.after([CALIBRATION.model_copy(update={"source": naive})], [given_bars], [NO_FUNDING])
    assert record.bars[0].frame.index[0] == END + pd.Timedelta(hours=1)


def test_unrecorded_funding_is_that_of_the_calibrated_mean_premium() -> None:
    first = (END + pd.Timedelta(days=2)).floor("D")
    known = pd.Series([0.25], index=pd.DatetimeIndex([first]))
    record = after(bars(END + pd.Timedelta(hours=1), 2 * history.WARM_UP), known)
    usual = float(funding.funding_rate(torch.tensor(CALIBRATION.funding.mean_premium, dtype=torch.float64)))
    on_day = record.bars[0].frame.index.floor("D") == first
    assert on_day.sum() == 24
    assert (record.funding_rates[0][on_day] == 0.25).all()
    assert record.funding_rates[0][~on_day] == pytest.approx(usual)


def test_the_world_of_history_starts_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whole windows a day apart, each with its calendar quarter; a hedger can be carried to every expiry."""
    monkeypatch.setattr(history, "WARM_UP", 60)
    contract = SHORT
    record = after(bars(END + pd.Timedelta(hours=1), 800), NO_FUNDING)
    whole = ReplayMarket.Settings(assets=(CALIBRATION,))
    kind = ReplayMarket(whole, 48, torch.Generator(), torch.float32, CPU, record.recording)
    observer = Observer(contract, kind.calibrations, kind.filters, kind.surfaces)
    world, quarters = history.world(observer, OBJECTIVE, record, 1)
    places = world.state.place.numpy()
    starts = record.bars[0].frame.index[places]
    assert int(places.min()) >= 60
    assert set(np.diff(places)) == {history.EVERY}
    assert int(places[-1]) + 48 < 800 <= int(places[-1]) + 48 + history.EVERY
    assert quarters.tolist() == [4 * start.year + (start.month + 2) // 3 for start in starts]
    assert world.episode.memories[0].bars.tolist() == places.tolist()
    spot = record.bars[0].frame["close"].to_numpy()
    assert world.episode.quotes[0].spot.numpy() == pytest.approx(spot[places], rel=1e-6)
    for _ in range(contract.decisions):
        _, ended, _ = world.advance(Delta().band(world.observation))
    assert ended.all()
    assert world.episode.quotes[0].spot.numpy() == pytest.approx(spot[places + 48], rel=1e-6)


def test_bars_of_another_length_than_the_calibrations_are_refused() -> None:
    """Daily returns read as hourly ones would be filtered as cascade after cascade."""
    daily = bars(END + pd.Timedelta(hours=1), 2 * history.WARM_UP)
    index = pd.date_range(END + pd.Timedelta(days=1), periods=len(daily.frame), freq="D", name="time")
    with pytest.raises(BadInput):
        after(Bars("daily", daily.frame.set_index(index), 24.0), NO_FUNDING)


def test_a_window_inside_training_is_refused_but_by_force() -> None:
    """The warm-up before a window may lie inside; the window may not, unless it is forced, and then it is told."""
    given = bars(END - pd.Timedelta(hours=3000), 6000)
    inside, outside = str(END), str(END + pd.Timedelta(hours=1))
    with pytest.raises(BadInput, match="overlaps the model's training window") as raised:
        after(given, NO_FUNDING, Sources(first=inside))
    assert len(str(raised.value).splitlines()) == 1
    (told,) = after(given, NO_FUNDING, Sources(first=inside, force=True)).forced
    assert "overlaps" in told
    honest = after(given, NO_FUNDING, Sources(first=outside))
    assert (honest.first, honest.forced) == (END + pd.Timedelta(hours=1), ())
    assert honest.index[0] < END


def test_a_window_has_an_end_and_a_warm_up() -> None:
    given = bars(END - pd.Timedelta(hours=3000), 6000)
    first, last = END + pd.Timedelta(hours=200), END + pd.Timedelta(hours=300)
    record = after(given, NO_FUNDING, Sources(first=str(first), last=str(last)))
    assert (record.first, record.last) == (first, last)
    with pytest.raises(BadInput, match="is before the window's first bar"):
        after(given, NO_FUNDING, Sources(first=str(first), last=str(END)))
    with pytest.raises(BadInput, match="warm the filters"):
        after(given, NO_FUNDING, Sources(first=str(given.frame.index[10]), force=True))


def test_two_assets_are_judged_after_the_later_of_their_windows() -> None:
    """At the times that both have."""
    one, two = bars(END - pd.Timedelta(hours=10), 6000), bars(END, 6000)
    record = history.after([CALIBRATION, OTHER], [one, two], [NO_FUNDING, None])
    assert record.index[0] == pd.Timestamp(OTHER.source.last) + pd.Timedelta(hours=1)
    assert record.last == one.frame.index[-1]
    assert record.recording.spot.shape == (len(record.index), 2)
    assert record.name == "test and test"


def test_history_of_another_asset_is_refused_but_by_force(tmp_path: Path) -> None:
    task = support.task(support.CALIBRATED)
    with pytest.raises(BadInput, match="the bars are of eth") as raised:
        history.later(task, Sources(data=("eth",)))
    assert len(str(raised.value).splitlines()) == 1
    forced = history.later(task, Sources(data=("eth",), force=True))
    assert forced is not None
    assert "eth" in forced.forced[0]


def test_a_market_that_replays_the_record_has_seen_all_of_it() -> None:
    """Whatever window its calibration is of."""
    seen = {"kind": "bootstrap", "settings": {"assets": ["btc_2017_2022"], "last": "2025-06-01"}}
    with pytest.raises(BadInput, match="overlaps the model's training window, which ends 2025-06-01"):
        history.later(support.task(seen), Sources(first="2024-01-01"))


def test_a_market_that_was_calibrated_on_nothing_has_no_history() -> None:
    assert history.later(support.task(), Sources()) is None


def test_a_record_without_a_whole_window_is_refused() -> None:
    record = after(
        bars(END - pd.Timedelta(hours=3000), 6000),
        NO_FUNDING,
        Sources(first=str(END + pd.Timedelta(hours=1)), last=str(END + pd.Timedelta(hours=20))),
    )
    observer = support.task(support.CALIBRATED).observer()
    with pytest.raises(BadInput, match="no 48 bars in a row"):
        history.world(observer, OBJECTIVE, record, 1)

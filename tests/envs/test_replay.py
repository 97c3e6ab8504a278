"""History replayed: whole windows only, the memory a desk would have had, and nothing from before the split."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agents.delta import Delta
from envs import funding, marks, shocks, simulated
from envs.calibration import Calibration
from envs.contract import Contract
from envs.history import Bars
from envs.markets.replay import ReplayMarket, State
from envs.objective import MeanShortfall
from envs.seeding import generators
from envs.types import BadInput, taken
from envs.volatility.memory import Filter, Memory
from train import history

CALIBRATION = Calibration.load(simulated.SHIPPED_CALIBRATION)
ROWS = 160
BAD = (0, 40, 41, 90)  # rows into which no return may be used


def filter(dtype: torch.dtype = torch.float64) -> Filter:
    return Filter(CALIBRATION, dtype, torch.device("cpu"), marks.implied_horizon(CALIBRATION))


def usable(rows: int = ROWS, bad: tuple[int, ...] = BAD) -> Tensor:
    mask = torch.ones(rows, dtype=torch.bool)
    mask[list(bad)] = False
    return mask


def recorded(mask: Tensor | None = None) -> ReplayMarket:
    """A random walk with a splice's jump into row 40 and a crash into row 100."""
    mask = usable() if mask is None else mask
    (generator,) = generators(701, 1)
    returns = 0.01 * torch.randn(len(mask), generator=generator, dtype=torch.float64)
    returns[40:41] = 0.7
    returns[100:101] = -0.12
    rate = torch.linspace(-0.3, 0.3, len(mask), dtype=torch.float64)
    return ReplayMarket(CALIBRATION, filter(), 40_000 * returns.cumsum(0).exp(), mask, rate)


@pytest.fixture(scope="module")
def market() -> ReplayMarket:
    return recorded()


def test_memory_is_the_step_by_step_filter_that_skips_unusable_returns(market: ReplayMarket) -> None:
    memory, ours = market.filter.initial(1), usable().tolist()
    for row in range(ROWS):
        if row and ours[row]:
            memory = market.filter.update(memory, torch.log(market.spot[row] / market.spot[row - 1])[None])
        _, found = market.at(torch.tensor([row]))
        for field in fields(Memory):
            one, other = getattr(found, field.name), getattr(memory, field.name)
            assert torch.equal(one, other), (row, field.name)
    assert int(memory.bars) == ROWS - len(BAD)


def test_quotes_are_the_records_with_modelled_marks(market: ReplayMarket) -> None:
    place = torch.tensor([5, 101, 159])
    state, memory = market.at(place)
    quote = market.quote(state, memory)
    assert torch.equal(quote.spot, market.spot[place])
    assert torch.equal(quote.mark, quote.spot)
    assert torch.equal(quote.funding_rate, market.funding_rate[place])
    assert torch.equal(quote.half_spread, shocks.half_spread(CALIBRATION.liquidity, memory.excitement))
    assert torch.equal(quote.depth, shocks.depth(CALIBRATION.liquidity, memory.excitement))
    assert quote.half_spread[1] > 10 * quote.half_spread[0]  # a bar after the crash
    assert quote.depth[1] < 0.9 * quote.depth[0]
    month = torch.full((3,), marks.implied_horizon(CALIBRATION))
    implied = CALIBRATION.surface.risk_premium * market.filter.term_variance(memory, month).sqrt()
    assert torch.equal(quote.implied_volatility, implied)


def test_stepping_walks_the_record(market: ReplayMarket) -> None:
    state, memory = market.at(torch.tensor([3, 100]))
    for bar in range(1, 20):
        state, memory, quote = market.step(state, memory)
        place = torch.tensor([3, 100]) + bar
        assert torch.equal(state.place, place)
        assert torch.equal(quote.spot, market.spot[place])
        assert torch.equal(memory.variance, taken(market.memory, place).variance)


def test_initial_paths_are_the_first_rows(market: ReplayMarket) -> None:
    state, memory = market.initial(3)
    assert state.place.tolist() == [0, 1, 2]
    assert memory.bars.tolist() == [0, 1, 2]


def test_a_step_past_the_record_is_refused(market: ReplayMarket) -> None:
    state, memory = market.at(torch.tensor([3, ROWS - 2]))
    state, memory, _ = market.step(state, memory)
    assert state.place.tolist() == [4, ROWS - 1]
    with pytest.raises(BadInput, match=f"the record ends after {ROWS} bars"):
        market.step(state, memory)


def test_windows_by_hand(market: ReplayMarket) -> None:
    """Of 40 returns each: rows 40 and 41 stop those from 1 to 40, row 90 those from 50 to 89; the last ends at 159.

    From row 0 the fortieth return is the one into row 40, so it is stopped too.
    """
    assert market.whole_windows(40, 1).tolist() == [*range(41, 50), *range(90, 120)]
    assert market.whole_windows(39, 1).tolist() == [0, *range(41, 51), *range(90, 121)]
    assert market.whole_windows(40, 10).tolist() == [90, 100, 110]
    assert market.whole_windows(ROWS - 1, 1).tolist() == []


@settings(max_examples=40)
@given(
    mask=st.lists(st.sampled_from([True] * 9 + [False]), min_size=12, max_size=40),
    bars=st.integers(1, 10),
    every=st.integers(1, 5),
)
def test_windows_hold_usable_returns_alone_and_miss_none(mask: list[bool], bars: int, every: int) -> None:
    market = ReplayMarket.__new__(ReplayMarket)
    market.spot, market.usable = torch.ones(len(mask)), torch.tensor([False, *mask[1:]])
    whole = [
        start
        for start in range(0, len(mask), every)
        if start + bars < len(mask) and all(mask[start + 1 : start + bars + 1])
    ]
    assert market.whole_windows(bars, every).tolist() == whole


def test_a_record_shorter_than_the_option_has_no_window(market: ReplayMarket) -> None:
    assert market.whole_windows(ROWS + 50, 1).tolist() == []


def test_a_whole_window_can_be_walked_to_its_end(market: ReplayMarket) -> None:
    state, memory = market.at(market.whole_windows(40, 1)[-1:])
    for _ in range(40):
        state, memory, _ = market.step(state, memory)
    assert isinstance(state, State)
    assert state.place.tolist() == [ROWS - 1]


# The split.

END = pd.Timestamp(CALIBRATION.source.last)
OBJECTIVE = MeanShortfall()
NO_FUNDING = pd.Series([], index=pd.DatetimeIndex([], tz="UTC"), dtype=float)


def bars(first: pd.Timestamp, count: int) -> Bars:
    index = pd.date_range(first, periods=count, freq="h", name="time")
    price = 40_000 * np.exp(0.01 * np.random.default_rng(5).standard_normal(count).cumsum())
    columns = dict.fromkeys(("open", "high", "low", "close"), price)
    frame = pd.DataFrame({**columns, "volume": 1.0, "splice": False, "venue": ""}, index=index)
    return Bars("test", frame, 1.0)


def test_bars_within_the_calibration_window_are_refused() -> None:
    with pytest.raises(BadInput, match="0 bars after the calibration window's end") as raised:
        history.after(CALIBRATION, bars(END - pd.Timedelta(hours=3999), 4000), NO_FUNDING)
    assert len(str(raised.value).splitlines()) == 1


def test_too_few_later_bars_are_refused() -> None:
    short = 2 * history.WARM_UP - 1
    with pytest.raises(BadInput, match=f"{short} bars after"):
        history.after(CALIBRATION, bars(END + pd.Timedelta(hours=1), short), NO_FUNDING)


def test_only_bars_after_the_calibration_window_are_kept() -> None:
    given_bars = bars(END - pd.Timedelta(hours=99), 100 + 2 * history.WARM_UP)
    record = history.after(CALIBRATION, given_bars, NO_FUNDING)
    index = record.bars.frame.index
    assert index[0] == END + pd.Timedelta(hours=1)
    assert len(index) == len(record.funding_rate) == 2 * history.WARM_UP
    assert record.first == index[history.WARM_UP]
    assert record.last == index[-1] == given_bars.frame.index[-1]
    _, may = record.bars.log_returns()
    assert not may[0]  # the return into the first bar begins before the split


def test_a_window_without_zone_ends_in_utc() -> None:
    naive = CALIBRATION.source.model_copy(update={"last": END.tz_localize(None).isoformat()})
    given_bars = bars(END - pd.Timedelta(hours=9), 10 + 2 * history.WARM_UP)
    record = history.after(CALIBRATION.model_copy(update={"source": naive}), given_bars, NO_FUNDING)
    assert record.bars.frame.index[0] == END + pd.Timedelta(hours=1)


def test_unrecorded_funding_is_that_of_the_calibrated_mean_premium() -> None:
    first = (END + pd.Timedelta(days=2)).floor("D")
    known = pd.Series([0.25], index=pd.DatetimeIndex([first]))
    record = history.after(CALIBRATION, bars(END + pd.Timedelta(hours=1), 2 * history.WARM_UP), known)
    usual = float(funding.funding_rate(torch.tensor(CALIBRATION.funding.mean_premium, dtype=torch.float64)))
    on_day = record.bars.frame.index.floor("D") == first
    assert on_day.sum() == 24
    assert (record.funding_rate[on_day] == 0.25).all()
    assert record.funding_rate[~on_day] == pytest.approx(usual)


def test_the_world_of_history_starts_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whole windows a day apart, each with its calendar quarter; a hedger can be carried to every expiry."""
    monkeypatch.setattr(history, "WARM_UP", 60)
    contract = Contract(option_bars=48, decision_bars=12)
    record = history.after(CALIBRATION, bars(END + pd.Timedelta(hours=1), 800), NO_FUNDING)
    observer = simulated.observer(CALIBRATION, contract, torch.float32, torch.device("cpu"))
    world, quarters = history.world(observer, OBJECTIVE, record, 1)
    starts = record.bars.frame.index[world.state.place.numpy()]
    assert int(world.state.place.min()) >= 60
    assert set(np.diff(world.state.place.numpy())) == {history.EVERY}
    assert int(world.state.place[-1]) + 48 < 800 <= int(world.state.place[-1]) + 48 + history.EVERY
    assert int(quarters[0]) == 0
    assert (quarters.numpy() == (starts.year * 4 + starts.quarter) - (starts[0].year * 4 + starts[0].quarter)).all()
    assert world.episode.memory.bars.tolist() == world.state.place.tolist()
    spot = record.bars.frame["close"].to_numpy()
    places = world.state.place.numpy()
    assert world.episode.quote.spot.numpy() == pytest.approx(spot[places], rel=1e-6)
    for _ in range(contract.decisions):
        _, ended, _ = world.advance(Delta().band(world.observation))
    assert ended.all()
    assert world.episode.quote.spot.numpy() == pytest.approx(spot[places + 48], rel=1e-6)


def test_bars_of_another_length_than_the_calibrations_are_refused() -> None:
    """Daily returns read as hourly ones would be filtered as cascade after cascade."""
    daily = bars(END + pd.Timedelta(hours=1), 2 * history.WARM_UP)
    index = pd.date_range(END + pd.Timedelta(days=1), periods=len(daily.frame), freq="D", name="time")
    with pytest.raises(BadInput):
        history.after(CALIBRATION, Bars("daily", daily.frame.set_index(index), 24.0), NO_FUNDING)

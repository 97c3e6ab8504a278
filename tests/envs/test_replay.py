"""History replayed: whole windows only, the memory a desk would have had, and nothing from before the split."""

from __future__ import annotations

import copy
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agents.classical.delta import Delta
from envs import constant, funding, recording, shocks
from envs.contract import Claim, Contract
from envs.history import Bars
from envs.instruments.option import Option
from envs.markets.replay import ReplayMarket, State
from envs.objectives.mean_shortfall import MeanShortfall
from envs.observation import Observer
from envs.recording import Recording
from envs.seeding import generators
from envs.types import BadInput, taken
from envs.volatility.memory import Memory
from train import history

VENUE = constant.Venue()
CALIBRATION = constant.calibration(VENUE, 0.8, news=0.05, persistence=0.99, asset="btc")
CALIBRATION = CALIBRATION.model_copy(
    update={
        "source": CALIBRATION.source.model_copy(update={"last": "2022-03-01T00:00:00+00:00"}),
        "shocks": CALIBRATION.shocks.model_copy(update={"excitation": 50.0, "threshold": 3.0}),
        "liquidity": CALIBRATION.liquidity.model_copy(update={"stressed_half_spread": 1e-3, "stressed_depth": 1e5}),
    }
)
OTHER = constant.calibration(VENUE, 1.0, asset="eth")
HORIZON = 40
ROWS = 160
BAD = (0, 40, 41, 90)  # rows into which no return may be used
CPU = torch.device("cpu")


def usable(rows: int = ROWS, bad: tuple[int, ...] = BAD) -> Tensor:
    mask = torch.ones(rows, dtype=torch.bool)
    mask[list(bad)] = False
    return mask


def recorded() -> Recording:
    """Two random walks, the first with a splice's jump into row 40 and a crash into row 100."""
    (generator,) = generators(701, 1)
    returns = 0.01 * torch.randn(ROWS, 2, generator=generator, dtype=torch.float64)
    returns[40, 0], returns[100, 0] = 0.7, -0.12
    rate = torch.linspace(-0.3, 0.3, 2 * ROWS, dtype=torch.float64).view(ROWS, 2)
    spot = torch.tensor([40_000.0, 2000.0]) * returns.cumsum(0).exp()
    before = torch.cat([spot[:1], spot[:-1]])
    return Recording(spot, 0.998 * torch.minimum(spot, before), 1.002 * torch.maximum(spot, before), rate, usable())


@pytest.fixture(scope="module")
def market() -> ReplayMarket:
    (generator,) = generators(702, 1)
    settings = ReplayMarket.Settings(assets=(CALIBRATION, OTHER))
    return ReplayMarket(settings, HORIZON, generator, torch.float64, CPU, recorded())


@pytest.mark.parametrize("asset", [0, 1])
def test_memory_is_the_step_by_step_filter_that_skips_unusable_returns(market: ReplayMarket, asset: int) -> None:
    filter, spot = market.filters[asset], recorded().spot[:, asset]
    memory, ours = filter.initial(1), usable().tolist()
    for row in range(ROWS):
        if row and ours[row]:
            memory = filter.update(memory, torch.log(spot[row] / spot[row - 1])[None])
        found = market.at(torch.tensor([row]))[1][asset]
        for field in fields(Memory):
            one, other = getattr(found, field.name), getattr(memory, field.name)
            assert torch.equal(one, other), (row, field.name)
    assert int(memory.bars) == ROWS - len(BAD)


@pytest.mark.parametrize("asset", [0, 1])
def test_quotes_are_the_records_with_modelled_marks(market: ReplayMarket, asset: int) -> None:
    place, record = torch.tensor([5, 101, 159]), recorded()
    state, memories = market.at(place)
    quote, memory = market.quote(state, memories)[asset], memories[asset]
    for name in ("spot", "low", "high", "funding_rate"):
        assert torch.equal(getattr(quote, name), getattr(record, name)[place, asset]), name
    assert torch.equal(quote.mark, quote.spot)
    liquidity = market.calibrations[asset].liquidity
    assert torch.equal(quote.half_spread, shocks.half_spread(liquidity, memory.excitement))
    assert torch.equal(quote.depth, shocks.depth(liquidity, shocks.congestion(liquidity, memory.excitement)))
    implied = market.filters[asset].implied_variance(memory).sqrt()
    assert torch.equal(quote.implied_volatility, market.calibrations[asset].surface.risk_premium * implied)


def test_a_crash_strains_the_book(market: ReplayMarket) -> None:
    calm, strained = market.quote(*market.at(torch.tensor([99, 101])))[0].half_spread.tolist()
    assert strained > 100 * calm
    assert market.quote(*market.at(torch.tensor([99, 101])))[0].congestion[1] > 0.1


def test_stepping_walks_the_record(market: ReplayMarket) -> None:
    state, memories = market.at(torch.tensor([3, 100]))
    for bar in range(1, 20):
        state, memories, quotes = market.step(state, memories)
        place = torch.tensor([3, 100]) + bar
        assert torch.equal(state.place, place)
        for a in range(2):
            assert torch.equal(quotes[a].spot, recorded().spot[place, a])
            assert torch.equal(memories[a].variance, taken(market.memories[a], place).variance)


def test_starts_are_drawn_from_all_whole_windows(market: ReplayMarket) -> None:
    state, memories = market.initial(2000)
    assert set(state.place.tolist()) == set(market.whole_windows(HORIZON, 1).tolist())
    assert torch.equal(memories[1].bars, market.memories[1].bars[state.place])


def test_a_record_without_a_whole_window_has_no_start(market: ReplayMarket) -> None:
    short = copy.copy(market)
    short.horizon = ROWS
    with pytest.raises(BadInput, match=f"no {ROWS} usable bars in a row"):
        short.initial(1)


def test_a_step_past_the_record_is_refused(market: ReplayMarket) -> None:
    state, memories = market.at(torch.tensor([3, ROWS - 2]))
    state, memories, _ = market.step(state, memories)
    assert state.place.tolist() == [4, ROWS - 1]
    with pytest.raises(BadInput, match=f"the record ends after {ROWS} bars"):
        market.step(state, memories)


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
    one = torch.ones(len(mask), 1)
    market.record = Recording(one, one, one, one, torch.tensor([False, *mask[1:]]))
    whole = [
        start
        for start in range(0, len(mask), every)
        if start + bars < len(mask) and all(mask[start + 1 : start + bars + 1])
    ]
    assert market.whole_windows(bars, every).tolist() == whole


def test_a_record_shorter_than_the_option_has_no_window(market: ReplayMarket) -> None:
    assert market.whole_windows(ROWS + 50, 1).tolist() == []


def test_a_whole_window_can_be_walked_to_its_end(market: ReplayMarket) -> None:
    state, memories = market.at(market.whole_windows(40, 1)[-1:])
    for _ in range(40):
        state, memories, _ = market.step(state, memories)
    assert isinstance(state, State)
    assert state.place.tolist() == [ROWS - 1]


# The split.

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
    contract = SHORT
    record = history.after(CALIBRATION, bars(END + pd.Timedelta(hours=1), 800), NO_FUNDING)
    whole = ReplayMarket.Settings(assets=(CALIBRATION,))
    kind = ReplayMarket(whole, 48, torch.Generator(), torch.float32, CPU, of(record))
    observer = Observer(contract, kind.calibrations, kind.filters, kind.surfaces)
    world, quarters = history.world(observer, OBJECTIVE, record, 1)
    places = world.state.place.numpy()
    starts = record.bars.frame.index[places]
    assert int(places.min()) >= 60
    assert set(np.diff(places)) == {history.EVERY}
    assert int(places[-1]) + 48 < 800 <= int(places[-1]) + 48 + history.EVERY
    assert int(quarters[0]) == 0
    assert (quarters.numpy() == (starts.year * 4 + starts.quarter) - (starts[0].year * 4 + starts[0].quarter)).all()
    assert world.episode.memories[0].bars.tolist() == places.tolist()
    spot = record.bars.frame["close"].to_numpy()
    assert world.episode.quotes[0].spot.numpy() == pytest.approx(spot[places], rel=1e-6)
    for _ in range(contract.decisions):
        _, ended, _ = world.advance(Delta().band(world.observation))
    assert ended.all()
    assert world.episode.quotes[0].spot.numpy() == pytest.approx(spot[places + 48], rel=1e-6)


def of(record: history.Record) -> Recording:
    return recording.of([record.bars], [record.funding_rate], torch.float32, CPU)


def test_a_book_on_two_assets_is_not_judged_on_one_history() -> None:
    record = history.after(CALIBRATION, bars(END + pd.Timedelta(hours=1), 2 * history.WARM_UP), NO_FUNDING)
    both = (CALIBRATION, OTHER)
    market = ReplayMarket(ReplayMarket.Settings(assets=both), 48, torch.Generator(), torch.float64, CPU, recorded())
    observer = Observer(SHORT, both, market.filters, market.surfaces)
    with pytest.raises(BadInput, match="the book is on 2 assets"):
        history.world(observer, OBJECTIVE, record, 1)


def test_bars_of_another_length_than_the_calibrations_are_refused() -> None:
    """Daily returns read as hourly ones would be filtered as cascade after cascade."""
    daily = bars(END + pd.Timedelta(hours=1), 2 * history.WARM_UP)
    index = pd.date_range(END + pd.Timedelta(days=1), periods=len(daily.frame), freq="D", name="time")
    with pytest.raises(BadInput):
        history.after(CALIBRATION, Bars("daily", daily.frame.set_index(index), 24.0), NO_FUNDING)

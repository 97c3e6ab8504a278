"""History replayed: whole windows only, the memory a desk would have had, and nothing from before the split."""

from __future__ import annotations

import copy
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from envs import constant, shocks
from envs.markets.replay import ReplayMarket, State
from envs.recording import Recording
from envs.seeding import generators
from envs.types import BadInput, taken
from envs.volatility.memory import Memory

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

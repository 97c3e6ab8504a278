"""Blocks of real history: whole bars in their order, never an unusable one, and an exactly fair price."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from envs import constant
from envs.calibration import validated
from envs.markets import bootstrap
from envs.markets.bootstrap import BootstrapMarket, State
from envs.recording import Recording
from envs.seeding import generators
from envs.types import BadInput

BTC, ETH = (constant.calibration(constant.Venue(), 0.8, 0.05, 0.99, asset=name) for name in ("btc", "eth"))
CPU = torch.device("cpu")
ROWS = 60
BAD = (0, 17, 18, 41)


def record(trend: float = 0.01) -> Recording:
    """Two assets whose returns hang together from bar to bar, so that one bar's mean says little of a block's."""
    (generator,) = generators(81, 1)
    noise = 0.05 * torch.randn(ROWS, 2, generator=generator, dtype=torch.float64)
    returns = trend + noise + torch.cat([torch.zeros(1, 2, dtype=torch.float64), 0.8 * noise[:-1]])
    spot = 100 * returns.cumsum(0).exp()
    before = torch.cat([spot[:1], spot[:-1]])
    usable = torch.ones(ROWS, dtype=torch.bool)
    usable[list(BAD)] = False
    rate = torch.arange(2 * ROWS, dtype=torch.float64).view(ROWS, 2)
    low, high = 0.99 * torch.minimum(spot, before), 1.01 * torch.maximum(spot, before)
    return Recording(spot, low, high, rate, usable)


@pytest.fixture(autouse=True)
def _short_burn_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "BURN_IN", 20)


def market(seed: int, mean_block: float = 5, **changed: Any) -> BootstrapMarket:
    (generator,) = generators(seed, 1)
    settings = BootstrapMarket.Settings(assets=(BTC, ETH), mean_block_hours=mean_block)
    return BootstrapMarket(settings, 50, generator, torch.float64, CPU, changed.get("record", record()))


def walked(made: BootstrapMarket, paths: int, bars: int) -> list[State]:
    state, memories = made.initial(paths)
    rows = [state]
    for _ in range(bars):
        state, memories, _ = made.step(state, memories)
        rows.append(state)
    return rows


def test_the_price_is_fair_bar_after_bar_to_rounding() -> None:
    """By adding up E[S_n; place, age] over every block there can be, for 40 bars: no draw, no luck."""
    made = market(1)
    usable, longest = record().usable, len(made.trend)
    starts = usable.nonzero()[:, 0]
    for asset in range(2):
        worth = torch.zeros(ROWS, longest + 1, dtype=torch.float64)  # by place and age
        fresh = torch.zeros(ROWS, dtype=torch.float64)
        fresh[starts] = 1 / len(starts)
        renewed = 1.0
        for _ in range(40):
            goes_on = torch.zeros_like(worth)
            goes_on[1:, 1:] = worth[:-1, :-1] * usable[1:, None] * (1 - made.renewal)
            goes_on[:, 0] = 0
            renewed = float(renewed if not worth.any() else worth.sum() - goes_on[:, 2:].sum())
            stay = goes_on.clone()
            stay[:, 1] = 0
            growth = (made.returns[:, asset, None] - made.trend[None, :, asset]).exp()
            worth = stay
            worth[:, 1] = renewed * fresh
            worth[:, 1:] = worth[:, 1:] * growth
            assert float(worth.sum()) == pytest.approx(1, abs=1e-12)


def test_one_bars_mean_would_not_make_it_fair() -> None:
    """The trend differs along the block by what the returns' dependence makes of it."""
    made = market(1)
    assert (made.trend[1:4] - made.trend[0]).abs().max() > 1e-3


def test_bars_follow_the_record_and_no_unusable_one_is_used() -> None:
    made, usable = market(2), record().usable
    rows = walked(made, 500, 60)
    for before, after in pairwise(rows):
        assert usable[after.place].all()
        goes_on = after.age > 1
        assert (after.place == before.place + 1)[goes_on].all()
        assert (after.age == before.age + 1)[goes_on].all()
        log = (after.spot / before.spot).log() + made.trend[after.age - 1]
        assert (log - made.returns[after.place]).abs().max() < 1e-12


def test_assets_are_resampled_together_with_lows_highs_and_funding() -> None:
    made, seen = market(3), record()
    state, memories = made.initial(300)
    after, _, quotes = made.step(state, memories)
    for a, quote in enumerate(quotes):
        assert quote.funding_rate.tolist() == seen.funding_rate[after.place, a].tolist()
        recorded = (seen.low[after.place, a] / seen.spot[after.place - 1, a]).log()
        closed = (quote.spot / state.spot[:, a]).log()
        own = (quote.low / state.spot[:, a]).log()
        assert (own - torch.minimum(recorded, closed)).abs().max() < 1e-12
        assert (quote.high >= torch.maximum(quote.spot, state.spot[:, a])).all()
        assert quote.high.log().max() > quote.spot.log().max()


def test_block_lengths_are_geometric() -> None:
    """Where the record does not end them: renewal 1/5 a bar within k = 4 standard errors."""
    made = market(4)
    rows = walked(made, 4000, 40)
    renewed, total = 0, 0
    for before, after in pairwise(rows[1:]):
        free = made.continues[before.place] & (before.age < len(made.trend))
        renewed, total = renewed + int((after.age == 1)[free].sum()), total + int(free.sum())
    assert abs(renewed / total - 0.2) < 4 * math.sqrt(0.2 * 0.8 / total)


def test_starts_are_uniform_over_the_usable_rows() -> None:
    n = 40_000
    made = market(5)
    (place,) = [row.place for row in walked(made, n, 1)[1:]]
    count = torch.bincount(place, minlength=ROWS).double()
    expected = n / (ROWS - len(BAD))
    assert (count[list(BAD)] == 0).all()
    chi_square = float(((count - expected).square() / expected)[record().usable].sum())
    freedom = ROWS - len(BAD) - 1
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)


def test_every_path_starts_at_one_with_a_new_block_and_a_filter_that_has_run() -> None:
    made = market(6)
    state, memories = made.initial(50)
    assert (state.spot == 1).all()
    assert (made.step(state, memories)[0].age == 1).all()
    assert memories[0].bars.tolist() == [20] * 50
    assert len(set(memories[0].variance[:, 0].tolist())) > 40


def test_a_record_without_two_bars_in_a_row_is_refused() -> None:
    seen = record()
    nothing = Recording(seen.spot, seen.low, seen.high, seen.funding_rate, torch.zeros_like(seen.usable))
    with pytest.raises(BadInput, match="no bar that follows another"):
        market(8, record=nothing)


@pytest.mark.parametrize("hours", [0, -1, 0.5, float("nan")])
def test_blocks_shorter_than_a_bar_are_refused_in_one_line(hours: float) -> None:
    with pytest.raises(BadInput, match="mean_block_hours") as raised:
        validated(BootstrapMarket.Settings, {"assets": [BTC], "mean_block_hours": hours}, "market")
    assert len(str(raised.value).splitlines()) == 1


def test_real_history_keeps_its_clusters_and_loses_its_trend() -> None:
    """Bitcoin's autocorrelation of |r| over six hours, in blocks of a week, within a fifth of the record's own."""
    (generator,) = generators(9, 1)
    settings = BootstrapMarket.Settings(assets=(BTC,), first="2021-01-01", last="2021-12-31")
    made = BootstrapMarket(settings, 720, generator, torch.float64, CPU)
    rows = walked(made, 400, 400)
    log = torch.stack([(b.spot / a.spot).log()[:, 0] for a, b in pairwise(rows)])

    def clustering(moves: Tensor) -> float:
        size = moves.abs() - moves.abs().mean()
        return float((size[6:] * size[:-6]).mean() / size.square().mean())

    assert clustering(log) == pytest.approx(clustering(made.returns[1:]), rel=0.2)
    assert abs(float(log.exp().mean()) - 1) < 4 * float(log.exp().std()) / math.sqrt(log.numel())

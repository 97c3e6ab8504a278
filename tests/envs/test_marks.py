"""What a modelled quote is made of."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from envs import marks, shocks
from envs.calibration import Calibration
from envs.history import DATA
from envs.types import Quote
from envs.volatility.memory import Filter, Memory

CALIBRATION = Calibration.load(DATA / "btc_2017_2022.toml")
FILTER = Filter(CALIBRATION, torch.float64, torch.device("cpu"), 1)


def quoted(memory: Memory, low: float = 100.0, high: float = 100.0, implied: Tensor | None = None) -> Quote:
    price = torch.full((1,), 100.0, dtype=torch.float64)
    return marks.quote(CALIBRATION, FILTER, memory, price, price * low / 100, price * high / 100, price, price, implied)


def crashed(sigmas: float) -> Memory:
    memory = FILTER.initial(1)
    return FILTER.update(memory, -sigmas * (FILTER.spot_variance(memory) * FILTER.bar).sqrt())


def test_a_calm_venue_quotes_its_calm_book() -> None:
    quote, book = quoted(FILTER.initial(1)), CALIBRATION.liquidity
    assert float(quote.congestion) == float(quote.deleveraged) == 0
    assert float(quote.half_spread) == pytest.approx(book.calm_half_spread)
    assert float(quote.depth) == pytest.approx(book.calm_depth)


def test_a_bare_cascade_strains_the_venue_half_way() -> None:
    """Six standard deviations: the strain is three, and half_strain is three."""
    quote, book = quoted(crashed(6.0)), CALIBRATION.liquidity
    assert float(quote.congestion) == pytest.approx(0.5)
    assert float(quote.depth) == pytest.approx((book.calm_depth + book.stressed_depth) / 2)
    assert float(quote.half_spread) == pytest.approx((book.calm_half_spread + book.stressed_half_spread) / 2)


def test_the_strain_passes_with_its_half_life() -> None:
    memory = crashed(6.0)
    for _ in range(round(10 * CALIBRATION.shocks.half_life_hours)):
        memory = FILTER.update(memory, torch.zeros(1, dtype=torch.float64))
    assert float(quoted(memory).congestion) < 2 * 2**-10


def test_implied_volatility_is_premium_times_forecast_unless_the_market_has_its_own() -> None:
    memory = crashed(4.0)
    month = torch.full((1,), CALIBRATION.implied_bars)
    usual = CALIBRATION.surface.risk_premium * float(FILTER.term_variance(memory, month).sqrt())
    assert float(quoted(memory).implied_volatility) == pytest.approx(usual, rel=1e-12)
    own = torch.full((1,), 0.77, dtype=torch.float64)
    assert float(quoted(memory, implied=own).implied_volatility) == 0.77


def test_extremes_are_quoted_and_a_wide_bar_deleverages() -> None:
    book = CALIBRATION.liquidity
    low = 100 * math.exp(-1.5 * book.deleveraging_range)
    quote = quoted(FILTER.initial(1), low=low)
    assert float(quote.low) == pytest.approx(low)
    assert float(quote.high) == pytest.approx(100)
    assert float(quote.deleveraged) == pytest.approx(book.deleveraged_share / 2)


def test_the_shipped_deleveraging_is_that_of_the_recorded_crash() -> None:
    """2025-10-10: BTC ranged over 12.5 % in its worst hour, and Hyperliquid closed 14 % of the winning positions."""
    one = torch.ones(1, dtype=torch.float64)
    found = shocks.deleveraged(CALIBRATION.liquidity, one * math.exp(-0.125), one)
    assert float(found) == pytest.approx(0.14, abs=0.005)

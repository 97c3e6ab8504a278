"""The verdict measures each limit anew: an order just within is let go, and one just beyond it is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch

from envs.pricing import black_scholes
from serve import config as configs
from serve.clock import DAY, YEAR
from serve.commands import Dropped, SubmitOrder
from serve.events import (
    Absent,
    BookSettled,
    BookTraded,
    Cancelled,
    Event,
    Filled,
    QuoteEvent,
    SourcePrice,
    SurfaceQuote,
)
from serve.holding import Holding
from serve.rehearsal.bounds import SLACK
from serve.rehearsal.verdict import Heard

CONFIG, LEG = Path(__file__).parents[3] / "configs" / "deribit.toml", "BTC-PERP"
LIMITS = configs.load(CONFIG).limits
SPOT, VOLATILITY, EXPIRY, STEP = 50_000.0, 0.6, 30 * DAY, Decimal("0.01")
CALL = Holding("c", "BTC", "option", Decimal(-40), EXPIRY, "call", SPOT)
WIDE = {"soft": "1e12", "hard": "1e12"}


def quote(spot: float = SPOT, time: int = 0) -> QuoteEvent:
    return QuoteEvent(time, "BTC", time, spot, spot, spot, spot, 1e-4, 1e6, 0.0, VOLATILITY, 0.0, 0.0)


def order(units: str | Decimal, limit: float = SPOT, number: int = 1) -> SubmitOrder:
    return SubmitOrder(0, f"deribit-{number:06d}", LEG, Decimal(units), Decimal(str(limit)), 30_000, False)


def filled(units: str | Decimal, number: int = 1) -> Filled:
    return Filled(0, f"deribit-{number:06d}", f"t{number}", Decimal(units), Decimal(str(SPOT)), Decimal(0))


def heard(**limits: Any) -> Heard:
    """Of a market that is quoted; no limit but these and the collar is narrow."""
    config = configs.load(CONFIG)
    raw = config.model_dump(mode="json")
    raw["limits"] |= dict.fromkeys(("order_value", "stress_loss", "notional"), WIDE)
    raw["limits"]["assets"]["BTC"]["delta"] = limits.pop("delta", WIDE)
    raw["limits"] |= limits
    raw["limits"]["legs"][LEG] = dict.fromkeys(("order", "position"), WIDE)
    found = Heard(type(config).model_validate(raw))
    found.told(quote(), ())
    return found


def judged(events: Sequence[Event], *orders: SubmitOrder, **limits: Any) -> str:
    """What is found of orders that leave at once, after these events."""
    found = heard(**limits)
    for event in events:
        found.told(event, ())
    found.told(Cancelled(0, ""), orders)
    return " ".join(found.beyond)


def within(events: Sequence[Event], *orders: SubmitOrder, **limits: Any) -> bool:
    return judged(events, *orders, **limits) == ""


def sold(units: str | Decimal) -> BookTraded:
    return BookTraded(0, replace(CALL, units=Decimal(units)), Decimal(0))


def tensor(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def delta(volatility: float = VOLATILITY) -> float:
    """Of the call, by the shared code."""
    return float(black_scholes.delta(*map(tensor, (SPOT, SPOT, EXPIRY / YEAR, volatility))))


def test_a_price_beyond_the_collar() -> None:
    """Of either side, and around the median of what is fresh."""
    collar = float(LIMITS.collar)
    assert within([], order("0.1", SPOT * (1 + collar)), order("-0.1", SPOT * (1 - collar), 2))
    assert within([], order("0.1", SPOT * (1 - 2 * collar)))
    assert "deribit-000001 at" in judged([], order("0.1", SPOT * (1 + collar + 1e-4)))
    assert "beyond the collar" in judged([], order("-0.1", SPOT * (1 - collar - 1e-4)))
    assert not within([quote(SPOT / 1.03)], order("0.1", SPOT))


def test_the_collar_is_around_independent_sources() -> None:
    rules = {"stale_seconds": 60, "deviation": 0.05, "assets": {"BTC": {"names": ["okx", "binance"], "quorum": 2}}}
    found = Heard(configs.load(CONFIG).model_copy(update={"oracle": configs.Oracle.model_validate(rules)}))
    found.told(quote(time=100_000), ())
    for source, price, at in (("okx", 50_400.0, 90_000), ("binance", 50_200.0, 95_000), ("nyse", 50_450.0, 100_000)):
        found.told(SourcePrice(100_000, "BTC", source, price, at), ())
    assert found.bounds.worth("BTC", 100_000) == 50_200
    assert found.bounds.worth("BTC", 153_000) == 50_100, "one is stale"
    assert found.bounds.worth("BTC", 158_000) == SPOT, "no quorum: the index alone"
    found.told(SourcePrice(158_000, "BTC", "okx", 60_000.0, 158_000), ())
    assert found.bounds.worth("BTC", 158_000) == SPOT, "far from the median"
    found.told(SourcePrice(170_000, "BTC", "okx", 50_400.0, 170_000), ())
    assert found.bounds.worth("BTC", 170_000) == SPOT, "one alone is no quorum"


def test_notional_with_what_may_still_fill() -> None:
    most, limit = Decimal(str(40 * SLACK)), {"notional": {"soft": "1e6", "hard": str(40 * SPOT)}}
    assert within([], order(most), **limit)
    assert "notional" in judged([], order(most + 1), **limit)
    assert "notional" in judged([], order(most), order("1", number=2), **limit)
    assert "notional" in judged([], order(most), order(-most - 1, number=2), **limit), "either may fill alone"
    assert within([], order(most), order(-most, number=2), **limit)
    found = heard(**limit)
    found.told(quote(), (order(most),))
    found.told(filled(most), ())
    found.told(quote(1.1 * SPOT), (order("-1", 1.1 * SPOT, 2),))
    assert found.beyond == [], "the market made it large, and it shrinks"
    found.told(Cancelled(0, "deribit-000002"), (order("0.1", 1.1 * SPOT, 3),))
    assert len(found.beyond) == 1


def test_what_ended_no_longer_counts() -> None:
    """A fill that is told twice counts once; an order that was absent may come until it expires."""

    def after(*events: Event) -> float:
        found = Heard(configs.load(CONFIG))
        found.told(quote(), (order("3"),))
        for event in events:
            found.told(event, ())
        return found.bounds._after(LEG, 1)

    assert after() == after(Absent(0, "deribit-000001")) == 3
    assert after(filled("1"), filled("1")) == after(filled("3")) == 3
    assert after(filled("1"), Cancelled(0, "deribit-000001")) == 1
    assert after(Absent(30_001, "deribit-000001")) == after(Cancelled(0, "deribit-000001")) == 0


def test_delta_of_book_and_hedges() -> None:
    """By Black–Scholes; of either side, and only of what makes it larger."""
    limit = {"delta": {"soft": "30", "hard": "30"}}
    most = Decimal(str(round(SLACK * 30 + 40 * delta(), 3)))
    assert within([sold("-40")], order(most - STEP), **limit)
    assert "makes the delta 30.6" in judged([sold("-40")], order(most + STEP), **limit)
    assert within([sold("-80")], order("0.1"), **limit), "it shrinks"
    assert "makes the delta -" in judged([sold("-80")], order("-0.1"), **limit)
    assert within([sold("-40"), sold("40")], order("30"), **limit)
    assert not within([sold("-40"), BookSettled(0, "c", SPOT, Decimal(0))], order("35"), **limit)


def test_delta_at_the_volatility_that_is_listed_nearest() -> None:
    listed = SurfaceQuote(0, "BTC", 0, ((2 * EXPIRY, SPOT, 0.1), (EXPIRY, 2 * SPOT, 0.1), (EXPIRY, SPOT, 3.0)))
    most, limit = Decimal(str(round(SLACK * 30 + 40 * delta(3.0), 3))), {"delta": {"soft": "30", "hard": "30"}}
    assert within([listed, sold("-40")], order(most - STEP), **limit)
    assert not within([listed, sold("-40")], order(most + STEP), **limit)


def test_loss_under_stress() -> None:
    """Of hedges alone: the worst move against them, of 30 %."""
    limit = {"stress_loss": {"soft": "1000", "hard": "150000"}}
    units = Decimal(str(round(SLACK * 150_000 / (0.3 * SPOT), 3)))
    assert within([], order(units), **limit)
    assert "makes the loss at -0.3" in judged([], order(units + STEP), **limit)
    assert "makes the loss at +0.3" in judged([], order(-units - STEP), **limit)


def test_loss_under_stress_of_the_book() -> None:
    """A short call's is from the rise, at the higher volatility; by the shared code."""
    terms = (SPOT * 1.3, SPOT, EXPIRY / YEAR, VOLATILITY * 1.5), (SPOT, SPOT, EXPIRY / YEAR, VOLATILITY)
    moved, calm = (float(black_scholes.price(*map(tensor, each))) for each in terms)
    most = round((10 * (moved - calm) + 0.3 * SPOT) / SLACK)
    for limit, units, found in ((most + 10, "-1", False), (most - 10, "-1", True), (10, "1", False)):
        said = judged([sold("-10")], order(units), stress_loss={"soft": "1", "hard": str(limit)})
        assert ("makes the loss at +" in said) == found


def test_a_quote_that_was_dropped_is_not_believed() -> None:
    found = Heard(configs.load(CONFIG))
    found.told(quote(), ())
    found.told(quote(2 * SPOT), (Dropped(0, "quote", "from the future"),))
    assert found.bounds.worth("BTC", 0) == SPOT


@pytest.mark.parametrize("changed", [{"settlement": "coin"}, {"kind": "liquidity_position"}])
def test_of_a_book_that_is_not_priced_here_prices_and_notional_are_measured(changed: dict[str, Any]) -> None:
    book = BookTraded(0, replace(CALL, units=Decimal(40), **changed), Decimal(0))
    limits = {"delta": {"soft": "1", "hard": "1"}, "stress_loss": {"soft": "1", "hard": "1"}}
    assert within([book], order("35"), **limits)
    assert "notional" in judged([book], order("35"), notional={"soft": "1", "hard": "1e6"}, **limits)

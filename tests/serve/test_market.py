from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.contract import Claim, Hedge
from envs.instruments.option import Option
from envs.instruments.perpetual import Perpetual
from envs.margin import Collateral, Margin, MarginTier
from envs.task import MarketChoice, Task
from envs.types import BadInput
from serve.config import ServeConfig
from serve.journal import Journal
from serve.market import Market, Sight
from serve.session import Source, run
from tests.serve.support import (
    CALIBRATION,
    SPOT,
    START,
    call,
    quote,
    raw_config,
    save_model,
    task,
    write_bars,
)

MARKET = Market(task())
CALL = Option(bars=48)


def sight(position: str = "0", cash: str = "0", spot: float = SPOT, of: Market = MARKET) -> Sight:
    memory = of.remembered(tuple(SPOT * (1 + 0.003 * (-1) ** k) for k in range(40)))
    return Sight(START, quote(START, spot), memory, call(), Decimal(position), Decimal(cash))


def distance(at: Sight, of: Market = MARKET) -> float:
    """To liquidation, in [0, 1]."""
    return (float(of.observe(at).features[0, 0, -1]) + 1) / 2


@given(
    st.decimals("-9", "9", places=3).filter(lambda units: units != 0),
    st.decimals("-60000", "60000", places=2),
    st.floats(12_000, 30_000),
)
def test_the_distance_to_liquidation_is_that_of_the_ledger(units: Decimal, profit: Decimal, spot: float) -> None:
    """y/(1 + y), y = (collateral + profit − maintenance) / notional; 0.5 of the contract posted, 1.25 % to maintain."""
    notional = abs(float(units)) * spot
    account = profit - units * Decimal(repr(spot))
    free = max(0.0, 100_000 + float(profit) - 0.0125 * notional) + 0.2
    assert distance(sight(str(units), str(account), spot)) == pytest.approx(free / (free + notional), abs=1e-12)


def test_a_flat_account_is_as_far_as_can_be() -> None:
    assert distance(sight()) == 1


def test_portfolio_margin_counts_the_call_and_its_premium() -> None:
    margin = Margin(mode="cross", collateral=(Collateral(amount=0.5),), tiers=(MarginTier(rate=0.02),), portfolio=True)
    market = Market(task(margin=margin))
    at = sight("5", "-100000", of=market)
    greeks = market.greeks(at.quote, at.memory, at.option, START)
    free = 100_000 + 5_000 - 10 * greeks.value - 0.02 * 100_000 + 0.2
    assert distance(at, market) == pytest.approx(free / (free + 100_000), abs=1e-12)


def test_without_margin_there_is_no_such_feature() -> None:
    market = Market(task(margin=Margin()))
    assert "liquidation_distance" not in market.observer.names
    assert market.observe(sight(of=market)).features.shape[-1] == len(market.observer.names)


def test_greeks_are_the_instruments_own() -> None:
    """Against the analytics of the observation, whose delta and gamma are over the ten units sold."""
    at = sight()
    greeks, seen = MARKET.greeks(at.quote, at.memory, at.option, START), MARKET.observe(at)
    (exposure,) = seen.scene.exposures
    assert float(exposure.delta) == pytest.approx(-10 * greeks.delta, rel=1e-14)
    assert float(exposure.gamma) == pytest.approx(-10 * greeks.gamma, rel=1e-14)
    assert float(seen.neutral) == pytest.approx(greeks.delta, rel=1e-14)
    step = 0.01
    up, down = (MARKET.greeks(replace(at.quote, spot=SPOT + h), at.memory, at.option, START) for h in (step, -step))
    assert (up.delta - down.delta) / (2 * step) == pytest.approx(greeks.gamma, rel=0.05), "but for the smile's slide"


def test_a_wish_holds_the_hedge_inside_its_band() -> None:
    lot = Decimal("0.001")
    for held in ("0", "4.2", "12"):
        at = sight(held)
        wish = MARKET.wish((0.0, 0.0), MARKET.observe(at), at, lot)
        after = float(Decimal(held) + wish.trade) / 10
        assert wish.trade % lot == 0
        assert wish.lower - 5e-5 <= after <= wish.upper + 5e-5


def claims(*each: Claim) -> dict[str, Any]:
    return {"claims": each}


def hedged(*instruments: Any) -> dict[str, Any]:
    return {"hedges": tuple(Hedge(instrument=each) for each in instruments)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (claims(Claim(instrument=CALL), Claim(instrument=CALL)), "2 claims"),
        (claims(Claim(instrument=CALL, count=3)), "3 claims"),
        (claims(Claim(instrument=Option(bars=48, right="put"))), "another claim"),
        (claims(Claim(instrument=Option(bars=48, settlement="coin"))), "another claim"),
        (claims(Claim(instrument=Option(bars=48, averaging_hours=0.5))), "another claim"),
        (claims(Claim(instrument=Option(bars=24))), "another claim"),
        (claims(Claim(instrument=Option(bars=48, moneyness=(0.9, 1.1)))), "another claim"),
        (claims(Claim(instrument=CALL, units=1.0)), "another claim"),
        (claims(Claim(instrument=Perpetual())), "another claim"),
        (hedged(Option(bars=96), Perpetual()), "hedges option and perpetual"),
        (hedged(Perpetual(), Perpetual()), "hedges perpetual and perpetual"),
        ({"numeraire": "coin"}, "counted in coin"),
        ({"closing": "mark"}, "at their mark for free"),
    ],
)
def test_a_contract_that_cannot_be_served_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        Market(task(**changes))
    assert "\n" not in str(caught.value)


def test_the_shipped_task_is_served() -> None:
    assert Market(Task.load("short_call")).contract.bars == 720


@pytest.mark.parametrize(
    ("market", "words"),
    [
        ({"kind": "gbm", "settings": {}}, "a gbm market"),
        ({"kind": "replay", "settings": {"assets": [CALIBRATION]}}, "a replay market"),
        ({"kind": "garch", "settings": {"assets": [CALIBRATION, CALIBRATION]}}, "2 assets"),
    ],
)
def test_a_market_that_cannot_be_served_is_refused(market: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Market(task().model_copy(update={"market": MarketChoice.model_validate(market)}))


def test_a_model_of_another_book_is_refused_before_anything_is_journalled(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", of=Task.load("multi_asset"))
    config = ServeConfig.model_validate(raw_config(model=str(model)))
    journal = Journal(str(tmp_path / "j.db"))
    with pytest.raises(BadInput, match="task MultiAsset has 2 assets; serve one short call"):
        run(config, journal, Source(str(write_bars(tmp_path / "bars.csv")), START, 1))
    assert journal.head[0] == 0
    journal.close()

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.contract import Arrivals, Claim, Hedge
from envs.instruments.future import Future
from envs.instruments.option import Option
from envs.instruments.perpetual import Perpetual
from envs.margin import Collateral, Margin, MarginTier
from envs.task import MarketChoice, Task
from envs.types import BadInput
from serve.config import ServeConfig, Stress, Target
from serve.holdings import Book
from serve.journal import Journal
from serve.market import Market, Sight
from serve.session import Source, run
from serve.valuation import Valuation, Worth
from tests.serve.support import (
    ASSETS,
    CALIBRATION,
    LEGS,
    SPOT,
    START,
    TARGET,
    call,
    quote,
    raw_config,
    save_model,
    task,
    write_bars,
)

CALL = Option(bars=48)
MARKET = Market(task(), ASSETS, LEGS)


def sight(position: str = "0", cash: str = "0", spot: float = SPOT, of: Market = MARKET, **changes: Any) -> Sight:
    memory = of.remembered(0, tuple(SPOT * (1 + 0.003 * (-1) ** k) for k in range(40)))
    values = {
        "time": START,
        "quotes": (quote(START, spot),),
        "memories": (memory,),
        "book": Book().traded(call().holding),
        "positions": (Decimal(position),),
        "cash": (Decimal(cash),),
        "claims_cash": Decimal(5000),
        "coins": (Decimal(0),),
        "listings": (None,),
        "targets": (Target(**TARGET),),
        "smiles": (None,),
    }
    return Sight(**{**values, **changes})


def valued(at: Sight, of: Market = MARKET) -> Valuation:
    return of.valued(at.quotes[0], at.memories[0], at.smiles, at.book, at.listings, at.time)


def worth(at: Sight, of: Market = MARKET) -> Worth:
    return valued(at, of).book


def distance(at: Sight, of: Market = MARKET) -> float:
    """To liquidation, in [0, 1]."""
    return (of.observe(at).features[-1] + 1) / 2


@given(
    st.decimals("-9", "9", places=3).filter(lambda units: units != 0),
    st.decimals("-60000", "60000", places=2),
    st.floats(12_000, 30_000),
)
@settings(deadline=None)
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
    market = Market(task(margin=margin), ASSETS, LEGS)
    at = sight("5", "-100000", of=market)
    free = 100_000 + 5_000 + worth(at, market).value - 0.02 * 100_000 + 0.2
    assert distance(at, market) == pytest.approx(free / (free + 100_000), abs=1e-12)


def test_without_margin_there_is_no_such_feature() -> None:
    market = Market(task(margin=Margin()), ASSETS, LEGS)
    assert "liquidation_distance" not in market.observer.names
    assert len(market.observe(sight(of=market)).features) == len(market.observer.names)


def test_greeks_are_the_instruments_own() -> None:
    """Against the analytics of the observation, and delta's own slope."""
    at = sight()
    greeks, seen = worth(at), MARKET.situation(at).observation
    (exposure,) = seen.scene.exposures
    assert greeks.value == pytest.approx(float(exposure.value), rel=1e-13)
    assert greeks.delta == pytest.approx(float(exposure.delta), rel=1e-13)
    assert greeks.gamma == pytest.approx(float(exposure.gamma) * SPOT / 100, rel=1e-13)
    assert greeks.vega == pytest.approx(float(exposure.vega) / 100, rel=1e-13)
    assert float(seen.neutral) == pytest.approx(-greeks.delta / 10, rel=1e-13)
    step = 0.01
    up, down = (worth(sight(spot=SPOT + h)) for h in (step, -step))
    assert (up.delta - down.delta) / (2 * step) == pytest.approx(greeks.gamma * 100 / SPOT, rel=0.05), "but the smile"


def test_stress_is_the_book_valued_anew() -> None:
    """Each case against the value at the moved quote."""
    at = sight()
    whole = valued(at, Market(task(), ASSETS, LEGS, Stress(spot=(-0.2, 0.1), volatility=(0.0, 0.5))))
    cases = [(-0.2, 0.0), (-0.2, 0.5), (0.1, 0.0), (0.1, 0.5)]
    for (spot, level), change in zip(cases, whole.book.stress, strict=True):
        moved = replace(quote(START, SPOT * (1 + spot)), implied_volatility=0.6 * (1 + level))
        assert worth(sight(quotes=(moved,))).value - whole.book.value == pytest.approx(change, abs=1e-8)
    assert whole.legs["BTC-PERP"].stress == pytest.approx((-4000, -4000, 2000, 2000))


def test_a_wish_holds_the_hedge_inside_its_band() -> None:
    for held in ("0", "4.2", "12"):
        at = sight(held)
        (wish,) = MARKET.wishes((0.0, 0.0), MARKET.observe(at), at.positions, ())
        after = float(Decimal(held) + wish.trade) / 10
        assert wish.trade % Decimal("0.001") == 0
        assert wish.lower - 5e-5 <= after <= wish.upper + 5e-5
        assert MARKET.wishes((0.0, 0.0), MARKET.observe(at), at.positions, {"BTC-PERP"})[0].trade == 0


def test_a_bigger_book_is_counted_over_as_many_more_base_units() -> None:
    """Twice the call is the same observation, but for the account that does not grow with it."""
    one, two = sight(), sight(book=Book().traded(call(units="-20").holding))
    seen, twice = (MARKET.observe(each).features[:-1] for each in (one, two))
    assert twice == pytest.approx(seen, abs=0.6), "the band's width is the notional's"
    assert twice[:5] == pytest.approx(seen[:5], rel=1e-12)


def claims(*each: Claim) -> dict[str, Any]:
    return {"claims": each}


def hedged(*instruments: Any) -> dict[str, Any]:
    return {"hedges": tuple(Hedge(instrument=each) for each in instruments)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (hedged(Future()), "a future as a hedge"),
        ({"numeraire": "coin"}, "counted in coin"),
        ({"closing": "mark"}, "at their mark for free"),
        (claims(Claim(instrument=Option(), count=0, arrivals=Arrivals(rate=0.1))), "claims that arrive"),
        ({**claims(Claim(instrument=Option(bars=96))), "closing": "mark"}, "claims that outlive the book"),
        (
            {"hedges": (Hedge(instrument=CALL, roll_bars=24), Hedge()), "closing": "mark", "margin": Margin()},
            "options that are listed anew",
        ),
        (hedged(Perpetual(), Perpetual()), "has 2, the settings name 1"),
        (claims(Claim(instrument=Option(asset=1, bars=48))), "has 2, the settings name 1"),
    ],
)
def test_a_contract_that_cannot_be_served_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        Market(task(**changes), ASSETS, LEGS)
    assert "\n" not in str(caught.value)


def test_the_shipped_task_is_served() -> None:
    assert Market(Task.load("short_call"), ASSETS, LEGS).contract.bars == 720


@pytest.mark.parametrize(
    ("market", "words"),
    [
        ({"kind": "gbm", "settings": {}}, "a gbm market"),
        ({"kind": "heston", "settings": {}}, "a heston market"),
        ({"kind": "sabr", "settings": {}}, "a sabr market"),
        ({"kind": "bootstrap", "settings": {"assets": [CALIBRATION]}}, "a bootstrap market"),
        ({"kind": "replay", "settings": {"assets": [CALIBRATION]}}, "a replay market"),
    ],
)
def test_a_market_that_cannot_be_served_is_refused(market: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Market(task().model_copy(update={"market": MarketChoice.model_validate(market)}), ASSETS, LEGS)


def test_a_model_of_another_book_is_refused_before_anything_is_journalled(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", of=Task.load("multi_asset"))
    config = ServeConfig.model_validate(raw_config(model=str(model)))
    journal = Journal(str(tmp_path / "j.db"))
    with pytest.raises(BadInput, match="assets: the task MultiAsset has 2, the settings name 1"):
        run(config, journal, Source((str(write_bars(tmp_path / "bars.csv")),), START, 1))
    assert journal.head[0] == 0
    journal.close()

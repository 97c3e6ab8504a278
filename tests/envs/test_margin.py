"""Margin on published and hand-worked examples, and what must hold of any account."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs import margin as margins
from envs.calibration import validated
from envs.margin import Claims, Collateral, Health, Margin, MarginTier, Positions, Prices
from envs.seeding import generators
from envs.types import BadInput

F64 = torch.float64
BINANCE = (  # BTCUSDT in 2020: floors and rates behind FAQ b3c689c1f50a44cabb3a84e663b81d93
    MarginTier(rate=0.004),
    MarginTier(notional=50_000, rate=0.005),
    MarginTier(notional=250_000, rate=0.01),
    MarginTier(notional=1_000_000, rate=0.025),
)
ISOLATED = Margin(mode="isolated", tiers=BINANCE, collateral=(Collateral(amount=0.05),))
CROSS = ISOLATED.model_copy(update={"mode": "cross"})


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)


def bar(spot: float, low: float, high: float) -> Prices:
    return Prices(tensor(spot)[None], tensor(low)[None], tensor(high)[None])


def account(
    margin: Margin,
    prices: Prices,
    units: Tensor,
    earned: Tensor | None = None,
    notional: float = 500_000.0,
    assets: tuple[int, ...] = (0,),
    claims: Claims | None = None,
    **greeks: Tensor,
) -> Health:
    """Of one path; `units` (K,) or (G, K); collateral posted at the bar's last price."""
    held = units.view(1, -1, len(assets))
    earned = torch.zeros_like(held) if earned is None else earned.view(held.shape)
    posted = margins.posted(margin, tensor(notional), prices.spot, len(assets))
    return margins.health(margin, posted, Positions(assets, held, earned, **greeks), prices, claims)


def surplus(health: Health) -> float:
    return float(health.equity - health.requirement)


def test_maintenance_as_published() -> None:
    """Binance: 500,000 lies at 1 % with the amount 250,000·(1 % − 0.5 %) + 50 = 1,300; 264,000 at 1 %.

    Hyperliquid, BTC: half of 1/40 up to 150 M, half of 1/20 on what lies above.
    """
    found = margins.maintenance(BINANCE, tensor(10_000, 50_000, 264_000, 500_000)).tolist()
    assert found == pytest.approx([40.0, 200.0, 2_640 - 1_300, 5_000 - 1_300], rel=1e-13)
    bitcoin = (MarginTier(), MarginTier(notional=150e6, rate=0.025))
    assert margins.maintenance(bitcoin, tensor(150e6, 200e6)).tolist() == pytest.approx([1.875e6, 3.125e6], rel=1e-13)


@given(notional=st.floats(0, 1e7))
def test_each_part_of_a_position_pays_its_tier(notional: float) -> None:
    """As an income tax: so the requirement is continuous where tiers meet."""
    floors = [*(tier.notional for tier in BINANCE), math.inf]
    parts = [
        tier.rate * max(0.0, min(notional, high) - low)
        for tier, (low, high) in zip(BINANCE, pairwise(floors), strict=True)
    ]
    assert float(margins.maintenance(BINANCE, tensor(notional))) == pytest.approx(math.fsum(parts), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("side", [1, -1])
def test_liquidation_price_as_published(mode: str, side: int) -> None:
    """(WB + cum − side·size·EP) / (size·(MMR − side)), the same FAQ: 10 BTC from 50,000 with 25,000 posted."""
    margin = ISOLATED.model_copy(update={"mode": mode})
    price = (25_000 + 1_300 - side * 10 * 50_000) / (10 * (0.01 - side))
    assert price == pytest.approx(47_848.48 if side > 0 else 52_108.91, abs=0.01)
    for beyond, expected in ((1.0, True), (-1.0, False)):
        reached = price - side * beyond
        found = account(margin, bar(50_000, min(reached, 50_000), max(reached, 50_000)), tensor(side * 10.0))
        assert bool(margins.liquidated(found)) is expected
        assert float(found.closing) == pytest.approx(-10 * abs(reached - 50_000))


def test_lows_inside_the_bar_liquidate_where_closes_do_not() -> None:
    """10 October 2025: the worst hour closed 2.1 % down and had been 11.1 % down. A short is none the worse."""
    held = torch.stack([tensor(10.0), tensor(-10.0)])
    closes = account(ISOLATED, Prices.at(tensor(48_950.0)[None]), held, 10 * tensor(-1_050.0, 1_050.0))
    lows = account(ISOLATED, bar(48_950, 44_450, 50_000), held, 10 * tensor(-1_050.0, 1_050.0))
    assert margins.liquidated(closes).flatten().tolist() == [False, False]
    assert margins.liquidated(lows).flatten().tolist() == [True, False]


LEVEL = st.floats(0, 0.3)
UNITS = st.floats(-20, 20)
BEND = st.floats(-2e-3, 2e-3)


def _any_account(low: float, high: float, units: tuple[float, float], gammas: tuple[float, float]) -> Health:
    """Coins for collateral, claims that count, two instruments on one asset, one of them curved."""
    margin = CROSS.model_copy(
        update={
            "collateral": (Collateral(amount=0.05), Collateral(amount=0.1, asset=0, haircut=0.1)),
            "portfolio": True,
        }
    )
    claims = Claims(tensor(-1_000.0), tensor(-5.0)[None], tensor(gammas[0])[None])
    return account(
        margin,
        bar(50_000, 50_000 * (1 - low), 50_000 * (1 + high)),
        tensor(*units),
        assets=(0, 0),
        claims=claims,
        delta=tensor(1.0, 0.5)[None],
        gamma=tensor(0.0, gammas[1])[None],
    )


@given(low=LEVEL, high=LEVEL, more=LEVEL, units=st.tuples(UNITS, UNITS), gammas=st.tuples(BEND, BEND))
def test_a_wider_bar_is_never_safer(
    low: float, high: float, more: float, units: tuple[float, float], gammas: tuple[float, float]
) -> None:
    narrow = surplus(_any_account(low, high, units, gammas))
    rounding = 1e-9 * 1e6
    assert surplus(_any_account(min(low + more, 0.99), high, units, gammas)) <= narrow + rounding
    assert surplus(_any_account(low, high + more, units, gammas)) <= narrow + rounding


@given(low=LEVEL, high=LEVEL, units=st.tuples(UNITS, UNITS), gammas=st.tuples(BEND, BEND))
def test_no_price_inside_the_bar_is_worse(
    low: float, high: float, units: tuple[float, float], gammas: tuple[float, float]
) -> None:
    """Against the formula on a grid: 5 % posted in cash, coins of 10 % less a tenth, requirement on the net delta.

    The lowest grid point misses the lowest of all by at most ⅛·|bend|·step², where no corner of a tier is lowest.
    """
    grid = torch.linspace(-low, high, 2001, dtype=F64) * 50_000
    net, bend = units[0] + 0.5 * units[1], units[1] * gammas[1]
    coins = 0.09 * 500_000 / 50_000
    equity = 25_000 - 1_000 + coins * (50_000 + grid) - 5 * grid + 0.5 * gammas[0] * grid**2
    equity += net * grid + 0.5 * bend * grid**2
    least = float((equity - margins.maintenance(BINANCE, abs(net) * (50_000 + grid))).min())
    found = surplus(_any_account(low, high, units, gammas))
    missed = 0.125 * abs(gammas[0] + bend) * float(grid[1] - grid[0]) ** 2
    assert least - missed - 1e-3 <= found <= least + 1e-6


def test_positions_in_one_asset_net_and_those_in_two_do_not() -> None:
    held = tensor(6.0, -4.0)
    alone = account(ISOLATED, Prices.at(tensor(50_000.0)[None]), held, assets=(0, 0))
    netted = account(CROSS, Prices.at(tensor(50_000.0)[None]), held, assets=(0, 0))
    apart = account(CROSS, Prices.at(tensor(50_000.0, 50_000.0)[None]), held, assets=(0, 1))
    each = margins.maintenance(BINANCE, tensor(300_000, 200_000))
    assert alone.requirement.flatten().tolist() == pytest.approx(each.tolist())
    assert float(apart.requirement) == pytest.approx(float(each.sum()))
    assert float(netted.requirement) == pytest.approx(0.005 * 100_000 - 50)
    assert float(netted.notional) == pytest.approx(100_000)
    assert float(alone.equity.sum()) == pytest.approx(float(netted.equity)) == pytest.approx(25_000)


@given(units=UNITS, earned=st.floats(-5e4, 5e4), low=LEVEL, high=LEVEL)
def test_one_instrument_is_the_same_account_in_either_mode(
    units: float, earned: float, low: float, high: float
) -> None:
    prices = bar(50_000, 50_000 * (1 - low), 50_000 * (1 + high))
    one, other = (account(mode, prices, tensor(units), tensor(earned)) for mode in (ISOLATED, CROSS))
    for name, value in vars(one).items():
        assert float(value) == pytest.approx(float(getattr(other, name)), rel=1e-12, abs=1e-6)


def test_coins_count_after_their_haircut_and_fall_with_their_price() -> None:
    """2 coins for 100,000 at 20 % off count 80,000; long 4 more and 10 % down, 8,000 and 20,000 are gone."""
    margin = Margin(mode="cross", collateral=(Collateral(amount=0.2, asset=0, haircut=0.2),))
    still = account(margin, Prices.at(tensor(50_000.0)[None]), tensor(0.0))
    fallen = account(margin, bar(50_000, 45_000, 50_000), tensor(4.0))
    assert (float(still.equity), float(still.full)) == pytest.approx((80_000, 100_000))
    assert (float(fallen.equity), float(fallen.full)) == pytest.approx((52_000, 70_000))
    other = margin.model_copy(update={"collateral": (Collateral(amount=1, asset=3),)})
    with pytest.raises(BadInput, match="collateral in asset 3, the market has 1"):
        margins.posted(other, tensor(1.0), tensor(1.0)[None], 1)


def test_claims_back_their_hedge_under_portfolio_margin_alone() -> None:
    """Long 5 against short calls of delta −5: a fall of 20 % takes 50,000 from the hedge and gives it to the claims."""
    claims = Claims(tensor(0.0), tensor(-5.0)[None], tensor(0.0)[None])
    portfolio = CROSS.model_copy(update={"portfolio": True})
    prices = bar(50_000, 40_000, 50_000)
    assert bool(margins.liquidated(account(CROSS, prices, tensor(5.0), claims=claims)))
    backed = account(portfolio, prices, tensor(5.0), claims=claims)
    assert not bool(margins.liquidated(backed))
    assert float(backed.equity) == pytest.approx(25_000)


@given(units=UNITS, earned=st.floats(-5e4, 5e4), low=LEVEL, high=LEVEL)
def test_a_liquidation_costs_the_change_in_equity_and_no_more_than_the_collateral(
    units: float, earned: float, low: float, high: float
) -> None:
    """Equity at the bar's end less the cost is what the worst price left after the fee, and never below nothing."""
    prices = bar(50_000, 50_000 * (1 - low), 50_000 * (1 + high))
    worst = account(ISOLATED, prices, tensor(units), tensor(earned))
    found = margins.closure(ISOLATED, worst)
    after = 25_000 + earned - float(found.cost)
    rounding = 1e-12 * 1e6
    assert after == pytest.approx(max(float(worst.equity), 0.0) - float(found.fee), abs=rounding)
    assert after >= -rounding
    assert float(found.cost) == pytest.approx(
        float(found.fee) - float(worst.closing) - float(found.insured), abs=rounding
    )
    assert float(found.fee) <= 0.005 * float(worst.notional) + rounding


def test_fee_and_insurance_of_a_liquidation_by_hand() -> None:
    """10 long from 50,000 with 25,000: at 47,600 1,000 is left of 2,380 due; at 47,000 the fund bears 5,000."""
    found = margins.closure(ISOLATED, account(ISOLATED, bar(50_000, 47_600, 50_000), tensor(10.0)))
    assert (float(found.fee), float(found.insured), float(found.cost)) == pytest.approx((1_000, 0, 25_000))
    found = margins.closure(ISOLATED, account(ISOLATED, bar(50_000, 47_000, 50_000), tensor(10.0)))
    assert (float(found.fee), float(found.insured), float(found.cost)) == pytest.approx((0, 5_000, 25_000))


@pytest.mark.parametrize("margin", [ISOLATED, CROSS])
def test_distance_falls_from_one_when_flat_to_nothing_at_liquidation(margin: Margin) -> None:
    """y / (1 + y) of the surplus over the notional; floor: 1e-6 of the notional at opening."""
    held = torch.stack([tensor(0.0), tensor(0.0), tensor(1.0), tensor(-10.0), tensor(10.0)])
    earned = tensor(0.0, -30_000.0, 0.0, 0.0, -21_300.0)
    prices = Prices.at(tensor(50_000.0)[None])
    posted = margins.posted(margin, tensor(500_000.0), prices.spot, 1)
    found = margins.distance(posted, account(margin, prices, held, earned)).flatten().tolist()
    free = [25_000 - 200, 25_000 - 3_700]
    expected = [1.0, 1.0, free[0] / (free[0] + 50_000), free[1] / (free[1] + 500_000), 0.0]
    assert found == pytest.approx(expected, abs=2e-5)
    assert not margins.liquidated(account(margin, prices, held, earned))[0, :4].any()


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("curved", [False, True])
def test_an_account_alone_is_the_account_in_the_batch(mode: str, curved: bool) -> None:
    (generator,) = generators(501, 1)
    paths, hedgers, assets = 9, 3, (1, 0, 1)
    coins = (Collateral(amount=0.05), Collateral(amount=0.1, asset=1, haircut=0.2))
    cross = Margin(mode="cross", tiers=BINANCE, collateral=coins, portfolio=True)
    margin = cross if mode == "cross" else ISOLATED

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=F64)

    spot = 1_000 + 1_000 * draw(paths, 2)
    prices = Prices(spot, spot * (1 - 0.1 * draw(paths, 2)), spot * (1 + 0.1 * draw(paths, 2)))
    notional = 5e5 + 5e5 * draw(paths)
    units, earned = 200 * draw(paths, hedgers, 3) - 100, 5e4 * draw(paths, hedgers, 3) - 4e4
    greeks = {"delta": draw(paths, 3), "gamma": 2e-3 * draw(paths, 3) - 1e-3} if curved else {}
    claims = Claims(1e3 * draw(paths), -100 * draw(paths, 2), -1e-2 * draw(paths, 2))

    def judged(of: slice) -> list[Tensor]:
        posted = margins.posted(margin, notional[of], spot[of], 3)
        held = Positions(assets, units[of], earned[of], **{name: value[of] for name, value in greeks.items()})
        own = Claims(*(field[of] for field in vars(claims).values()))
        found = margins.health(margin, posted, held, Prices(*(field[of] for field in vars(prices).values())), own)
        closed = margins.closure(margin, found)
        return [*vars(found).values(), *vars(closed).values(), margins.distance(posted, found)]

    whole = judged(slice(None))
    for path in range(paths):
        for one, other in zip(whole, judged(slice(path, path + 1)), strict=True):
            torch.testing.assert_close(one[path : path + 1], other, rtol=1e-13, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tiers": []}, "must start at notional 0"),
        ({"tiers": [{"notional": 5}]}, "must start at notional 0"),
        ({"tiers": [{}, {"notional": 0}]}, "must rise in notional, 0 follows 0"),
        ({"tiers": [{"rate": 0.02}, {"notional": 10, "rate": 0.01}]}, "rates must not fall, 0.01 follows 0.02"),
        ({"tiers": [{"rate": 1.0}]}, "less than 1"),
        ({"collateral": [{"amount": 1, "haircut": 1.0}]}, "less than 1"),
        ({"collateral": [{"amount": 1, "haircut": -0.1}]}, "greater than or equal to 0"),
        ({"collateral": [{"amount": 0}]}, "greater than 0"),
        ({"mode": "cross", "collateral": []}, "cross margin needs collateral"),
        ({"mode": "isolated", "collateral": [{"amount": 1, "asset": 0}]}, "drop the coin or choose cross"),
        ({"mode": "isolated", "portfolio": True}, "portfolio margin needs mode cross, not isolated"),
        ({"mode": "portfolio"}, "should be 'none', 'isolated' or 'cross'"),
        ({"liquidation_fee": 1}, "less than 1"),
    ],
)
def test_contradictions_are_errors_of_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as raised:
        validated(Margin, settings, "margin")
    assert "\n" not in str(raised.value)

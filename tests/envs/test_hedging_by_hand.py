"""The hedging world: episodes worked by hand."""

from __future__ import annotations

import math

import pytest

from agents.classical.delta import Delta
from agents.classical.no_hedge import NoHedge
from tests.envs.worlds import PLAIN, at, band, call, carried, contract, scripted, world

HAND = contract(
    bars=4, decision_bars=2, notional=1000.0,
    hedges=[{**PLAIN, "execution": {"impact": 0.0, "tiers": [{"maker": 0, "taker": 1e-3}]}}],
)  # fmt: skip
VENUE = {"half_spread": 1e-3, "funding_rate": 0.5}


def test_an_episode_by_hand() -> None:
    """Sold at 100, hedged with 5 then 8 units, funded four times on the mark, sold and paid at 110."""
    spots = [100.0, 101.0, 104.0, 103.0, 110.0]
    made = scripted(HAND, spots, mark=[1.001 * spot for spot in spots], **VENUE)
    premium = 10 * call(100, 100, 4)
    assert float(made.episode.book.claims) == pytest.approx(premium, rel=1e-9)
    assert float(made.episode.loss) == pytest.approx(0.0, abs=1e-12)

    _, ended, loss = made.advance(at(made, 0.5))
    price = 100.1 * 1.001
    cash = -5 * price * (1 + 1e-3) - 5 * 0.5 / 8760 * (100.1 + 101 * 1.001)
    liability = 10 * call(104, 100, 2)
    assert not ended.any()
    assert float(loss) == pytest.approx(-(premium + cash + 5 * 104 * 1.001 - liability) / 1000, rel=1e-9)

    _, ended, loss = made.advance(at(made, 0.8))
    price = 104 * 1.001 * 1.001
    cash -= 3 * price * (1 + 1e-3) + 8 * 0.5 / 8760 * (104 * 1.001 + 103 * 1.001)
    cash += 8 * 110 * 1.001 * 0.999 * (1 - 1e-3)
    book = made.episode.book
    assert ended.all()
    assert float(book.units) == 0.0
    assert float(book.cash) == pytest.approx(cash, rel=1e-9)
    assert float(book.claims) == pytest.approx(premium - 100, rel=1e-9)
    assert float(loss) == pytest.approx(-(premium + cash - 100) / 1000, rel=1e-9)
    assert float(book.trades) == 3.0


def test_an_option_that_ends_below_its_strike_pays_nothing() -> None:
    made = scripted(HAND, [100.0, 99.0, 98.0, 97.0, 96.0], **VENUE)
    premium = float(made.episode.book.claims)
    for _ in range(2):
        _, ended, loss = made.advance(at(made, 0.0))
    assert ended.all()
    assert float(loss) == pytest.approx(-premium / 1000, rel=1e-12)
    assert float(made.episode.book.fees) == 0.0


def test_hedges_taken_at_their_mark_cost_nothing_to_end() -> None:
    made = scripted(HAND.model_copy(update={"closing": "mark"}), [100.0] * 5, half_spread=1e-3)
    made.advance(at(made, 0.5))
    paid = float(made.episode.book.fees)
    made.advance(at(made, 0.5))
    assert float(made.episode.book.fees) == paid > 0
    assert float(made.episode.book.units) == 0.0


@pytest.mark.parametrize("rate", [0.5, -0.5])
def test_longs_pay_a_positive_funding_rate_and_shorts_receive_it(rate: float) -> None:
    """Ten units at 100 for two hours at 50 % a year, each decision."""
    for held in (1.0, -1.0):
        made = scripted(HAND, [100.0] * 5, funding_rate=rate)
        for decisions in (1, 2):
            made.advance(at(made, held))
            expected = held * 10 * 100 * rate * 2 / 8760 * decisions
            assert float(made.episode.book.funding) == pytest.approx(expected, rel=1e-12)


def test_a_dated_future_converges_to_the_index() -> None:
    """Bought at S·e^{bτ} and settled at the spot, with no fee: in a still market its holder loses just the basis."""
    future = {"instrument": {"kind": "future", "basis": 0.3}, "lot_fraction": 0.0, "execution": {"impact": 0.0}}
    rules = contract(bars=4, decision_bars=2, hedges=[future], claims=[{"instrument": {"kind": "spot"}, "units": 1.0}])
    made = scripted(rules, [100.0] * 5)
    for _ in range(2):
        _, _, loss = made.advance(at(made, -1.0))
    basis = math.expm1(0.3 * 4 / 8760)
    assert float(loss) == pytest.approx(-(basis - 5e-4 * (1 + basis)), rel=1e-9)
    assert float(made.episode.book.trades) == 1.0
    assert float(made.episode.book.units) == 0.0


def test_a_basis_trade_earns_the_funding_whatever_the_price_does() -> None:
    """Spot held, as much perpetual short at the index: 10 % a year on 1,000, four bars."""
    rules = contract(bars=4, decision_bars=2, notional=1000.0, claims=[{"instrument": {"kind": "spot"}, "units": 1.0}])
    spots = [100.0, 120.0, 90.0, 70.0, 140.0]
    made = scripted(rules, spots, funding_rate=0.1)
    for _ in range(2):
        _, _, loss = made.advance(band(made, Delta()))
    assert float(loss) == pytest.approx(-10 * 0.1 / 8760 * sum(spots[:4]) / 1000, rel=1e-9)


def test_profit_in_coin_is_counted_in_coin() -> None:
    """A call sold for cash with nothing held loses payoff less premium, at the last spot: per base coin."""
    rules = contract(bars=4, decision_bars=2, notional=1000.0, numeraire="coin")
    made = scripted(rules, [100.0, 101.0, 104.0, 103.0, 125.0])
    for _ in range(2):
        _, _, loss = made.advance(at(made, 0.0))
    assert float(loss) == pytest.approx(-(call(100, 100, 4) - 25) / 125, rel=1e-9)


def test_in_coin_a_coin_settled_option_is_replicated_by_its_premium_adjusted_delta() -> None:
    """The neutral hedge, worth included, leaves a tenth of the deviation in coin, as 48 decisions do in quote."""
    claims = [{"instrument": {"bars": 48, "settlement": "coin"}}]
    rules = contract(claims=claims, decision_bars=1, numeraire="coin")
    made = world(801, 2000, rules, hedgers=2)
    seen = made.observation
    spot, base = made.episode.quotes[0].spot, made.episode.portfolio.base[0]
    assert seen.worth is not None
    adjusted = -seen.scene.exposures[0].delta / base
    assert (seen.neutral[:, 0, 0] - adjusted - seen.worth[:, 0] / (spot * base)).abs().max() < 1e-12
    _, losses = carried(made, Delta(), NoHedge())
    assert float(losses[:, 0].std()) < 0.12 * float(losses[:, 1].std())

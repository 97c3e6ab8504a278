"""Claims are opened at their marks, valued by their instruments, and each is paid once."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from envs import portfolio
from envs.contract import Contract
from envs.instrument import View
from envs.portfolio import Exposure, Portfolio
from envs.pricing import black_scholes
from tests.envs.worlds import F64, constant_views, contract, tensor

SPOT = 50_000.0
PREMIUM = {"bars": 720, "decision_bars": 4, "notional": 1e6}


def opened(made: Contract, views: tuple[View, ...], left: int | None = None) -> tuple[Portfolio, Tensor]:
    bars_left = torch.full_like(views[0].quote.spot, made.bars if left is None else left, dtype=torch.int64)
    return portfolio.opened(made, views, bars_left, torch.Generator().manual_seed(3))


def moved(view: View, spot: float) -> View:
    return replace(view, quote=replace(view.quote, spot=torch.full_like(view.quote.spot, spot)))


def exposure(made: Contract, book: Portfolio, view: View) -> Exposure:
    (found,) = portfolio.exposures(made, book, (view,))
    return found


def black_scholes_greeks(spot: float, strike: float, bars: int, call: bool = True) -> dict[str, float]:
    at = (tensor(spot), tensor(strike), tensor(bars / 8760), tensor(0.8))
    return {name: float(value) for name, value in vars(black_scholes.greeks(*at, call=call)).items()}


def test_a_short_call_brings_its_premium_and_owes_its_value() -> None:
    made = contract(**PREMIUM)
    (view,) = constant_views([(SPOT,)])
    book, cash = opened(made, (view,))
    price = black_scholes_greeks(SPOT, SPOT, 720)
    assert float(book.base[0]) == 1e6 / SPOT
    assert float(cash) == pytest.approx(20 * price["value"], rel=1e-12)
    seen = exposure(made, book, view)
    for name in ("value", "delta", "gamma", "vega"):
        assert float(getattr(seen, name)) == pytest.approx(-20 * price[name], rel=1e-12), name
    assert seen.next_bars.tolist() == seen.last_bars.tolist() == [720]


def test_greeks_add_up_over_copies_claims_and_rights_of_one_asset_only() -> None:
    claims = [
        {"instrument": {"right": "call", "moneyness": 1.1}, "units": -2.0, "count": 3},
        {"instrument": {"right": "put", "moneyness": 0.9, "bars": 24}, "units": 0.5},
        {"instrument": {"kind": "spot", "asset": 1}, "units": 1.5},
    ]
    made = contract(claims=claims, **PREMIUM)
    views = constant_views([(SPOT, 3000.0)])
    book, cash = opened(made, views)
    first, second = portfolio.exposures(made, book, views)
    call, put = black_scholes_greeks(SPOT, 55_000, 720), black_scholes_greeks(SPOT, 45_000, 24, call=False)
    for name in ("value", "delta", "gamma", "vega"):
        assert float(getattr(first, name)) == pytest.approx(20 * (-6 * call[name] + 0.5 * put[name]), rel=1e-12), name
    assert (float(second.value), float(second.delta), float(second.gamma)) == pytest.approx((1.5e6, 500.0, 0.0))
    assert float(cash) == pytest.approx(-float(first.value + second.value), rel=1e-12)
    assert (first.next_bars.tolist(), first.last_bars.tolist()) == ([24], [720])
    assert portfolio.gross(made, book, 0).tolist() == pytest.approx([20 * 6.5])
    assert portfolio.gross(made, book, 1).tolist() == pytest.approx([500.0])


def test_a_premium_in_coin_makes_the_premium_adjusted_delta() -> None:
    """Sold for V/S coins that stay in the book: net −(Δ − V/S) = −K/S·N(d₂) per contract (Reiswich and Wystup 2010)."""
    made = contract(claims=[{"instrument": {"settlement": "coin", "moneyness": 1.2}}], **PREMIUM)
    (view,) = constant_views([(SPOT,)])
    book, cash = opened(made, (view,))
    price = black_scholes_greeks(SPOT, 60_000, 720)
    life = 720 / 8760
    d2 = (math.log(1 / 1.2) - 0.32 * life) / (0.8 * math.sqrt(life))
    seen = exposure(made, book, view)
    assert cash.tolist() == [0.0]
    assert float(book.coins[0]) == pytest.approx(20 * price["value"] / SPOT, rel=1e-12)
    assert float(seen.delta) == pytest.approx(-20 * (price["delta"] - price["value"] / SPOT), rel=1e-12)
    assert float(seen.delta) == pytest.approx(-20 * 1.2 * 0.5 * math.erfc(-d2 / math.sqrt(2)), rel=1e-10)
    assert float(seen.value) == pytest.approx(0.0, abs=1e-8)


def test_coins_keep_their_units_while_the_spot_moves() -> None:
    made = contract(claims=[{"instrument": {"settlement": "coin"}}], **PREMIUM)
    (view,) = constant_views([(SPOT,)])
    book, _ = opened(made, (view,))
    coins = float(book.coins[0])
    for spot in (SPOT, 2 * SPOT):
        value = 20 * black_scholes_greeks(spot, SPOT, 720)["value"]
        assert float(exposure(made, book, moved(view, spot)).value) == pytest.approx(coins * spot - value, rel=1e-12)


@pytest.mark.parametrize(("settlement", "right", "expected"), [("cash", "call", -8.0), ("coin", "put", 0.0)])
def test_an_expired_option_pays_what_it_is_in_the_money_once(settlement: str, right: str, expected: float) -> None:
    """One base unit of notional struck at 100, ended at 108."""
    claim = {"instrument": {"settlement": settlement, "right": right}}
    made = contract(claims=[claim], **{**PREMIUM, "notional": 100.0})
    (view,) = constant_views([(100.0,)])
    book, _ = opened(made, (view,))
    coins = float(book.coins[0])
    end = moved(view, 108.0)
    paid, cash = portfolio.settled(made, portfolio.aged(made, book, 720), (view.quote,), (end,))
    assert float(cash) == pytest.approx(expected, abs=1e-12)
    assert paid.units[0].tolist() == [[0.0]]
    assert float(paid.coins[0]) == coins
    again, more = portfolio.settled(made, paid, (end.quote,), (moved(view, 150.0),))
    assert more.tolist() == [0.0]
    assert float(exposure(made, again, moved(view, 150.0)).value) == pytest.approx(coins * 150.0)


def test_a_coin_settled_call_is_paid_in_coin() -> None:
    made = contract(claims=[{"instrument": {"settlement": "coin"}}], **{**PREMIUM, "notional": 100.0})
    (view,) = constant_views([(100.0,)])
    book, _ = opened(made, (view,))
    paid, cash = portfolio.settled(made, portfolio.aged(made, book, 720), (view.quote,), (moved(view, 125.0),))
    assert cash.tolist() == [0.0]
    assert float(paid.coins[0] - book.coins[0]) == pytest.approx(-25 / 125, rel=1e-12)


def test_settlement_to_the_last_half_hours_mean() -> None:
    """From 100 to 108 in an hour, straight: 106 on average over the last half, 104 over the whole, 108 at its close."""
    (view,) = constant_views([(100.0,)])
    for hours, expected in ((0.5, 6.0), (1.0, 4.0), (0.0, 8.0)):
        claim = {"instrument": {"averaging_hours": hours}, "units": 1.0}
        made = contract(claims=[claim], **{**PREMIUM, "notional": 100.0})
        book, _ = opened(made, (view,))
        _, cash = portfolio.settled(made, portfolio.aged(made, book, 720), (view.quote,), (moved(view, 108.0),))
        assert float(cash) == pytest.approx(expected, rel=1e-12), hours


def test_several_expiries_are_each_settled_at_their_own_time() -> None:
    """Three copies end after 24, 48 and 72 bars at 120, 130 and 140; nothing is paid between or again."""
    claims = [{"instrument": {"bars": bars}, "units": -1.0} for bars in (24, 48, 72)]
    made = contract(claims=claims, **{**PREMIUM, "bars": 72, "notional": 100.0})
    (view,) = constant_views([(100.0,)])
    book, _ = opened(made, (view,))
    received = []
    for bar in range(4, 76, 4):
        now = moved(view, {24: 120.0, 48: 130.0, 72: 140.0}.get(bar, 1000.0))
        book = portfolio.aged(made, book, 4)
        left = exposure(made, book, now)
        assert int(left.last_bars) == 72 - bar
        assert int(left.next_bars) == (-bar % 24 if bar % 24 else (24 if bar < 72 else 0))
        book, cash = portfolio.settled(made, book, (now.quote,), (now,))
        received.append(float(cash))
    assert {4 * (i + 1): paid for i, paid in enumerate(received) if paid} == {24: -20.0, 48: -30.0, 72: -40.0}


def test_a_position_earns_its_share_of_the_loss_versus_rebalancing() -> None:
    """½·L·√S/2·σ² a year per Milionis, Moallemi, Roughgarden and Zhang (2022); L of one unit in [80, 125] at 100."""
    claim = {"instrument": {"kind": "liquidity_position", "fees_over_loss": 0.9}, "units": 1.0}
    made = contract(claims=[claim], **{**PREMIUM, "notional": 300.0})
    (view,) = constant_views([(100.0,)])
    book, _ = opened(made, (view,))
    liquidity = 100 / (2 * 10 - 100 / math.sqrt(125) - math.sqrt(80))
    earned = portfolio.income(made, book, (view,))
    assert earned is not None
    assert float(earned) == pytest.approx(3 * 0.9 * liquidity * 10 / 4 * 0.64, rel=1e-9)
    assert portfolio.income(made, book, (moved(view, 130.0),)) == pytest.approx(0.0)


def test_options_alone_earn_nothing_by_being_held() -> None:
    made = contract(**PREMIUM)
    views = constant_views([(100.0,)])
    assert portfolio.income(made, opened(made, views)[0], views) is None


def test_a_perpetual_that_is_held_as_a_claim_pays_its_funding() -> None:
    made = contract(claims=[{"instrument": {"kind": "perpetual"}, "units": -2.0}], **{**PREMIUM, "notional": 100.0})
    (view,) = constant_views([(100.0,)])
    dear = replace(view, quote=replace(view.quote, funding_rate=tensor(0.5)))
    earned = portfolio.income(made, opened(made, (dear,))[0], (dear,))
    assert earned is not None
    assert earned.tolist() == [100.0]  # twice the notional short, at 50 % a year


def test_draws_lie_between_their_ends_and_differ() -> None:
    """Strikes 0.8 to 1.3 of the spot, lives 168 to 720 bars in whole decisions, units −0.5 to 0.2 of the base."""
    claim = {"instrument": {"moneyness": [0.8, 1.3], "bars": [168, 720]}, "units": [-0.5, 0.2], "count": 6}
    made = contract(claims=[claim], **PREMIUM)
    views = constant_views([(SPOT,)] * 500)
    book, _ = opened(made, views)
    ratio, units, bars = book.terms[0].strike / SPOT, book.units[0] / 20, book.terms[0].bars_left
    for drawn, low, high in ((ratio, 0.8, 1.3), (units, -0.5, 0.2), (bars.to(F64), 168, 720)):
        assert drawn.shape == (500, 6)
        assert low <= float(drawn.min()) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < float(drawn.max()) <= high
    assert (bars % 4 == 0).all()


@pytest.mark.parametrize(("life", "step"), [(720, 4), (43_200, 1), (99_999, 3)])
def test_an_option_of_the_books_whole_life_ends_with_it_from_whatever_age(life: int, step: int) -> None:
    """Also in float32, which does not hold the product of two long lives."""
    made = contract(claims=[{"instrument": {"bars": life}}], bars=life, decision_bars=step)
    left = torch.arange(step, life + 1, step)
    (view,) = constant_views([(100.0,)] * len(left))
    single = replace(view, quote=replace(view.quote, spot=view.quote.spot.float()))
    instrument = made.claims[0].instrument
    for each in (view, single):
        terms = instrument.opened(each, portfolio.Opening(1, left, life, step, torch.Generator()))
        assert torch.equal(terms.bars_left[:, 0], left)


def test_an_option_that_outlives_the_book_ends_as_long_after_it() -> None:
    made = contract(claims=[{"instrument": {"bars": 720}}], bars=720)
    (view,) = constant_views([(100.0,)])
    option = made.claims[0].instrument.model_copy(update={"bars": 1440})
    for left in (720, 8):
        terms = option.opened(view, portfolio.Opening(1, torch.tensor([left]), 720, 8, torch.Generator()))
        assert terms.bars_left.tolist() == [[left + 720]]


def test_deltas_elsewhere_are_those_of_the_moved_market() -> None:
    """At other spots and volatilities, the coins' units included."""
    claims = [{"instrument": {"settlement": "coin"}}, {"instrument": {"kind": "liquidity_position"}, "units": 0.5}]
    made = contract(claims=claims, **PREMIUM)
    (view,) = constant_views([(SPOT,)])
    book, _ = opened(made, (view,))
    spots, stretches = tensor(0.7 * SPOT, SPOT, 1.6 * SPOT), tensor(1.0, 1.0, 1.0)
    found = portfolio.deltas(made, book, view, 0, spots[None], stretches[None])
    expected = [float(exposure(made, book, moved(view, float(spot))).delta) for spot in spots]
    assert found[0].tolist() == pytest.approx(expected, rel=1e-12)
    (calmer,) = constant_views([(SPOT,)], volatility=0.4)
    half = portfolio.deltas(made, book, view, 0, tensor(SPOT)[None], tensor(0.5)[None])
    assert float(half) == pytest.approx(float(exposure(made, book, calmer).delta), rel=1e-12)

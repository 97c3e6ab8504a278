"""What positions need, pay and are worth on the rehearsal exchange, and what becomes of those who cannot carry them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import permutations

import pytest
import torch

from envs.pricing import black_scholes
from serve.clock import DAY, HOUR
from serve.rehearsal import pricing
from serve.rehearsal.moving import formula
from serve.rehearsal.types import Deleveraged, Fund, Funded, Gone, Liquidated, Maintain, Settled, Traded, Transfer
from tests.serve.rehearsal.floor import CALL, ETH, EXPIRY, FUTURE, LISTED, PERP, PUT, RULES, START, D, Desk, only


@pytest.mark.parametrize("call", [True, False])
@pytest.mark.parametrize("spot", [700.0, 1000.0, 1300.0])
def test_options_are_priced_as_the_hedger_prices_them(spot: float, call: bool) -> None:
    terms = pricing.Terms(1000.0, 0.1, 1 if call else -1)
    theirs = black_scholes.greeks(*(torch.tensor(x, dtype=torch.float64) for x in (spot, 1000.0, 0.1, 0.7)), call)
    ours = pricing.greeks(terms, spot, 0.7)
    assert pricing.price(terms, spot, 0.7) == pytest.approx(theirs.value.item(), rel=1e-9)
    for name in ("delta", "gamma", "vega", "theta"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name).item(), rel=1e-9), name
    assert pricing.implied(terms, spot, theirs.value.item()) == pytest.approx(0.7, abs=1e-6)


def test_margins_are_deribits_standard_ones() -> None:
    desk = Desk()
    desk.trade("ann", "bob", "10", "1000")
    for account in ("ann", "bob"):
        shown = desk.exchange.account(account)
        assert (shown.initial_margin, shown.maintenance_margin) == (D(205), D(105))  # 10,000 × (2 % + 10 × 0.005 %)
    desk.trade("ann", "bob", "2", "30", CALL)
    mark = desk.exchange.ticker(CALL.name).mark
    assert desk.exchange.account("ann").initial_margin == 205
    assert desk.exchange.account("bob").initial_margin == 205 + 2 * (150 + mark)
    assert desk.exchange.account("bob").maintenance_margin == 105 + 2 * (75 + mark)
    desk.trade("ann", "bob", "1", "30", PUT)
    desk.move(1200)
    (put,) = (each for each in desk.exchange.account("bob").positions if each.instrument == PUT.name)
    assert put.initial_margin == 120 + put.mark  # 200 out of the money: 10 % at least


def test_open_orders_need_the_margin_of_the_worse_side() -> None:
    desk = Desk()
    desk.trade("ann", "bob", "10", "1000")
    desk.place("ann", "10", "990")
    assert desk.exchange.account("ann").initial_margin == 20_000 * (D("0.02") + 20 * D("0.00005"))
    desk.place("ann", "-15", "1010")
    assert desk.exchange.account("ann").initial_margin == 20_000 * (D("0.02") + 20 * D("0.00005"))
    desk.place("ann", "-20", "1010")  # to 25 short
    desk.place("ann", "-90", "1010", reduce_only=True)  # to flat
    assert desk.exchange.account("ann").initial_margin == 25_000 * (D("0.02") + 25 * D("0.00005"))


def test_collateral_counts_after_its_haircut_and_a_debt_in_full() -> None:
    desk = Desk()
    desk.do(Transfer(desk.now, "ann", "BTC", D(2)))
    shown = desk.exchange.account("ann")
    assert (shown.equity, shown.margin_balance) == (D(102_000), D(101_800))
    desk.move(1500)
    assert desk.exchange.account("ann").margin_balance == 100_000 + 2 * 1500 * D("0.9")


def test_what_a_perpetual_gains_is_worth_and_moves_to_the_balance_when_it_closes() -> None:
    desk = Desk()
    desk.trade("ann", "bob", "10", "1000")
    desk.move(1010)
    (held,) = desk.exchange.account("ann").positions
    assert (held.entry, held.unrealised) == (D(1000), D(100))
    fees = 100_000 - desk.money("ann")
    desk.trade("bob", "ann", "4", "1010")
    (fill,) = (each for each in desk.exchange.fills("ann") if each.realised)
    assert (fill.realised, fill.position) == (D(40), D(6))
    assert desk.money("ann") == 100_000 - fees + 40 - fill.fee
    desk.trade("bob", "ann", "10", "1010")
    assert desk.exchange.fills("ann")[-1].realised == 60
    assert desk.exchange.account("ann").positions[0].entry == 1010


def test_fees_are_of_the_notional_and_an_options_of_its_underlying_up_to_an_eighth_of_its_price() -> None:
    desk = Desk()
    desk.trade("ann", "bob", "2", "1000")
    desk.trade("ann", "bob", "2", "10", CALL)
    desk.trade("ann", "bob", "2", "2", CALL)
    assert [fill.fee for fill in desk.exchange.fills("ann")] == [D(1), D(1), D("0.5")]
    assert [fill.fee for fill in desk.exchange.fills("bob")] == [D("0.2"), D("0.2"), D("0.2")]
    assert desk.money("exchange") == D("3.1")


def test_not_even_the_tenth_decimal_is_lost() -> None:
    fine = replace(PERP, tick=D("0.00001"), lot=D("0.00001"))
    desk = Desk(replace(RULES, instruments=(fine, *LISTED[1:])), accounts=("ann", "bob", "cid"))
    desk.trade("ann", "bob", "0.00003", "1000.00001")
    desk.trade("cid", "ann", "0.00003", "1000.00002")
    assert desk.units("ann") == 0
    assert desk.exchange.total("USDC") == 0


def test_the_tape_keeps_candles_and_the_days_volume() -> None:
    desk = Desk()
    desk.trade("ann", "bob", "1", "1001")
    desk.trade("ann", "bob", "2", "999")
    desk.move(1000, minutes=90)
    desk.trade("ann", "bob", "3", "1002")
    first, last = desk.exchange.candles("BTC-PERP", interval=HOUR)
    assert (first.open, first.high, first.low, first.close, first.volume) == (1000, 1001, 999, 999, 3)
    assert (last.time, last.open, last.close, last.volume) == (START + HOUR, 1000, 1002, 3)
    assert desk.exchange.candles("BTC-PERP", since=START + HOUR, interval=HOUR) == (last,)
    assert desk.exchange.ticker("BTC-PERP").volume == 6
    assert desk.exchange.ticker("BTC-PERP").open_interest == 6
    desk.move(1000, minutes=23 * 60)
    assert desk.exchange.ticker("BTC-PERP").volume == 3


@pytest.mark.parametrize(
    ("rule", "premium", "rate"),
    [
        ("deadband", "0.001", "0.00075"),
        ("deadband", "0.0001", "0"),
        ("deadband", "-0.001", "-0.00075"),
        ("deadband", "0.2", "0.005"),
        ("clamped", "0", "0.0001"),
        ("clamped", "0.001", "0.0005"),
        ("clamped", "-0.001", "-0.0005"),
        ("clamped", "-0.2", "-0.005"),
    ],
)
def test_funding_is_the_venues_formula(rule: str, premium: str, rate: str) -> None:
    assert formula(D(premium), replace(RULES, funding=rule)) == D(rate)


def test_longs_pay_shorts_for_the_time_that_has_passed() -> None:
    desk = Desk()
    desk.trade("ann", "bob", "10", "1000")
    for _ in range(60):
        desk.move(1000, minutes=1, premium=0.002)
    mark = desk.exchange.ticker("BTC-PERP").mark
    before = desk.exchange.ticker("BTC-PERP").funding_rate
    paid = only(Funded, desk.do(Fund(desk.now)))
    assert [(each.account, each.units) for each in paid] == [("ann", D(10)), ("bob", D(-10))]
    followed = D("0.002") * (1 - D(4) / 3 / 60)  # the mark takes 1 + 1/4 + 1/16 + … minutes to follow
    assert paid[0].rate == pytest.approx((followed - D("0.00025")) / 8, rel=D("1e-5"))
    assert before is not None
    assert paid[0].rate == pytest.approx(before / 8, rel=D("1e-6"))
    assert paid[0].paid == (10 * mark * paid[0].rate).quantize(D("1e-8")) == -paid[1].paid
    assert desk.exchange.funding_history("BTC-PERP")[0].hours == 1
    for _ in range(60):
        desk.move(1000, minutes=1)
    assert [each.rate for each in only(Funded, desk.do(Fund(desk.now)))] == [0, 0]  # what was paid for is forgotten


def test_an_option_settles_on_the_last_half_hour_of_the_index() -> None:
    desk = Desk()
    desk.trade("ann", "bob", "2", "30", CALL)
    desk.place("bob", "-1", "100", CALL)
    start = desk.money("ann")
    desk.move(3000, minutes=(DAY - 0.75 * HOUR) / 60_000)
    desk.move(1000, minutes=10)
    desk.move(1100, minutes=20)
    happened = desk.move(2000, minutes=15)
    assert desk.now == EXPIRY
    assert [gone.why for gone in only(Gone, happened)] == ["settled"]
    settled = {each.account: each for each in only(Settled, happened)}
    assert (settled["ann"].price, settled["ann"].paid, settled["bob"].paid) == (D(1050), D(100), D(-100))
    assert desk.money("ann") == start + 100
    assert desk.exchange.payments("ann") == (settled["ann"],)
    assert CALL not in desk.exchange.instruments()
    assert desk.exchange.account("ann").positions == ()


def test_a_future_pays_the_time_weighted_index_less_what_it_cost_and_no_funding() -> None:
    desk = Desk()
    desk.trade("ann", "bob", "2", "1010", FUTURE)
    desk.trade("ann", "bob", "1", "980", FUTURE)
    desk.place("bob", "-1", "1040", instrument=FUTURE)
    start = desk.money("ann")
    held = desk.exchange.account("ann").positions[0]
    assert held.initial_margin == 3 * held.mark * (RULES.initial_rate + 3 * RULES.tier_rate)
    assert held.unrealised == 3 * held.mark - 3000
    assert desk.exchange.account("bob").positions[0].liquidation_price is not None
    desk.do(Fund(desk.now))
    desk.move(1000, minutes=(DAY - 0.5 * HOUR) / 60_000)
    happened = [*desk.move(1100, minutes=15), *desk.move(2000, minutes=15)]
    assert desk.now == EXPIRY
    assert only(Funded, happened) == []
    assert [gone.why for gone in only(Gone, happened)] == ["settled"]
    settled = {each.account: each for each in only(Settled, happened)}
    assert (settled["ann"].price, settled["ann"].paid, settled["bob"].paid) == (D(1050), D(150), D(-150))
    assert desk.money("ann") == start + 150
    assert FUTURE not in desk.exchange.instruments()
    assert desk.exchange.total("USDC") == 0


def poor(money: int = 1000, fund: str = "0") -> Desk:
    """ann is 10 long at 1000 with little money."""
    desk = Desk(replace(RULES, insurance=D(fund)), accounts=("bob", "cid"))
    desk.do(Transfer(START, "ann", "USDC", D(money)))
    desk.trade("ann", "bob", "10", "1000")
    return desk


def test_a_position_is_liquidated_in_steps_and_orders_go_first() -> None:
    desk = poor()
    price = desk.exchange.account("ann").positions[0].liquidation_price
    assert price is not None
    desk.place("ann", "-1", "1040")
    desk.place("cid", "10", "905")
    assert only(Liquidated, desk.move(price + 1, minutes=1)) == []
    happened = desk.move(price - 1, minutes=1)
    assert [each.why for each in only(Gone, happened)] == ["cancelled"]
    assert [each.units for each in only(Liquidated, happened)] == [D("-2.5")]
    fills = [each.fill for each in only(Traded, happened) if each.fill.account == "ann"]
    assert [(fill.units, fill.price, fill.liquidation) for fill in fills] == [(D("-2.5"), D(905), True)]
    assert desk.money("insurance") == D("0.002") * D("2.5") * 905 + D("0.0005") * D("2.5") * 905


def test_nobody_is_liquidated_on_an_index_that_is_stale_or_under_maintenance() -> None:
    desk = poor()
    desk.trade("ann", "bob", "0.01", "1000", ETH)
    desk.place("cid", "10", "905")
    assert only(Liquidated, desk.move(910, minutes=2)) == []
    desk.do(Maintain(desk.now, True))
    assert only(Liquidated, desk.move(1000, asset="ETH")) == []
    desk.do(Maintain(desk.now, False))
    assert len(only(Liquidated, desk.move(1000, asset="ETH"))) == 1


def test_the_fund_takes_over_what_is_bankrupt_and_works_it_off() -> None:
    desk = poor(fund="10000")
    happened = desk.move(880, minutes=1)
    assert len(only(Liquidated, happened)) == 1
    assert (desk.units("ann"), desk.money("ann"), desk.units("insurance")) == (0, 0, 10)
    assert only(Deleveraged, happened) == []
    desk.place("cid", "10", "890")
    desk.move(880, minutes=1)
    assert (desk.units("insurance"), desk.units("cid")) == (D("7.5"), D("2.5"))
    assert desk.exchange.total("USDC") == 0


def test_without_a_fund_the_winners_close_it_at_the_bankruptcy_price() -> None:
    desk = poor()
    happened = desk.move(880, minutes=1)
    (told,) = only(Deleveraged, happened)
    lost = Decimal(1000) - desk.exchange.fills("ann")[0].fee
    assert (told.account, told.units) == ("bob", D(10))
    assert desk.exchange.fills("bob")[-1].deleveraged
    assert desk.exchange.fills("ann")[-1].liquidation
    assert 0 <= told.price - (1000 - lost / 10) < D("0.5")  # rounded up to the tick
    assert (desk.units("ann"), desk.units("bob")) == (0, 0)
    assert 0 <= desk.money("ann") < 5
    assert desk.exchange.total("USDC") == 0


def test_other_collateral_is_sold_before_anybody_is_deleveraged() -> None:
    desk = poor(fund="5000")
    desk.do(Transfer(desk.now, "ann", "BTC", D(1)))
    happened = desk.move(820, minutes=1)  # 1800 lost against 1000 and one at 820 less a tenth
    assert only(Deleveraged, happened) == []
    assert (desk.money("ann", "BTC"), desk.money("insurance", "BTC")) == (0, 1)
    assert desk.money("ann") == 0


def deleveraged(order: tuple[str, ...]) -> list[tuple[str, Decimal]]:
    """Who is deleveraged when three of different leverage win, the first two alike, and come in this order."""
    desk = Desk(RULES, accounts=())
    money = {"bob": 2000, "cid": 2000, "dot": 50_000}
    desk.do(Transfer(START, "ann", "USDC", D(1500)))
    for account in order:
        desk.do(Transfer(START, account, "USDC", D(money[account])))
        desk.trade("ann", account, "5", "1000")
    assert [desk.exchange.account(each).positions[0].adl_rank for each in ("bob", "cid", "dot")] == [5, 4, 2]
    happened = desk.move(880, minutes=1)
    return [(each.account, each.units) for each in only(Deleveraged, happened)]


def test_who_is_deleveraged_does_not_depend_on_who_came_first() -> None:
    outcomes = [deleveraged(order) for order in permutations(("bob", "cid", "dot"))]
    assert outcomes[0] == [("bob", D(5)), ("cid", D(5)), ("dot", D(5))]
    assert all(outcome == outcomes[0] for outcome in outcomes)

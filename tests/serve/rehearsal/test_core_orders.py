"""Orders on the rehearsal exchange's book: who trades with whom, at what price, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from serve.clock import SECOND
from serve.rehearsal.types import (
    Accepted,
    Cancel,
    CancelAll,
    DeadMan,
    Gone,
    LevelsChanged,
    Maintain,
    Printed,
    Refused,
    Traded,
    Transfer,
)
from tests.serve.rehearsal.floor import CALL, LISTED, PERP, RULES, SPOT, START, D, Desk, only


def refusals(happened: Any) -> list[str]:
    return [each.code for each in only(Refused, happened)]


def test_the_best_price_trades_first_and_at_one_price_the_oldest() -> None:
    desk = Desk(accounts=("ann", "bob", "cid", "dot"))
    desk.place("ann", "-1", "1001")
    desk.place("bob", "-1", "1000.5")
    desk.place("cid", "-1", "1000.5")
    fills = [each.fill for each in only(Traded, desk.place("dot", "2.5", "1001"))]
    assert [(fill.account, fill.units, fill.price) for fill in fills if fill.maker] == [
        ("bob", D("-1"), D("1000.5")),
        ("cid", D("-1"), D("1000.5")),
        ("ann", D("-0.5"), D(1001)),
    ]
    assert desk.exchange.book("BTC-PERP").asks == ((D(1001), D("0.5")),)
    assert desk.units("dot") == D("2.5")


def test_a_limit_order_rests_with_what_is_left_and_others_do_not() -> None:
    desk = Desk()
    desk.place("ann", "-1", "1000")
    assert [each.order.left for each in only(Gone, desk.place("bob", "3", "1000", tif="ioc"))] == [D(2)]
    desk.place("ann", "-1", "1000")
    assert refusals(desk.place("bob", "3", "1000", tif="fok")) == ["unfillable"]
    assert desk.exchange.account("bob").positions[0].units == 1
    (gone,) = only(Gone, desk.place("bob", "3"))  # at the market
    assert (gone.why, gone.order.filled, gone.order.status) == ("unfilled", D(1), "cancelled")
    desk.place("bob", "3", "1000")
    assert desk.exchange.book("BTC-PERP").bids == ((D(1000), D(3)),)
    assert len(only(Traded, desk.place("ann", "-3", "999", tif="fok"))) == 2


def test_an_order_never_meets_its_own_account() -> None:
    desk = Desk()
    desk.place("ann", "-1", "1000")
    (gone,) = only(Gone, desk.place("ann", "2", "1001"))
    assert (gone.why, gone.order.filled) == ("self_match", 0)
    assert desk.exchange.book("BTC-PERP").asks == ((D(1000), D(1)),)
    assert refusals(desk.place("ann", "1", "1001", tif="fok")) == ["unfillable"]


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"units": "1", "price": "1000", "instrument": replace(PERP, name="XRP-PERP")}, "no_instrument"),
        ({"units": "0.005", "price": "1000"}, "lot"),
        ({"units": "0", "price": "1000"}, "lot"),
        ({"units": "1", "price": "1000.3"}, "tick"),
        ({"units": "1", "price": "0"}, "tick"),
        ({"units": "1", "price": "1050.5"}, "price_band"),
        ({"units": "-1", "price": "949.5"}, "price_band"),
        ({"units": "1", "price": "1001", "post_only": True}, "post_only"),
        ({"units": "1", "price": "1000", "reduce_only": True}, "reduce_only"),
        ({"units": "5000", "price": "1000"}, "no_funds"),
        ({"units": "200", "price": "1000", "instrument": SPOT}, "no_funds"),
        ({"units": "-1", "price": "1000", "instrument": SPOT}, "no_funds"),
        ({"units": "2001", "price": "50", "instrument": CALL}, "no_funds"),
        ({"units": "1", "price": "1000", "expires_at": START}, "past"),
    ],
)
def test_what_is_refused_does_nothing(order: dict[str, Any], code: str) -> None:
    desk = Desk()
    desk.place("bob", "-1", "1001")
    before = desk.exchange.digest()
    assert refusals(desk.place("ann", **order)) == [code]
    assert desk.exchange.digest() == before


def test_a_price_at_the_band_is_taken_and_the_ticker_says_where_it_is() -> None:
    desk = Desk()
    ticker = desk.exchange.ticker("BTC-PERP")
    assert (ticker.min_price, ticker.max_price) == (D(950), D(1050))
    assert len(only(Accepted, desk.place("ann", "1", "1050"))) == 1
    assert len(only(Accepted, desk.place("ann", "-1", "1051"))) == 1


def test_a_client_id_is_used_again_only_where_the_rules_say_so() -> None:
    lax, strict = Desk(), Desk(replace(RULES, unique_ids=True))
    for desk in (lax, strict):
        desk.place("ann", "1", "990", client_id="one")
        desk.place("bob", "1", "990", client_id="one")
    assert refusals(lax.place("ann", "1", "990", client_id="one")) == []
    assert len(lax.exchange.by_client_id("ann", "one")) == 2
    assert refusals(strict.place("ann", "1", "990", client_id="one")) == ["duplicate_id"]
    assert len(strict.exchange.by_client_id("ann", "one")) == 1


def test_reduce_only_is_measured_again_at_each_fill() -> None:
    desk = Desk(accounts=("ann", "bob", "cid"))
    desk.trade("ann", "bob", "2", "1000")
    desk.place("ann", "-2", "1000", reduce_only=True)
    desk.place("ann", "-1.5", "999.5", reduce_only=True)  # together they would flip
    happened = desk.place("cid", "3", "1000")
    assert [gone.why for gone in only(Gone, happened)] == ["reduce_only"]
    assert desk.units("ann") == 0
    assert desk.units("cid") == 2


def test_fill_or_kill_counts_what_resting_orders_may_still_fill() -> None:
    desk = Desk(accounts=("ann", "bob", "cid"))
    desk.trade("bob", "cid", "1", "1000")
    desk.place("bob", "-3", "1000", reduce_only=True)
    desk.place("bob", "-3", "1000.5", reduce_only=True)
    assert refusals(desk.place("ann", "1.5", "1001", tif="fok")) == ["unfillable"]
    assert len(only(Traded, desk.place("ann", "1", "1001", tif="fok"))) == 2


def test_the_position_cap_binds_at_the_fill() -> None:
    capped = replace(PERP, position_cap=D(3))
    desk = Desk(replace(RULES, instruments=(capped, *LISTED[1:])))
    desk.place("ann", "2", "1000")
    desk.place("ann", "2", "999.5")
    happened = desk.place("bob", "-5", "990")
    assert desk.units("ann") == 3
    assert "cap" in [gone.why for gone in only(Gone, happened)]
    assert refusals(desk.place("ann", "1", "1000")) == ["cap"]


def test_orders_expire_and_a_dead_mans_orders_go() -> None:
    desk = Desk()
    desk.place("ann", "1", "990", expires_at=START + 5 * SECOND)
    desk.place("ann", "1", "991")
    desk.do(DeadMan(START, "ann", START + 10 * SECOND))
    desk.do(DeadMan(START, "bob", START + 10 * SECOND))
    desk.place("bob", "-1", "1010")
    desk.do(DeadMan(START, "bob", None))
    (expired,) = only(Gone, desk.move(1000, minutes=5 / 60))
    assert (expired.why, expired.order.status) == ("expired", "expired")
    (dead,) = only(Gone, desk.move(1000, minutes=5 / 60))
    assert (dead.why, dead.order.price) == ("deadman", D(991))
    assert len(desk.exchange.open_orders("bob")) == 1


def test_only_ones_own_orders_are_cancelled_and_none_under_maintenance() -> None:
    desk = Desk()
    desk.place("ann", "1", "990")
    (order,) = desk.exchange.open_orders("ann")
    assert refusals(desk.do(Cancel(START, "bob", order.order_id))) == ["not_found"]
    desk.do(Maintain(START, True))
    assert refusals(desk.do(Cancel(START, "ann", order.order_id))) == ["maintenance"]
    assert refusals(desk.place("ann", "1", "990")) == ["maintenance"]
    desk.do(Maintain(START, False))
    assert len(only(Gone, desk.do(CancelAll(START, "ann", "ETH-PERP")))) == 0
    assert [gone.why for gone in only(Gone, desk.do(CancelAll(START, "ann")))] == ["cancelled"]
    assert refusals(desk.do(Cancel(START, "ann", order.order_id))) == ["not_found"]


def test_changes_of_levels_add_up_to_the_book() -> None:
    desk = Desk()
    desk.place("ann", "1", "990")
    desk.place("ann", "2", "990")
    desk.place("bob", "-1", "990")
    changes = only(LevelsChanged, desk.told)
    assert [(each.sequence, each.changes) for each in changes] == [
        (1, (("bid", D(990), D(1)),)),
        (2, (("bid", D(990), D(3)),)),
        (3, (("bid", D(990), D(2)),)),
    ]
    (trade,) = only(Printed, desk.told)
    assert (trade.price, trade.size, trade.buyer_took) == (D(990), D(1), False)


def test_spot_is_paid_for_and_open_orders_reserve_it() -> None:
    desk = Desk()
    desk.do(Transfer(START, "bob", "BTC", D(2)))
    desk.place("bob", "-1.5", "1000", SPOT)
    assert refusals(desk.place("bob", "-1", "1000", SPOT)) == ["no_funds"]
    desk.place("ann", "1.5", "1000", SPOT)
    assert (desk.money("ann", "BTC"), desk.money("ann")) == (D("1.5"), 100_000 - 1500 * (1 + D("0.0005")))
    assert (desk.money("bob", "BTC"), desk.money("bob")) == (D("0.5"), 100_000 + 1500 * (1 - D("0.0001")))


def test_a_withdrawal_leaves_the_margin() -> None:
    desk = Desk()
    desk.trade("ann", "bob", "100", "1000")
    needed = desk.exchange.account("ann").initial_margin
    available = desk.exchange.account("ann").available
    assert refusals(desk.do(Transfer(START, "ann", "USDC", -available - D("0.01")))) == ["no_funds"]
    desk.do(Transfer(START, "ann", "USDC", -available))
    assert desk.exchange.account("ann").margin_balance == needed
    assert desk.exchange.total("USDC") == Decimal(0)

"""The liquidity of the rehearsal exchange: it stands around the moving market, runs out, and comes back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from serve.rehearsal.accounts import MAKERS
from serve.rehearsal.making import CARRY
from serve.rehearsal.tape import MINUTE
from serve.rehearsal.types import Gone, Maintain, Printed, Traded
from tests.serve.rehearsal.floor import CALL, EXPIRY, FUTURE, LISTED, PERP, RULES, D, Desk, only

QUOTED = {"depth": 200_000.0, "half_spread": 0.001}


def test_makers_quote_around_the_market_and_nothing_old_is_left() -> None:
    desk = Desk()
    for index in (1000, 1010, 990, 1003):
        desk.move(index, minutes=1, premium=0.001, **QUOTED)
        book, fair = desk.exchange.book("BTC-PERP"), index * 1.001
        assert float(book.bids[0][0]) == pytest.approx(fair * 0.999, abs=0.5)
        assert float(book.asks[0][0]) == pytest.approx(fair * 1.001, abs=0.5)
        for side in (book.bids, book.asks):
            rested = sum(price * size for price, size in side)
            assert 0.5 * 200_000 < rested < 1.5 * 200_000 * 1.07
    assert all(len(desk.exchange.open_orders(maker)) <= 6 * 12 for maker in MAKERS)


def test_a_future_is_quoted_above_the_index_by_what_is_left_of_its_time() -> None:
    desk = Desk()
    for left, premium in ((24, CARRY / 365), (12, CARRY / 730), (0.001, 0)):
        desk.move(1000, minutes=(EXPIRY - desk.now) / MINUTE - left * 60, premium=0.003, **QUOTED)
        seen = desk.exchange.ticker(FUTURE.name)
        assert float(seen.mark) == pytest.approx(1000 * (1 + premium), abs=0.251)
        assert seen.bid is not None
        assert seen.ask is not None
        assert seen.bid[0] < 1000 * (1 + premium) < seen.ask[0]
        assert seen.funding_rate is None


def test_the_other_markets_are_the_same_without_a_future() -> None:
    shown = []
    for listed in (LISTED, tuple(each for each in LISTED if each is not FUTURE)):
        desk = Desk(replace(RULES, instruments=listed))
        for index in range(1000, 1010):
            desk.move(index, minutes=5, **QUOTED)
        shown.append([desk.exchange.book(each.name).bids for each in LISTED if each is not FUTURE])
    assert shown[0] == shown[1]


def test_quotes_stay_while_the_market_hardly_moves() -> None:
    desk = Desk()
    desk.move(1000, minutes=1, **QUOTED)
    before = {order.order_id for order in desk.exchange.open_orders("maker-1") if order.instrument == "BTC-PERP"}
    desk.move("1000.2", minutes=1, **QUOTED)
    after = {order.order_id for order in desk.exchange.open_orders("maker-1") if order.instrument == "BTC-PERP"}
    assert before
    assert len(before & after) >= len(before) - 2  # those who trade take the best at most


def test_an_order_beyond_the_depth_fills_in_part_and_pays_for_it() -> None:
    desk = Desk(money=10_000_000)
    desk.move(1000, minutes=1, **QUOTED)
    happened = desk.place("ann", "900")
    (gone,) = only(Gone, happened)
    assert gone.why == "unfilled"
    assert 0 < gone.order.filled < 900
    paid = gone.order.average_price
    assert paid is not None
    assert paid > 1002
    assert desk.exchange.book("BTC-PERP").asks == () or desk.exchange.book("BTC-PERP").asks[0][0] > 1050
    desk.move(1000, minutes=1, **QUOTED)
    assert desk.exchange.book("BTC-PERP").asks[0][0] < 1002


def test_a_market_that_passes_an_order_fills_it_at_its_own_price() -> None:
    desk = Desk()
    desk.move(1000, minutes=1, **QUOTED)
    desk.place("ann", "0.5", "995", post_only=True)
    happened = desk.move(990, minutes=1, **QUOTED)
    fills = [each.fill for each in only(Traded, happened)]
    assert [(fill.account, fill.units, fill.price, fill.maker) for fill in fills] == [("ann", D("0.5"), D(995), True)]


def test_options_are_quoted_around_their_mark_and_the_volatilities_say_so() -> None:
    desk = Desk()
    desk.move(1000, minutes=1, **QUOTED)
    shown = desk.exchange.ticker(CALL.name)
    assert shown.bid is not None
    assert shown.ask is not None
    assert shown.bid[0] < shown.mark < shown.ask[0]
    assert None not in (shown.bid_volatility, shown.volatility, shown.ask_volatility)
    assert shown.bid_volatility < shown.volatility < shown.ask_volatility  # type: ignore[operator]


def test_others_trade_and_all_of_it_is_of_the_seed() -> None:
    digests = []
    for _ in range(2):
        desk = Desk()
        for _ in range(30):
            desk.move(1000, minutes=1, **QUOTED)
        digests.append(desk.exchange.digest())
    assert digests[0] == digests[1]
    prints = [each for each in only(Printed, desk.told) if each.instrument == PERP.name]
    assert 40 < len(prints) < 90  # two a minute, some at two prices
    assert {each.buyer_took for each in prints} == {True, False}


def test_nobody_quotes_under_maintenance() -> None:
    desk = Desk()
    desk.move(1000, minutes=1, **QUOTED)
    desk.do(Maintain(desk.now, True))
    book = desk.exchange.book("BTC-PERP")
    assert only(Printed, desk.move(1100, minutes=1, **QUOTED)) == []
    assert desk.exchange.book("BTC-PERP").bids == book.bids
    assert desk.exchange.ticker("BTC-PERP").index == Decimal(1100)

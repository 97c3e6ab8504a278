"""A leg that trades a spot, over real ccxt: bought, sold as far as it is held, and never short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from envs.types import BadInput
from serve.dialects.deribit import Deribit
from serve.events import Filled, Rejected
from serve.rehearsal.types import Transfer
from tests.serve.dialects.house import TRADED, listed
from tests.serve.venues.desk import LEG, buys
from tests.serve.venues.turning import Turned, turned

D = Decimal
SPOT, COIN = listed("BTC-SPOT", "spot", "0.5"), "BTC/USDC"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Turned]:
    with turned(tmp_path, COIN, SPOT) as made:
        yield made


def traded(desk: Turned, units: str, limit: str, number: int, **terms: bool) -> list[Filled]:
    desk.exchange.submit(replace(buys(units, limit, number), **terms))
    return [event for event in desk.turn() if isinstance(event, Filled)]


def test_what_is_bought_is_the_accounts_coin_and_what_is_sold_was_held(desk: Turned) -> None:
    book, before = desk.exchange.book(LEG), desk.balance().cash
    assert book is not None
    assert (book.mark, book.index, book.funding_rate) == (84_000.0, 84_000.0, 0.0)
    assert desk.exchange.nature(LEG).spot
    assert desk.positions() == {LEG: D(0)}
    bought = traded(desk, "0.5", "84100", 1)
    sold = traded(desk, "-0.2", "83900", 2, reduce_only=True)
    assert (sum(fill.units for fill in bought), sum(fill.units for fill in sold)) == (D("0.5"), D("-0.2"))
    assert desk.positions() == {LEG: D("0.3")}
    assert desk.balance().cash == before - sum(fill.units * fill.price + fill.fee for fill in (*bought, *sold))
    (account,) = desk.balance().accounts
    assert [(each.asset, each.delta, each.requirement) for each in account.holds] == [("BTC", D("0.3"), D(0))]
    sent = [each for each in desk.house.overheard.requests if each.path.endswith(("/buy", "/sell"))]
    assert len(sent) == 2
    assert not any("reduce_only" in each.params for each in sent)

    assert traded(desk, "-0.4", "83900", 3) == []
    assert [each.reason for each in desk.of(Rejected)] == [
        "ValueError: 0.4 of BTC/USDC are to be sold, and 0.3 are held"
    ]
    assert len(desk.house.floor.exchange.orders(TRADED)) == 2, "it was not sent"

    desk.house.floor.apply(Transfer(desk.house.floor.now, TRADED, "BTC", D(1)))
    assert desk.positions() == {LEG: D("1.3")}, "what our fills do not explain shows"


def test_a_spot_that_is_paid_for_in_another_currency_is_refused(tmp_path: Path) -> None:
    other = replace(SPOT, name="BTC-USDT", quote="USDT", settle="USDT")
    words = r"symbols\.BTC-PERP: BTC/USDT is not paid for in USDC, which BTC/USDC:USDC settles in"
    with pytest.raises(BadInput, match=words), turned(tmp_path, "BTC/USDT", other):
        pass


def test_a_fee_that_is_taken_from_the_coin_is_no_cash_of_ours() -> None:
    raw = {"symbol": COIN, "fee": {"cost": 0.001, "currency": "BTC"}}
    with pytest.raises(BadInput, match=r"a fee of 0\.001 BTC is no cash of ours, which is in USDC"):
        Deribit().fee(raw)
    assert Deribit().fee({**raw, "fee": {"cost": 3.5, "currency": "USDC"}}) == D("3.5")
    assert Deribit().fee({**raw, "symbol": "BTC/USD:BTC-250328-90000-C"}) == D("0.001")

"""A leg that trades a dated future, over real ccxt: until it expires, and after."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from envs.types import BadInput
from serve.events import Cancelled, Deleveraged, Filled, Malformed, Rejected
from serve.rehearsal.types import Place, Transfer
from tests.serve.dialects.house import START, TRADED
from tests.serve.dialects.test_deribit_dated import DATED, DELIVERED, FUTURE
from tests.serve.venues.desk import INSTANCE, LEG, PERP, SESSION, buys
from tests.serve.venues.turning import Turned, turned

D = Decimal


def test_a_future_is_traded_until_it_is_delivered_and_then_has_no_book(tmp_path: Path) -> None:
    with turned(tmp_path, DATED, FUTURE) as desk:
        book = desk.exchange.book(LEG)
        assert book is not None
        assert desk.exchange.nature(LEG).expiry == DELIVERED
        assert (book.index, book.funding_rate) == (84_000.0, 0.0)
        assert book.mark == pytest.approx(84_004.6, abs=0.3)
        assert {tick.reading.mark for tick in desk.exchange.ticks()} == {84_000.0}, "it quotes no asset"
        order = replace(buys("0.5"), expires_at=START + 90_000)
        desk.exchange.submit(order)
        fills = [event for event in desk.turn() if isinstance(event, Filled)]
        assert sum(fill.units for fill in fills) == D("0.5")
        assert desk.positions() == {LEG: D("0.5")}
        (account,) = desk.balance().accounts
        assert [(each.asset, each.delta) for each in account.holds] == [("BTC", D("0.5"))]
        assert account.holds[0].requirement > 0
        for _ in range(12):
            desk.move(85_000, seconds=3600)
        (gone,) = desk.of(Deleveraged)
        assert (gone.symbol, gone.units, gone.price, gone.why) == (LEG, D("-0.5"), D(85_000), "expired")
        assert desk.exchange.book(LEG) is None
        assert desk.positions() == {LEG: D(0)}
        desk.exchange.submit(replace(buys(number=2), expires_at=desk.clock.now() + 60_000))
        assert [event.reason for event in desk.turn() if isinstance(event, Rejected)] == [
            f"ValueError: {DATED} has expired"
        ]
        assert not [event for event in desk.told if isinstance(event, Malformed | Cancelled)]
        assert {each.client_id for each in desk.house.floor.exchange.orders(TRADED)} == {f"{SESSION}.{INSTANCE}-000001"}


def test_a_book_with_one_side_is_none_and_ends_nothing(tmp_path: Path) -> None:
    """As a future's may be in its last minutes."""
    with turned(tmp_path, DATED, FUTURE) as desk:
        floor = desk.house.floor
        floor.apply(Transfer(floor.now, "other", "USDC", D(100_000_000)))
        desk.lanes.ask(desk.house.apply(Place(floor.now, "other", "", FUTURE.name, D(400), None, "ioc")))
        assert floor.exchange.book(FUTURE.name).asks == ()
        desk.turn()
        assert desk.exchange.book(LEG) is None
        desk.move(84_100)
        assert desk.exchange.book(LEG) is not None
        assert desk.of(Malformed) == []


def test_one_that_was_delivered_while_nobody_looked_is_told_after_a_restart(tmp_path: Path) -> None:
    with turned(tmp_path, DATED, FUTURE) as first:
        first.exchange.submit(buys("0.5"))
        first.turn()
        first.positions()
        for _ in range(9):
            first.lanes.ask(first.house.move(85_000, 3600))
        with pytest.raises(BadInput, match=f"deribit has no {DATED}; have {PERP}"):
            Turned(first.house, first.lanes, DATED)
        again = Turned(first.house, first.lanes, DATED, first.told)
        assert again.positions() == {LEG: D(0)}
        (gone,) = again.of(Deleveraged)
        assert (gone.units, gone.price, gone.why) == (D("-0.5"), D(85_000), "expired")
        assert again.exchange.book(LEG) is None
        assert [tick.reading.index for tick in again.exchange.ticks()], "its asset is quoted all the same"
        again.exchange.submit(replace(buys(number=2), expires_at=again.clock.now() + 60_000))
        assert [event.reason for event in again.turn() if isinstance(event, Rejected)] == [
            f"ValueError: {DATED} has expired"
        ]
        again.exchange.close()

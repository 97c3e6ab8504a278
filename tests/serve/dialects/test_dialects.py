"""What every exchange's dialect must hold, with real ccxt on the rehearsal exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from serve.commands import SubmitOrder
from serve.dialects import Rights, Step, names
from serve.rehearsal.protocols import OWNER, READER, Key
from serve.rehearsal.types import Fund, Place
from serve.venues import wire
from tests.serve.dialects.house import CALL, START, TRADED, House, house

PERP = "BTC/USDC:USDC"
Case = Callable[[House, Any], Awaitable[None]]


@pytest.fixture(params=names())
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Case], None]:
    """A case, played at a venue of its own."""

    async def played(case: Case) -> None:
        async with house(request.param, tmp_path, CALL) as own:
            x = own.client()
            await x.load_markets()
            await case(own, x)

    return lambda case: asyncio.run(asyncio.wait_for(played(case), 30))


def order(units: str, limit: str, **terms: bool) -> SubmitOrder:
    return SubmitOrder(
        0, "", PERP, Decimal(units), Decimal(limit), START + 10**9, terms.pop("reduce_only", False), **terms
    )


async def sent(own: House, x: Any, wanted: SubmitOrder, number: str = "000001") -> dict[str, Any]:
    amount = abs(wanted.units) / own.dialect.unit(x.market(PERP))
    side = "buy" if wanted.units > 0 else "sell"
    terms = own.dialect.parameters(wanted, spelled(own, number))
    return dict(await x.create_order(PERP, "limit", side, float(amount), float(wanted.limit), terms))


def spelled(own: House, number: str = "000001") -> str:
    return own.dialect.spelled("my-desk", "a1b2c", number)


def addresses(urls: Mapping[str, Any]) -> Iterator[str]:
    for each in urls.values():
        yield from addresses(each) if isinstance(each, Mapping) else [each]


def test_every_address_is_this_machine(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        hosts = {urlsplit(each.replace("{hostname}", x.hostname or "")).hostname for each in addresses(x.urls["api"])}
        assert hosts == {"127.0.0.1"}

    run(case)


def test_a_fill_is_the_same_heard_fetched_and_on_the_statement(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        d = own.dialect
        hearing = asyncio.ensure_future(x.watch_my_trades())
        await listening(own)
        placed = await sent(own, x, order("-0.5", "83000"))
        (heard,), (fetched,) = await hearing, await d.trades(x, [PERP], START)
        (truth,) = own.floor.exchange.fills(TRADED)
        for raw in (heard, fetched):
            assert Decimal(str(raw["amount"])) * d.unit(x.market(PERP)) == -truth.units
            assert (Decimal(str(raw["price"])), raw["side"], d.fee(raw)) == (truth.price, "sell", truth.fee)
            assert d.named(raw) in (spelled(own), "")
            assert str(raw["order"]) == str(placed["id"])
            assert d.taken_over(raw) == ""
        assert heard["id"] == fetched["id"]
        for known in ("", str(placed["id"])):
            found = await d.found(x, PERP, spelled(own), known)
            assert found is not None
            assert (found["status"], Decimal(str(found["filled"]))) == ("closed", Decimal(str(fetched["amount"])))
            assert d.named(found) == spelled(own)
        assert await d.found(x, PERP, spelled(own, "000009"), "") is None
        assert await d.positions(x, [PERP]) == {PERP: Decimal("-0.5")}

    run(case)


def test_ids_bear_our_name_and_instance(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        d = own.dialect
        assert spelled(own).startswith(d.prefix("my-desk"))
        assert not spelled(own).startswith(d.prefix("my"))
        others = {
            d.spelled("my-desk", "a1b2d", "000001"),
            d.spelled("my-desk2", "a1b2c", "000001"),
            spelled(own, "000002"),
        }
        assert len(others | {spelled(own)}) == 4

    run(case)


def test_cash_moves_by_fills_fees_and_funding_alone(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        d, exchange = own.dialect, own.floor.exchange
        before = await d.money(x, [PERP])
        await sent(own, x, order("0.7", "85000"))
        await own.move(84_600)
        await sent(own, x, order("-1.1", "83000"), "000002")
        for _ in range(2):
            await own.move(83_900, 1_200, premium=0.001)
        await own.apply(Fund(own.floor.now))
        after, state = await d.money(x, [PERP]), exchange.account(TRADED)
        spent = sum((fill.units * fill.price + fill.fee for fill in exchange.fills(TRADED)), Decimal(0))
        (paid,) = await d.payments(x, [PERP], START)
        assert paid.cash == -sum((each.paid for each in exchange.payments(TRADED)), Decimal(0)) != 0  # type: ignore[union-attr]
        assert abs(after.cash - (before.cash - spent + paid.cash)) < Decimal("0.01")  # type: ignore[union-attr]
        assert abs(after.equity - state.equity) < Decimal("0.01")
        assert abs(after.maintenance - state.maintenance_margin) < Decimal("0.01")

    run(case)


def test_what_rests_is_listed_and_cancelled_by_our_id(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        d = own.dialect
        await d.renew(x, [PERP], 60)
        await sent(own, x, order("0.5", "83000", post_only=True))
        await own.apply(Place(START, TRADED, "", "BTC-PERP", Decimal("0.1"), Decimal(82_000)))
        resting = await d.resting(x, [PERP])
        assert sorted(map(d.named, resting)) == ["", spelled(own)]
        await d.cancel(x, PERP, spelled(own), "")
        assert len(own.floor.exchange.open_orders(TRADED)) == 1
        found = await d.found(x, PERP, spelled(own), "")
        assert found is not None
        assert found["status"] == "canceled"
        with pytest.raises(wire.CcxtError) as raised:
            await d.cancel(x, PERP, spelled(own), str(found["id"]))
        assert isinstance(raised.value, wire.OrderNotFound)

    run(case)


def test_refusals_that_are_definite_are_known_as_such(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        for wanted in (order("0.5", "95000"), order("150", "84100")):
            with pytest.raises(wire.CcxtError) as raised:
                await sent(own, x, wanted)
            assert wire.rejected(raised.value), raised.value
        with pytest.raises(wire.CcxtError):
            await sent(own, x, order("0.5", "84100", post_only=True))
        assert own.floor.exchange.fills(TRADED) == ()

    run(case)


def test_what_a_key_may_do(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        assert await own.dialect.rights(x) == Rights(trade=True, withdraw=False)
        assert not (await own.dialect.rights(own.client(READER))).trade
        assert (await own.dialect.rights(own.client(OWNER))).withdraw
        for wrong in (Key("nobody", "x", "trader", "y"), Key(READER.key, "wrong", "trader", READER.passphrase)):
            with suppress(wire.AuthenticationError):
                assert await own.dialect.rights(own.client(wrong)) == Rights(trade=False, withdraw=False)
        with pytest.raises(wire.CcxtError):
            await sent(own, own.client(READER), order("0.5", "85000"))
        assert own.floor.exchange.orders(TRADED) == ()

    run(case)


def test_mark_index_and_funding(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        d = own.dialect
        await d.ticker(x, PERP)
        coming = asyncio.ensure_future(d.ticker(x, PERP))
        await asyncio.sleep(0)
        await own.move(84_500, premium=-0.001)
        read, truth = d.reading(await coming), own.floor.exchange.ticker("BTC-PERP")
        assert (read.time, read.index, read.mark) == (own.floor.shown, 84_500.0, float(truth.mark))
        assert truth.funding_rate is not None
        assert read.funding_rate == pytest.approx(float(truth.funding_rate) * 3 * 365, rel=1e-6, abs=1e-6)
        band = await d.band(x, PERP)
        assert band is None or band == pytest.approx((truth.min_price, truth.max_price), rel=Decimal("0.001"))

    run(case)


def test_history_of_prices_and_of_funding(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        for _ in range(2):
            await own.move(84_600, 1_800, premium=0.001)
        await own.apply(Fund(own.floor.now))
        rows = await x.fetch_ohlcv(PERP, "1h", START - 3 * 3_600_000, 10)
        assert [row[0] for row in rows[:4]] == [START + hour * 3_600_000 for hour in range(-3, 1)]
        assert rows[0][1:5] == [84_000, 84_009, 83_991, 84_001]
        (told,) = await x.fetch_funding_rate_history(PERP, START, 10)
        (truth,) = own.floor.exchange.funding_history("BTC-PERP")
        assert told["timestamp"] == truth.time
        assert told["fundingRate"] in (float(truth.rate), float(truth.rate) * 8 / truth.hours)  # Deribit's is of 8 h

    run(case)


def test_a_change_of_the_book_that_never_came_is_seen(run: Callable[[Case], None]) -> None:
    async def case(own: House, x: Any) -> None:
        steps: list[Step] = []
        hearing = own.client(heard=lambda message: steps.extend(filter(None, [own.dialect.step(hearing, message)])))
        await hearing.watch_order_book(PERP)
        for price in (84_010, 84_020):
            await own.move(price)
        await asyncio.sleep(0.05)
        assert steps[0].previous is None
        assert all(b.previous in (None, a.last) for a, b in pairwise(steps))
        told = len(steps)
        own.floor.exchange.apply(Place(START, TRADED, "", "BTC-PERP", Decimal("0.1"), Decimal(82_000)))  # never told
        await own.move(84_030)
        await asyncio.sleep(0.05)
        assert len(steps) > told
        assert steps[told].previous is None or steps[told].previous != steps[told - 1].last

    run(case)


async def listening(own: House) -> None:
    """Until a websocket hears of the account's fills."""
    signs = ('"orders"', "user.trades", "userFills")
    while not (
        any(sign in message for sign in signs for message in own.overheard.messages)
        or any("listenKey" in line.session.path for line in own.server._lines)
    ):
        await asyncio.sleep(0.01)

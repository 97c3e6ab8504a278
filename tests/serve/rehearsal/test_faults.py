"""Each fault, as real ccxt meets it: what it raises, and what is at the exchange all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import ccxt
import pytest
from aiohttp import ClientSession

from envs.types import BadInput
from serve.rehearsal.clock import RehearsalClock
from serve.rehearsal.faults import DAY, KINDS, QUIET, SKEW, Fault, Faults, chosen, schedule
from tests.serve.rehearsal.venue import START, Venue, control, deribit, rehearsed

PERP = "BTC/USDC:USDC"


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")  # ccxt's, of a connection that was cut
@pytest.mark.parametrize(
    ("kind", "error", "placed"),
    [
        ("reply_lost", ccxt.RequestTimeout, 1),
        ("connection_dropped", ccxt.ExchangeNotAvailable, 1),
        ("reply_502", ccxt.ExchangeNotAvailable, 1),
        ("reply_truncated", ccxt.ExchangeError, 1),
        ("reply_html", TypeError, 1),
        ("request_lost", ccxt.ExchangeNotAvailable, 0),
        ("rate_limited", ccxt.DDoSProtection, 0),
        ("maintenance", ccxt.OnMaintenance, 0),
        ("price_band", ccxt.InvalidOrder, 0),
    ],
)
def test_what_an_order_meets(tmp_path: Path, kind: str, error: type[Exception], placed: int) -> None:
    """After a lost reply the order is there; after a refusal it is not. Each fault is counted once."""

    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue, timeout=300) as exchange:
            await exchange.load_markets()
            exchange.session._retry_connection = False
            venue.arm(kind, KINDS[kind].lasts)
            if kind == "maintenance":
                await control(venue, START + 60_000)
            venue.server.requests = 1
            with pytest.raises(error) as raised:
                await exchange.create_order(PERP, "limit", "buy", 0.01, 59_000)
            assert raised.type is error
            assert len(venue.floor.exchange.open_orders("trader")) == placed
            assert venue.faults.counts == {kind: 1}

    asyncio.run(trade())


def test_a_cancel_that_comes_too_late(tmp_path: Path) -> None:
    """The order that rested is filled whole, and its cancel finds nothing; another's order is never taken."""

    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            await exchange.load_markets()
            order = await exchange.create_order(PERP, "limit", "buy", 0.01, 59_950, {"postOnly": True})
            venue.arm("cancel_late")
            with pytest.raises(ccxt.OrderNotFound):
                await exchange.cancel_order("ETH-123", PERP)
            assert venue.faults.counts == {}
            with pytest.raises(ccxt.ExchangeError):
                await exchange.cancel_order(order["id"], PERP)
            assert venue.faults.counts == {"cancel_late": 1}
            (held,) = venue.floor.exchange.account("trader").positions
            assert str(held.units) == "0.010"
            assert venue.floor.exchange.total("USDC") == 0

    asyncio.run(trade())


def test_a_fault_of_a_cancel_is_told_apart(tmp_path: Path) -> None:
    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue, timeout=300) as exchange:
            await exchange.load_markets()
            exchange.session._retry_connection = False
            venue.arm("connection_dropped")
            venue.arm("cancel_lost")
            with pytest.raises(ccxt.ExchangeNotAvailable):
                await exchange.create_order(PERP, "limit", "buy", 0.01, 59_000)
            (order,) = venue.floor.exchange.open_orders("trader")
            wire = (await exchange.fetch_open_orders(PERP))[0]["id"]
            assert (await asked(venue))["resting"] == 1
            assert (await asked(venue))["cancels"] == 0
            with pytest.raises(ccxt.RequestTimeout):
                await exchange.cancel_order(wire, PERP)
            told = await asked(venue)
            assert (told["resting"], told["cancels"], told["faults"]) == (
                0,
                1,
                {"connection_dropped": 1, "cancel_lost": 1},
            )
            assert venue.floor.exchange.order(order.order_id).status == "cancelled"

    async def asked(venue: Venue) -> Any:
        async with ClientSession() as session, session.get(f"{venue.address}/control/status") as reply:
            return await reply.json()

    asyncio.run(trade())


def test_the_http_client_sends_an_order_twice(tmp_path: Path) -> None:
    """Trap: Deribit's orders are GETs, and aiohttp sends a GET again whose connection was cut, if it is let."""

    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            await exchange.load_markets()
            venue.arm("connection_dropped")
            await exchange.create_order(PERP, "limit", "buy", 0.01, 59_000)
            assert len(venue.floor.exchange.open_orders("trader")) == 2

    asyncio.run(trade())


def test_a_reply_that_is_late_comes(tmp_path: Path) -> None:
    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            venue.arm("reply_delayed")
            assert (await exchange.create_order(PERP, "limit", "buy", 0.01, 59_000))["status"] == "open"
            assert venue.faults.counts == {"reply_delayed": 1}

    asyncio.run(trade())


def test_fills_told_twice_turned_round_and_early(tmp_path: Path) -> None:
    """What a websocket hears of an order that takes two makers' levels."""

    async def heard(venue: Venue, kind: str) -> list[Any]:
        news: list[Any] = []

        async def note(sent: Any) -> None:
            news.extend(sent)

        venue.server._send = note  # type: ignore[method-assign, assignment]
        async with deribit(venue) as exchange:
            await exchange.load_markets()
            venue.arm(kind)
            await exchange.create_order(PERP, "market", "buy", 30)
        return [each.fill.fill_id for each in news if hasattr(each, "fill")]

    async def trade() -> None:
        for kind in ("fill_doubled", "fill_swapped", "fill_early"):
            (tmp_path / kind).mkdir()
            async with rehearsed(tmp_path / kind, "deribit") as venue:
                fills = await heard(venue, kind)
                assert len(set(fills)) > 1
                assert (len(fills) > len(set(fills))) == (kind == "fill_doubled")
                assert (fills != sorted(fills)) == (kind == "fill_swapped")
                assert venue.faults.counts == {kind: 1}

    asyncio.run(trade())


def test_books_with_a_gap_a_ghost_and_a_cross(tmp_path: Path) -> None:
    """ccxt takes all three without a word: the numbers and the sides have to be looked at."""

    async def watched(venue: Venue, kind: str) -> tuple[list[tuple[int, int]], Any]:
        numbers: list[tuple[int, int]] = []
        async with deribit(venue) as exchange:
            await exchange.load_markets()
            told = exchange.handle_order_book

            def noted(client: Any, message: Any) -> None:
                data = message["params"]["data"]
                numbers.append((data.get("prev_change_id", data["change_id"] - 1), data["change_id"]))
                told(client, message)

            exchange.handle_order_book = noted
            await exchange.watch_order_book(PERP)
            for step in range(1, 6):
                venue.market.index += 7
                if step == 2:
                    venue.arm(kind)
                await control(venue, START + 60_000 * step)
            return numbers, exchange.orderbooks[PERP]

    async def watch() -> None:
        for kind in ("gap", "ghost", "crossed"):
            (tmp_path / kind).mkdir()
            async with rehearsed(tmp_path / kind, "deribit") as venue:
                numbers, book = await watched(venue, kind)
                shown = [price for price, *_ in book["bids"]]
                whole = all(before == last for (before, _), (_, last) in zip(numbers[1:], numbers, strict=False))
                assert whole == (kind != "gap")
                true = venue.floor.exchange.book("BTC-PERP")
                same = set(shown) == {float(price) for price, _ in true.bids}
                assert not same
                assert shown[0] > book["asks"][0][0] or kind != "crossed"
                assert venue.faults.counts == {kind: 1}

    asyncio.run(watch())


def test_websockets_that_close_and_that_fall_silent(tmp_path: Path) -> None:
    async def watch() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            await exchange.watch_ticker(PERP)
            venue.arm("disconnected")
            await control(venue, START + 60_000)
            await asyncio.sleep(0.05)
            assert venue.server._lines == []
            await exchange.watch_ticker(PERP)
            venue.arm("stalled")
            await control(venue, START + 120_000)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(_passed(exchange, START + 120_000), 0.3)
            assert venue.faults.counts == {"disconnected": 1, "stalled": 1}

    asyncio.run(watch())


async def _passed(exchange: Any, when: int) -> None:
    """A ticker of `when` or later has come."""
    while (await exchange.watch_ticker(PERP))["timestamp"] < when:
        pass


def test_a_clock_that_is_off_and_a_book_that_is_thin(tmp_path: Path) -> None:
    async def trade() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            venue.arm("book_thin", 120_000)
            await control(venue, START + 60_000)
            asks = venue.floor.exchange.book("BTC-PERP").asks
            whole = float(sum(size for _, size in asks))
            params = {"timeInForce": "IOC"}
            order = await exchange.create_order(PERP, "limit", "buy", 2 + round(whole, 3), 61_000, params=params)
            assert 0 < order["filled"] < order["amount"]
            venue.arm("clock_skewed", 120_000)
            assert abs(await exchange.fetch_time() - venue.floor.now) == SKEW

    asyncio.run(trade())


def test_the_schedule_is_seeded_whole_and_over_before_the_end() -> None:
    plan = schedule(KINDS, 7, START, START + DAY)
    assert plan == schedule(KINDS, 7, START, START + DAY)
    assert plan != schedule(KINDS, 8, START, START + DAY)
    assert {fault.kind for fault in plan} == set(KINDS)
    assert all(START <= fault.at < START + DAY - QUIET for fault in plan)
    assert chosen("gap, stalled") == ("gap", "stalled")
    assert chosen("none") == ()
    with pytest.raises(BadInput, match="no such fault"):
        chosen("gap,nonsense")


def test_what_struck_is_remembered_across_a_kill(tmp_path: Path) -> None:
    plan = [Fault("gap", 10, 10), Fault("gap", 20, 20)]
    first = Faults(plan, tmp_path / "faults.jsonl")
    assert not first.strikes("gap", 9)
    assert first.strikes("gap", 30)
    second = Faults(plan, tmp_path / "faults.jsonl")
    assert second.counts == {"gap": 1}
    assert [second.strikes("gap", 30) for _ in range(2)] == [True, False]
    first.close()
    second.close()


def test_a_clock_goes_no_further_than_this_machine() -> None:
    for address in ("http://192.0.2.1:80", "https://www.deribit.com", "127.0.0.1:8000"):
        with pytest.raises(BadInput, match="rehearse"):
            RehearsalClock(address)


def test_the_clock_moves_the_exchange_once_all_have_read(tmp_path: Path) -> None:
    """What was sent before the time was told has arrived when it is told."""

    async def wait() -> None:
        async with rehearsed(tmp_path, "deribit") as venue, deribit(venue) as exchange:
            await exchange.watch_ticker(PERP)
            clock = await asyncio.to_thread(RehearsalClock, venue.address)
            assert clock.now() == START
            venue.market.index *= 2
            await asyncio.to_thread(clock.wait_until, START + 90_000)
            assert clock.now() == venue.floor.now == START + 90_000
            assert exchange.tickers[PERP]["indexPrice"] == 120_000

    asyncio.run(wait())

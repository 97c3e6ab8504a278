"""Market data that cannot be relied on are never shown: each way in which ccxt would go on, and the life after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from serve.dialects import Reading
from serve.events import Filled, Malformed
from serve.rehearsal.types import Place, Transfer
from serve.venues.streams import Book, Streams
from tests.serve.dialects.house import TRADED
from tests.serve.venues.desk import LEG, PERP, Desk, buys, opened


@dataclass
class Watched:
    desk: Desk
    streams: Streams
    shown: list[tuple[str, Reading, Book]] = field(default_factory=list)

    @property
    def why(self) -> list[str]:
        """Why lives ended."""
        return [event.reason for event in self.desk.of(Malformed)]

    async def move(self, price: int = 84_000) -> None:
        """A minute passes, and all is read."""
        await self.desk.house.move(price)
        await asyncio.sleep(0.05)

    async def reborn(self) -> None:
        """The life at hand has ended and another begun."""
        lives = len(self.why)
        while len(self.why) == lives:
            await asyncio.sleep(0.02)
        shown = len(self.shown)
        while len(self.shown) == shown:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with opened(tmp_path) as desk:
        shown: list[tuple[str, Reading, Book]] = []
        clock = desk.ordering._clock
        streams = Streams(
            desk.line, {"BTC": PERP}, desk.ordering, desk.told.append, lambda *each: shown.append(each), clock
        )
        running = asyncio.create_task(streams.run())
        await streams.born()
        try:
            yield Watched(desk, streams, shown)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def played(tmp_path: Path) -> Callable[[Callable[[Watched], Awaitable[None]]], None]:
    async def run(case: Callable[[Watched], Awaitable[None]]) -> None:
        async with watched(tmp_path) as own:
            await case(own)

    return lambda case: asyncio.run(asyncio.wait_for(run(case), 30))


Played = Callable[[Callable[[Watched], Awaitable[None]]], None]


def test_a_ticker_is_shown_beside_its_book(played: Played) -> None:
    async def case(own: Watched) -> None:
        told = own.desk.house.floor.exchange.book(LEG)
        asset, reading, book = own.shown[-1]
        assert (asset, reading.index) == ("BTC", 84_000.0)
        assert (book.bids[0][0], book.asks[0][0]) == (told.bids[0][0], told.asks[0][0])
        assert 0 < book.half_spread < 0.001
        assert 0 < book.depth <= float(min(sum(p * u for p, u in told.bids), sum(p * u for p, u in told.asks)))
        await own.move(84_100)
        assert own.shown[-1][1].index == 84_100.0
        assert not own.why

    played(case)


@pytest.mark.parametrize(("fault", "words"), [("gap", "follows"), ("crossed", "is crossed")])
def test_a_book_with_a_gap_or_crossed_is_never_shown(played: Played, fault: str, words: str) -> None:
    """ccxt takes no notice of either (trap 4)."""

    async def case(own: Watched) -> None:
        own.desk.arm(fault)
        again = asyncio.create_task(own.reborn())
        for price in (84_010, 84_020, 84_030):
            await own.move(price)
        await again
        assert words in own.why[0]
        assert all(book.bids[0][0] < book.asks[0][0] for _, _, book in own.shown)

    played(case)


def test_no_ghost_of_the_old_book_survives_a_lost_connection(played: Played) -> None:
    """ccxt lays the snapshot of a reconnect over the old book (trap 4)."""

    async def case(own: Watched) -> None:
        own.desk.arm("disconnected")
        again = asyncio.create_task(own.reborn())
        for price in (90_000, 70_000):
            await own.desk.house.move(price)
            await own.desk.house.server._disturb()
        await again
        _, _, book = own.shown[-1]
        told = own.desk.house.floor.exchange.book(LEG)
        assert {price for price, _ in book.bids} <= {price for price, _ in told.bids}
        assert {price for price, _ in book.asks} <= {price for price, _ in told.asks}

    played(case)


def test_an_error_frame_ends_a_life_instead_of_silencing_it(played: Played) -> None:
    """It kills ccxt's receive loop without a word (trap 5)."""

    async def case(own: Watched) -> None:
        again = asyncio.create_task(own.reborn())
        for line in own.desk.house.server._lines:
            await line.send(['{"jsonrpc": "2.0", "error": {"code": 11050, "message": "bad_request"}}'])
        await again
        assert own.why == ["11050 bad_request"]

    played(case)


def test_silence_with_the_socket_open_ends_a_life(played: Played) -> None:
    async def case(own: Watched) -> None:
        await own.streams.looked(silence_seconds=60)
        assert not own.why
        own.desk.ordering._clock.wait_until(own.desk.ordering._clock.now() + 61_000)
        again = asyncio.create_task(own.reborn())
        await own.streams.looked(silence_seconds=60)
        await again
        assert own.why == ["ticker of BTC silent for 61 s"]

    played(case)


def test_fills_arrive_unasked_and_are_told_once(played: Played) -> None:
    async def case(own: Watched) -> None:
        desk = own.desk
        await desk.ordering.renew(60)
        await desk.ordering.submit(buys(limit="83999", post_only=True))
        desk.arm("fill_doubled")
        now = desk.house.floor.now
        desk.house.floor.apply(Transfer(now, "other", "USDC", Decimal(10_000_000)))
        await desk.house.apply(Place(now, "other", "x", LEG, Decimal("-50"), Decimal(83_000), "ioc"))
        await asyncio.sleep(0.2)
        resting = desk.house.floor.exchange.open_orders(TRADED)
        assert not resting or resting[0].filled > 0, "somebody sold to it"
        assert sum(fill.units for fill in desk.of(Filled)) == desk.position > 0
        assert len({fill.trade for fill in desk.of(Filled)}) == len(desk.of(Filled))

    played(case)

"""Replies to orders and to cancels that are lost, late or broken, and cancels that come too late: at every exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web

from serve.dialects import names
from serve.events import Acknowledged, Cancelled, Filled, OutcomeUnknown
from serve.rehearsal import mangling, server
from serve.rehearsal.protocols import Reply
from serve.rehearsal.types import Order
from tests.serve.dialects.house import START, TRADED
from tests.serve.venues.desk import PERP, Desk, buys, opened

ORDER = "desk-000001"
BROKEN = ("reply_lost", "reply_delayed", "reply_truncated", "reply_html", "reply_502", "connection_dropped")
QUICK = {("binance_usdm", "reply_truncated"), ("hyperliquid", "reply_lost"), ("okx", "reply_html")}
LOST = ("deribit", "hyperliquid")
Case = Callable[[Desk], Awaitable[None]]


def every(faults: Sequence[str], quick: Callable[[str, str], bool]) -> list[object]:
    """Each fault at each exchange; the others than the quick ones are slow, as there are many."""
    pairs = [(name, fault) for name in names() for fault in faults]
    return [pytest.param(*pair, marks=() if quick(*pair) else pytest.mark.slow, id="-".join(pair)) for pair in pairs]


def played(name: str, case: Case, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, name) as desk:
            await case(desk)

    asyncio.run(asyncio.wait_for(run(), 30))


def resting(desk: Desk) -> tuple[Order, ...]:
    return desk.house.floor.exchange.open_orders(TRADED)


@pytest.mark.parametrize(
    ("name", "fault"), every(BROKEN, lambda name, fault: name == "deribit" or (name, fault) in QUICK)
)
def test_an_order_whose_reply_is_lost_is_unknown_and_never_sent_twice(
    name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of what is raised: RequestTimeout, ExchangeError, BadResponse, ExchangeNotAvailable. And aiohttp, left
    to itself, sends a GET anew when its connection is cut: with Deribit a second order.
    """
    monkeypatch.setattr(mangling, "LATE", 1.0)

    async def case(desk: Desk) -> None:
        await desk.line.dialect.time(desk.ordering.orders)  # its connection is kept alive, as it is in use
        desk.ordering.orders.timeout = 500
        desk.arm(fault)
        await desk.ordering.submit(buys())
        assert [type(event) for event in desk.told] == [OutcomeUnknown], desk.told
        assert len(desk.placed()) == 1
        await desk.ordering.look_up(ORDER)
        assert sum(fill.units for fill in desk.of(Filled)) == desk.position == Decimal("0.1")
        assert len(desk.placed()) == 1

    played(name, case, tmp_path)


@pytest.mark.parametrize(
    ("name", "fault"),
    every(("reply_lost", "reply_truncated"), lambda name, fault: (name in LOST) == (fault == "reply_lost")),
)
def test_a_cancel_whose_reply_is_lost_is_looked_up(name: str, fault: str, tmp_path: Path) -> None:
    async def case(desk: Desk) -> None:
        await desk.ordering.renew(60)
        await desk.ordering.submit(buys(limit="83000", post_only=True))
        assert desk.placed() == list(resting(desk)), "it rests"
        desk.ordering.cancels.timeout = 500
        desk.arm(fault)
        await desk.ordering.cancel(ORDER)
        assert [type(event) for event in desk.told] == [Acknowledged, OutcomeUnknown], desk.told
        assert not resting(desk)
        await desk.ordering.look_up(ORDER)
        assert desk.of(Cancelled) == [Cancelled(0, ORDER)]
        assert not desk.of(Filled)

    played(name, case, tmp_path)


@pytest.mark.parametrize("name", names())
def test_a_cancel_that_comes_after_the_fill_tells_the_fill(name: str, tmp_path: Path) -> None:
    async def case(desk: Desk) -> None:
        await desk.ordering.renew(60)
        await desk.ordering.submit(buys(limit="83000", post_only=True))
        desk.arm("cancel_late")
        await desk.ordering.cancel(ORDER)
        assert desk.house.faults.counts == {"cancel_late": 1}
        assert sum(fill.units for fill in desk.of(Filled)) == desk.position == Decimal("0.1")
        assert not desk.of(Cancelled)
        assert not desk.of(OutcomeUnknown)
        assert desk.tracks.over(ORDER)

    played(name, case, tmp_path)


@pytest.mark.parametrize("name", ["okx", *(pytest.param(each, marks=pytest.mark.slow) for each in names()[:-1])])
def test_a_page_of_html_says_nothing_of_the_account(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ccxt's unified calls read one as an empty list at OKX: no fills, no orders, no positions."""

    async def case(desk: Desk) -> None:
        x, dialect = desk.ordering.questions, desk.line.dialect
        monkeypatch.setattr(server, "answered", html)
        for asked in (dialect.trades(x, [PERP], START), dialect.resting(x, [PERP]), dialect.held(x)):
            with pytest.raises(Exception, match="no JSON"):
                await asked

    played(name, case, tmp_path)


async def html(request: web.Request, reply: Reply, fate: str | None) -> web.StreamResponse:
    return web.Response(text=mangling.PAGE, content_type="text/html")

"""An order that has not left us yet, and one that a cancel does not reach."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from serve.events import Acknowledged, Cancelled, OutcomeUnknown, Rejected
from serve.venues.exchange import Exchange
from tests.serve.dialects.house import START
from tests.serve.venues.counter import Counter, told
from tests.serve.venues.desk import LEG, PERP, buys

ORDER, SPELLED = "desk-000001", "desk.a1b2c-000001"


@pytest.mark.parametrize(("wanted", "ends"), [(True, Acknowledged), (False, Rejected)])
def test_an_order_that_waits_in_our_lane_is_not_absent_and_one_withdrawn_there_never_leaves(
    wanted: bool, ends: type
) -> None:
    """Absent would have it decided anew, and both would arrive."""

    async def case() -> None:
        own = Counter()
        own.dialect.open = asyncio.Event()
        sending = asyncio.create_task(own.ordering.submit(buys()))
        await asyncio.sleep(0)
        await (own.ordering.look_up(ORDER) if wanted else own.ordering.cancel(ORDER))
        assert own.kinds == [OutcomeUnknown]
        own.dialect.open.set()
        await sending
        assert own.kinds == [OutcomeUnknown, ends]
        assert list(own.venue.orders) == ([SPELLED] if wanted else [])

    asyncio.run(case())


def test_an_order_that_waited_until_its_expiry_is_not_sent() -> None:
    async def case() -> None:
        own = Counter()
        own.dialect.open = asyncio.Event()
        sending = asyncio.create_task(own.ordering.submit(buys()))
        await asyncio.sleep(0)
        own.clock.wait_until(START + 30_001)
        own.dialect.open.set()
        await sending
        assert own.kinds == [Rejected]
        assert not own.venue.orders

    asyncio.run(case())


def test_a_cancel_that_overtakes_its_order_is_sent_again_behind_it() -> None:
    async def case() -> None:
        own, gate = Counter(), asyncio.Event()
        placed = own.venue.create_order

        async def late(*terms: Any) -> Any:
            await gate.wait()
            return await placed(*terms)

        own.ordering.orders = SimpleNamespace(create_order=late)
        sending = asyncio.create_task(own.ordering.submit(buys(post_only=True)))
        await asyncio.sleep(0)
        await own.ordering.cancel(ORDER)
        assert own.kinds == [OutcomeUnknown]
        gate.set()
        await sending
        assert own.venue.orders[SPELLED]["status"] == "canceled"
        assert own.kinds[-1] is Cancelled

    asyncio.run(case())


@pytest.mark.parametrize("status", ["canceled", "expired", "scheduledCancel"])
def test_what_the_exchange_ended_is_cancelled(status: str) -> None:
    own = Counter()
    own.venue.orders[SPELLED] = told(SPELLED, status)
    own.tracks.sent(buys(), PERP)
    asyncio.run(own.ordering.look_up(ORDER))
    assert own.kinds == [Acknowledged, Cancelled]
    assert own.tracks.over(ORDER)


class Now:
    """Lanes on which everything is done at once."""

    def send(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run(work)

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()

    ask = send


def test_a_cancel_that_does_not_get_through_is_sent_again_until_nothing_rests() -> None:
    own, order = Counter(), buys(post_only=True)
    instruments: Any = SimpleNamespace(symbols={LEG: PERP}, others=())
    lanes: Any = Now()
    exchange = Exchange(own.line, lanes, instruments, own.tracks, own.clock)
    exchange.begin([], {})
    exchange.arm()
    exchange.submit(order)
    own.venue.deaf = True
    for after in (-1, 0, 9_999, 10_000):
        exchange.passed(order.expires_at + after)
    assert len(own.venue.cancels) == 2, "once at its expiry and once for each time-out since"
    own.venue.deaf = False
    assert Cancelled(order.expires_at + 20_000, ORDER) in exchange.passed(order.expires_at + 20_000)
    exchange.passed(order.expires_at + 99_999)
    assert len(own.venue.cancels) == 3

"""What rests at Deribit is sent by a websocket whose end cancels it (docs.deribit.com, enable_cancel_on_disconnect)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from serve.dialects import _deribit
from serve.rehearsal import server
from serve.rehearsal.faults import Fault
from serve.rehearsal.plan import Plan
from serve.rehearsal.protocols import READER
from serve.rehearsal.types import CancelAll, Order, Place
from serve.venues import wire
from tests.serve.dialects.house import START, TRADED, House, house
from tests.serve.rehearsal.venue import control

PERP = "BTC/USDC:USDC"
UNITS = Decimal("0.1")
RESTS: Mapping[str, Any] = {"label": "a", "postOnly": True}
AUTHORISED = ["public/auth", "public/set_heartbeat"]
CONFIRMED = ["private/enable_cancel_on_disconnect", "private/get_cancel_on_disconnect"]
Case = Callable[[House, Any], Awaitable[None]]


def played(case: Case, tmp_path: Path) -> None:
    async def play() -> None:
        async with house("deribit", tmp_path) as own:
            x = own.client()
            x.timeout = 1_000
            await x.load_markets()
            await case(own, x)

    asyncio.run(asyncio.wait_for(play(), 30))


async def rested(x: Any, side: str = "buy", price: float = 83_000, **terms: Any) -> Any:
    return await x.create_order(PERP, "limit", side, 0.1, price, {**RESTS, **terms})


def resting(own: House) -> tuple[Order, ...]:
    return own.floor.exchange.open_orders(TRADED)


def methods(own: House) -> list[str]:
    """What was asked by websocket."""
    return [json.loads(text)["method"] for text in own.overheard.messages]


async def gone(own: House) -> None:
    while resting(own):
        await asyncio.sleep(0.005)


async def ended(x: Any) -> None:
    while not x._line.over:
        await asyncio.sleep(0.005)


def test_what_rests_goes_by_the_websocket_and_what_takes_does_not(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        buy, sell = await rested(x), await rested(x, "sell", 85_000, label="b", reduceOnly=False)
        taken = await x.create_order(PERP, "limit", "buy", 0.1, 85_000, {"label": "c", "timeInForce": "IOC"})
        assert methods(own) == [*AUTHORISED, *CONFIRMED, "private/buy", "private/sell"]
        asked = [request.path.rpartition("/")[2] for request in own.overheard.requests]
        assert [name for name in asked if name in ("buy", "sell")] == ["buy"]
        assert [raw["status"] for raw in (buy, sell, taken)] == ["open", "open", "closed"]
        assert [(each.client_id, float(each.units), each.post_only) for each in resting(own)] == [
            ("a", 0.1, True),
            ("b", -0.1, True),
        ]

    played(case, tmp_path)


def test_it_is_cancelled_with_the_websocket_and_nothing_else_is(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        other = own.client()
        await other.load_markets()
        await own.apply(Place(START, TRADED, "by hand", "BTC-PERP", UNITS, Decimal(82_000)))
        for each, label in ((x, "a"), (other, "b")):
            await own.dialect.renew(each, [PERP], 60)
            await rested(each, label=label)
        assert [each.client_id for each in resting(own)] == ["by hand", "a", "b"]
        await x.close()
        while len(resting(own)) == 3:
            await asyncio.sleep(0.005)
        assert [each.client_id for each in resting(own)] == ["by hand", "b"]

    played(case, tmp_path)


def test_it_ends_unless_it_is_renewed(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 0.05)
        await own.dialect.renew(x, [PERP], 60)
        line = x._line
        await rested(x)
        await asyncio.sleep(0.1)
        assert len(resting(own)) == 1, "the first end was put off"
        await own.dialect.renew(x, [PERP], 0.05)
        assert x._line is line, "which was the same websocket"
        await gone(own)
        with pytest.raises(wire.OperationRejected, match="nothing may rest") as refused:
            await rested(x)
        assert wire.rejected(refused.value), "so it is known not to be there"
        assert len(own.floor.exchange.orders(TRADED)) == 1
        await own.dialect.renew(x, [PERP], 60)
        await rested(x, label="again")
        assert [each.client_id for each in resting(own)] == ["again"]

    played(case, tmp_path)


def test_one_that_was_cut_off_is_followed_by_another_that_ends_when_it_would_have(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        await rested(x)
        until = x._until
        for line in own.server._lines:
            await line.socket.close()
        await gone(own)
        await ended(x)
        await asyncio.gather(*(rested(x, label=label) for label in "bc"))
        assert {each.client_id for each in resting(own)} == {"b", "c"}
        assert len({each.connection for each in resting(own)}) == 1
        assert x._until == until
        assert methods(own).count("public/auth") == 2

    played(case, tmp_path)


def test_nothing_is_sent_to_rest_once_it_is_closed(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        await x.close()
        with pytest.raises(wire.OperationRejected, match="not renewed"):
            await rested(x)
        assert own.floor.exchange.orders(TRADED) == ()

    played(case, tmp_path)


def test_nothing_is_sent_to_rest_before_there_is_one(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        with pytest.raises(wire.OperationRejected):
            await rested(x)
        assert own.overheard.messages == []
        assert own.floor.exchange.orders(TRADED) == ()

    played(case, tmp_path)


def test_renewals_at_once_are_of_one_websocket(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await asyncio.gather(*(own.dialect.renew(x, [PERP], 60) for _ in range(3)))
        assert methods(own).count("public/auth") == 1
        assert [methods(own).count(each) for each in CONFIRMED] == [3, 3]

    played(case, tmp_path)


def test_before_its_token_is_too_old_it_is_authorised_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def case(own: House, x: Any) -> None:
        now = _deribit._now()
        for seconds, again in ((0, True), (15_000_000, False), (16_000_000, True)):
            begun = len(own.overheard.messages)
            monkeypatch.setattr(_deribit, "_now", lambda at=now + seconds: at)
            await own.dialect.renew(x, [PERP], 60)
            assert methods(own)[begun:] == [*(AUTHORISED if again else ()), *CONFIRMED]
            await rested(x, label=str(seconds))
        assert len(resting(own)) == 3, "the websocket has stayed"

    played(case, tmp_path)


def test_a_websocket_that_does_not_cancel_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        monkeypatch.setattr(own.overheard.spoken, "_tied", lambda session, call: "ok")
        own.server._lines[0].session.connection = ""
        with pytest.raises(wire.OperationRejected, match="not enabled"):
            await own.dialect.renew(x, [PERP], 60)
        with pytest.raises(wire.OperationRejected, match="nothing may rest"):
            await rested(x)
        assert own.floor.exchange.orders(TRADED) == ()

    played(case, tmp_path)


@pytest.mark.parametrize("kind", ["reply_lost", "connection_dropped"])
def test_an_order_without_an_answer_may_be_there_and_goes_with_its_websocket(kind: str, tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        own.strike(kind)
        with pytest.raises(wire.CcxtError) as unsure:
            await rested(x)
        assert not wire.rejected(unsure.value)
        await gone(own)
        found = await own.dialect.found(x, PERP, "a", "")
        assert found is not None
        assert found["status"] == "canceled"
        await own.dialect.renew(x, [PERP], 60)
        await rested(x, label="b")
        assert [each.client_id for each in resting(own)] == ["b"]

    played(case, tmp_path)


@pytest.mark.parametrize("kind", ["reply_delayed", "fill_early"])
def test_an_answer_that_comes_late_is_an_answer(kind: str, tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        own.strike(kind)
        assert (await rested(x))["status"] == "open"
        assert own.faults.counts == {kind: 1}

    played(case, tmp_path)


def test_what_the_exchange_refuses_is_refused(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        with pytest.raises(wire.InvalidOrder, match="post_only_reject") as refused:
            await rested(x, price=85_000)
        assert wire.rejected(refused.value)
        assert (await rested(x))["status"] == "open", "the websocket has outlived it"

    played(case, tmp_path)


def test_a_request_that_comes_too_late_places_nothing(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        with pytest.raises(wire.CcxtError, match="timed_out"):
            await rested(x, valid_until=START - 1)
        await rested(x, valid_until=START)
        await own.move(84_000, 60)
        assert len(resting(own)) == 1, "that it may arrive until then does not end it then"

    played(case, tmp_path)


def test_the_exchange_hears_that_we_live_and_ends_what_it_does_not_hear_of(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        await rested(x)
        spoken = len(own.overheard.messages)
        await control(own, START + 9_000)
        assert len(own.overheard.messages) == spoken
        for seconds in (11, 22):
            await control(own, START + seconds * 1000)
        assert methods(own)[spoken:] == ["public/test"] * 2
        assert len(resting(own)) == 1
        own.faults.add(Fault("stalled", START + 23_000, START + 23_000))
        own.market.coming.append(CancelAll(START + 23_000, "nobody"))
        await control(own, START + 33_000)
        assert own.faults.counts == {"stalled": 1}
        await gone(own)
        await ended(x)

    played(case, tmp_path)


def test_who_is_slow_to_read_is_not_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def case(own: House, x: Any) -> None:
        monkeypatch.setattr(_deribit, "_lives", lambda message: None)
        await own.dialect.renew(x, [PERP], 60)
        await rested(x)
        monkeypatch.setattr(server, "READ", 0.0)
        line = x._line
        await control(own, START + 11_000)
        await own.dialect.renew(x, [PERP], 60)
        assert x._line is line
        assert len(resting(own)) == 1

    played(case, tmp_path)


def test_an_order_that_is_lost_on_its_way_is_not_there(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        await own.dialect.renew(x, [PERP], 60)
        own.strike("request_lost")
        with pytest.raises(wire.NetworkError) as unsure:
            await rested(x)
        assert not wire.rejected(unsure.value)
        assert own.floor.exchange.orders(TRADED) == ()
        assert own.faults.counts == {"request_lost": 1}

    played(case, tmp_path)


def test_a_key_without_the_right_is_told_so(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        reader = own.client(READER)
        await reader.load_markets()
        with pytest.raises(wire.CcxtError, match="forbidden"):
            await own.dialect.renew(reader, [PERP], 60)
        assert reader._line is None
        while own.server._lines:
            await asyncio.sleep(0.005)

    played(case, tmp_path)


def test_no_exchange_is_a_renewal_that_says_so(tmp_path: Path) -> None:
    async def case(own: House, x: Any) -> None:
        x.urls["api"]["ws"] = "ws://127.0.0.1:1/ws/api/v2"
        with pytest.raises(wire.NetworkError, match="Cannot connect to host"):
            await own.dialect.renew(x, [PERP], 60)

    played(case, tmp_path)


def test_a_restart_of_the_exchange_cancels_what_connections_left(tmp_path: Path) -> None:
    plan = Plan(tmp_path, ("BTC",), "deribit", 1_654_041_600_000, 1, 0, ())
    with plan.opened() as server:
        exchange, now = server.floor.exchange, server.floor.now
        price = exchange.book("BTC-PERP", 1).bids[0][0]
        for name, connection in (("tied", "1"), ("left", "")):
            placed = Place(now, TRADED, name, "BTC-PERP", UNITS, price, connection=connection)
            server.floor.apply(placed)
        assert len(exchange.open_orders(TRADED)) == 2
    with plan.opened() as server:
        assert [each.client_id for each in server.floor.exchange.open_orders(TRADED)] == ["left"]


def test_the_least_heartbeat_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def case(own: House, x: Any) -> None:
        monkeypatch.setattr(_deribit, "HEARTBEAT", 9)
        with pytest.raises(wire.CcxtError, match="interval"):
            await own.dialect.renew(x, [PERP], 60)

    played(case, tmp_path)

"""Other exchanges' prices, and one that is not there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serve.clock import VirtualClock
from serve.events import Event, Malformed, SourcePrice
from serve.venues.sources import Other
from tests.serve.dialects.house import START, house
from tests.serve.venues.desk import PERP, settings


def test_an_index_of_another_exchange_is_a_source_and_no_flood(tmp_path: Path) -> None:
    told: list[Event] = []

    async def case() -> None:
        async with house("deribit", tmp_path) as own:
            clock = VirtualClock(START)
            given = settings(own.address, name="okx", sources={"deribit": {"BTC": PERP}})
            hearing = asyncio.create_task(Other(given, "deribit", told.append, clock).run())
            while not told:
                await asyncio.sleep(0.02)
            await own.move(84_500, seconds=1)
            await asyncio.sleep(0.1)
            clock.wait_until(START + 2_000)
            await own.move(85_000, seconds=1)
            while len(told) < 2:
                await asyncio.sleep(0.02)
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    asyncio.run(asyncio.wait_for(case(), 30))
    assert [each for each in told if isinstance(each, SourcePrice)] == [
        SourcePrice(0, "BTC", "deribit", 84_000.0, START),
        SourcePrice(0, "BTC", "deribit", 85_000.0, START + 2_000),
    ]


def test_a_source_that_is_not_there_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.venues.sources.PAUSE", 0.0)
    told: list[Event] = []

    async def case() -> None:
        given = settings("http://127.0.0.1:9", name="okx", sources={"deribit": {"BTC": PERP}})
        hearing = asyncio.create_task(Other(given, "deribit", told.append, VirtualClock(START)).run())
        while len(told) < 2:
            await asyncio.sleep(0.02)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)

    asyncio.run(asyncio.wait_for(case(), 30))
    assert all(isinstance(each, Malformed) and "cannot be reached" in each.reason for each in told)


def test_a_source_that_is_silent_is_connected_to_anew_and_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By our clock: nobody waits two minutes on the wall."""
    monkeypatch.setattr("serve.venues.sources.PAUSE", 0.0)
    told: list[Event] = []

    async def case() -> None:
        async with house("deribit", tmp_path) as own:
            clock = VirtualClock(START)
            given = settings(own.address, name="okx", sources={"deribit": {"BTC": PERP}}, silence_seconds=120)
            other = Other(given, "deribit", told.append, clock)
            hearing = asyncio.create_task(other.run())
            await other.born()
            assert len(told) == 1
            clock.wait_until(START + 121_000)
            while len(told) < 3:
                await asyncio.sleep(0.02)
            await other.born()
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    asyncio.run(asyncio.wait_for(case(), 30))
    assert [type(each) for each in told] == [SourcePrice, Malformed, SourcePrice]

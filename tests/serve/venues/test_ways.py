"""Each way to an exchange has a throttle of its own, and a rehearsal's leads to this machine alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from envs.types import BadInput
from serve import dialects
from serve.rehearsal.types import Place
from serve.venues import connection
from serve.venues.connection import Connection
from tests.serve.dialects.house import START, TRADED
from tests.serve.venues.desk import INSTANCE, LEG, PERP, SESSION, Desk, buys, opened, settings

SLOW = 300  # milliseconds between two requests of one way
FLOOD = 12
FEW = 5  # requests of a flood that may get through meanwhile, on a machine that is slow
RESTING = 99


def floods(desk: Desk, way: str) -> list[Coroutine[Any, Any, None]]:
    """Work that keeps one way busy."""
    numbers = range(1, FLOOD + 1)
    if way == "orders":
        return [desk.ordering.submit(buys("0.01", number=n)) for n in numbers]
    for n in numbers:
        desk.tracks.sent(buys(number=n), PERP)
    return [desk.ordering.look_up(f"{SESSION}-{n:06d}") for n in numbers]


async def cancelled(desk: Desk) -> None:
    """Until it has arrived."""
    cancelling = asyncio.create_task(desk.ordering.cancel(f"{SESSION}-{RESTING:06d}"))
    while desk.house.floor.exchange.open_orders(TRADED):
        await asyncio.sleep(0.001)
    cancelling.cancel()
    await asyncio.gather(cancelling, return_exceptions=True)


async def looked_at(desk: Desk) -> None:
    """The cancel, and what has become of the order."""
    await desk.ordering.cancel(f"{SESSION}-{RESTING:06d}")


async def ordered(desk: Desk) -> None:
    """Band and order."""
    await desk.ordering.submit(buys("0.02", number=RESTING + 1))


@pytest.mark.parametrize(
    ("flooded", "hurried"), [("orders", looked_at), ("questions", cancelled), ("questions", ordered)]
)
def test_a_flood_of_one_kind_does_not_delay_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flooded: str, hurried: Any
) -> None:
    """With ccxt's own throttle: by the order in which requests arrive."""

    async def case() -> None:
        async with opened(tmp_path) as desk:
            name = desk.line.dialect.spelled(SESSION, INSTANCE, f"{RESTING:06d}")
            desk.house.floor.apply(Place(START, TRADED, name, LEG, Decimal("0.1"), Decimal(80_000), "gtc"))
            desk.tracks.sent(buys("0.1", "80000", RESTING), PERP)
            flood = [asyncio.create_task(each) for each in floods(desk, flooded)]
            await asyncio.sleep(0)
            before = len(desk.house.overheard.requests)
            await hurried(desk)
            meanwhile = len(desk.house.overheard.requests) - before
            left = [task for task in flood if not task.done()]
            for task in left:
                task.cancel()
            await asyncio.gather(*flood, return_exceptions=True)
            assert len(left) >= FLOOD - FEW, "the throttle holds them back"
            assert meanwhile <= FEW

    monkeypatch.setattr(connection, "HURRY", SLOW)
    asyncio.run(asyncio.wait_for(case(), 30))


@pytest.mark.parametrize("name", dialects.names())
def test_a_rehearsal_never_reaches_beyond_this_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One address that a dialect forgets is enough: it is left as ccxt has it."""
    line = Connection.of(settings("http://127.0.0.1:9", name=name))
    line.made()
    monkeypatch.setattr(type(line.dialect), "urls", lambda *_: {})
    with pytest.raises(BadInput, match="a rehearsal would reach"):
        line.made()

"""The exchange as the decision loop has it: nothing waits, and what is due is done as the loop turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serve.clock import VirtualClock
from serve.commands import Ask
from serve.events import Acknowledged, Cancelled, Event, PositionsReport
from serve.market import Market
from serve.rehearsal.types import Place
from serve.venues.exchange import Exchange
from serve.venues.lanes import Lanes
from serve.venues.opening import part
from tests.serve.dialects.house import START, TRADED, House
from tests.serve.support import ASSETS, LEGS, task
from tests.serve.venues.desk import INSTANCE, LEG, SESSION, buys, settings
from tests.serve.venues.test_opening import apart


def opened(own: House, clock: VirtualClock, **terms: Any) -> Exchange:
    """At OKX, which has a dead man's switch and volatilities."""
    wanted = settings(own.address, **{"name": "okx", "dead_man_seconds": 60, **terms})
    made, _ = part(wanted, Market(task(), ASSETS, LEGS), (SESSION, INSTANCE), {}, {}, Lanes(), clock)
    return made


def told(exchange: Exchange, now: int) -> list[Event]:
    """What comes of a turn of the loop, once it is answered."""
    found = exchange.passed(now)
    exchange.settle()
    return [*found, *exchange.passed(now)]


@pytest.mark.slow
def test_what_rests_is_cancelled_when_it_expires_after_a_restart_too(tmp_path: Path) -> None:
    with apart(tmp_path, "okx") as own:
        clock, old, new = (
            VirtualClock(START),
            buys(limit="83000", post_only=True),
            buys("0.2", "82000", 2, post_only=True),
        )
        labels = [own.dialect.spelled(SESSION, INSTANCE, f"00000{n}") for n in (1, 2)]
        own.floor.apply(Place(START, TRADED, labels[0], LEG, old.units, old.limit, "gtc", post_only=True))
        exchange = opened(own, clock)
        exchange.arm()
        exchange.begin([], {old.order: old})
        exchange.report(Ask(START, "positions"))
        first = told(exchange, old.expires_at - 1)
        assert [event.positions for event in first if isinstance(event, PositionsReport)] == [((LEG, 0),)]
        assert not [event for event in first if isinstance(event, Cancelled)]
        assert Cancelled(old.expires_at, old.order) in told(exchange, old.expires_at)
        assert not own.floor.exchange.open_orders(TRADED)

        assert exchange.submit(replace(new, expires_at=old.expires_at + 60_000)) == ()
        assert Acknowledged(old.expires_at + 1, new.order) in told(exchange, old.expires_at + 1)
        assert [each.client_id for each in own.floor.exchange.open_orders(TRADED)] == labels[1:]
        exchange.close()

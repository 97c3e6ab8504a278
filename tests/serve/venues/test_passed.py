"""What the decision loop sets off at an exchange as it turns, and that nothing of it happens while it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from serve.clock import SECOND, VirtualClock
from serve.events import Event, Malformed, SurfaceQuote
from tests.serve.dialects.house import START, House
from tests.serve.processes import until
from tests.serve.venues.test_exchange import opened, told
from tests.serve.venues.test_opening import apart

ASKED = {"switch": "trade/cancel-all-after", "fills": "trade/fills", "volatilities": "public/opt-summary"}


def asked(own: House, begun: int) -> set[str]:
    """What the exchange was asked for since so many requests."""
    paths = [request.path for request in own.overheard.requests[begun:]]
    return {name for name, part in ASKED.items() if any(part in path for path in paths)}


def seconds(found: dict[int, set[str]], what: str) -> list[int]:
    return [at for at, names in found.items() if what in names]


def test_switch_fills_and_volatilities_are_each_seen_to_at_their_times_and_by_the_loop_alone(tmp_path: Path) -> None:
    with apart(tmp_path, "okx") as own:
        clock, found, events = VirtualClock(START), dict[int, set[str]](), list[Event]()
        exchange = opened(own, clock, poll_seconds=100, surface_seconds=150, silence_seconds=10_000)
        exchange.arm()
        exchange.begin([], {})
        until(lambda: bool(exchange.ticks()))
        for at in range(0, 310, 10):
            clock.wait_until(START + at * SECOND)
            begun = len(own.overheard.requests)
            events += told(exchange, clock.now())
            found[at] = asked(own, begun)
        assert seconds(found, "switch") == list(range(0, 310, 20)), "thrice in its 60 seconds"
        assert seconds(found, "fills") == [0, 100, 200, 300]
        assert seconds(found, "volatilities") == [0, 150, 300]
        assert [event.asset for event in events if isinstance(event, SurfaceQuote)] == ["BTC"] * 3
        clock.wait_until(START + 1_000 * SECOND)
        begun = len(own.overheard.requests)
        exchange.settle()
        assert asked(own, begun) == set()
        exchange.close()


def silent(events: list[Event]) -> Iterator[str]:
    return (event.reason for event in events if isinstance(event, Malformed) and event.text == "market data")


def test_a_feed_that_is_silent_is_subscribed_to_anew(tmp_path: Path) -> None:
    with apart(tmp_path, "okx") as own:
        clock = VirtualClock(START)
        exchange = opened(own, clock, silence_seconds=30)
        exchange.begin([], {})
        until(lambda: bool(exchange.ticks()))
        clock.wait_until(START + 30 * SECOND)
        assert not [*silent(told(exchange, clock.now()))]
        clock.wait_until(START + 31 * SECOND)
        heard: list[str] = []
        until(lambda: bool(heard.extend(silent(told(exchange, clock.now()))) or heard))
        assert "silent for 31 s" in heard[0]
        until(lambda: bool(exchange.ticks()))  # of the new life
        exchange.close()

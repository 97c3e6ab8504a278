"""Nothing rests but where the exchange would cancel it without us, as long as it would."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest

from serve.clock import VirtualClock
from serve.errors import StartRefused
from serve.events import Malformed, Rejected
from serve.market import Market
from serve.rehearsal.protocols import DESK, READER, TRADER, Key
from serve.router.opening import separate
from serve.venues.connection import Connection
from serve.venues.exchange import Exchange
from serve.venues.instruments import Instruments
from serve.venues.lanes import Lanes
from serve.venues.secrets import rehearsed
from serve.venues.tracks import Tracks
from tests.serve.dialects.house import START, TRADED, House
from tests.serve.support import ASSETS, LEGS, task
from tests.serve.venues.desk import INSTANCE, SESSION, buys, settings
from tests.serve.venues.test_exchange import opened, told
from tests.serve.venues.test_opening import apart, served


def keyed(own: House, key: Key, name: str = "okx") -> Exchange:
    """With this key, whatever it may do."""
    line, lanes, market = Connection.of(settings(own.address, name=name)), Lanes(), Market(task(), ASSETS, LEGS)
    line.secrets = rehearsed(line.dialect.credentials, key)
    x = line.made()
    lanes.ask(line.loaded(x))
    lanes.ask(x.close())
    tracks = Tracks(line.dialect, SESSION, INSTANCE)
    return Exchange(line, lanes, Instruments.of(line, market), tracks, VirtualClock(START))


@pytest.mark.parametrize(
    ("name", "seconds", "words"),
    [("okx", 600, "51000"), ("hyperliquid", 2, "at least 5 seconds from now")],
)
def test_a_session_does_not_start_to_rest_orders_where_the_switch_is_refused(
    tmp_path: Path, model: Path, name: str, seconds: float, words: str
) -> None:
    with apart(tmp_path, name) as own:
        terms = {"name": name, "dead_man_seconds": seconds}
        with pytest.raises(StartRefused, match=words) as refused:
            served(tmp_path, own, model, terms, execution__resting_seconds=30)
        said = str(refused.value)
        assert said.startswith(f"{name}: the dead man's switch cannot be set")
        assert said.endswith("change its dead_man_seconds, or set execution.resting_seconds to 0")
        assert "\n" not in said


def test_nothing_begins_to_rest_while_the_switch_is_not_renewed(tmp_path: Path) -> None:
    with apart(tmp_path, "okx") as own:
        clock = VirtualClock(START)
        exchange = opened(own, clock)
        first, second, third = (
            replace(buys(limit="83000", number=n, post_only=True), expires_at=START + 600_000) for n in (1, 2, 3)
        )
        assert isinstance(exchange.submit(first)[0], Rejected), "nothing has set it yet"
        exchange.arm()
        clock.wait_until(START + 39_999)
        assert exchange.submit(first) == ()
        clock.wait_until(START + 40_000)
        refused = exchange.submit(second)
        assert [type(event) for event in refused] == [Rejected]
        assert exchange.submit(replace(second, post_only=False)) == (), "what does not rest goes out"
        exchange.settle()
        assert [each.post_only for each in own.floor.exchange.orders(TRADED)] == [True, False]
        exchange.passed(clock.now())
        exchange.settle()
        assert exchange.submit(third) == ()
        exchange.settle()
        assert len(own.floor.exchange.open_orders(TRADED)) == 2
        exchange.close()


def test_a_renewal_that_is_refused_is_none(tmp_path: Path) -> None:
    with apart(tmp_path, "okx") as own:
        exchange = opened(own, VirtualClock(START), dead_man_seconds=600)
        with pytest.raises(StartRefused, match="51000"):
            exchange.arm()
        faults = [event for event in told(exchange, START) if isinstance(event, Malformed)]
        assert ["51000" in event.reason for event in faults if event.text == "dead man's switch"] == [True]
        assert isinstance(exchange.submit(buys(limit="83000", post_only=True))[0], Rejected)
        for seconds, again in ((9, 0), (10, 1)):
            later = [event for event in told(exchange, START + seconds * 1000) if isinstance(event, Malformed)]
            assert len(later) == again, "it is tried again after a time-out, and not only when it is due"
        exchange.close()


def test_a_switch_that_nobody_armed_is_not_renewed(tmp_path: Path) -> None:
    """Where nothing rests, the key need not have the right to it."""
    with apart(tmp_path, "deribit") as own:
        exchange = opened(own, VirtualClock(START), name="deribit")
        told(exchange, START)
        assert not any("cancel_on_disconnect" in text for text in own.overheard.messages)
        exchange.close()


def test_at_deribit_what_rests_dies_with_the_hedger(tmp_path: Path) -> None:
    """Its orders go by the websocket that is renewed, and the way of cancels has none."""
    with apart(tmp_path, "deribit") as own:
        clock = VirtualClock(START)
        exchange = opened(own, clock, name="deribit")
        exchange.arm()
        exchange.submit(replace(buys(limit="83000", post_only=True), expires_at=START + 600_000))
        exchange.settle()
        exchange.passed(clock.now())
        exchange.settle()
        (resting,) = own.floor.exchange.open_orders(TRADED)
        assert resting.connection, "it goes with its websocket"
        assert sum("set_heartbeat" in text for text in own.overheard.messages) == 1, "there is one websocket"
        exchange.close()
        while own.server._lines:
            sleep(0.005)
        assert own.floor.exchange.open_orders(TRADED) == ()


def test_a_key_that_may_not_have_its_orders_cancelled_is_told_at_the_start(tmp_path: Path) -> None:
    words = r"the dead man's switch cannot be set \(.*forbidden"
    with (
        apart(tmp_path, "deribit") as own,
        closing(keyed(own, READER, "deribit")) as exchange,
        pytest.raises(StartRefused, match=words),
    ):
        exchange.arm()


def test_venues_that_are_routed_to_are_not_one_account(tmp_path: Path) -> None:
    """The exchange says whose a key is: another key of the same account is told apart from another account's."""
    with apart(tmp_path, "okx") as own, ExitStack() as open_ones:
        a, b, c = (open_ones.enter_context(closing(keyed(own, key))) for key in (TRADER, READER, DESK))
        separate({"a": a, "c": c})
        with pytest.raises(StartRefused, match="a and b are one account"):
            separate({"a": a, "c": c, "b": b})

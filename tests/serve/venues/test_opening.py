"""What an exchange is refused for before anything is sent there, each in one line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from envs.types import BadInput
from serve.clock import HOUR
from serve.codec import decode
from serve.commands import Output, Transition
from serve.config import Leg, ServeConfig
from serve.dialects.deribit import Deribit
from serve.errors import StartRefused
from serve.events import BalanceReport, Event, Filled, QuoteEvent, Started
from serve.journal import Journal
from serve.market import Market
from serve.rehearsal.protocols import OWNER, READER
from serve.rehearsal.types import Command, Move, Place
from serve.rehearsal.views import Candle
from serve.runner import replayed
from serve.session import Source, run
from serve.venues import wire
from serve.venues.checking import Canceller, Unreached, checked, examined
from serve.venues.connection import Connection
from serve.venues.instruments import Instruments
from serve.venues.lanes import Lanes
from serve.venues.secrets import Secrets
from tests.serve.dialects.house import CALL, START, TRADED, House, Still, house
from tests.serve.support import ASSETS, LEGS, raw_config, task
from tests.serve.venues.desk import LEG, PERP, settings

HOURS = 2
Case = Callable[[House, Connection], Awaitable[None]]


@dataclass
class Paced:
    """A minute's move a minute, and no other."""

    coming: list[Move]
    starts: int = START

    def commands(self, until: int) -> Iterator[Command]:
        while self.coming and self.coming[0].time <= until:
            yield self.coming.pop(0)

    def past(self, asset: str) -> Sequence[Candle]:
        return Still().past(asset)


@contextmanager
def apart(tmp_path: Path, name: str = "deribit") -> Iterator[House]:
    """An exchange on a thread of its own, as a session waits for its answers; its day has two hours."""
    lanes, own = Lanes(), house(name, tmp_path, CALL)
    try:
        found = lanes.ask(own.__aenter__())
        found.server._span = (START, START + HOURS * HOUR)
        moves = [Move(START + 60_000 * n, "BTC", Decimal(84_000 + 40 * (n % 7))) for n in range(1, 120)]
        found.floor._market = Paced(moves)
        yield found
        lanes.ask(own.__aexit__(None, None, None))
    finally:
        lanes.close()


def served(
    tmp_path: Path, own: House, model: Path, terms: Mapping[str, Any] = {}, **changes: Any
) -> list[Event | Output]:
    """A session until the exchange ends; what its journal holds. `terms`: of the venue."""
    venue = settings(own.address, **{"surface_seconds": 600, **terms}).model_dump(mode="json", exclude={"sources"})
    raw = raw_config(model=str(model), venue=venue, reconcile__cash_tolerance="1", name="desk", **changes)
    journal = Journal(str(tmp_path / "live.db"))
    try:
        run(ServeConfig.model_validate(raw), journal, Source((), 0, 0))
        replayed(journal)
    finally:
        journal.close()
    return [decode(entry.body) for entry in journal.read()]


@pytest.mark.slow
def test_a_session_on_an_exchange_and_its_restart(tmp_path: Path, model: Path) -> None:
    """Fills, positions and cash agree with the exchange's own; the second session goes on under the same instance."""
    with apart(tmp_path) as own:
        items = served(tmp_path, own, model)
        exchange = own.floor.exchange
        fills = [item for item in items if isinstance(item, Filled)]
        assert sum(fill.units for fill in fills) == exchange.account(TRADED).positions[0].units > 0
        assert not exchange.open_orders(TRADED)
        assert len([item for item in items if isinstance(item, QuoteEvent)]) > 100
        assert [item for item in items if isinstance(item, BalanceReport)][-1].accounts[0].venue == "deribit"
        assert not [
            item for item in items if isinstance(item, Transition) and item.breaker == "reconciliation_mismatch"
        ]
        own.server._span = (START, START + HOURS * HOUR + 600_000)
        again = served(tmp_path, own, model)
        begun = [json.loads(item.venue) for item in again if isinstance(item, Started)]
        assert len(begun) == 2
        assert begun[0] == begun[1]
        assert begun[0]["contracts"] == {PERP: "1"}
        labels = {each.client_id for each in exchange.orders(TRADED)}
        assert labels == {f"desk.{begun[0]['instance']}-{n:06d}" for n in range(1, len(labels) + 1)}
        assert (
            sum(each.units for each in again if isinstance(each, Filled)) == exchange.account(TRADED).positions[0].units
        )


@pytest.mark.parametrize(
    ("placed", "words"),
    [
        pytest.param(
            Place(START, TRADED, "someone", LEG, Decimal("0.2"), Decimal(80_000), "gtc"),
            "someone .* is not ours",
            marks=pytest.mark.slow,
        ),
        (Place(START, TRADED, "desk.fffff-000001", LEG, Decimal("0.2"), Decimal(80_000), "gtc"), "bears our name"),
        pytest.param(
            Place(START, TRADED, "someone", LEG, Decimal("0.2"), None, "ioc"),
            "says 0.2 BTC-PERP, we say 0",
            marks=pytest.mark.slow,
        ),
        (Place(START, TRADED, "someone", CALL.name, Decimal("0.2"), None, "ioc"), "neither our fills nor the book"),
    ],
)
def test_what_nobody_explains_is_refused_at_the_start(tmp_path: Path, model: Path, placed: Place, words: str) -> None:
    with apart(tmp_path) as own:
        own.floor.apply(placed)
        with pytest.raises(StartRefused, match=words) as refused:
            served(tmp_path, own, model)
        assert "\n" not in str(refused.value)
        assert {each.client_id for each in own.floor.exchange.orders(TRADED)} == {placed.client_id}


@pytest.fixture
def met(tmp_path: Path) -> Callable[[Case], None]:
    """A case, with a connection whose markets are loaded."""

    async def go(case: Case) -> None:
        async with house("deribit", tmp_path, CALL) as own:
            line = Connection.of(settings(own.address))
            await checked(line)
            await case(own, line)

    return lambda case: asyncio.run(asyncio.wait_for(go(case), 30))


def test_keys_may_trade_and_not_withdraw(met: Callable[[Case], None]) -> None:
    async def case(own: House, line: Connection) -> None:
        for key, words in ((READER, "may not trade"), (OWNER, "may withdraw")):
            with pytest.raises(StartRefused, match=words):
                await checked(replace(line, secrets=Secrets({"apiKey": key.key, "secret": key.secret})))

    met(case)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbols": {LEG: "BTC/USDT:USDT"}}, "deribit has no BTC/USDT:USDT; have BTC/USDC"),
        ({"symbols": {LEG: PERP, "ETH-PERP": PERP}}, "ETH-PERP is no leg"),
        ({"symbols": {}}, "venue.symbols.BTC-PERP is missing"),
        ({"quotes": {"ETH": PERP}}, "venue.quotes.BTC is missing"),
    ],
)
def test_instruments_that_are_not_there_are_refused(
    met: Callable[[Case], None], changes: dict[str, Any], words: str
) -> None:
    async def case(own: House, line: Connection) -> None:
        with pytest.raises(BadInput, match=words):
            Instruments.of(replace(line, settings=settings(own.address, **changes)), Market(task(), ASSETS, LEGS))

    met(case)


def test_lots_fit_the_exchange_and_contracts_are_those_of_the_journal(met: Callable[[Case], None]) -> None:
    async def case(own: House, line: Connection) -> None:
        fine = (Leg(symbol=LEG, lot=Decimal("0.0005")),)
        with pytest.raises(BadInput, match=r"steps of 0\.001"):
            Instruments.of(line, Market(task(), ASSETS, fine))
        own_legs = Instruments.of(line, Market(task(), ASSETS, LEGS))
        assert own_legs.contracts({PERP: "1"}) == {PERP: "1"}, "the amounts are base units, whatever a contract is"
        with pytest.raises(StartRefused, match=r"was 0\.1 when .* and is 1"):
            own_legs.contracts({PERP: "0.1"})

    met(case)


def test_a_canceller_touches_our_orders_alone(tmp_path: Path) -> None:
    with apart(tmp_path) as own:
        for name in ("desk.a1b2c-000001", "desks.a1b2c-000001", "desk.fffff-000002", ""):
            own.floor.apply(Place(START, TRADED, name, LEG, Decimal("0.1"), Decimal(80_000), "gtc"))
        dog = Canceller(settings(own.address), "desk")
        assert [dog.cancel(), dog.cancel()] == [2, 0]
        dog.close()
        assert {each.client_id for each in own.floor.exchange.open_orders(TRADED)} == {"desks.a1b2c-000001", ""}


def test_a_canceller_tries_every_order_whatever_becomes_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel, fails = Deribit.cancel, {"desk.a1b2c-000001": ConnectionError, "desk.a1b2c-000002": wire.OrderNotFound}

    async def failing(dialect: Deribit, x: Any, symbol: str, spelled: str, venue_id: str) -> None:
        if spelled in fails:
            raise fails[spelled]("not now")
        await cancel(dialect, x, symbol, spelled, venue_id)

    with apart(tmp_path) as own:
        for number in (1, 2, 3):
            name = f"desk.a1b2c-00000{number}"
            own.floor.apply(Place(START, TRADED, name, LEG, Decimal("0.1"), Decimal(80_000), "gtc"))
        monkeypatch.setattr(Deribit, "cancel", failing)
        dog = Canceller(settings(own.address), "desk")
        with pytest.raises(Unreached, match="not now"):
            dog.cancel()
        assert {each.client_id for each in own.floor.exchange.open_orders(TRADED)} == set(fails)
        del fails["desk.a1b2c-000001"]
        assert [dog.cancel(), len(own.floor.exchange.open_orders(TRADED))] == [2, 1], "one that has ended is no failure"
        dog.close()


def test_the_doctor_examines_an_exchange(tmp_path: Path) -> None:
    with apart(tmp_path) as own:
        assert examined(settings(own.address)).startswith("the key may trade and not withdraw")
        with pytest.raises(BadInput, match="has no DOGE/USDC"):
            examined(settings(own.address, quotes={"BTC": "DOGE/USDC:USDC"}))
    with pytest.raises(StartRefused, match="cannot be reached"):
        examined(settings("http://127.0.0.1:9"))

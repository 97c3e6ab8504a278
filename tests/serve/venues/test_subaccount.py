"""A desk's account as the book to hedge: real ccxt on the rehearsal exchange, and what the loop hears of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from envs.types import BadInput
from serve.clock import HOUR, SECOND
from serve.dialects import names
from serve.errors import StartRefused
from serve.events import BookSeen, BookSettled, BookTraded, Event, Malformed
from serve.holding import Holding
from serve.holdings import Book
from serve.market import Market
from serve.rehearsal.protocols import DESK, READER, TRADER
from serve.rehearsal.types import Place, Settled, Transfer
from serve.venues import connection
from serve.venues.lanes import Lanes
from serve.venues.settings import AccountSettings
from serve.venues.subaccount import SubAccount, examined, opened
from tests.serve.dialects.house import START, House, house, listed
from tests.serve.support import ASSETS, LEGS, quote, task
from tests.serve.venues.desk import LEG, settings

POLL = 60 * SECOND
END = START + HOUR
NEAR = listed("BTC-20250301-84000-C", "option", "5", strike=Decimal(84_000), expiry=END, right="call")
MARKET = Market(task(), ASSETS, LEGS)


@contextmanager
def apart(tmp_path: Path, name: str = "deribit") -> Iterator[tuple[House, Lanes]]:
    """An exchange on a thread of its own, where the desk has money."""
    lanes, own = Lanes(), house(name, tmp_path, NEAR)
    with ExitStack() as closing:
        closing.callback(lanes.close)
        found = lanes.ask(own.__aenter__())
        closing.callback(lambda: lanes.ask(own.__aexit__(None, None, None)))
        found.floor.apply(Transfer(START, DESK.account, "USDC", Decimal(200_000)))
        yield found, lanes


def config(own: House, exchanges: Sequence[Any] = (), **changes: Any) -> Any:
    raw = {
        "name": "otc",
        "exchange": type(own.dialect).ccxt_name.replace("binanceusdm", "binance_usdm"),
        "keys": {"environment": {"apiKey": "NO_KEY"}},
        "rehearsal": own.address,
        "timeout_seconds": 5,
        "poll_seconds": POLL / SECOND,
    }
    account = AccountSettings.model_validate(raw | changes)
    return SimpleNamespace(book=SimpleNamespace(account=account), venue=SimpleNamespace(exchanges=tuple(exchanges)))


@dataclass
class Session:
    """The book of a journal, and the loop that asks its account."""

    own: House
    journal: list[Event] = field(default_factory=list)
    book: Book = field(default_factory=Book)
    spot: float = 84_000.0
    now: int = START
    seen: int = 0  # whole reports

    @contextmanager
    def served(self) -> Iterator[SubAccount]:
        with ExitStack() as closing:
            yield opened(config(self.own), MARKET, self.state, self.journal, closing)

    @property
    def state(self) -> Any:
        return SimpleNamespace(book=self.book, quotes={"BTC": quote(self.now, self.spot)})

    def looked(self, account: SubAccount, times: int = 1) -> list[Event]:
        """What so many looks tell; the core takes it in."""
        told: list[Event] = []
        for _ in range(times):
            self.now = max(self.now + POLL, self.own.floor.now)
            for _ in range(3):  # what an earlier one found, the look, and what it found
                for event in account.saw(quote(self.now, self.spot), self.state):
                    if isinstance(event, BookSeen):
                        self.seen += 1
                        continue
                    told.append(event)
                    if isinstance(event, BookTraded):
                        self.book = self.book.traded(event.holding, event.trade)
                    elif isinstance(event, BookSettled):
                        self.book = self.book.settled(event.holding)
                account._lanes.settle(10)
        self.journal += told
        return told


def traded(own: House, units: str, name: str = NEAR.name) -> Decimal:
    """What the desk received for it."""
    before = len(own.floor.exchange.fills(DESK.account))
    own.floor.apply(Place(own.floor.now, DESK.account, "", name, Decimal(units), None, "ioc"))
    fills = own.floor.exchange.fills(DESK.account)[before:]
    assert sum(each.units for each in fills) == Decimal(units)
    return -sum((each.units * each.price for each in fills), Decimal(0))


def expired(own: House, lanes: Lanes) -> Settled:
    """The option goes to its end, in the money."""
    for seconds in (1_800, 900, 900, 60):
        lanes.ask(own.move(85_000, seconds))
    (paid,) = own.floor.exchange.payments(DESK.account)
    assert isinstance(paid, Settled)
    return paid


def test_trades_and_an_expiry_become_the_book_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    """Sold before the start: at the mark. Sold while served, and while it was down: for what was received."""
    with apart(tmp_path) as (own, lanes):
        session = Session(own)
        traded(own, "-0.2")
        lanes.ask(own.move(84_000, 60))
        with session.served() as account:
            (first,) = session.looked(account, 3)
            assert isinstance(first, BookTraded)
            assert (first.holding.id, first.holding.expiry) == ("otc:BTC/USDC:USDC-250301-84000-C", END)
            assert (first.holding.right, first.holding.strike, first.holding.units) == ("call", 84_000, Decimal("-0.2"))
            assert first.premium == Decimal("0.2") * own.floor.exchange.ticker(NEAR.name).mark
            lanes.ask(own.move(84_000, 120))
            received = traded(own, "-0.1") + traded(own, "0.05")
            (second,) = session.looked(account, 3)
            assert isinstance(second, BookTraded)
            assert (second.holding.units, second.premium) == (Decimal("-0.05"), received)
            assert second.trade.startswith(f"{first.holding.id}:")
        lanes.ask(own.move(84_000, 300))
        received = traded(own, "-0.15")
        with session.served() as account:
            (third,) = session.looked(account, 3)
            assert isinstance(third, BookTraded)
            assert (third.holding.units, third.premium) == (Decimal("-0.15"), received)
        paid = expired(own, lanes)
        with session.served() as account:
            session.spot = 70_000.0  # it is settled by what was paid
            (settled,) = session.looked(account, 3)
        assert isinstance(settled, BookSettled)
        assert (settled.holding, settled.cash) == (first.holding.id, paid.paid)
        assert settled.price == pytest.approx(float(paid.price))
        assert not session.book.holdings
        with session.served() as account:
            assert session.looked(account, 2) == []


@pytest.mark.parametrize("name", names())
def test_a_perpetual_at_each_exchange(tmp_path: Path, name: str) -> None:
    with apart(tmp_path, name) as (own, lanes), (session := Session(own)).served() as account:
        reader = account._account
        assert session.looked(account) == []
        lanes.ask(own.move(84_000, 120))
        received = traded(own, "0.25", LEG)
        (told,) = session.looked(account, 2)
        assert isinstance(told, BookTraded)
        assert (told.holding.kind, told.holding.asset, told.holding.units) == ("perpetual", "BTC", Decimal("0.25"))
        assert told.premium == received
        lanes.ask(own.move(84_100, 120))
        mark = account._lanes.ask(reader.line.dialect.mark(reader.x, told.holding.id.removeprefix("otc:")))
        assert mark == pytest.approx(own.floor.exchange.ticker(LEG).mark, rel=Decimal("1e-6"))
        received = traded(own, "-0.5", LEG)
        (turned,) = session.looked(account, 3)
        assert isinstance(turned, BookTraded)
        assert (turned.holding.units, turned.premium) == (Decimal("-0.5"), received)
        assert session.book.holdings[told.holding.id].units == Decimal("-0.25")


def test_an_account_that_is_silent_is_told_once_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with apart(tmp_path) as (own, _), (session := Session(own)).served() as account:
        traded(own, "-0.2")
        traded(own, "0.25", LEG)
        assert len(session.looked(account, 2)) == 2
        dialect = type(account._account.line.dialect)
        monkeypatch.setattr(dialect, "held", the_perpetual)
        assert session.looked(account) == []
        before = session.seen
        monkeypatch.setattr(dialect, "held", refused)
        (told,) = session.looked(account, 3)
        assert session.seen == before
        assert isinstance(told, Malformed)
        assert (told.source, told.text) == ("book", "otc")
        assert "cannot be read: TimeoutError: nobody answers" in told.reason
        monkeypatch.setattr(dialect, "held", the_perpetual)
        assert session.looked(account) == [], "what was said before the failure does not count"
        monkeypatch.undo()
        assert session.looked(account, 2) == []
        assert len(session.book.holdings) == 2


def test_an_account_that_says_it_is_empty_closes_no_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it says so, before a restart and after it, until trades tell where all went."""
    with apart(tmp_path) as (own, lanes):
        session = Session(own)
        with session.served() as account:
            traded(own, "-0.2")
            (sold,) = session.looked(account, 2)
        with monkeypatch.context() as empty:
            empty.setattr(type(own.dialect), "held", nothing)
            for _ in range(2):
                seen = session.seen
                with session.served() as account:
                    (told,) = session.looked(account, 4)
                assert session.seen == seen, "so that the book is stale"
                assert isinstance(told, Malformed)
                assert "it holds nothing, it says, and no trade tells where all went" in told.reason
        assert list(session.book.holdings.values()) == [sold.holding]  # type: ignore[union-attr]
        lanes.ask(own.move(84_000, 60))
        received = traded(own, "0.2")
        with session.served() as account:
            (bought,) = session.looked(account, 2)
        assert isinstance(bought, BookTraded)
        assert bought.premium == received
        assert not session.book.holdings


def test_positions_that_come_after_their_trades_are_booked_for_what_was_received(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trade is told at one look, the position of it at the next; and another trade, before its position."""
    with apart(tmp_path) as (own, lanes), (session := Session(own)).served() as account:
        dialect = type(account._account.line.dialect)
        held = dialect.held
        shown = Decimal("0.25")

        async def behind(self: Any, x: Any) -> dict[str, Decimal]:
            return dict.fromkeys(await held(self, x), shown)

        monkeypatch.setattr(dialect, "held", behind)
        lanes.ask(own.move(84_000, 60))
        first = traded(own, shown.to_eng_string(), LEG)
        assert [each.premium for each in session.looked(account, 2)] == [first]  # type: ignore[union-attr]
        lanes.ask(own.move(84_500, 59))
        second, third = traded(own, "0.5", LEG), traded(own, "-0.125", LEG)
        assert session.looked(account) == []
        lanes.ask(own.move(84_500, 1))
        shown = Decimal("0.75")
        assert [each.premium for each in session.looked(account, 2)] == [second]  # type: ignore[union-attr]
        shown = Decimal("0.625")
        assert [each.premium for each in session.looked(account, 2)] == [third]  # type: ignore[union-attr]


def test_trades_that_are_told_late_are_booked_at_the_mark_and_spoil_nothing_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with apart(tmp_path) as (own, lanes), (session := Session(own)).served() as account:
        lanes.ask(own.move(84_000, 60))
        traded(own, "0.25", LEG)
        with monkeypatch.context() as late:
            late.setattr(type(account._account.line.dialect), "trades", untold)
            (marked,) = session.looked(account, 3)
        assert isinstance(marked, BookTraded)
        assert (marked.holding.units, marked.trade) == (Decimal("0.25"), "")
        for _ in range(2):
            lanes.ask(own.move(84_000, 60))
            session.looked(account)
        received = traded(own, "0.1", LEG)
        (told,) = session.looked(account, 2)
        assert isinstance(told, BookTraded)
        assert (told.holding.units, told.premium) == (Decimal("0.1"), received)


def test_a_report_on_a_book_that_has_changed_meanwhile_is_none(tmp_path: Path) -> None:
    with apart(tmp_path) as (own, lanes), (session := Session(own)).served() as account:
        lanes.ask(own.move(84_000, 60))
        traded(own, "0.25", LEG)
        session.now = own.floor.now
        assert account.saw(quote(session.now), session.state) == (BookSeen(session.now),)
        account.saw(quote(session.now), session.state)
        account._lanes.settle(10)
        session.book = session.book.traded(Holding("otc:BTC/USDC:USDC", "BTC", "perpetual", Decimal("0.25")))
        assert account.saw(quote(session.now), session.state) == (BookSeen(session.now),)


async def untold(dialect: Any, x: Any, symbols: Sequence[str], since: int) -> list[Any]:
    return []


async def refused(dialect: Any, x: Any) -> dict[str, Decimal]:
    raise TimeoutError("nobody answers")


async def the_perpetual(dialect: Any, x: Any) -> dict[str, Decimal]:
    return {"BTC/USDC:USDC": Decimal("0.25")}


async def nothing(dialect: Any, x: Any) -> dict[str, Decimal]:
    return {}


def test_what_the_book_cannot_have_is_told_once_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with apart(tmp_path) as (own, _), (session := Session(own)).served() as account:
        traded(own, "-0.2")
        dialect = type(account._account.line.dialect)
        held = dialect.held

        async def more(self: Any, x: Any) -> dict[str, Decimal]:
            return {**await held(self, x), "DOGE/USDC:USDC": Decimal(5)}

        monkeypatch.setattr(dialect, "held", more)
        told = session.looked(account, 3)
    odd, own_trade = told
    assert isinstance(odd, Malformed)
    assert isinstance(own_trade, BookTraded)
    assert "DOGE/USDC:USDC: the exchange does not list it; it is not hedged" in odd.reason


def test_the_hedger_s_own_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its key, and by another key of the same account; the desk's own is another account there."""
    with apart(tmp_path) as (own, _):
        venue = settings(own.address)
        assert examined(config(own, [venue]), MARKET) == "0 positions to hedge, and 0 that cannot be"
        for key in (TRADER, READER):
            monkeypatch.setattr(connection, "DESK", key)
            with pytest.raises(StartRefused, match="otc is the account that is hedged with at deribit") as words:
                examined(config(own, [venue]), MARKET)
            assert "\n" not in str(words.value)


def test_an_account_that_cannot_be_read_is_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with apart(tmp_path) as (own, _):
        monkeypatch.setattr(connection, "DESK", replace(DESK, secret="wrong"))
        with pytest.raises(StartRefused, match=r"book\.account: otc at deribit cannot be read: AuthenticationError"):
            examined(config(own), MARKET)
        with pytest.raises(
            BadInput, match=r"book\.account\.keys\.environment\.apiKey: the environment has no such variable"
        ):
            examined(config(own, rehearsal=None), MARKET)
    with pytest.raises(StartRefused, match="deribit cannot be reached"):
        examined(config(own), MARKET)

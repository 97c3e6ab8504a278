"""The positions of an account at an exchange as the book to hedge, looked at again and again.

A look that fails says nothing of the positions: it is told once, and the next one tries again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue

from envs.types import BadInput
from serve.config import ServeConfig
from serve.errors import ServeError, StartRefused
from serve.events import BookSeen, Event, Malformed, QuoteEvent
from serve.market import Market
from serve.state import State
from serve.venues.differences import Holdings, Report, changes
from serve.venues.lanes import Lanes
from serve.venues.watching import Account

SOURCE = "book"
EMPTIED = (
    "it holds nothing, it says, and no trade tells where all went; the book stays: if that is so, flatten, and begin a "
    "new journal"
)


class SubAccount:
    """The loop's side: what the last look found, as events of the book."""

    def __init__(self, account: Account, lanes: Lanes, first: Report) -> None:
        """`first`: what the first look found."""
        self._account, self._lanes = account, lanes
        self._found: SimpleQueue[Report | str] = SimpleQueue()  # or why there is none
        self._found.put(first)
        self._due, self._looking, self._silent = 0, True, False
        self._doubted: Holdings = {}
        self._told = set[str]()  # what cannot be read

    def saw(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        own = self._account.part(state.book.holdings)
        events: tuple[Event, ...] = ()
        with suppress(Empty):
            found = self._found.get_nowait()
            self._looking = False
            events = self._failed(found, quote) if isinstance(found, str) else self._heard(found, own, quote, state)
        if not self._looking and quote.time >= self._due and not events:
            self._looking, self._due = True, quote.time + self._account.every
            self._lanes.send(self._look(own))
        return events

    async def _look(self, own: Holdings) -> None:
        try:
            self._found.put(await self._account.report(own))
        except Exception as error:
            self._found.put(self._account.line.secrets.words(error))

    def _heard(self, report: Report, own: Holdings, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        """Nothing of a report on a book that has changed meanwhile."""
        if report.emptied:
            return self._failed(EMPTIED, quote)
        self._silent, doubted = False, self._doubted
        self._doubted = report.differences
        new = [(name, why) for name, why in report.unread.items() if name not in self._told]
        self._told |= dict(new).keys()
        unread = tuple(Malformed(quote.time, SOURCE, name, f"{name}: {why}; it is not hedged") for name, why in new)
        found = changes(report, doubted, state.quotes, quote.time) if report.book == own else ()
        return BookSeen(quote.time), *unread, *found

    def _failed(self, why: str, quote: QuoteEvent) -> tuple[Event, ...]:
        was, self._silent, self._doubted = self._silent, True, {}
        words = f"the account {self._account.name} cannot be read: {why}"
        return () if was else (Malformed(quote.time, SOURCE, self._account.name, words),)


def opened(
    config: ServeConfig, market: Market, state: State | None, past: Sequence[Event], closing: ExitStack
) -> SubAccount:
    """Looked at once already. Raises BadInput, or StartRefused where the account cannot be read whole."""
    lanes, account, report = _begun(config, market, {} if state is None else state.book.holdings, past, closing)
    return SubAccount(account, lanes, report)


def examined(config: ServeConfig, market: Market) -> str:
    """What the account holds, in words. Raises as `opened`."""
    with ExitStack() as closing:
        report = _begun(config, market, {}, (), closing)[2]
    return f"{len(report.held)} positions to hedge, and {len(report.unread)} that cannot be"


def _begun(
    config: ServeConfig, market: Market, holdings: Holdings, past: Sequence[Event], closing: ExitStack
) -> tuple[Lanes, Account, Report]:
    """The account, and what it holds beside the book's `holdings`."""
    settings, lanes = config.book.account, Lanes()
    assert settings is not None, "validated by Book"
    closing.callback(lanes.close)
    account = Account(settings, market, past)
    closing.callback(lambda: lanes.ask(account.x.close()))
    try:
        lanes.ask(account.begin(config.venue.exchanges))
        return lanes, account, lanes.ask(account.report(account.part(holdings)))
    except (BadInput, ServeError):
        raise
    except Exception as error:
        words = account.line.secrets.words(error)
        raise StartRefused(f"book.account: {settings.name} at {settings.exchange} cannot be read: {words}") from None

"""What an account holds and the journalled book does not say, as changes of the book.

They are differences from the book itself, so that a restart neither loses a change nor makes it twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import accumulate, combinations
from typing import Literal

from serve.clock import SECOND
from serve.desk import payoff
from serve.dialects import Raw
from serve.events import BookSettled, BookTraded, QuoteEvent
from serve.holding import Holding

GRACE = 600 * SECOND  # after an expiry, until a settlement that the exchange does not tell is reckoned from the quote
ZERO = Decimal(0)
KINDS: Mapping[str, Literal["option", "perpetual", "future"]] = {
    "option": "option",
    "swap": "perpetual",
    "future": "future",
}  # by ccxt's
Holdings = Mapping[str, Holding]  # by id


@dataclass(frozen=True)
class Deal:
    """A trade of the account, or what the exchange settled."""

    id: str
    units: Decimal  # change of the position
    price: Decimal  # of a base unit, in what the instrument settles in
    settled: bool = False


@dataclass(frozen=True)
class Report:
    """What an account held. `deals`: of each difference, by id, where they come to it; else there is a mark, but of
    what has expired.
    """

    time: int  # the exchange's
    book: Holdings  # of this account, that it was compared with
    held: Holdings
    unread: Mapping[str, str] = field(default_factory=dict)  # why what else is held is nothing for the book, by id
    deals: Mapping[str, Sequence[Deal]] = field(default_factory=dict)
    marks: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def differences(self) -> dict[str, Holding]:
        """In each instrument that can be read: its terms, and the units that the book lacks."""
        known = {name: each for name, each in sorted({**self.book, **self.held}.items()) if name not in self.unread}
        found = {name: replace(each, units=self._more(name)) for name, each in known.items()}
        return {name: each for name, each in found.items() if each.units != 0}

    @property
    def emptied(self) -> bool:
        """Whether nothing is held any more, and of some of it nothing tells where it went."""
        untold = (each for name, each in self.differences.items() if name not in self.deals and not self.expired(each))
        return not self.held and not self.unread and any(untold)

    def expired(self, change: Holding) -> bool:
        """Whether the difference is that a holding is gone at its end."""
        return change.id not in self.held and change.expiry is not None and change.expiry <= self.time

    def _more(self, name: str) -> Decimal:
        held, booked = self.held.get(name), self.book.get(name)
        return (ZERO if held is None else held.units) - (ZERO if booked is None else booked.units)


def changes(
    report: Report, doubted: Holdings, quotes: Mapping[str, QuoteEvent], now: int
) -> tuple[BookTraded | BookSettled, ...]:
    """`doubted`: the differences of the report before. What no deal explains counts when two in a row say it."""
    made = [_change(each, report, doubted, quotes.get(each.asset), now) for each in report.differences.values()]
    found = [each for each in made if each is not None]
    return tuple(replace(each, more=place < len(found)) for place, each in enumerate(found, 1))


def explaining(deals: Sequence[Deal], units: Decimal) -> Sequence[Deal]:
    """Those in a row that come to the units, the most of them: positions may be behind the newest, and the book may
    have the oldest at a mark. None where no row does.
    """
    sums = list(accumulate((each.units for each in deals), initial=ZERO))
    rows = combinations(range(len(sums)), 2)
    found = max((row for row in rows if sums[row[1]] - sums[row[0]] == units), key=_length, default=(0, 0))
    return deals[slice(*found)]


def named(change: Holding, deals: Sequence[Deal]) -> str:
    """What the book remembers its deals by: ids of trades are an instrument's own at some exchanges."""
    return f"{change.id}:{deals[-1].id}"


def _length(row: tuple[int, int]) -> int:
    return row[1] - row[0]


def _change(
    change: Holding, report: Report, doubted: Holdings, quote: QuoteEvent | None, now: int
) -> BookTraded | BookSettled | None:
    """None where it waits for more to be known."""
    deals = report.deals.get(change.id, ())
    if report.expired(change):
        return _settled(change, deals, report, quote, now)
    if deals:
        return BookTraded(now, change, _received(deals), trade=named(change, deals))
    known = doubted.get(change.id) == change and change.id in report.marks
    return BookTraded(now, change, -change.units * report.marks[change.id]) if known else None


def _settled(
    change: Holding, deals: Sequence[Deal], report: Report, quote: QuoteEvent | None, now: int
) -> BookSettled | None:
    """By the exchange's settlement, or, where it tells none for long, by the quote."""
    assert change.expiry is not None, "it has expired"
    if quote is None or not (deals or report.time >= change.expiry + GRACE):
        return None
    was = report.book[change.id]
    index = _index(was, deals[-1].price, quote.spot) if deals and deals[-1].settled else quote.spot
    return BookSettled(now, change.id, index, _received(deals) if deals else payoff(was, quote))


def _received(deals: Sequence[Deal]) -> Decimal:
    return -sum((each.units * each.price for each in deals), ZERO) + 0  # no negative zero


def _index(option: Holding, worth: Decimal, spot: float) -> float:
    """That an option settled at, by what a unit paid; of one that paid nothing, the quote."""
    if option.strike is None:
        return float(worth)
    gained = float(worth) if option.right == "call" else -float(worth)
    if gained == 0:
        return spot
    return option.strike / (1 - gained) if option.settlement == "coin" else option.strike + gained


def holding(name: str, market: Raw, units: Decimal) -> Holding | str:
    """A position of the account `name` in one of ccxt's markets; why it is none of the book's kinds, in words."""
    kind = next((ours for theirs, ours in KINDS.items() if market.get(theirs)), None)
    if kind is None:
        return f"a {market.get('type')} is no position that the book knows"
    if market.get("inverse") and kind != "option":
        return f"a {kind} that is settled in coin is counted in {market['quote']}, which the book does not know"
    return Holding(
        id=f"{name}:{market['symbol']}",
        asset=market["base"],
        kind=kind,
        units=units,
        expiry=None if kind == "perpetual" else int(market["expiry"]),
        right=market["optionType"] if kind == "option" else None,
        strike=float(market["strike"]) if kind == "option" else None,
        settlement="coin" if market.get("inverse") else "cash",
    )

"""The reports of several venues as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from serve.events import BalanceReport, OrdersReport, PositionsReport, VenueTime
from serve.ledger import ZERO

Report = OrdersReport | PositionsReport | BalanceReport | VenueTime
R = TypeVar("R", OrdersReport, PositionsReport, BalanceReport, VenueTime)


def named(report: Report, venue: str) -> Report:
    """With its margin account called as we call the venue."""
    if not isinstance(report, BalanceReport):
        return report
    return replace(report, accounts=tuple(replace(account, venue=venue) for account in report.accounts))


def combined(reports: Sequence[Report], now: int) -> Report:
    """Of one kind, one per venue. As old as the oldest."""
    first = reports[0]
    if isinstance(first, OrdersReport):
        return OrdersReport(now, _resting(_only(reports, OrdersReport)))
    if isinstance(first, PositionsReport):
        return _held(_only(reports, PositionsReport), now)
    if isinstance(first, BalanceReport):
        return _money(_only(reports, BalanceReport), now)
    times = _only(reports, VenueTime)
    skew = max((each.skew_ms for each in times), key=abs)
    return VenueTime(now, skew, max(each.round_trip_ms for each in times))


def _only(reports: Iterable[Report], kind: type[R]) -> list[R]:
    return [each for each in reports if isinstance(each, kind)]


def _resting(reports: Iterable[OrdersReport]) -> tuple[str, ...]:
    """Children bear the name of their order."""
    return tuple(dict.fromkeys(name for each in reports for name in each.resting))


def _held(reports: Sequence[PositionsReport], now: int) -> PositionsReport:
    held: dict[str, Decimal] = {}
    for symbol, units in (pair for each in reports for pair in each.positions):
        held[symbol] = held.get(symbol, ZERO) + units
    return PositionsReport(now, min(each.as_of for each in reports), tuple(held.items()))


def _money(reports: Sequence[BalanceReport], now: int) -> BalanceReport:
    """Margin is not shared: the use is that of the venue that is nearest to its limit."""
    return BalanceReport(
        now,
        min(each.as_of for each in reports),
        sum((each.cash for each in reports), ZERO),
        max(each.margin_use for each in reports),
        tuple(account for each in reports for account in each.accounts),
    )

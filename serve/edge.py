"""What a message from outside must be before anything acts on it. What fails is journalled, counted and dropped."""

from __future__ import annotations

import math
from decimal import Decimal

from serve.booked import Booked
from serve.clock import SECOND, YEAR
from serve.config import ServeConfig
from serve.errors import Refused
from serve.events import (
    BalanceReport,
    BookFunded,
    BookSettled,
    BookTraded,
    CollateralMoved,
    Deleveraged,
    Event,
    Filled,
    FundingPaid,
    History,
    Listed,
    Malformed,
    PositionsReport,
    QuoteEvent,
    SourcePrice,
    SurfaceQuote,
    TargetSet,
)
from serve.holdings import fault
from serve.limits import AssetLimits
from serve.market import Market
from serve.state import State

HIGHEST_VOLATILITY = 20.0  # per √year
LARGEST = 10**18  # of any price or amount: what is more is a slip, and overflows what is made of it
BEYOND = "is not finite, or beyond all reason"
DATED = (QuoteEvent, SurfaceQuote, SourcePrice)
REPORTED = (PositionsReport, BalanceReport)


def checked(state: State, event: Event, market: Market, config: ServeConfig) -> None:
    """Raises Refused for a message that is malformed, names what is not served, or is dated as it cannot be."""
    if isinstance(event, Malformed):
        raise Refused(f"{event.source}: {event.reason}")
    if (reason := _unserved(event, market, config)) is not None:
        raise Refused(reason)
    ahead = config.clocks.future_seconds
    if isinstance(event, DATED):
        _dated(state, event, ahead)
    if isinstance(event, REPORTED):
        _timed(event.time, event.as_of, _told(state, event), ahead)
    if (reason := _wrong(event, market, config)) is not None:
        raise Refused(reason)


def _unserved(event: Event, market: Market, config: ServeConfig) -> str | None:
    """Why what an event names is nothing of this session's, in words."""
    asset, symbol = getattr(event, "asset", None), getattr(event, "symbol", None)
    if asset is not None and asset not in market.assets:
        return f"asset {asset} is not served"
    if symbol is not None and symbol not in market.symbols:
        return f"symbol {symbol} is not served"
    if isinstance(event, SourcePrice) and event.source not in config.oracle.assets[event.asset].names:
        return f"{event.source} is no source of {event.asset} in the settings"
    if isinstance(event, Booked) and event.command and config.book.source == "account":
        return "the book is what its account holds; trade there"
    return None


def _dated(state: State, event: QuoteEvent | SurfaceQuote | SourcePrice, future_seconds: float) -> None:
    last = _last(state, event)
    _timed(event.time, event.quoted_at, event.quoted_at if last is None else last.quoted_at, future_seconds)
    if last is not None and _same(event, last):
        raise Refused("repeats the last")


def _timed(now: int, at: int, last: int, future_seconds: float) -> None:
    """Of something dated `at`, after one dated `last`."""
    if at > now + future_seconds * SECOND:
        raise Refused(f"dated {(at - now) / SECOND:.1f} s in the future")
    if at < last:
        raise Refused(f"out of order, {(last - at) / SECOND:.1f} s older than the last")


def _told(state: State, event: PositionsReport | BalanceReport) -> int:
    """Of when the last of its kind was."""
    return state.venue.as_of if isinstance(event, PositionsReport) else state.venue.cash_as_of


def _last(
    state: State, event: QuoteEvent | SurfaceQuote | SourcePrice
) -> QuoteEvent | SurfaceQuote | SourcePrice | None:
    if isinstance(event, QuoteEvent):
        return state.quotes.get(event.asset)
    if isinstance(event, SurfaceQuote):
        return state.surfaces.get(event.asset)
    return state.sources.get(event.asset, {}).get(event.source)


def _same(one: Event, other: Event) -> bool:
    return {**vars(one), "time": 0} == {**vars(other), "time": 0}


def _wrong(event: Event, market: Market, config: ServeConfig) -> str | None:
    if isinstance(event, QuoteEvent):
        return wrong_quote(event)
    if isinstance(event, BookTraded):
        named = {"premium": event.premium, "units": event.holding.units}
        bad = next((f"{name} {amount}" for name, amount in named.items() if not _sane(amount)), None)
        return bad or fault(event.holding, market.assets, event.time, market.bar, market.longest)
    if isinstance(event, SurfaceQuote):
        return _wrong_points(event)
    if isinstance(event, History):
        return None if len(event.closes) > 1 and all(map(_positive, event.closes)) else "closes that are no prices"
    if isinstance(event, Listed):
        return _wrong_listing(event, market)
    if isinstance(event, TargetSet):
        return _wrong_target(event, config.limits.assets[event.asset])
    if isinstance(event, BalanceReport) and (bad := _wrong_margin(event, market)) is not None:
        return bad
    return _wrong_money(event)


def wrong_quote(quote: QuoteEvent) -> str | None:
    """Why a quote is none, in words."""
    for name in ("spot", "low", "high", "mark", "depth"):
        if not _positive(getattr(quote, name)):
            return f"{name} {getattr(quote, name)}"
    if not quote.low <= quote.spot <= quote.high:
        return f"spot {quote.spot} outside its low {quote.low} and high {quote.high}"
    if not 0 <= quote.half_spread < 1:
        return f"half_spread {quote.half_spread}"
    if not 0 < quote.implied_volatility <= HIGHEST_VOLATILITY:
        return f"implied_volatility {quote.implied_volatility}"
    if not math.isfinite(quote.funding_rate):
        return f"funding_rate {quote.funding_rate}"
    shares = (quote.congestion, quote.deleveraged)
    return None if all(0 <= share <= 1 for share in shares) else f"congestion and deleveraged {shares}"


def _wrong_points(event: SurfaceQuote) -> str | None:
    if len({point[:2] for point in event.points}) < len(event.points):
        return "an expiry and strike twice"
    for expiry, strike, volatility in event.points:
        if not (_positive(strike) and 0 < volatility <= HIGHEST_VOLATILITY and 0 < expiry - event.time < 10 * YEAR):
            return f"point {(expiry, strike, volatility)}"
    return None if event.points else "no points"


def _wrong_listing(event: Listed, market: Market) -> str | None:
    if market.linear(event.symbol):
        return f"{event.symbol} is no option"
    left, longest = event.expiry - event.time, market.longest * market.bar
    return None if _positive(event.strike) and 0 < left <= longest else "an option that is none"


def _wrong_target(event: TargetSet, limits: AssetLimits) -> str | None:
    greeks, thresholds = (event.delta, event.gamma, event.vega), (event.above, event.below)
    if all(each is None for each in (*greeks, event.hedge_ratio, *thresholds)):
        return "a target of nothing"
    if not all(each is None or math.isfinite(each) for each in greeks):
        return "a target that is not finite"
    for name, limit in limits.hard.items():
        if (wanted := getattr(event, name)) is not None and abs(wanted) > limit:
            return f"{name} {wanted:g} is beyond its hard limit of {limit:f}; name one within it"
    if event.hedge_ratio is not None and not 0 <= event.hedge_ratio <= 1.5:
        return f"hedge_ratio {event.hedge_ratio}, not within 0 and 1.5"
    return None if all(each is None or 0 <= each < math.inf for each in thresholds) else "thresholds below 0"


def _wrong_margin(event: BalanceReport, market: Market) -> str | None:
    if not 0 <= event.margin_use < math.inf:
        return f"margin_use {event.margin_use}"
    for account in event.accounts:
        amounts = (account.equity, *(amount for each in account.holds for amount in (each.delta, each.requirement)))
        if not all(map(_sane, (*amounts, *(units for _, units in account.positions)))):
            return f"account {account.venue}: an amount that {BEYOND}"
        named = {each.asset for each in account.holds} - set(market.assets)
        named |= {symbol for symbol, _ in account.positions} - set(market.symbols)
        if named or any(each.requirement < 0 for each in account.holds):
            return f"account {account.venue}: {', '.join(sorted(named)) or 'a requirement below 0'}"
    return None


def _wrong_price(event: Event) -> str | None:
    if isinstance(event, SourcePrice):
        return None if _positive(event.price) else f"price {event.price}"
    if isinstance(event, BookSettled):
        return None if 0 <= event.price < LARGEST else f"price {event.price}"
    if not isinstance(event, Filled | Deleveraged):
        return None
    worthless = isinstance(event, Deleveraged) and event.why == "expired" and event.price == 0
    return None if _sane(event.price) and (event.price > 0 or worthless) else f"price {event.price}"


def _wrong_money(event: Event) -> str | None:
    if (reason := _wrong_price(event)) is not None:
        return reason
    amounts: tuple[Decimal, ...] = (event.amount,) if isinstance(event, CollateralMoved) else ()
    if isinstance(event, FundingPaid | BalanceReport | BookFunded | BookSettled):
        amounts = (event.cash,)
    elif isinstance(event, PositionsReport):
        amounts = tuple(units for _, units in event.positions)
    elif isinstance(event, Filled):
        amounts = (event.units, event.fee)
    elif isinstance(event, Deleveraged):
        amounts = (event.units,)
    return None if all(map(_sane, amounts)) else f"an amount that {BEYOND}"


def _sane(amount: Decimal) -> bool:
    return amount.is_finite() and -LARGEST < amount < LARGEST


def _positive(value: float) -> bool:
    return 0 < value < LARGEST

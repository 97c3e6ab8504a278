"""Deribit's public methods: what is listed, and what the market is like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from serve.rehearsal.protocols import _deribit as spelt
from serve.rehearsal.protocols._deribit_calls import Call

MINUTE = 60_000
EIGHT_HOURS = 8 * 60 * MINUTE
CANDLES = 5000
RATES = 744


def _currencies(call: Call) -> Any:
    listed = call.floor.exchange.instruments()
    return [
        {"currency": each, "currency_long": each} for each in sorted({c for i in listed for c in (i.base, i.settle)})
    ]


def _instruments(call: Call) -> Any:
    return [spelt.instrument(each) for each in call.floor.exchange.instruments() if call.asked(each)]


def _ticker(call: Call) -> Any:
    listed = call.instrument
    return spelt.ticker(call.floor.exchange.ticker(listed.name), spelt.name(listed), call.floor.shown)


def _order_book(call: Call) -> Any:
    listed, depth = call.instrument, call.count(20, "depth")
    return spelt.book(call.floor.exchange.book(listed.name, depth), spelt.name(listed), call.floor.shown) | _ticker(
        call
    )


def _book_summaries(call: Call) -> Any:
    listed = (each for each in call.floor.exchange.instruments() if call.asked(each))
    return [spelt.summary(call.floor.exchange.ticker(each.name), each, call.floor.shown) for each in listed]


def _last_trades(call: Call) -> Any:
    listed, since = call.instrument, call.time("start_timestamp", 0)
    told = [spelt.printed(each, spelt.name(listed)) for each in call.floor.exchange.trades(listed.name, since)]
    return {"trades": told[::-1][: call.count(10)], "has_more": len(told) > call.count(10)}


def _funding_value(call: Call) -> Any:
    """Paid over the time asked for, moved back to end now where it lies ahead: callers ask by the wall's clock."""
    end = min(call.time("end_timestamp", call.floor.now), call.floor.now)
    start = end - min(call.time("end_timestamp", end) - call.time("start_timestamp", end - EIGHT_HOURS), end)
    listed = call.instrument
    paid = [each.rate for each in call.floor.exchange.funding_history(listed.name, start) if each.time <= end]
    return float(sum(paid)) if paid else spelt.number(call.floor.exchange.ticker(listed.name).funding_rate)


def _funding_history(call: Call) -> Any:
    start, end = call.time("start_timestamp", 0), call.time("end_timestamp", call.floor.now)
    paid = [each for each in call.floor.exchange.funding_history(call.instrument.name, start) if each.time <= end]
    return [spelt.funding(each, before) for before, each in zip([None, *paid], paid, strict=False)][:RATES]


def _chart(call: Call) -> Any:
    start, end, asked = (
        call.time("start_timestamp", 0),
        call.time("end_timestamp", call.floor.now),
        call.text("resolution"),
    )
    minutes = 1440 if asked == "1D" else int(asked)
    candles = call.floor.candles(call.instrument.name, start, minutes * MINUTE)
    return spelt.chart([each for each in candles if each.time <= end][:CANDLES])


METHODS: dict[str, Callable[[Call], Any]] = {
    "public/get_time": lambda call: call.floor.shown,
    "public/test": lambda call: {"version": "rehearsal"},
    "public/hello": lambda call: {"version": "rehearsal"},
    "public/status": lambda call: {"locked": False, "locked_indices": []},
    "public/get_currencies": _currencies,
    "public/get_instruments": _instruments,
    "public/ticker": _ticker,
    "public/get_order_book": _order_book,
    "public/get_book_summary_by_currency": _book_summaries,
    "public/get_book_summary_by_instrument": _book_summaries,
    "public/get_last_trades_by_instrument": _last_trades,
    "public/get_last_trades_by_instrument_and_time": _last_trades,
    "public/get_funding_rate_value": _funding_value,
    "public/get_funding_rate_history": _funding_history,
    "public/get_tradingview_chart_data": _chart,
}

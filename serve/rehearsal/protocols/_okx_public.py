"""What OKX tells anybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve.rehearsal.protocols import Floor
from serve.rehearsal.protocols import _okx as spelt
from serve.rehearsal.protocols._okx_calls import PAGE, Answer, Asked
from serve.rehearsal.protocols._shared import text
from serve.rehearsal.types import Instrument

BARS = {"1m": 60_000, "5m": 300_000, "1H": 3_600_000, "4H": 14_400_000, "1Dutc": 86_400_000}


def ticker(floor: Floor, listed: Instrument) -> dict[str, Any]:
    return spelt.ticker(floor.exchange.ticker(listed.name), listed, floor.shown)


def mark(floor: Floor, listed: Instrument) -> dict[str, Any]:
    return spelt.mark(floor.exchange.ticker(listed.name), listed, floor.shown)


def funding(floor: Floor, listed: Instrument) -> dict[str, Any]:
    return spelt.funding(floor.exchange.ticker(listed.name), listed, floor.shown)


def index(floor: Floor, pair: str) -> dict[str, Any]:
    """Of a pair such as BTC-USDC. Raises KeyError where there is none."""
    return {"instId": pair, "idxPx": text(floor.exchange.index(pair.partition("-")[0])), "ts": str(floor.shown)}


def _summaries(asked: Asked) -> list[Any]:
    options = [each for each in asked.alive() if each.kind == "option"]
    return [spelt.summary(asked.floor.exchange.ticker(each.name), each, asked.floor.shown) for each in options]


def _books(asked: Asked) -> list[Any]:
    listed = asked.listed()
    seen = asked.floor.exchange.book(listed.name, asked.number("sz", 1))
    bids, asks = spelt.levels(seen.bids, listed), spelt.levels(seen.asks, listed)
    return [{"bids": bids, "asks": asks, "ts": str(asked.floor.shown), "seqId": seen.sequence}]


def _limits(asked: Asked) -> list[Any]:
    seen = asked.floor.exchange.ticker(asked.listed().name)
    highest, lowest = text(seen.max_price), text(seen.min_price)
    told = {"instId": asked.get("instId"), "buyLmt": highest, "sellLmt": lowest, "ts": str(asked.floor.shown)}
    return [told | {"enabled": True}]


def _rates(asked: Asked) -> list[Any]:
    listed = asked.listed()
    since = asked.number("before", 0)
    after = asked.number("after", asked.floor.now + 1)
    found = [each for each in asked.floor.exchange.funding_history(listed.name, since) if since < each.time < after]
    return [spelt.paid(each, listed) for each in reversed(found[-asked.number("limit", PAGE) :])]


def _candles(asked: Asked) -> list[Any]:
    """Newest first, of what lies strictly between `before` and `after`."""
    listed, length = asked.listed(), BARS[asked.get("bar") or "1m"]
    after, before = asked.number("after", asked.floor.now + 1), asked.number("before", 0)
    since = before or after - asked.number("limit", PAGE) * length
    found = asked.floor.candles(listed.name, since, length)
    kept = [each for each in found if before < each.time < after][: asked.number("limit", PAGE)]
    return [spelt.candle(each, listed) for each in reversed(kept)]


PUBLIC: Mapping[str, Answer] = {
    "public/time": lambda asked: [{"ts": str(asked.floor.shown)}],
    "public/instruments": lambda asked: [spelt.instrument(each) for each in asked.alive()],
    "public/mark-price": lambda asked: [mark(asked.floor, each) for each in asked.alive()],
    "public/price-limit": _limits,
    "public/funding-rate": lambda asked: [funding(asked.floor, asked.listed())],
    "public/funding-rate-history": _rates,
    "public/opt-summary": _summaries,
    "market/ticker": lambda asked: [ticker(asked.floor, asked.listed())],
    "market/tickers": lambda asked: [ticker(asked.floor, each) for each in asked.alive()],
    "market/index-tickers": lambda asked: [index(asked.floor, asked.get("instId"))],
    "market/books": _books,
    "market/candles": _candles,
    "market/history-candles": _candles,
}

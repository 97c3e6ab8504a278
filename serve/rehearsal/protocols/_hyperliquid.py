"""How Hyperliquid spells instruments, orders, fills and accounts: perpetuals by their coin, sizes in base units."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from serve.rehearsal.protocols._shared import text
from serve.rehearsal.types import ZERO, Ending, Fill, Funded, Instrument, Order
from serve.rehearsal.views import Account, Book, Candle, Funding, Level, Position, Ticker

Change = tuple[str, Decimal, Decimal]  # side, price, size
DEPTH = 20
FORCES = {"gtc": "Gtc", "ioc": "Ioc", "fok": "Ioc"}
ENDINGS: dict[Ending, str] = {"deadman": "scheduledCancel", "reduce_only": "reduceOnlyCanceled"}
HASH = "0x" + "0" * 64  # of what is no transaction; every payment of funding bears it


def name(listed: Instrument) -> str:
    return listed.base


def universe(listed: Instrument) -> dict[str, Any]:
    exponent = listed.lot.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a finite lot"
    return {"name": name(listed), "szDecimals": max(0, -exponent), "maxLeverage": 50, "marginTableId": 50}


def context(seen: Ticker) -> dict[str, Any]:
    """Funding is paid each hour, and told for an hour."""
    assert seen.funding_rate is not None, "a perpetual's funding"
    bid, ask = seen.bid or (seen.mark, ZERO), seen.ask or (seen.mark, ZERO)
    return {
        "funding": text(seen.funding_rate / 8),
        "openInterest": text(seen.open_interest),
        "prevDayPx": text(seen.last),
        "dayNtlVlm": text(seen.volume * seen.mark),
        "premium": text(seen.mark / seen.index - 1),
        "oraclePx": text(seen.index),
        "markPx": text(seen.mark),
        "midPx": text((bid[0] + ask[0]) / 2),
        "impactPxs": [text(bid[0]), text(ask[0])],
    }


def book(seen: Book, listed: Instrument, now: int, changes: Iterable[Change] = ()) -> dict[str, Any]:
    """Whole, each time: there is no sequence. `changes`: of it, as they are to be shown."""
    bids, asks = dict(seen.bids), dict(seen.asks)
    for own, price, size in changes:
        side = bids if own == "bid" else asks
        side.update({price: size}) if size else side.pop(price, None)
    levels = [_side(sorted(bids.items(), reverse=True)), _side(sorted(asks.items()))]
    return {"coin": name(listed), "time": now, "levels": levels}


def order(own: Order, listed: Instrument) -> dict[str, Any]:
    return {
        "coin": name(listed),
        "side": side(own.units),
        "limitPx": text(own.price),
        "sz": text(abs(own.units) - own.filled),
        "origSz": text(abs(own.units)),
        "oid": own.order_id,
        "timestamp": own.created,
        "cloid": own.client_id or None,
        "orderType": "Market" if own.at_market else "Limit",
        "tif": "Alo" if own.post_only else FORCES[own.tif],
        "reduceOnly": own.reduce_only,
        "isTrigger": False,
        "isPositionTpsl": False,
        "triggerCondition": "N/A",
        "triggerPx": "0.0",
        "children": [],
    }


def standing(own: Order, listed: Instrument, why: Ending | None = None) -> dict[str, Any]:
    """An order and what became of it."""
    told = {"order": order(own, listed), "status": status(own, why), "statusTimestamp": own.updated}
    return told


def status(own: Order, why: Ending | None = None) -> str:
    if own.status in ("open", "filled"):
        return own.status
    if own.tif != "gtc" and not own.filled:
        return "iocCancelRejected"
    return "canceled" if why is None else ENDINGS.get(why, "canceled")


def filled(fill: Fill, listed: Instrument, wallet: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "coin": name(listed),
        "px": text(fill.price),
        "sz": text(abs(fill.units)),
        "side": side(fill.units),
        "time": fill.time,
        "startPosition": text(fill.position - fill.units),
        "dir": "Auto-Deleveraging" if fill.deleveraged else "Buy" if fill.units > 0 else "Sell",
        "closedPnl": text(fill.realised),
        "hash": HASH,
        "oid": fill.order_id,
        "crossed": not fill.maker,
        "fee": text(fill.fee),
        "feeToken": fill.fee_currency,
        "tid": fill.trade_id,
        "cloid": fill.client_id or None,
    }
    if fill.liquidation:
        told["liquidation"] = {"liquidatedUser": wallet, "markPx": text(fill.price), "method": "market"}
    return told


def funding(paid: Funded, listed: Instrument) -> dict[str, Any]:
    delta = {"type": "funding", "coin": name(listed), "usdc": text(-paid.paid), "szi": text(paid.units)}
    return {"time": paid.time, "hash": HASH, "delta": {**delta, "fundingRate": text(paid.rate), "nSamples": None}}


def rate(past: Funding, listed: Instrument) -> dict[str, Any]:
    premium = text(past.mark / past.index - 1)
    return {"coin": name(listed), "fundingRate": text(past.rate), "premium": premium, "time": past.time}


def account(own: Account, listings: dict[str, Instrument], now: int) -> dict[str, Any]:
    """`totalRawUsd` is what is left when every contract has been paid for."""
    held = [each for each in own.positions if each.instrument in listings]
    worth = sum((each.units * each.mark for each in held), ZERO)
    summary = {
        "accountValue": text(own.equity),
        "totalMarginUsed": text(own.initial_margin),
        "totalNtlPos": text(sum((abs(each.units) * each.mark for each in held), ZERO)),
        "totalRawUsd": text(own.equity - worth),
    }
    return {
        "assetPositions": [{"type": "oneWay", "position": _position(each, listings[each.instrument])} for each in held],
        "crossMarginSummary": summary,
        "marginSummary": summary,
        "crossMaintenanceMarginUsed": text(own.maintenance_margin),
        "withdrawable": text(own.available),
        "time": now,
    }


def candle(bar: Candle, listed: Instrument, spelt: str, length: int) -> dict[str, Any]:
    prices = {"o": text(bar.open), "h": text(bar.high), "l": text(bar.low), "c": text(bar.close)}
    ends = {"t": bar.time, "T": bar.time + length - 1}
    return {**ends, "s": name(listed), "i": spelt, **prices, "v": text(bar.volume), "n": 0}


def side(units: Decimal) -> str:
    return "B" if units > 0 else "A"


def _side(levels: Iterable[Level]) -> list[dict[str, Any]]:
    return [{"px": text(price), "sz": text(size), "n": 1} for price, size in levels]


def _position(held: Position, listed: Instrument) -> dict[str, Any]:
    return {
        "coin": name(listed),
        "szi": text(held.units),
        "entryPx": text(held.entry),
        "positionValue": text(abs(held.units) * held.mark),
        "unrealizedPnl": text(held.unrealised),
        "liquidationPx": None if held.liquidation_price is None else text(held.liquidation_price),
        "marginUsed": text(held.initial_margin),
        "maxLeverage": 50,
        "leverage": {"type": "cross", "value": 50},
        "returnOnEquity": "0.0",
        "cumFunding": {"allTime": "0.0", "sinceChange": "0.0", "sinceOpen": "0.0"},
    }

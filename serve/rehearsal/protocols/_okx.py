"""How OKX spells instruments, orders, fills, tickers and accounts: linear ones, with sizes in contracts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from serve.rehearsal.protocols._shared import text
from serve.rehearsal.types import ZERO, Fill, Funded, Instrument, Order, Settled
from serve.rehearsal.views import Account, Balance, Candle, Funding, Level, Position, Ticker

HOUR = 3_600_000
MULTIPLIER = Decimal("0.01")  # of an option's contract value
KINDS = {"perpetual": "SWAP", "option": "OPTION", "spot": "SPOT"}
_STATES = {"filled": "filled", "cancelled": "canceled", "expired": "canceled"}


def contracts(listed: Instrument, units: Decimal) -> Decimal:
    return units if listed.kind == "spot" else units / listed.contract_size


def units(listed: Instrument, size: Decimal) -> Decimal:
    return size if listed.kind == "spot" else size * listed.contract_size


def underlying(listed: Instrument) -> str:
    """An option's is always against USD, whatever it is settled in."""
    return f"{listed.base}-USD" if listed.kind == "option" else f"{listed.base}-{listed.quote}"


def name(listed: Instrument) -> str:
    """BTC-USDC-SWAP, BTC-USD-260327-60000-C, BTC-USDC."""
    if listed.kind != "option":
        return underlying(listed) + ("-SWAP" if listed.kind == "perpetual" else "")
    assert listed.expiry is not None, "an option's term"
    assert listed.right is not None, "an option's right"
    day = datetime.fromtimestamp(listed.expiry / 1000, UTC)
    return f"{underlying(listed)}-{day:%y%m%d}-{text(listed.strike)}-{listed.right[0].upper()}"


def instrument(listed: Instrument) -> dict[str, Any]:
    spot, option = listed.kind == "spot", listed.kind == "option"
    lot, multiplier = text(contracts(listed, listed.lot)), MULTIPLIER if option else Decimal(1)
    return {
        "instType": KINDS[listed.kind],
        "instId": name(listed),
        "uly": "" if spot else underlying(listed),
        "instFamily": "" if spot else underlying(listed),
        "baseCcy": listed.base if spot else "",
        "quoteCcy": listed.quote if spot else "",
        "settleCcy": "" if spot else listed.settle,
        "ctVal": "" if spot else text(listed.contract_size / multiplier),
        "ctMult": "" if spot else text(multiplier),
        "ctValCcy": "" if spot else listed.base,
        "ctType": "" if spot or option else "linear",
        "optType": (listed.right or "")[:1].upper(),
        "stk": text(listed.strike),
        "expTime": "" if listed.expiry is None else str(listed.expiry),
        "listTime": "0",
        "lever": "" if spot or option else "50",
        "tickSz": text(listed.tick),
        "lotSz": lot,
        "minSz": lot,
        "maxLmtSz": "100000000",
        "maxMktSz": "1000000",
        "state": "live",
    }


def order(own: Order, listed: Instrument) -> dict[str, Any]:
    partial = "partially_filled" if own.filled else "live"
    return {
        "instType": KINDS[listed.kind],
        "instId": name(listed),
        "ordId": str(own.order_id),
        "clOrdId": own.client_id,
        "tag": "",
        "px": "" if own.at_market else text(own.price),
        "sz": text(contracts(listed, abs(own.units))),
        "ordType": _type(own),
        "side": "buy" if own.units > 0 else "sell",
        "posSide": "net",
        "tdMode": "cash" if listed.kind == "spot" else "cross",
        "tgtCcy": "base_ccy" if listed.kind == "spot" else "",
        "accFillSz": text(contracts(listed, own.filled)),
        "avgPx": text(own.average_price),
        "state": _STATES.get(own.status, partial),
        "fee": text(-own.fee),  # charged is negative
        "feeCcy": listed.settle,
        "reduceOnly": "true" if own.reduce_only else "false",
        "category": "normal",
        "tradeId": "",
        "fillSz": "0",
        "fillPx": "",
        "fillTime": "",
        "cTime": str(own.created),
        "uTime": str(own.updated),
    }


def traded(own: Order, fill: Fill, listed: Instrument) -> dict[str, Any]:
    """What the orders channel tells of a fill."""
    return order(own, listed) | {
        "tradeId": str(fill.trade_id),
        "fillSz": text(contracts(listed, abs(fill.units))),
        "fillPx": text(fill.price),
        "fillTime": str(fill.time),
        "fillFee": text(-fill.fee),
        "fillFeeCcy": fill.fee_currency,
        "execType": "M" if fill.maker else "T",
        "category": "full_liquidation" if fill.liquidation else "adl" if fill.deleveraged else "normal",
        "uTime": str(fill.time),
    }


def filled(fill: Fill, listed: Instrument) -> dict[str, Any]:
    """A line of the account's statement of fills."""
    return {
        "instType": KINDS[listed.kind],
        "instId": name(listed),
        "tradeId": str(fill.trade_id),
        "billId": str(fill.fill_id),
        "ordId": str(fill.order_id),
        "clOrdId": fill.client_id,
        "side": "buy" if fill.units > 0 else "sell",
        "posSide": "net",
        "fillSz": text(contracts(listed, abs(fill.units))),
        "fillPx": text(fill.price),
        "fee": text(-fill.fee),
        "feeCcy": fill.fee_currency,
        "execType": "M" if fill.maker else "T",
        "subType": _subtype(fill),
        "ts": str(fill.time),
    }


def bill(number: int, paid: Funded | Settled, listed: Instrument) -> dict[str, Any]:
    """Of funding, or of an option that expired."""
    change = -paid.paid if isinstance(paid, Funded) else paid.paid
    kinds = ("8", "173", "174") if isinstance(paid, Funded) else ("3", "171", "170" if change else "172")
    return {
        "billId": f"{paid.time}{number:06}",
        "instType": KINDS[listed.kind],
        "instId": name(listed),
        "ccy": listed.settle,
        "type": kinds[0],
        "subType": kinds[1 if change < 0 else 2],
        "balChg": text(change),
        "pnl": text(change),
        "posBalChg": "0",
        "sz": text(contracts(listed, abs(paid.units))),
        "ts": str(paid.time),
    }


def position(held: Position, listed: Instrument, now: int) -> dict[str, Any]:
    return {
        "instType": KINDS[listed.kind],
        "instId": name(listed),
        "posId": name(listed),
        "posSide": "net",
        "mgnMode": "cross",
        "ccy": listed.settle,
        "pos": text(contracts(listed, held.units)),
        "avgPx": text(held.entry),
        "markPx": text(held.mark),
        "upl": text(held.unrealised),
        "imr": text(held.initial_margin),
        "mmr": text(held.maintenance_margin),
        "liqPx": text(held.liquidation_price),
        "notionalUsd": text(abs(held.units) * held.mark),
        "optVal": text(held.units * held.mark) if listed.kind == "option" else "",
        "lever": "50",
        "adl": str(held.adl_rank),
        "cTime": str(now),
        "uTime": str(now),
    }


def account(own: Account, listings: dict[str, Instrument], now: int) -> dict[str, Any]:
    """In the multi-currency margin mode."""
    return {
        "uTime": str(now),
        "totalEq": text(own.equity),
        "adjEq": text(own.margin_balance),
        "imr": text(own.initial_margin),
        "mmr": text(own.maintenance_margin),
        "mgnRatio": text(own.margin_balance / own.maintenance_margin) if own.maintenance_margin else "",
        "details": [_detail(one, own, listings) for one in own.balances],
    }


def _detail(one: Balance, own: Account, listings: dict[str, Instrument]) -> dict[str, Any]:
    mine = [held for held in own.positions if listings[held.instrument].settle == one.currency]
    options = sum((p.units * p.mark for p in mine if listings[p.instrument].kind == "option"), ZERO)
    gained = sum((p.unrealised for p in mine if listings[p.instrument].kind == "perpetual"), ZERO)
    equity = one.amount + gained + options
    return {
        "ccy": one.currency,
        "eq": text(equity),
        "cashBal": text(one.amount),
        "upl": text(gained),
        "availEq": text(min(equity, own.available / one.price) if one.price else ZERO),
        "availBal": text(one.amount - one.reserved),
        "frozenBal": text(one.reserved),
        "eqUsd": text(equity * one.price),
        "disEq": text(equity * one.price * (1 - one.haircut)),
    }


def ticker(seen: Ticker, listed: Instrument, now: int) -> dict[str, Any]:
    (bid, bid_size), (ask, ask_size) = _touch(seen.bid, listed), _touch(seen.ask, listed)
    return {
        "instType": KINDS[listed.kind],
        "instId": name(listed),
        "last": text(seen.last),
        "bidPx": bid,
        "bidSz": bid_size,
        "askPx": ask,
        "askSz": ask_size,
        "vol24h": text(contracts(listed, seen.volume)),
        "ts": str(now),
    }


def mark(seen: Ticker, listed: Instrument, now: int) -> dict[str, Any]:
    return {"instType": KINDS[listed.kind], "instId": name(listed), "markPx": text(seen.mark), "ts": str(now)}


def funding(seen: Ticker, listed: Instrument, now: int) -> dict[str, Any]:
    """The exchange pays each hour what falls due of a rate per eight."""
    assert seen.funding_rate is not None, "a perpetual's funding"
    due = (now // HOUR + 1) * HOUR
    return {
        "instType": "SWAP",
        "instId": name(listed),
        "fundingRate": text(seen.funding_rate / 8),
        "fundingTime": str(due),
        "nextFundingRate": "",
        "nextFundingTime": str(due + HOUR),
        "ts": str(now),
    }


def paid(past: Funding, listed: Instrument) -> dict[str, Any]:
    rate = text(past.rate)
    return {"instId": name(listed), "fundingRate": rate, "realizedRate": rate, "fundingTime": str(past.time)}


def summary(seen: Ticker, listed: Instrument, now: int) -> dict[str, Any]:
    """An option's greeks: those of Black-Scholes, which those in coin are too where it is linear."""
    greeks = seen.greeks
    assert greeks is not None, "an option's greeks"
    told = {
        "delta": text(greeks.delta),
        "gamma": text(greeks.gamma),
        "vega": text(greeks.vega / 100),
        "theta": text(greeks.theta / 365),
    }
    return {
        "instType": "OPTION",
        "instId": name(listed),
        "uly": underlying(listed),
        **told,
        **{f"{key}BS": value for key, value in told.items()},
        "markVol": text(seen.volatility),
        "bidVol": text(seen.bid_volatility),
        "askVol": text(seen.ask_volatility),
        "fwdPx": text(seen.index),
        "ts": str(now),
    }


def levels(side: Iterable[Level], listed: Instrument) -> list[list[str]]:
    """Price, size, and two numbers nobody reads."""
    return [[text(price), text(contracts(listed, size)), "0", "1"] for price, size in side]


def candle(bar: Candle, listed: Instrument) -> list[str]:
    volume = text(contracts(listed, bar.volume))
    return [str(bar.time), *map(text, (bar.open, bar.high, bar.low, bar.close)), volume, text(bar.volume), "", "1"]


def _touch(level: Level | None, listed: Instrument) -> tuple[str, str]:
    return ("", "") if level is None else (text(level[0]), text(contracts(listed, level[1])))


def _subtype(fill: Fill) -> str:
    buy, sell = ("106", "107") if fill.liquidation else ("127", "128") if fill.deleveraged else ("1", "2")
    return buy if fill.units > 0 else sell


def _type(own: Order) -> str:
    if own.at_market:
        return "market"
    if own.post_only:
        return "post_only"
    return "limit" if own.tif == "gtc" else own.tif

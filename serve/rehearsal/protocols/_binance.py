"""How Binance's USD-M futures spell instruments, orders, fills, tickers and accounts; sizes are base units."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from serve.rehearsal.protocols._shared import text
from serve.rehearsal.types import ZERO, Fill, Funded, Instrument, Order, Rules
from serve.rehearsal.views import Account, Candle, Funding, Level, Position, Ticker

HOUR = 3_600_000
NEVER = 4_133_404_800_000  # the day on which a perpetual is delivered
FORCES = {"gtc": "GTC", "ioc": "IOC", "fok": "FOK"}
_STATES = {"filled": "FILLED", "cancelled": "CANCELED", "expired": "EXPIRED"}


def name(listed: Instrument) -> str:
    """BTCUSDC; of perpetuals alone, as the others are traded at other addresses."""
    return listed.base + listed.quote


def instrument(listed: Instrument, rules: Rules) -> dict[str, Any]:
    lot = {"minQty": text(listed.lot), "maxQty": "10000", "stepSize": text(listed.lot)}
    return {
        "symbol": name(listed),
        "pair": name(listed),
        "contractType": "PERPETUAL",
        "deliveryDate": NEVER,
        "onboardDate": 0,
        "status": "TRADING",
        "baseAsset": listed.base,
        "quoteAsset": listed.quote,
        "marginAsset": listed.settle,
        "pricePrecision": _places(listed.tick),
        "quantityPrecision": _places(listed.lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": text(listed.tick),
                "maxPrice": "100000000",
                "tickSize": text(listed.tick),
            },
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "MARKET_LOT_SIZE", **lot},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": text(1 + rules.band),
                "multiplierDown": text(1 - rules.band),
            },
        ],
    }


def order(own: Order, listed: Instrument) -> dict[str, Any]:
    return {
        "symbol": name(listed),
        "orderId": own.order_id,
        "clientOrderId": own.client_id,
        "status": state(own),
        "type": kind(own),
        "origType": kind(own),
        "timeInForce": force(own),
        "side": side(own.units),
        "positionSide": "BOTH",
        "price": "0" if own.at_market else text(own.price),
        "avgPrice": text(own.average_price) or "0",
        "origQty": text(abs(own.units)),
        "executedQty": text(own.filled),
        "cumQuote": text(own.cost),
        "reduceOnly": own.reduce_only,
        "closePosition": False,
        "stopPrice": "0",
        "time": own.created,
        "updateTime": own.updated,
    }


def update(own: Order, listed: Instrument, what: str, now: int, fill: Fill | None = None) -> dict[str, Any]:
    """What the user's stream tells. `what`: NEW, TRADE, CANCELED or EXPIRED."""
    told: dict[str, Any] = {
        "s": name(listed),
        "c": own.client_id if fill is None else client(fill),
        "S": side(own.units),
        "o": kind(own),
        "f": force(own),
        "q": text(abs(own.units)),
        "p": "0" if own.at_market else text(own.price),
        "ap": text(own.average_price) or "0",
        "sp": "0",
        "x": what,
        "X": state(own),
        "i": own.order_id,
        "l": "0",
        "z": text(own.filled),
        "L": "0",
        "T": own.updated,
        "t": 0,
        "m": False,
        "R": own.reduce_only,
        "ps": "BOTH",
        "rp": "0",
    }
    if fill is not None:
        told |= {"l": text(abs(fill.units)), "L": text(fill.price), "t": fill.trade_id, "m": fill.maker}
        told |= {"n": text(fill.fee), "N": fill.fee_currency, "rp": text(fill.realised)}
    return {"e": "ORDER_TRADE_UPDATE", "E": now, "T": own.updated, "o": told}


def filled(fill: Fill, listed: Instrument) -> dict[str, Any]:
    """A line of the account's statement of fills: it bears no client id."""
    return {
        "symbol": name(listed),
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": side(fill.units),
        "price": text(fill.price),
        "qty": text(abs(fill.units)),
        "quoteQty": text(abs(fill.units) * fill.price),
        "realizedPnl": text(fill.realised),
        "commission": text(fill.fee),
        "commissionAsset": fill.fee_currency,
        "positionSide": "BOTH",
        "buyer": fill.units > 0,
        "maker": fill.maker,
        "time": fill.time,
    }


def position(held: Position, listed: Instrument, now: int) -> dict[str, Any]:
    return {
        "symbol": name(listed),
        "positionSide": "BOTH",
        "positionAmt": text(held.units),
        "entryPrice": text(held.entry),
        "breakEvenPrice": text(held.entry),
        "markPrice": text(held.mark),
        "unRealizedProfit": text(held.unrealised),
        "liquidationPrice": text(held.liquidation_price) or "0",
        "isolatedMargin": "0",
        "isolatedWallet": "0",
        "notional": text(held.units * held.mark),
        "marginAsset": listed.settle,
        "initialMargin": text(held.initial_margin),
        "maintMargin": text(held.maintenance_margin),
        "adl": held.adl_rank,
        "updateTime": now,
    }


def account(own: Account, listings: dict[str, Instrument], now: int) -> dict[str, Any]:
    held = [position(each, listings[each.instrument], now) for each in own.positions if each.instrument in listings]
    gained = sum((Decimal(each["unRealizedProfit"]) for each in held), ZERO)
    settled = {each.settle for each in listings.values()}
    assets = [
        {
            "asset": one.currency,
            "walletBalance": text(one.amount),
            "unrealizedProfit": text(gained if one.currency in settled else ZERO),
            "marginBalance": text(one.amount + (gained if one.currency in settled else ZERO)),
            "maintMargin": text(own.maintenance_margin if one.currency in settled else ZERO),
            "initialMargin": text(own.initial_margin if one.currency in settled else ZERO),
            "availableBalance": text(own.available if one.currency in settled else ZERO),
            "updateTime": now,
        }
        for one in own.balances
    ]
    told = [{**each, "unrealizedProfit": each["unRealizedProfit"]} for each in held]
    return {"totalMarginBalance": text(own.equity), "totalMaintMargin": text(own.maintenance_margin)} | {
        "assets": assets,
        "positions": told,
    }


def bracket(listed: Instrument, rules: Rules) -> dict[str, Any]:
    only = {"bracket": 1, "initialLeverage": 50, "notionalCap": 10**12, "notionalFloor": 0, "cum": 0}
    return {"symbol": name(listed), "brackets": [{**only, "maintMarginRatio": float(rules.maintenance_rate)}]}


def premium(seen: Ticker, listed: Instrument, now: int) -> dict[str, Any]:
    """The exchange pays each hour what falls due of a rate per eight."""
    return {
        "symbol": name(listed),
        "markPrice": text(seen.mark),
        "indexPrice": text(seen.index),
        "estimatedSettlePrice": text(seen.index),
        "lastFundingRate": text(_hourly(seen)),
        "nextFundingTime": (now // HOUR + 1) * HOUR,
        "time": now,
    }


def marked(seen: Ticker, listed: Instrument, now: int) -> dict[str, Any]:
    """The same, as the stream of marks tells it."""
    prices = {"p": text(seen.mark), "i": text(seen.index), "P": text(seen.index), "r": text(_hourly(seen))}
    return {"e": "markPriceUpdate", "E": now, "s": name(listed), **prices, "T": (now // HOUR + 1) * HOUR}


def ticker(seen: Ticker, listed: Instrument, now: int) -> dict[str, Any]:
    return {"symbol": name(listed), "lastPrice": text(seen.last), "volume": text(seen.volume), "closeTime": now}


def income(paid: Funded, listed: Instrument) -> dict[str, Any]:
    return {
        "symbol": name(listed),
        "incomeType": "FUNDING_FEE",
        "income": text(-paid.paid),
        "asset": listed.settle,
        "time": paid.time,
        "tranId": f"{paid.time}{listed.base}",
        "tradeId": "",
    }


def paid(past: Funding, listed: Instrument) -> dict[str, Any]:
    prices = {"fundingRate": text(past.rate), "markPrice": text(past.mark)}
    return {"symbol": name(listed), "fundingTime": past.time, **prices}


def levels(side: Iterable[Level]) -> list[list[str]]:
    return [[text(price), text(size)] for price, size in side]


def candle(bar: Candle, length: int) -> list[Any]:
    prices = map(text, (bar.open, bar.high, bar.low, bar.close, bar.volume))
    return [bar.time, *prices, bar.time + length - 1, "0", 0, "0", "0", "0"]


def client(fill: Fill) -> str:
    """Of the order that it is of: the exchange's own have names of their own."""
    if fill.deleveraged:
        return "adl_autoclose"
    return f"autoclose-{fill.order_id}" if fill.liquidation else fill.client_id


def state(own: Order) -> str:
    """What is left of an order that may not rest has expired."""
    if own.status == "cancelled" and own.tif != "gtc":
        return "EXPIRED"
    return _STATES.get(own.status, "PARTIALLY_FILLED" if own.filled else "NEW")


def kind(own: Order) -> str:
    return "MARKET" if own.at_market else "LIMIT"


def force(own: Order) -> str:
    return "GTX" if own.post_only else FORCES[own.tif]


def side(units: Decimal) -> str:
    return "BUY" if units > 0 else "SELL"


def _hourly(seen: Ticker) -> Decimal:
    assert seen.funding_rate is not None, "a perpetual's funding"
    return seen.funding_rate / 8


def _places(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a finite step"
    return max(0, -exponent)

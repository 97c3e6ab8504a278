"""How Deribit spells instruments, orders, trades, tickers and accounts: linear ones, with sizes in base units."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from serve.rehearsal.types import ZERO, Fill, Funded, Instrument, Order, Printed, Settled, TimeInForce
from serve.rehearsal.views import Book, Candle, Funding, Level, Position, Ticker

NEVER = 32_503_708_800_000  # the expiry that a perpetual is listed with
DAYS = 365
_KINDS = {"perpetual": "future", "future": "future", "option": "option", "spot": "spot"}
_FORCES: dict[TimeInForce, str] = {"gtc": "good_til_cancelled", "ioc": "immediate_or_cancel", "fok": "fill_or_kill"}
FORCES = {spelt: force for force, spelt in _FORCES.items()}
_STATES = {"open": "open", "filled": "filled", "cancelled": "cancelled", "expired": "cancelled"}


def number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def name(listed: Instrument) -> str:
    """BTC_USDC-PERPETUAL, BTC_USDC-27MAR26, BTC_USDC-27MAR26-60000-C, BTC_USDC."""
    pair = f"{listed.base}_{listed.quote}"
    if listed.kind == "perpetual":
        return f"{pair}-PERPETUAL"
    if listed.kind == "spot":
        return pair
    assert listed.expiry is not None, "the terms of what expires"
    day = datetime.fromtimestamp(listed.expiry / 1000, UTC)
    dated = f"{pair}-{day.day}{day:%b%y}".upper()
    if listed.kind == "future":
        return dated
    assert listed.strike is not None, "an option's terms"
    assert listed.right is not None, "an option's terms"
    return f"{dated}-{listed.strike.normalize():f}-{listed.right[0].upper()}"


def instrument(listed: Instrument) -> dict[str, Any]:
    told: dict[str, Any] = {
        "instrument_name": name(listed),
        "kind": _KINDS[listed.kind],
        "base_currency": listed.base,
        "quote_currency": listed.quote,
        "counter_currency": listed.quote,
        "instrument_type": "linear",
        "price_index": f"{listed.base}_{listed.quote}".lower(),
        "expiration_timestamp": NEVER if listed.expiry is None else listed.expiry,
        "creation_timestamp": 0,
        "tick_size": number(listed.tick),
        "min_trade_amount": number(listed.lot),
        "contract_size": number(listed.contract_size),
        "maker_commission": number(listed.maker_fee),
        "taker_commission": number(listed.taker_fee),
        "is_active": True,
    }
    if listed.kind != "spot":
        period = "perpetual" if listed.kind == "perpetual" else "month"
        told |= {"settlement_currency": listed.settle, "settlement_period": period}
    if listed.kind == "option":
        told |= {"option_type": listed.right, "strike": number(listed.strike)}
    return told


def order(own: Order, spelt: str) -> dict[str, Any]:
    return {
        "order_id": order_id(own.order_id),
        "order_state": _STATES[own.status],
        "order_type": "market" if own.at_market else "limit",
        "direction": "buy" if own.units > 0 else "sell",
        "price": "market_price" if own.at_market else number(own.price),
        "amount": number(abs(own.units)),
        "filled_amount": number(own.filled),
        "average_price": number(own.average_price) or 0.0,
        "label": own.client_id,
        "instrument_name": spelt,
        "creation_timestamp": own.created,
        "last_update_timestamp": own.updated,
        "time_in_force": _FORCES[own.tif],
        "reduce_only": own.reduce_only,
        "post_only": own.post_only,
        "is_liquidation": False,
        "api": True,
        "replaced": False,
    }


def order_id(number: int) -> str:
    return f"USDC-{number}"


def trade(fill: Fill, spelt: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "trade_id": f"USDC-{fill.trade_id}",
        "trade_seq": fill.trade_id,
        "timestamp": fill.time,
        "order_id": order_id(fill.order_id),
        "label": fill.client_id,
        "instrument_name": spelt,
        "direction": "buy" if fill.units > 0 else "sell",
        "price": number(fill.price),
        "amount": number(abs(fill.units)),
        "fee": number(fill.fee),
        "fee_currency": fill.fee_currency,
        "liquidity": "M" if fill.maker else "T",
        "profit_loss": number(fill.realised),
        "order_type": "limit",
        "state": "filled",
        "self_trade": False,
    }
    return told | ({"liquidation": told["liquidity"]} if fill.liquidation else {})


def printed(seen: Printed, spelt: str) -> dict[str, Any]:
    return {
        "trade_id": f"USDC-{seen.trade_id}",
        "trade_seq": seen.trade_id,
        "timestamp": seen.time,
        "instrument_name": spelt,
        "direction": "buy" if seen.buyer_took else "sell",
        "price": number(seen.price),
        "amount": number(seen.size),
    } | ({"liquidation": "T"} if seen.liquidation else {})


def quote(seen: Ticker, spelt: str, shown: int) -> dict[str, Any]:
    """The best of both sides; 0 where there is none."""
    bid, ask = seen.bid or (ZERO, ZERO), seen.ask or (ZERO, ZERO)
    return {
        "timestamp": shown,
        "instrument_name": spelt,
        "best_bid_price": number(bid[0]),
        "best_bid_amount": number(bid[1]),
        "best_ask_price": number(ask[0]),
        "best_ask_amount": number(ask[1]),
    }


def ticker(seen: Ticker, spelt: str, shown: int) -> dict[str, Any]:
    """Volatilities in percent; vega per percent, theta per day."""
    told = quote(seen, spelt, shown) | {
        "state": "open",
        "mark_price": number(seen.mark),
        "index_price": number(seen.index),
        "underlying_price": number(seen.index),
        "last_price": number(seen.last),
        "min_price": number(seen.min_price),
        "max_price": number(seen.max_price),
        "open_interest": number(seen.open_interest),
        "stats": {"volume": number(seen.volume)},
    }
    if seen.funding_rate is not None:
        told |= {"current_funding": number(seen.funding_rate), "funding_8h": number(seen.funding_rate)}
    if seen.greeks is not None:
        greeks = seen.greeks
        told |= {
            "mark_iv": _percent(seen.volatility),
            "bid_iv": _percent(seen.bid_volatility),
            "ask_iv": _percent(seen.ask_volatility),
            "interest_rate": 0.0,
            "greeks": {
                "delta": greeks.delta,
                "gamma": greeks.gamma,
                "vega": greeks.vega / 100,
                "theta": greeks.theta / DAYS,
                "rho": 0.0,
            },
        }
    return told


def summary(seen: Ticker, listed: Instrument, shown: int) -> dict[str, Any]:
    """A line of the list that an option chain is made of; a side that nobody quotes is null."""
    bid, ask = (None if side is None else number(side[0]) for side in (seen.bid, seen.ask))
    return {
        "instrument_name": name(listed),
        "base_currency": listed.base,
        "quote_currency": listed.quote,
        "creation_timestamp": shown,
        "mark_price": number(seen.mark),
        "mark_iv": _percent(seen.volatility),
        "underlying_price": number(seen.index),
        "bid_price": bid,
        "ask_price": ask,
        "mid_price": None if bid is None or ask is None else (bid + ask) / 2,
        "last": number(seen.last),
        "open_interest": number(seen.open_interest),
        "volume": number(seen.volume),
    }


def book(seen: Book, spelt: str, shown: int) -> dict[str, Any]:
    return {
        "timestamp": shown,
        "instrument_name": spelt,
        "change_id": seen.sequence,
        "bids": _levels(seen.bids),
        "asks": _levels(seen.asks),
    }


def _levels(side: Iterable[Level]) -> list[list[float]]:
    return [[float(price), float(size)] for price, size in side]


def position(own: Position, listed: Instrument, seen: Ticker) -> dict[str, Any]:
    """A short one's size is negative."""
    greeks, units = seen.greeks, float(own.units)
    return {
        "instrument_name": name(listed),
        "kind": _KINDS[listed.kind],
        "size": units,
        "size_currency": units,
        "direction": "buy" if units > 0 else "sell",
        "average_price": number(own.entry),
        "mark_price": number(own.mark),
        "index_price": number(seen.index),
        "delta": units if greeks is None else units * greeks.delta,
        "gamma": 0.0 if greeks is None else units * greeks.gamma,
        "vega": 0.0 if greeks is None else units * greeks.vega / 100,
        "theta": 0.0 if greeks is None else units * greeks.theta / DAYS,
        "floating_profit_loss": number(own.unrealised),
        "initial_margin": number(own.initial_margin),
        "maintenance_margin": number(own.maintenance_margin),
        "estimated_liquidation_price": number(own.liquidation_price),
    }


def log(entry: int, paid: Funded | Settled, spelt: str, currency: str) -> dict[str, Any]:
    """A line of the transaction log: `change` is what the balance gained."""
    kind, change, price = (
        ("settlement", -paid.paid, paid.mark) if isinstance(paid, Funded) else ("delivery", paid.paid, paid.price)
    )
    return {
        "id": entry,
        "type": kind,
        "timestamp": paid.time,
        "instrument_name": spelt,
        "currency": currency,
        "position": number(paid.units),
        "side": "close buy" if paid.units < 0 else "close sell",
        "amount": number(abs(paid.units)),
        "change": number(change),
        "interest_pl": number(change) if kind == "settlement" else 0.0,
        "price": number(price),
    }


def funding(paid: Funding, before: Funding | None) -> dict[str, Any]:
    hourly = float(paid.rate) / paid.hours
    return {
        "timestamp": paid.time,
        "index_price": number(paid.index),
        "prev_index_price": number(paid.index if before is None else before.index),
        "interest_1h": hourly,
        "interest_8h": 8 * hourly,
    }


def chart(candles: Iterable[Candle]) -> dict[str, Any]:
    told = list(candles)
    return {
        "status": "ok" if told else "no_data",
        "ticks": [each.time for each in told],
        **{side: [float(getattr(each, side)) for each in told] for side in ("open", "high", "low", "close", "volume")},
        "cost": [float(each.volume * each.close) for each in told],
    }


def _percent(volatility: float | None) -> float | None:
    return None if volatility is None else 100 * volatility

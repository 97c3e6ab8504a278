"""What Binance's USD-M futures answer to each of their paths, or `Wrong`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from serve.rehearsal.protocols import Floor, Key
from serve.rehearsal.protocols import _binance as spelt
from serve.rehearsal.protocols._shared import Listings, outcome
from serve.rehearsal.types import (
    Cancel,
    CancelAll,
    DeadMan,
    Funded,
    Instrument,
    Order,
    Place,
    Refusal,
    Refused,
    TimeInForce,
)

DEPTH = 1000
FILLED, PAID = 1000, 1000  # fills in a reply, rows of income
BARS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000}
CODES: dict[Refusal, tuple[int, str]] = {
    "no_instrument": (-1121, "Invalid symbol."),
    "lot": (-1111, "Precision is over the maximum defined for this asset."),
    "tick": (-4014, "Price not increased by tick size."),
    "price_band": (-4016, "Limit price can't be higher or lower than the mark price allows."),
    "post_only": (-5022, "The order could not be executed as maker, the Post Only order will be rejected."),
    "reduce_only": (-2022, "ReduceOnly Order is rejected."),
    "unfillable": (-5021, "The order could not be filled immediately, the FOK order has been rejected."),
    "no_funds": (-2019, "Margin is insufficient."),
    "duplicate_id": (-4116, "ClientOrderId is duplicated."),
    "cap": (-2027, "Exceeded the maximum allowable position at current leverage."),
    "not_found": (-2011, "Unknown order sent."),
    "maintenance": (-1001, "Internal error; unable to process your request. Please try again."),
    "past": (-1102, "Mandatory parameter was not sent, was empty/null, or malformed."),
}
TERMS: dict[str, tuple[TimeInForce, bool]] = {  # and whether it is post-only
    "GTC": ("gtc", False),
    "GTX": ("gtc", True),
    "IOC": ("ioc", False),
    "FOK": ("fok", False),
}


class Wrong(Exception):
    def __init__(self, code: int, said: str, status: int = 400) -> None:
        super().__init__(said)
        self.body, self.status = {"code": code, "msg": said}, status


@dataclass
class Asked:
    """A request, read. `key`: that it was signed with; None where it was not."""

    floor: Floor
    listings: Listings
    given: Mapping[str, str]
    key: Key | None = None

    @property
    def account(self) -> str:
        assert self.key is not None, "a private path"
        return self.key.account

    def number(self, name: str, otherwise: int) -> int:
        return int(self.given.get(name) or otherwise)

    def listed(self) -> Instrument:
        """Raises Wrong where no such symbol is listed."""
        found = self.listings.by_wire.get(self.given.get("symbol", ""))
        if found is None:
            raise refused("no_instrument")
        return found


Answer = Callable[[Asked], Any]


def refused(code: Refusal) -> Wrong:
    return Wrong(*CODES[code])


def _information(asked: Asked) -> Any:
    rules = asked.floor.exchange.rules
    symbols = [spelt.instrument(each, rules) for each in asked.listings.by_name.values()]
    return {"timezone": "UTC", "serverTime": asked.floor.shown, "symbols": symbols}


def _depth(asked: Asked) -> Any:
    seen = asked.floor.exchange.book(asked.listed().name, asked.number("limit", DEPTH))
    sides = {"bids": spelt.levels(seen.bids), "asks": spelt.levels(seen.asks)}
    return {"lastUpdateId": seen.sequence, "E": asked.floor.shown, "T": seen.time, **sides}


def _premium(asked: Asked) -> Any:
    if "symbol" in asked.given:
        return premium(asked.floor, asked.listed())
    return [premium(asked.floor, each) for each in asked.listings.by_name.values()]


def premium(floor: Floor, listed: Instrument) -> dict[str, Any]:
    return spelt.premium(floor.exchange.ticker(listed.name), listed, floor.shown)


def _intervals(asked: Asked) -> Any:
    return [{"symbol": wire, "fundingIntervalHours": 1} for wire in asked.listings.by_wire]


def _rates(asked: Asked) -> Any:
    listed = asked.listed()
    found = asked.floor.exchange.funding_history(listed.name, asked.number("startTime", 0))
    return [spelt.paid(each, listed) for each in found[: asked.number("limit", 100)]]


def _candles(asked: Asked) -> Any:
    """Oldest first from `startTime` on, or the last ones."""
    listed, length, most = asked.listed(), BARS[asked.given["interval"]], asked.number("limit", 500)
    since = asked.number("startTime", asked.floor.now - most * length)
    found = asked.floor.candles(listed.name, since, length)
    ended = [each for each in found if each.time <= asked.number("endTime", asked.floor.now)]
    return [spelt.candle(each, length) for each in ended[:most]]


def _ticker(asked: Asked) -> Any:
    listed = asked.listed()
    return spelt.ticker(asked.floor.exchange.ticker(listed.name), listed, asked.floor.shown)


def _place(asked: Asked) -> Any:
    listed, client = asked.listed(), asked.given.get("newClientOrderId", "")
    if any(each.client_id == client for each in asked.floor.exchange.open_orders(asked.account)):
        raise refused("duplicate_id")  # only among those that rest
    happened = outcome(asked.floor.apply(_order(asked, listed, client)))
    if isinstance(happened, Refused):
        raise refused(happened.code)
    return _told(asked, happened.order.order_id)


def _order(asked: Asked, listed: Instrument, client: str) -> Place:
    given = asked.given
    size = Decimal(given["quantity"])
    tif, post_only = TERMS[given.get("timeInForce", "GTC")]
    return Place(
        asked.floor.now,
        asked.account,
        client,
        listed.name,
        size if given["side"] == "BUY" else -size,
        Decimal(given["price"]) if given["type"] == "LIMIT" else None,
        tif if given["type"] == "LIMIT" else "ioc",
        post_only,
        reduce_only=given.get("reduceOnly", "false").lower() == "true",
    )


def _told(asked: Asked, order_id: int) -> dict[str, Any]:
    own = asked.floor.exchange.order(order_id)
    assert own is not None, "an order that was just looked at"
    return spelt.order(own, asked.listings.by_name[own.instrument])


def _cancel(asked: Asked) -> Any:
    own = _found(asked)
    happened = asked.floor.apply(Cancel(asked.floor.now, asked.account, own.order_id if own else 0))
    if any(isinstance(each, Refused) for each in happened) or own is None:
        raise refused("not_found")
    return _told(asked, own.order_id)


def _cancel_all(asked: Asked) -> Any:
    asked.floor.apply(CancelAll(asked.floor.now, asked.account, asked.listed().name))
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _dead_man(asked: Asked) -> Any:
    """Of a symbol at Binance; here of the account, for whichever symbol it was set last."""
    wait = asked.number("countdownTime", 0)
    at = asked.floor.now + wait if wait else None
    asked.floor.apply(DeadMan(asked.floor.now, asked.account, at))
    return {"symbol": asked.given["symbol"], "countdownTime": str(wait)}


def _found(asked: Asked) -> Order | None:
    """By Binance's id, or by the client's: the last that bore it."""
    if asked.given.get("orderId"):
        own = asked.floor.exchange.order(int(asked.given["orderId"]))
        return own if own is not None and own.account == asked.account else None
    mine = asked.floor.exchange.by_client_id(asked.account, asked.given["origClientOrderId"])
    return mine[-1] if mine else None


def _lookup(asked: Asked) -> Any:
    own = _found(asked)
    if own is None:
        raise Wrong(-2013, "Order does not exist.")
    return _told(asked, own.order_id)


def _resting(asked: Asked) -> Any:
    names = asked.listings.by_name if "symbol" not in asked.given else {asked.listed().name}
    return [_told(asked, e.order_id) for e in asked.floor.exchange.open_orders(asked.account) if e.instrument in names]


def _forced(asked: Asked) -> Any:
    """Orders that Binance made to liquidate or to deleverage, an order for each of their fills."""
    found = asked.floor.exchange.fills(asked.account, asked.number("startTime", 0))
    forced = [each for each in found if each.liquidation or each.deleveraged]
    return [{**_told(asked, each.order_id), "clientOrderId": spelt.client(each)} for each in forced]


def _fills(asked: Asked) -> Any:
    """The oldest of those asked for."""
    listed, until = asked.listed(), asked.number("endTime", 2**63)
    found = asked.floor.exchange.fills(asked.account, asked.number("startTime", 0))
    mine = [each for each in found if each.instrument == listed.name and each.time <= until]
    return [spelt.filled(each, listed) for each in mine[: min(asked.number("limit", 500), FILLED)]]


def _positions(asked: Asked) -> Any:
    names = asked.listings.by_name
    held = asked.floor.exchange.account(asked.account).positions
    return [spelt.position(e, names[e.instrument], asked.floor.shown) for e in held if e.instrument in names]


def _account(asked: Asked) -> Any:
    return spelt.account(asked.floor.exchange.account(asked.account), asked.listings.by_name, asked.floor.shown)


def _income(asked: Asked) -> Any:
    names, found = asked.listings.by_name, asked.floor.exchange.payments(asked.account, asked.number("startTime", 0))
    mine = [each for each in found if isinstance(each, Funded) and each.instrument in names]
    told = [spelt.income(each, names[each.instrument]) for each in mine]
    own = [each for each in told if each["symbol"] == asked.given.get("symbol", each["symbol"])]
    return own[: min(asked.number("limit", 100), PAID)]


def _rights(asked: Asked) -> Any:
    assert asked.key is not None, "a private path"
    allowed = asked.key.permissions
    said = {"enableReading": "read", "enableFutures": "trade", "enableWithdrawals": "withdraw"}
    return {"ipRestrict": True, **{name: right in allowed for name, right in said.items()}}


def _brackets(asked: Asked) -> Any:
    return [spelt.bracket(each, asked.floor.exchange.rules) for each in asked.listings.by_name.values()]


PUBLIC: Mapping[str, Answer] = {
    "v1/ping": lambda asked: {},
    "v1/time": lambda asked: {"serverTime": asked.floor.shown},
    "v1/exchangeInfo": _information,
    "v1/depth": _depth,
    "v1/premiumIndex": _premium,
    "v1/fundingInfo": _intervals,
    "v1/fundingRate": _rates,
    "v1/klines": _candles,
    "v1/ticker/24hr": _ticker,
}
PRIVATE: Mapping[tuple[str, str], Answer] = {
    ("POST", "v1/order"): _place,
    ("DELETE", "v1/order"): _cancel,
    ("GET", "v1/order"): _lookup,
    ("DELETE", "v1/allOpenOrders"): _cancel_all,
    ("POST", "v1/countdownCancelAll"): _dead_man,
    ("GET", "v1/openOrders"): _resting,
    ("GET", "v1/forceOrders"): _forced,
    ("GET", "v1/userTrades"): _fills,
    ("GET", "v1/leverageBracket"): _brackets,
    ("GET", "v1/income"): _income,
    ("GET", "v3/positionRisk"): _positions,
    ("GET", "v3/account"): _account,
    ("GET", "v1/positionSide/dual"): lambda asked: {"dualSidePosition": False},
    ("GET", "v1/multiAssetsMargin"): lambda asked: {"multiAssetsMargin": False},
    ("GET", "v1/feeBurn"): lambda asked: {"feeBurn": False},
    ("GET", "v1/account/apiRestrictions"): _rights,
}

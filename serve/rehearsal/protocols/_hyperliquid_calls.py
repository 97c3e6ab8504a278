"""What Hyperliquid answers to each kind of question (/info) and of action (/exchange)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from serve.rehearsal.protocols import Floor, Key
from serve.rehearsal.protocols import _hyperliquid as spelt
from serve.rehearsal.protocols._shared import Listings, outcome, text
from serve.rehearsal.types import Cancel, DeadMan, Funded, Instrument, Order, Place, Refusal, Refused, TimeInForce

SOONEST = 5_000  # milliseconds ahead that a cancel may be scheduled
MOST, BLOCKS = 2_000, 500  # fills in a reply, and rows of anything else in a span of time
BARS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000}
SAID: dict[Refusal, str] = {
    "no_instrument": "Asset is not listed.",
    "lot": "Order has invalid size.",
    "tick": "Price must be divisible by tick size.",
    "price_band": "Order price cannot be more than 80% away from the reference price",
    "post_only": "Post only order would have immediately matched, bbo was",
    "reduce_only": "Reduce only order would increase position.",
    "unfillable": "Order could not immediately match against any resting orders.",
    "no_funds": "Insufficient margin to place order.",
    "duplicate_id": "Duplicate cloid.",
    "cap": "Order would exceed the open interest cap.",
    "not_found": "Order was never placed, already canceled, or filled.",
    "maintenance": "Trading is halted.",
    "past": "Order has expired.",
}
TERMS: Mapping[str, tuple[TimeInForce, bool]] = {"Gtc": ("gtc", False), "Alo": ("gtc", True), "Ioc": ("ioc", False)}


class Wrong(Exception):
    """An action that did nothing, in words."""


@dataclass
class Asked:
    """A question, or an action that `account` has signed."""

    floor: Floor
    listings: Listings
    given: Mapping[str, Any]
    account: str = ""
    wallet: str = ""
    sent: int = 0  # the nonce: milliseconds on the sender's wall

    def coin(self) -> Instrument:
        """Raises KeyError for one that is not listed."""
        return self.listings.by_wire[str(self.given["coin"])]

    def asset(self, number: int) -> Instrument:
        found = list(self.listings.by_name.values())
        if not 0 <= number < len(found):
            raise Wrong(SAID["no_instrument"])
        return found[number]

    def number(self, name: str, otherwise: int) -> int:
        return int(self.given.get(name, otherwise))


Answer = Callable[[Asked], Any]


def _markets(asked: Asked) -> Any:
    listed = asked.listings.by_name.values()
    contexts = [spelt.context(asked.floor.exchange.ticker(each.name)) for each in listed]
    return [{"universe": [spelt.universe(each) for each in listed], "marginTables": []}, contexts]


def _coins(asked: Asked) -> Any:
    return {"tokens": [{"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0}], "universe": []}


def _book(asked: Asked) -> Any:
    listed = asked.coin()
    return spelt.book(asked.floor.exchange.book(listed.name, spelt.DEPTH), listed, asked.floor.shown)


def _candles(asked: Asked) -> Any:
    wanted = asked.given["req"]
    listed, length = asked.listings.by_wire[wanted["coin"]], BARS[wanted["interval"]]
    found = asked.floor.candles(listed.name, int(wanted["startTime"]), length)
    return [spelt.candle(e, listed, wanted["interval"], length) for e in found if e.time <= int(wanted["endTime"])]


def _rates(asked: Asked) -> Any:
    listed = asked.coin()
    found = asked.floor.exchange.funding_history(listed.name, asked.number("startTime", 0))
    return [spelt.rate(each, listed) for each in found[:BLOCKS]]


def _state(asked: Asked) -> Any:
    return spelt.account(asked.floor.exchange.account(asked.account), asked.listings.by_name, asked.floor.shown)


def _mine(asked: Asked, orders: tuple[Order, ...]) -> list[tuple[Order, Instrument]]:
    names = asked.listings.by_name
    return [(each, names[each.instrument]) for each in orders if each.instrument in names]


def _resting(asked: Asked) -> Any:
    return [spelt.order(own, listed) for own, listed in _mine(asked, asked.floor.exchange.open_orders(asked.account))]


def _lookup(asked: Asked) -> Any:
    own = _found(asked, asked.given["oid"])
    if own is None or own.instrument not in asked.listings.by_name:
        return {"status": "unknownOid"}
    return {"status": "order", "order": spelt.standing(own, asked.listings.by_name[own.instrument])}


def _found(asked: Asked, number: Any) -> Order | None:
    """By Hyperliquid's id, or by the client's: the last that bore it."""
    if isinstance(number, str) and number.startswith("0x"):
        mine = asked.floor.exchange.by_client_id(asked.account, number)
        return mine[-1] if mine else None
    own = asked.floor.exchange.order(int(number))
    return own if own is not None and own.account == asked.account else None


def _fills(asked: Asked) -> Any:
    """The last ones; from `startTime` on, the first of those."""
    names, until = asked.listings.by_name, asked.number("endTime", 2**63)
    found = [e for e in asked.floor.exchange.fills(asked.account, asked.number("startTime", 0)) if e.time <= until]
    mine = [each for each in found if each.instrument in names]
    page = mine[:MOST] if "startTime" in asked.given else mine[-MOST:]
    return [spelt.filled(each, names[each.instrument], asked.wallet) for each in page]


def _payments(asked: Asked) -> Any:
    names = asked.listings.by_name
    found = asked.floor.exchange.payments(asked.account, asked.number("startTime", 0))
    mine = [each for each in found if isinstance(each, Funded) and each.instrument in names]
    return [spelt.funding(each, names[each.instrument]) for each in mine[:BLOCKS]]


INFO: Mapping[str, Answer] = {
    "exchangeStatus": lambda asked: {"specialStatuses": None, "time": asked.floor.shown},
    "metaAndAssetCtxs": _markets,
    "spotMeta": _coins,
    "l2Book": _book,
    "candleSnapshot": _candles,
    "fundingHistory": _rates,
    "clearinghouseState": _state,
    "frontendOpenOrders": _resting,
    "orderStatus": _lookup,
    "userFills": _fills,
    "userFillsByTime": _fills,
    "userFunding": _payments,
    "userAbstraction": lambda asked: "disabled",
}


def _place(asked: Asked) -> Any:
    return {"type": "order", "data": {"statuses": [_placed(asked, each) for each in asked.given["orders"]]}}


def _placed(asked: Asked, given: Mapping[str, Any]) -> dict[str, Any]:
    happened = outcome(asked.floor.apply(_order(asked, given)))
    if isinstance(happened, Refused):
        return {"error": f"{SAID[happened.code]} asset={given['a']}"}
    own = asked.floor.exchange.order(happened.order.order_id)
    assert own is not None, "an order that was just placed"
    told: dict[str, Any] = {"oid": own.order_id, **({"cloid": own.client_id} if own.client_id else {})}
    if own.filled:
        return {"filled": {**told, "totalSz": text(own.filled), "avgPx": text(own.average_price)}}
    return {"resting": told} if own.status == "open" else {"error": f"{SAID['unfillable']} asset={given['a']}"}


def _order(asked: Asked, given: Mapping[str, Any]) -> Place:
    tif, post_only = TERMS[given["t"]["limit"]["tif"]]
    size = Decimal(given["s"])
    return Place(
        asked.floor.now,
        asked.account,
        str(given.get("c", "")),
        asked.asset(int(given["a"])).name,
        size if given["b"] else -size,
        Decimal(given["p"]),
        tif,
        post_only,
        reduce_only=bool(given["r"]),
    )


def _cancel(asked: Asked) -> Any:
    wanted = [each.get("o", each.get("cloid")) for each in asked.given["cancels"]]
    return {"type": "cancel", "data": {"statuses": [_cancelled(asked, each) for each in wanted]}}


def _cancelled(asked: Asked, number: Any) -> Any:
    own = _found(asked, number)
    happened = asked.floor.apply(Cancel(asked.floor.now, asked.account, own.order_id if own else 0))
    refused = next((each for each in happened if isinstance(each, Refused)), None)
    return "success" if refused is None else {"error": f"{SAID[refused.code]} asset=0"}


def _dead_man(asked: Asked) -> Any:
    """Its time is on the sender's wall. What must have been traded before it is set (1 M$) is not asked for here."""
    at = None
    if "time" in asked.given:
        ahead = int(asked.given["time"]) - asked.sent
        if ahead < SOONEST:
            raise Wrong("Scheduled cancel time too early, must be at least 5 seconds from now.")
        at = asked.floor.now + ahead
    asked.floor.apply(DeadMan(asked.floor.now, asked.account, at))
    return {"type": "default"}


ACTIONS: Mapping[str, Answer] = {
    "order": _place,
    "cancel": _cancel,
    "cancelByCloid": _cancel,
    "scheduleCancel": _dead_man,
}


def role(keys: Mapping[str, Key], address: str) -> dict[str, Any]:
    """Of an address: an account's own, or one that was let trade for it. `keys`: by the address that they sign as."""
    key = keys.get(address.lower())
    if key is None or "trade" not in key.permissions:
        return {"role": "missing"}
    if "withdraw" in key.permissions:
        return {"role": "user"}
    return {"role": "agent", "data": {"user": key.wallet}}

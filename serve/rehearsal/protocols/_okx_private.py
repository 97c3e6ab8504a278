"""What OKX does for an account, and what it tells of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from serve.rehearsal.protocols import _okx as spelt
from serve.rehearsal.protocols._okx_calls import PAGE, Answer, Asked, Wrong
from serve.rehearsal.protocols._shared import outcome
from serve.rehearsal.types import Cancel, DeadMan, Instrument, Order, Place, Refusal, Refused, TimeInForce

DEAD_MAN = range(10, 121)  # seconds; 0 switches it off
CODES: dict[Refusal, str] = {
    "no_instrument": "51001",
    "lot": "51121",
    "tick": "51000",
    "price_band": "51006",
    "post_only": "51511",
    "reduce_only": "51169",  # which ccxt does not know: to it this is no definite rejection
    "unfillable": "51109",
    "no_funds": "51008",
    "duplicate_id": "51016",
    "cap": "51107",
    "not_found": "51400",
    "maintenance": "50001",
    "past": "51000",
}
TERMS: Mapping[str, tuple[TimeInForce, bool]] = {  # and whether it is post-only
    "limit": ("gtc", False),
    "post_only": ("gtc", True),
    "ioc": ("ioc", False),
    "fok": ("fok", False),
    "market": ("ioc", False),
    "optimal_limit_ioc": ("ioc", False),
}


def _currencies(asked: Asked) -> list[Any]:
    found = sorted({code for each in asked.floor.exchange.rules.instruments for code in (each.base, each.settle)})
    return [
        {"ccy": code, "name": code, "chain": f"{code}-Rehearsal", "canDep": False, "canWd": False} for code in found
    ]


def _config(asked: Asked) -> list[Any]:
    assert asked.key is not None, "a private path"
    said = {"read": "read_only", "trade": "trade", "withdraw": "withdraw"}
    allowed = ",".join(said[each] for each in sorted(asked.key.permissions & said.keys()))
    return [{"uid": asked.account, "acctLv": "3", "posMode": "net_mode", "perm": allowed, "greeksType": "BS"}]


def _balance(asked: Asked) -> list[Any]:
    return [spelt.account(asked.floor.exchange.account(asked.account), asked.listings.by_name, asked.floor.shown)]


def _positions(asked: Asked) -> list[Any]:
    held = asked.floor.exchange.account(asked.account).positions
    return [spelt.position(each, asked.listings.by_name[each.instrument], asked.floor.shown) for each in held]


def _bills(asked: Asked) -> list[Any]:
    """Newest first, a page of those before the bill `after`."""
    since, after = asked.number("begin", 0), asked.number("after", 2**63)
    found = enumerate(asked.floor.exchange.payments(asked.account, 0))
    told = [spelt.bill(n, each, asked.listings.by_name[each.instrument]) for n, each in found if each.time >= since]
    wanted = {name: asked.get(name) for name in ("type", "instType") if asked.get(name)}
    mine = [each for each in reversed(told) if all(each[name] == value for name, value in wanted.items())]
    return [each for each in mine if int(each["billId"]) < after][: min(asked.number("limit", PAGE), PAGE)]


def _place(asked: Asked) -> list[Any]:
    return _all_well([_placed(asked, each) for each in asked.given])


def _placed(asked: Asked, given: Mapping[str, Any]) -> dict[str, Any]:
    listed, client = asked.listed(given["instId"]), str(given.get("clOrdId", ""))
    if len(client) > 32 or not (client + "0").isalnum():
        return _line(client, "51000", "Parameter clOrdId error")
    if client and asked.floor.exchange.by_client_id(asked.account, client):
        return _line(client, "51016", "Duplicated client order ID")
    if given["tdMode"] != ("cash" if listed.kind == "spot" else "cross"):
        return _line(client, "51000", "Parameter tdMode error")
    happened = outcome(asked.floor.apply(_order(asked, given, listed)))
    if isinstance(happened, Refused):
        return _line(client, CODES[happened.code], happened.reason)
    return _line(client, "0", "Order placed", str(happened.order.order_id))


def _order(asked: Asked, given: Mapping[str, Any], listed: Instrument) -> Place:
    size = spelt.units(listed, Decimal(given["sz"]))
    tif, post_only = TERMS[given["ordType"]]
    return Place(
        asked.floor.now,
        asked.account,
        str(given.get("clOrdId", "")),
        listed.name,
        size if given["side"] == "buy" else -size,
        Decimal(given["px"]) if given.get("px") and given["ordType"] != "market" else None,
        tif,
        post_only,
        reduce_only=str(given.get("reduceOnly", "false")).lower() == "true",
    )


def _line(client: str, code: str, said: str, order: str = "") -> dict[str, Any]:
    return {"clOrdId": client, "ordId": order, "tag": "", "sCode": code, "sMsg": said}


def _all_well(lines: list[dict[str, Any]]) -> list[Any]:
    """Raises Wrong where a line went wrong: code 1 where all did, else 2."""
    bad = [each for each in lines if each["sCode"] != "0"]
    if bad:
        raise Wrong(
            "1" if len(bad) == len(lines) else "2", "All operations failed" if len(bad) == len(lines) else "", lines
        )
    return lines


def _cancel(asked: Asked) -> list[Any]:
    return _all_well([_cancelled(asked, each) for each in _each(asked.given)])


def _each(given: Any) -> Iterable[Any]:
    return given if isinstance(given, list) else [given]


def _cancelled(asked: Asked, given: Mapping[str, Any]) -> dict[str, Any]:
    own = _found(asked, given)
    client, number = str(given.get("clOrdId", "")), str(given.get("ordId", ""))
    if own is None or own.status != "open":
        code = "51400" if own is None else "51401" if own.status == "cancelled" else "51402"
        return _line(
            client, code, "Cancellation failed as the order has been filled, canceled or does not exist", number
        )
    happened = asked.floor.apply(Cancel(asked.floor.now, asked.account, own.order_id))
    refused = [each for each in happened if isinstance(each, Refused)]
    if refused:
        return _line(client, CODES[refused[0].code], refused[0].reason, number)
    return _line(own.client_id, "0", "", str(own.order_id))


def _found(asked: Asked, given: Mapping[str, Any]) -> Order | None:
    """By OKX's id, or by the client's."""
    if given.get("ordId"):
        own = asked.floor.exchange.order(int(given["ordId"]))
        return own if own is not None and own.account == asked.account else None
    own_ones = asked.floor.exchange.by_client_id(asked.account, str(given["clOrdId"]))
    return own_ones[-1] if own_ones else None


def _lookup(asked: Asked) -> list[Any]:
    own = _found(asked, asked.given)
    if own is None:
        raise Wrong("51603", "Order does not exist")
    return _orders(asked, [own])


def _orders(asked: Asked, found: Iterable[Order]) -> list[Any]:
    return [spelt.order(each, asked.listings.by_name[each.instrument]) for each in found]


def _pending(asked: Asked) -> list[Any]:
    """Newest first, a page of those before the order `after`."""
    after = asked.number("after", 2**63)
    mine = [each for each in asked.floor.exchange.open_orders(asked.account) if each.order_id < after]
    newest = sorted(_wanted(asked, mine), key=lambda each: -each.order_id)
    return _orders(asked, newest[: asked.number("limit", PAGE)])


def _ended(asked: Asked) -> list[Any]:
    mine = asked.floor.exchange.orders(asked.account, asked.number("begin", 0))
    newest = sorted((e for e in _wanted(asked, mine) if e.status != "open"), key=lambda each: -each.order_id)
    return _orders(asked, newest[: asked.number("limit", PAGE)])


def _wanted(asked: Asked, orders: Iterable[Order]) -> list[Order]:
    wire = asked.get("instId")
    return [each for each in orders if wire in ("", asked.listings.wire[each.instrument])]


def _fills(asked: Asked) -> list[Any]:
    """Newest first, a page of those before the bill `after`."""
    wire, after = asked.get("instId"), asked.number("after", 2**63)
    found = asked.floor.exchange.fills(asked.account, asked.number("begin", 0))
    mine = [e for e in found if e.fill_id < after and wire in ("", asked.listings.wire[e.instrument])]
    page = mine[-asked.number("limit", PAGE) :]
    return [spelt.filled(each, asked.listings.by_name[each.instrument]) for each in reversed(page)]


def _dead_man(asked: Asked) -> list[Any]:
    seconds = int(asked.get("timeOut"))
    if seconds and seconds not in DEAD_MAN:
        raise Wrong("51000", "Parameter timeOut error")
    at = asked.floor.now + 1000 * seconds if seconds else None
    asked.floor.apply(DeadMan(asked.floor.now, asked.account, at))
    return [{"triggerTime": str(at or 0), "tag": "", "ts": str(asked.floor.shown)}]


PRIVATE: Mapping[tuple[str, str], Answer] = {
    ("GET", "asset/currencies"): _currencies,
    ("GET", "account/config"): _config,
    ("GET", "account/balance"): _balance,
    ("GET", "account/positions"): _positions,
    ("GET", "account/bills-archive"): _bills,
    ("POST", "trade/batch-orders"): _place,
    ("POST", "trade/cancel-order"): _cancel,
    ("POST", "trade/cancel-batch-orders"): _cancel,
    ("POST", "trade/cancel-all-after"): _dead_man,
    ("GET", "trade/order"): _lookup,
    ("GET", "trade/orders-pending"): _pending,
    ("GET", "trade/orders-history"): _ended,
    ("GET", "trade/fills-history"): _fills,
}

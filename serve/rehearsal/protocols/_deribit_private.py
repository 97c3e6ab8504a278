"""Deribit's private methods: orders, trades, positions and what the account is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from serve.rehearsal.protocols import _deribit as spelt
from serve.rehearsal.protocols._deribit_calls import LOGGED, REFUSED, Call, Fault
from serve.rehearsal.protocols._deribit_margin import portfolios
from serve.rehearsal.types import (
    Accepted,
    Cancel,
    CancelAll,
    Command,
    Fill,
    Gone,
    Happening,
    Order,
    Place,
    Refused,
    Traded,
)

TRADES, ENDED = 86_400_000, 1_800_000  # milliseconds for which fills and ended orders are kept; then in an archive


def _refused(happenings: Iterable[Happening]) -> None:
    """Raises Fault where the exchange refused."""
    for each in happenings:
        if isinstance(each, Refused):
            code, message = REFUSED[each.code]
            raise Fault(code, f"{message} {each.reason}")


def _order(call: Call, own: Order) -> dict[str, Any]:
    return spelt.order(own, _spelt(call, own.instrument))


def _trade(call: Call, fill: Fill) -> dict[str, Any]:
    return spelt.trade(fill, _spelt(call, fill.instrument))


def _spelt(call: Call, name: str) -> str:
    return spelt.name(call.floor.exchange.instrument(name))


def _placed(sign: int) -> Callable[[Call], Any]:
    def place(call: Call) -> Any:
        listed, limit = call.instrument, call.params.get("type", "limit") != "market"
        force = spelt.FORCES.get(str(call.params.get("time_in_force", "good_til_cancelled")))
        if force is None:
            raise Fault(-32602, "Invalid params: time_in_force")
        if call.time("valid_until", call.floor.now) < call.floor.now:
            raise Fault(13888, "timed_out")
        happenings = call.floor.apply(
            Place(
                time=call.floor.now,
                account=call.account,
                client_id=str(call.params.get("label", "")),
                instrument=listed.name,
                units=sign * call.number("amount"),
                price=call.number("price") if limit else None,
                tif=force if limit or force != "gtc" else "ioc",
                post_only=call.flag("post_only"),
                reduce_only=call.flag("reduce_only"),
                connection=call.connection,
            )
        )
        _refused(happenings)
        number = next(each.order.order_id for each in happenings if isinstance(each, Accepted))
        own = call.floor.exchange.order(number)
        assert own is not None, "it was accepted"
        fills = (each.fill for each in happenings if isinstance(each, Traded) and each.fill.account == call.account)
        return {"order": _order(call, own), "trades": [_trade(call, fill) for fill in fills]}

    return place


def _own(call: Call) -> Order:
    """The order named by `order_id`."""
    number = call.text("order_id").removeprefix("USDC-")
    own = call.floor.exchange.order(int(number)) if number.isdigit() else None
    if own is None or own.account != call.account or not _remembered(call, own):
        raise Fault(10004, "order_not_found")
    return own


def _cancel(call: Call) -> Any:
    own = _own(call)
    _refused(call.floor.apply(Cancel(call.floor.now, call.account, own.order_id)))
    return _order(call, call.floor.exchange.order(own.order_id) or own)


def _cancelled(call: Call, commands: Iterable[Command]) -> int:
    """How many orders went."""
    return sum(isinstance(each, Gone) for command in commands for each in call.floor.apply(command))


def _cancel_all(call: Call) -> Any:
    return _cancelled(call, [CancelAll(call.floor.now, call.account)])


def _cancel_all_by_instrument(call: Call) -> Any:
    return _cancelled(call, [CancelAll(call.floor.now, call.account, call.instrument.name)])


def _cancel_by_label(call: Call) -> Any:
    label, working = call.text("label"), call.floor.exchange.open_orders(call.account)
    labelled = [each.order_id for each in working if each.client_id == label]
    return _cancelled(call, [Cancel(call.floor.now, call.account, number) for number in labelled])


def _working(call: Call) -> Any:
    return _filtered(call, call.floor.exchange.open_orders(call.account))


def _history(call: Call) -> Any:
    """Of orders that have ended, the latest first."""
    orders = reversed(call.floor.exchange.orders(call.account, 0))
    return _filtered(call, [each for each in orders if each.status != "open" and _remembered(call, each)])[
        : call.count(20)
    ]


def _filtered(call: Call, orders: Iterable[Order]) -> list[Any]:
    label = call.params.get("label")
    return [_order(call, each) for each in orders if label in (None, each.client_id) and call.covers(each.instrument)]


def _labelled(call: Call) -> Any:
    labelled = call.floor.exchange.by_client_id(call.account, call.text("label"))
    return [_order(call, each) for each in labelled if _remembered(call, each)]


def _remembered(call: Call, own: Order) -> bool:
    return own.status == "open" or own.updated >= call.floor.now - ENDED


def _trades(call: Call) -> Any:
    """The latest, the latest first."""
    return _page(call, _kept(call, 0, call.floor.now)[::-1])


def _trades_of_span(call: Call) -> Any:
    """The first of the span come first, unless it is asked for otherwise."""
    told = _kept(call, *call.span)
    return _page(call, told[::-1] if call.params.get("sorting") == "desc" else told)


def _kept(call: Call, since: int, until: int) -> list[Any]:
    """Those of the last day, or, asked for as historical, those before it."""
    archived = call.floor.now - TRADES
    fills = [each for each in call.floor.exchange.fills(call.account, since) if each.time <= until]
    wanted = [each for each in fills if (each.time < archived) == call.flag("historical")]
    return [_trade(call, each) for each in wanted if call.covers(each.instrument)]


def _page(call: Call, told: list[Any]) -> Any:
    count = call.count(10)
    return {"trades": told[:count], "has_more": len(told) > count}


def _trades_of_order(call: Call) -> Any:
    own = _own(call)
    return [_trade(call, each) for each in call.floor.exchange.fills(call.account, 0) if each.order_id == own.order_id]


def _positions(call: Call) -> Any:
    exchange = call.floor.exchange
    held = [each for each in exchange.account(call.account).positions if call.covers(each.instrument)]
    return [
        spelt.position(each, exchange.instrument(each.instrument), exchange.ticker(each.instrument)) for each in held
    ]


def _position(call: Call) -> Any:
    listed, held = call.instrument, _positions(call)
    return held[0] if held else {"instrument_name": spelt.name(listed), "size": 0.0, "direction": "zero"}


def _summaries(call: Call) -> Any:
    return {"username": call.account, "summaries": portfolios(call.floor.exchange, call.account)}


def _summary(call: Call) -> Any:
    for line in _summaries(call)["summaries"]:
        if line["currency"] == call.text("currency"):
            return line
    raise Fault(-32602, "Invalid params: currency")


def _log(call: Call) -> Any:
    """Funding and expiries, the latest first; `continuation` is the number of the next line."""
    exchange, (first, last) = call.floor.exchange, call.span
    paid = list(enumerate(exchange.payments(call.account, 0)))[: call.time("continuation", 1 << 62)]
    wanted = [(number, each) for number, each in reversed(paid) if first <= each.time <= last]
    page, count = [], call.count(100, most=LOGGED)
    for number, each in wanted[:count]:
        page.append(spelt.log(number, each, _spelt(call, each.instrument), exchange.rules.currency))
    return {"logs": page, "continuation": page[-1]["id"] if len(wanted) > count else None}


METHODS: dict[str, Callable[[Call], Any]] = {
    "private/buy": _placed(1),
    "private/sell": _placed(-1),
    "private/cancel": _cancel,
    "private/cancel_all": _cancel_all,
    "private/cancel_all_by_instrument": _cancel_all_by_instrument,
    "private/cancel_by_label": _cancel_by_label,
    "private/get_open_orders": _working,
    "private/get_open_orders_by_currency": _working,
    "private/get_open_orders_by_instrument": _working,
    "private/get_open_orders_by_label": _working,
    "private/get_order_history_by_currency": _history,
    "private/get_order_history_by_instrument": _history,
    "private/get_order_state": lambda call: _order(call, _own(call)),
    "private/get_order_state_by_label": _labelled,
    "private/get_user_trades_by_currency": _trades,
    "private/get_user_trades_by_currency_and_time": _trades_of_span,
    "private/get_user_trades_by_instrument": _trades,
    "private/get_user_trades_by_instrument_and_time": _trades_of_span,
    "private/get_user_trades_by_order": _trades_of_order,
    "private/get_positions": _positions,
    "private/get_position": _position,
    "private/get_account_summary": _summary,
    "private/get_account_summaries": _summaries,
    "private/get_transaction_log": _log,
}
TRADING = {name for name in METHODS if "get_" not in name}

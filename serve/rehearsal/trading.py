"""Orders: taken in or refused, traded, ended."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from heapq import heappop, heappush

from serve.rehearsal.accounts import EXCHANGE, INSURANCE, rounded
from serve.rehearsal.margin import reserved, spot_needs, standing
from serve.rehearsal.state import State, outside
from serve.rehearsal.types import (
    ZERO,
    Accepted,
    Cancel,
    CancelAll,
    Ending,
    Fill,
    Gone,
    Instrument,
    Order,
    Place,
    Printed,
    Refusal,
    Refused,
    Status,
    Traded,
)

OPTION_FEE_CAP = Decimal("0.125")  # of an option's price
LIQUIDATION_FEE = Decimal("0.002")  # of the notional, to the insurance fund
STATUS: dict[Ending, Status] = {"expired": "expired", "settled": "expired"}  # every other ending is a cancellation
SAID: dict[Refusal, str] = {
    "no_instrument": "no such instrument, or it has expired",
    "lot": "the size is no positive multiple of the lot",
    "tick": "the price is no positive multiple of the tick",
    "price_band": "the price is outside the band",
    "post_only": "the order would trade at once",
    "reduce_only": "there is no position to reduce",
    "unfillable": "the book cannot fill it whole",
    "no_funds": "not enough margin or balance",
    "duplicate_id": "the account has used this client id",
    "cap": "the position is at its cap",
    "not_found": "no such open order",
    "maintenance": "the exchange is under maintenance",
    "past": "it expires before it begins",
}


def place(state: State, asked: Place) -> None:
    refusal = _malformed(state, asked)
    order = _order(state, asked) if refusal is None else None
    refusal = _forbidden(state, order) if order is not None else refusal
    if refusal is not None:
        refuse(state, asked.account, asked.client_id, refusal)
    elif order is not None:
        enter(state, order)


def enter(state: State, order: Order, liquidation: bool = False) -> None:
    """An order that the rules allow: trades what it can, and rests or ends."""
    order.order_id = state.number()
    if outside(order.account):
        state.orders[order.order_id] = order
        state.by_client_id[order.account, order.client_id].append(order.order_id)
        state.tell(Accepted(state.now, copy(order)))
    book = state.books[order.instrument]

    def trade(taker: Order, maker: Order, size: Decimal) -> None:
        settle_trade(state, taker, maker, size, liquidation)

    def gone(resting: Order, why: Ending) -> None:
        end(state, resting, why)

    why = book.match(order, lambda one, shift: room(state, one, shift), trade, gone)
    if order.left and (why is not None or order.tif != "gtc"):
        _ended(state, order, why or "unfilled")
    elif order.left:
        book.side(order.units).add(order)
        state.working[order.account][order.order_id] = order
        if order.expires_at is not None:
            heappush(state.expiring, (order.expires_at, order.order_id))


def cancel(state: State, asked: Cancel) -> None:
    order = state.working[asked.account].get(asked.order_id)
    if state.maintenance:
        refuse(state, asked.account, "", "maintenance")
    elif order is None:
        refuse(state, asked.account, "", "not_found")
    else:
        end(state, order, "cancelled")


def cancel_all(state: State, asked: CancelAll) -> None:
    for order in list(state.working[asked.account].values()):
        if asked.instrument in (None, order.instrument) and asked.connection in ("", order.connection):
            end(state, order, "deadman" if asked.connection else "cancelled")


def end(state: State, order: Order, why: Ending) -> None:
    """Takes a resting order off the book."""
    state.books[order.instrument].side(order.units).remove(order)
    del state.working[order.account][order.order_id]
    _ended(state, order, why)


def expire(state: State) -> None:
    """Orders whose time has come, and those of the accounts that were to be heard of by now."""
    while state.expiring and state.expiring[0][0] <= state.now:
        order = state.orders[heappop(state.expiring)[1]]
        if order.status == "open":
            end(state, order, "expired")
    for account in sorted(name for name, at in state.dead_men.items() if at <= state.now):
        del state.dead_men[account]
        for order in list(state.working[account].values()):
            end(state, order, "deadman")


def refuse(state: State, account: str, client_id: str, code: Refusal) -> None:
    state.tell(Refused(state.now, account, client_id, code, SAID[code]))


def room(state: State, order: Order, shift: Decimal) -> tuple[Decimal, Ending]:
    """How much more an order may fill once its account has traded `shift` more; what it ends as where that is 0."""
    if not outside(order.account):
        return order.left, "cancelled"
    instrument = state.instruments[order.instrument]
    held = state.units(order.account, order.instrument) + shift
    ahead = held if order.units > 0 else -held  # along the order
    if order.reduce_only and ahead >= 0:
        return ZERO, "reduce_only"
    most = -ahead if order.reduce_only else max(instrument.position_cap - ahead, ZERO)
    return min(order.left, most), "cap"


def bands(state: State, instrument: Instrument) -> tuple[Decimal, Decimal]:
    """The least that a sell may ask and the most that a buy may bid."""
    mark, wide = state.marks[instrument.name].price, state.rules.band * state.indices[instrument.base].price
    lowest = on_tick(mark - wide, instrument.tick, up=True)
    return max(lowest, instrument.tick), max(on_tick(mark + wide, instrument.tick, up=False), instrument.tick)


def on_tick(price: Decimal, tick: Decimal, up: bool) -> Decimal:
    return (price / tick).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR) * tick


def fee(state: State, instrument: Instrument, size: Decimal, price: Decimal, maker: bool) -> Decimal:
    """Of a trade; an option's is counted on its underlying and is never more than an eighth of its price."""
    rate = instrument.maker_fee if maker else instrument.taker_fee
    if instrument.kind != "option":
        return rounded(rate * size * price)
    return rounded(min(rate * state.indices[instrument.base].price, OPTION_FEE_CAP * price) * size)


def settle_trade(
    state: State, taker: Order, maker: Order, size: Decimal, liquidation: bool = False, charged: bool = True
) -> None:
    """Books a trade at the maker's price on both sides.

    `liquidation`: the taker is being liquidated. Not `charged`: outside the book, against a winner.
    """
    trade_id, price = state.number(), maker.price
    printed = Printed(state.now, trade_id, taker.instrument, price, size, taker.units > 0, liquidation)
    for order in (maker, taker):
        forced = liquidation and order is taker
        fees = _fees(state, order, size, price, order is maker, forced) if charged else ZERO
        deleveraged = not charged and order is maker
        _filled(state, order, size, Deal(trade_id, price, fees, order is maker, forced, deleveraged))
    if not maker.left:
        state.working[maker.account].pop(maker.order_id, None)
    state.tapes[taker.instrument].traded(printed)
    state.tell(printed)


def _fees(state: State, order: Order, size: Decimal, price: Decimal, maker: bool, liquidation: bool) -> Decimal:
    """What a side of a trade pays; the background pays nothing."""
    if not outside(order.account):
        return ZERO
    extra = rounded(LIQUIDATION_FEE * size * price) if liquidation else ZERO
    return fee(state, state.instruments[order.instrument], size, price, maker) + extra


@dataclass(frozen=True, slots=True)
class Deal:
    """What a trade is to one of its sides."""

    trade_id: int
    price: Decimal
    fee: Decimal
    maker: bool
    liquidation: bool
    deleveraged: bool


def _filled(state: State, order: Order, size: Decimal, deal: Deal) -> None:
    """One side of a trade: the order, the account and, where it is somebody's, the statement."""
    order.left -= size
    order.filled += size
    order.cost += size * deal.price
    order.fee += deal.fee
    order.updated = state.now
    if not order.left:
        order.status = "filled"
    instrument, units = state.instruments[order.instrument], size.copy_sign(order.units)
    realised = state.accounts.trade(order.account, instrument, units, deal.price)
    if not outside(order.account):
        return
    currency = instrument.quote if instrument.kind == "spot" else instrument.settle
    state.accounts.pay(order.account, INSURANCE if deal.liquidation else EXCHANGE, currency, deal.fee)
    fill = Fill(
        *(state.number(), deal.trade_id, state.now, order.account, order.order_id, order.client_id, order.instrument),
        *(units, deal.price, deal.fee, currency, deal.maker, deal.liquidation, deal.deleveraged),
        *(state.units(order.account, order.instrument), realised),
    )
    state.fills[order.account].append(fill)
    state.tell(Traded(fill, copy(order)))


def _ended(state: State, order: Order, why: Ending) -> None:
    if outside(order.account):
        order.status, order.updated = STATUS.get(why, "cancelled"), state.now
        state.tell(Gone(state.now, copy(order), why))
    order.left = ZERO


def _malformed(state: State, asked: Place) -> Refusal | None:
    """What is wrong with an order whoever sends it."""
    instrument = state.instruments.get(asked.instrument)
    if state.maintenance:
        return "maintenance"
    if instrument is None or asked.instrument not in state.books or asked.instrument not in state.marks:
        return "no_instrument"
    if instrument.expiry is not None and instrument.expiry <= state.now:
        return "no_instrument"
    if not asked.units or asked.units % instrument.lot:
        return "lot"
    if asked.price is not None and (asked.price <= 0 or asked.price % instrument.tick):
        return "tick"
    if asked.expires_at is not None and asked.expires_at <= state.now:
        return "past"
    return None


def _order(state: State, asked: Place) -> Order:
    lowest, highest = bands(state, state.instruments[asked.instrument])
    price = (highest if asked.units > 0 else lowest) if asked.price is None else asked.price
    at_market = asked.price is None
    return Order(
        *(0, asked.account, asked.client_id, asked.instrument, asked.units, price, at_market),
        "ioc" if at_market and asked.tif == "gtc" else asked.tif,
        *(asked.post_only, asked.reduce_only, asked.expires_at, state.now, state.now),
        left=abs(asked.units),
        connection=asked.connection,
    )


def _forbidden(state: State, order: Order) -> Refusal | None:
    """What the rules have against a well-formed order."""
    book = state.books[order.instrument]
    lowest, highest = bands(state, state.instruments[order.instrument])
    if state.rules.unique_ids and order.client_id and state.by_client_id.get((order.account, order.client_id)):
        return "duplicate_id"
    if order.price > highest if order.units > 0 else order.price < lowest:
        return "price_band"
    if order.post_only and book.against(order.units).crosses(order.price):
        return "post_only"
    most, ending = room(state, order, ZERO)
    if not most:
        return "reduce_only" if ending == "reduce_only" else "cap"
    if not order.reduce_only and not _affordable(state, order):
        return "no_funds"
    if order.tif == "fok" and book.fillable(order, lambda one, shift: room(state, one, shift)) < order.left:
        return "unfillable"
    return None


def _affordable(state: State, order: Order) -> bool:
    currency, needed = spot_needs(state, order)
    if needed:
        taken = reserved(state, order.account).get(currency, ZERO)
        return needed + taken <= state.accounts.balance(order.account, currency)
    before, after = standing(state, order.account), standing(state, order.account, order)
    return after.initial <= max(before.initial, before.margin_balance)

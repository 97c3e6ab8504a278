"""The rehearsal exchange's state as its users see it. Nothing here changes anything."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from math import ceil

from serve.rehearsal import margin
from serve.rehearsal.accounts import margined
from serve.rehearsal.liquidating import ranking
from serve.rehearsal.moving import funding_rate
from serve.rehearsal.pricing import Terms, greeks, implied
from serve.rehearsal.state import State
from serve.rehearsal.trading import bands
from serve.rehearsal.types import ZERO, Instrument
from serve.rehearsal.views import Account, Balance, Book, Level, Position, Ticker

PLACES = Decimal("1e-8")
FIFTHS = 5


def account(state: State, name: str) -> Account:
    now, held = margin.standing(state, name), state.accounts.holdings.get(name, {})
    collateral = sum(
        (amount * state.worth(each) for each, amount in state.accounts.balances.get(name, {}).items()), ZERO
    )
    gained = now.margin_balance - margin.collateral(state, name)
    return Account(
        name,
        collateral + gained + now.options,
        now.margin_balance,
        now.initial,
        now.maintenance,
        max(now.margin_balance - now.initial, ZERO),
        _balances(state, name),
        tuple(_position(state, name, each, now) for each in sorted(held)),
    )


def book(state: State, instrument: str, depth: int | None) -> Book:
    shown = state.books[instrument]
    return Book(state.now, instrument, shown.sequence, shown.bids.levels(depth), shown.asks.levels(depth))


def ticker(state: State, name: str) -> Ticker:
    shown, listed, mark = state.books[name], state.instruments[name], state.marks[name]
    bid, ask = next(iter(shown.bids.levels(1)), None), next(iter(shown.asks.levels(1)), None)
    index, tape, option = state.indices[listed.base], state.tapes[name], listed.kind == "option"
    open_interest = sum(
        (max(held[name].units, ZERO) for held in state.accounts.holdings.values() if name in held), ZERO
    )
    return Ticker(
        *(index.time, name, mark.price, index.price, tape.trades[-1].price if tape.trades else mark.price, bid, ask),
        *bands(state, listed),
        funding_rate(state, name) if listed.kind == "perpetual" else None,
        open_interest,
        tape.volume,
        mark.volatility if option else None,
        _implied(state, listed, bid) if option else None,
        _implied(state, listed, ask) if option else None,
        greeks(Terms.of(listed, state.now), float(index.price), mark.volatility) if option else None,
    )


def _balances(state: State, name: str) -> tuple[Balance, ...]:
    reserved = margin.reserved(state, name)
    return tuple(
        Balance(each, amount, reserved.get(each, ZERO), state.worth(each), state.haircuts.get(each, ZERO))
        for each, amount in sorted(state.accounts.balances.get(name, {}).items())
    )


def _position(state: State, name: str, instrument: str, now: margin.Standing) -> Position:
    listed, holding = state.instruments[instrument], state.accounts.holdings[name][instrument]
    mark = state.marks[instrument].price
    return Position(
        instrument,
        holding.units,
        (holding.cost / holding.units).quantize(PLACES),
        mark,
        holding.units * mark - holding.cost,
        margin.initial_of(state, listed, holding.units),
        margin.maintenance_of(state, listed, holding.units),
        _liquidation_price(state, listed, holding.units, now),
        _adl_rank(state, name, instrument, 1 if holding.units > 0 else -1),
    )


def _liquidation_price(state: State, listed: Instrument, units: Decimal, now: margin.Standing) -> Decimal | None:
    """The mark at which a perpetual or a future alone would bring the margin balance down to the maintenance margin."""
    if not margined(listed):
        return None
    mark, size = state.marks[listed.name].price, abs(units)
    spare = now.margin_balance - now.maintenance
    rate = state.rules.maintenance_rate + state.rules.tier_rate * size
    price = mark - spare / (units - rate * size)  # both sides move with the mark
    return (price / listed.tick).to_integral_value(ROUND_HALF_EVEN) * listed.tick if price > 0 else None


def _adl_rank(state: State, name: str, instrument: str, sign: int) -> int:
    order = ranking(state, instrument, sign)
    return ceil(FIFTHS * (len(order) - order.index(name)) / len(order))


def _implied(state: State, listed: Instrument, level: Level | None) -> float | None:
    if level is None:
        return None
    spot = float(state.indices[listed.base].price)
    return implied(Terms.of(listed, state.now), spot, float(level[0]))

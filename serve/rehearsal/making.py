"""The background's liquidity: makers who quote around the moving market, and those who trade with them and are gone.

Drawn from the rules' seed. Their orders are like any other in the book; only the exchange's rules do not bind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import ceil, floor

from serve.clock import YEAR
from serve.rehearsal.accounts import FLOW, MAKERS
from serve.rehearsal.pricing import Terms, greeks, price, smile
from serve.rehearsal.state import Quoted, State
from serve.rehearsal.trading import bands, end, enter
from serve.rehearsal.types import Instrument, Move, Order

RUNGS = ((1, 0.06), (2, 0.09), (4, 0.15), (8, 0.2), (20, 0.25), (60, 0.25))  # half-spreads away, share of the depth
OPTION_RUNGS = ((1.0, 0.5), (2.0, 0.5))
OPTION_DEPTH = 0.04  # of the perpetual's
POINT = 0.008  # of volatility, that an option's half-spread is worth
DRIFTED = 0.25  # of a half-spread, after which makers quote anew
KEPT = 0.75  # of their orders; with no more than that left, they quote anew
OPTION_DRIFT = 0.001  # of the index, likewise
OPTION_AGE = 900_000  # milliseconds, likewise
TRADES = {"perpetual": 2.0, "spot": 1.0, "future": 0.5, "option": 0.02}  # a minute, of those who are gone
BITE = 0.004  # of the depth, that one of them trades on average
CARRY = 0.06  # per year, of a future's premium over the index, which is gone when it expires
GAP = 120_000  # milliseconds of theirs that a step catches up on at most


def fair(instrument: Instrument, move: Move) -> tuple[float, float, float]:
    """What an instrument is worth, half its spread (both quote currency), and its volatility (0: no option)."""
    index = float(move.index)
    if instrument.kind != "option":
        worth = index * (1 + _premium(instrument, move))
        return worth, worth * move.half_spread, 0.0
    terms = Terms.of(instrument, move.time)
    volatility = smile(move.volatility, terms, index)
    worth = max(price(terms, index, volatility), float(instrument.tick))
    return worth, POINT * greeks(terms, index, volatility).vega + float(instrument.tick), volatility


def _premium(instrument: Instrument, move: Move) -> float:
    if instrument.expiry is not None:
        return CARRY * (instrument.expiry - move.time) / YEAR
    return move.premium if instrument.kind == "perpetual" else 0.0


def quote(state: State, instrument: Instrument, move: Move, worth: float, half_spread: float) -> None:
    """Takes the makers' old quotes away and rests new ones, unless the old ones will do."""
    last = state.quoted.get(instrument.name)
    if last is not None and not _drifted(last, instrument, move, worth, half_spread):
        return
    for order in last.orders if last is not None else ():
        if order.left:
            end(state, order, "cancelled")
    orders = list(_ladder(state, instrument, move, worth, half_spread))
    state.quoted[instrument.name] = Quoted(worth, half_spread, move.time, float(move.index), orders)
    for order in orders:
        enter(state, order)


def trades(state: State, instrument: Instrument, move: Move, elapsed: int) -> None:
    """Those who trade at the market, as many as come in so long a time."""
    expected, draws = TRADES[instrument.kind] * min(elapsed, GAP) / 60_000, state.chance(instrument)
    for _ in range(floor(expected + draws.random())):
        units = draws.expovariate(1.0) * BITE * _depth(instrument, move) / float(move.index)
        size = Decimal(units) // instrument.lot * instrument.lot
        sign = 1 if draws.random() < 0.5 else -1
        if size:
            take(state, FLOW, instrument, sign * size)


def take(state: State, account: str, instrument: Instrument, units: Decimal, liquidation: bool = False) -> Order:
    """An order at the market, as far as the band goes."""
    lowest, highest = bands(state, instrument)
    order = _order(state, account, instrument, units, highest if units > 0 else lowest, at_market=True)
    enter(state, order, liquidation)
    return order


def _drifted(last: Quoted, instrument: Instrument, move: Move, worth: float, half_spread: float) -> bool:
    if sum(1 for order in last.orders if order.left) <= KEPT * len(last.orders):
        return True
    if instrument.kind == "option":
        old = move.time - last.time > OPTION_AGE
        return old or abs(float(move.index) / last.index - 1) > OPTION_DRIFT
    return abs(worth - last.fair) > DRIFTED * last.half_spread or half_spread > 1.5 * last.half_spread


def _ladder(state: State, instrument: Instrument, move: Move, worth: float, half_spread: float) -> Iterator[Order]:
    """Best rungs first, one side after the other, so that what rests from before meets the best of them."""
    tick, lot, option = float(instrument.tick), float(instrument.lot), instrument.kind == "option"
    depth = _depth(instrument, move) / float(move.index) / len(MAKERS)
    for away, share in OPTION_RUNGS if option else RUNGS:
        for maker in MAKERS:
            for sign in (1, -1):
                wanted = (worth - sign * away * half_spread) / tick
                ticks = floor(wanted + 1e-9) if sign > 0 else ceil(wanted - 1e-9)
                lots = round(depth * share * (0.5 + state.chance(instrument).random()) / lot)
                if ticks > 0 and lots > 0:
                    yield _order(state, maker, instrument, sign * lots * instrument.lot, ticks * instrument.tick)


def _depth(instrument: Instrument, move: Move) -> float:
    return move.depth * OPTION_DEPTH if instrument.kind == "option" else move.depth


def _order(
    state: State, account: str, instrument: Instrument, units: Decimal, limit: Decimal, at_market: bool = False
) -> Order:
    return Order(
        *(0, account, "", instrument.name, units, limit, at_market),
        "ioc" if at_market else "gtc",
        *(False, False, None, state.now, state.now),
        left=abs(units),
    )

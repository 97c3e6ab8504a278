"""Accounts that can no longer carry what they hold: reduced step by step, taken over, or closed against the winners."""

from __future__ import annotations

from decimal import Decimal

from serve.rehearsal.accounts import EXCHANGE, INSURANCE, margined, rounded
from serve.rehearsal.making import take
from serve.rehearsal.margin import Standing, maintenance_of, standing
from serve.rehearsal.state import State, outside
from serve.rehearsal.trading import end, on_tick, settle_trade
from serve.rehearsal.types import ZERO, Deleveraged, Instrument, Liquidated, Order

STEP = Decimal("0.25")  # of a position, that is sold at a time
COVER = Decimal("0.02")  # of a position's value, that the fund must have left to take it over


def check(state: State) -> None:
    """Every account, after a move of the market."""
    for name in sorted(state.accounts.holdings[INSURANCE]):
        _reduce(state, INSURANCE, state.instruments[name])
    for account in sorted(filter(outside, state.accounts.balances)):
        now = standing(state, account)
        if now.maintenance > now.margin_balance and not _stale(state, account):
            _liquidate(state, account)


def ranking(state: State, instrument: str, sign: int) -> list[str]:
    """Holders of long (1) or short (-1) positions, the first to be deleveraged first.

    By profit times leverage, as Binance documents it; a tie goes by the name. The fund comes last.
    """
    holders = [name for name, held in state.accounts.holdings.items() if instrument in held]
    side = [name for name in holders if state.units(name, instrument) * sign > 0]
    return sorted(side, key=lambda name: (name == INSURANCE, -_score(state, name, instrument), name))


def _stale(state: State, account: str) -> bool:
    """Whether an index that the account's worth hangs on is too old to act on."""
    bases = {state.instruments[name].base for name in state.accounts.holdings[account]}
    owned = {currency for currency, amount in state.accounts.balances[account].items() if amount}
    known = (bases | owned) & state.indices.keys()
    return any(state.now - state.indices[asset].time > state.rules.stale_after for asset in known)


def _liquidate(state: State, account: str) -> None:
    for order in list(state.working[account].values()):
        end(state, order, "cancelled")
    now, held = standing(state, account), state.accounts.holdings[account]
    if now.maintenance <= now.margin_balance:
        return
    if not held or now.worth <= 0:
        _bankrupt(state, account)
        return
    # options last; of the others what needs most margin; options that were bought last of all
    needs = {name: maintenance_of(state, state.instruments[name], held[name].units) for name in held}
    first = min(held, key=lambda name: (not margined(state.instruments[name]), -needs[name], name))
    _reduce(state, account, state.instruments[first])


def _reduce(state: State, account: str, instrument: Instrument) -> None:
    """Trades a step of a position at the market."""
    held = state.units(account, instrument.name)
    lots = max(abs(held) * STEP // instrument.lot, Decimal(1))
    units = (lots * instrument.lot).copy_sign(-held)
    if outside(account):
        state.tell(Liquidated(state.now, account, instrument.name, units))
    take(state, account, instrument, units, liquidation=True)


def _bankrupt(state: State, account: str) -> None:
    """The fund takes everything over, or what it cannot bear is closed against the winners; no debt is left."""
    _seize(state, account)
    now, currency = standing(state, account), state.rules.currency
    close = _take_over if _bearable(state, account, now) else _deleverage
    held = state.accounts.holdings[account]
    value = sum((abs(holding.units) * state.marks[name].price for name, holding in held.items()), ZERO)
    lacking = max(-now.worth, ZERO) / value if value else ZERO  # of every position's value
    for name in sorted(held):
        close(state, account, state.instruments[name], lacking * state.marks[name].price)
    debt = -state.accounts.balances[account][currency]
    if debt > 0:
        covered = min(debt, max(state.accounts.balances[INSURANCE][currency], ZERO))
        state.accounts.pay(INSURANCE, account, currency, covered)
        state.accounts.pay(EXCHANGE, account, currency, debt - covered)


def _seize(state: State, account: str) -> None:
    """The fund buys other collateral at its worth after the haircut, as far as money is owed."""
    currency, balances = state.rules.currency, state.accounts.balances[account]
    for other in sorted(name for name, amount in balances.items() if amount > 0 and name != currency):
        each = state.worth(other) * (1 - state.haircuts.get(other, ZERO))
        if each:
            state.accounts.pay(account, INSURANCE, other, amount := balances[other])
            state.accounts.pay(INSURANCE, account, currency, rounded(amount * each))


def _bearable(state: State, account: str, now: Standing) -> bool:
    held = state.accounts.holdings[account]
    value = sum((abs(holding.units) * state.marks[name].price for name, holding in held.items()), ZERO)
    return state.accounts.balances[INSURANCE][state.rules.currency] + now.worth >= COVER * value


def _take_over(state: State, account: str, instrument: Instrument, _: Decimal) -> None:
    units = -state.units(account, instrument.name)
    state.tell(Liquidated(state.now, account, instrument.name, units))
    mark = state.marks[instrument.name].price
    _closed(state, account, INSURANCE, instrument, units, mark)


def _deleverage(state: State, account: str, instrument: Instrument, concession: Decimal) -> None:
    """Closes a position against the best ranked on the other side, `concession` a unit better than the mark."""
    units = -state.units(account, instrument.name)
    state.tell(Liquidated(state.now, account, instrument.name, units))
    mark, up = state.marks[instrument.name].price, units < 0
    price = max(on_tick(mark + concession if up else mark - concession, instrument.tick, up), instrument.tick)
    for winner in ranking(state, instrument.name, 1 if units > 0 else -1):
        size = min(abs(units), abs(state.units(winner, instrument.name))).copy_sign(units)
        if size:
            _closed(state, account, winner, instrument, size, price)
            units -= size
        if size and outside(winner):
            state.tell(Deleveraged(state.now, winner, instrument.name, -size, price))


def _closed(state: State, account: str, other: str, instrument: Instrument, units: Decimal, price: Decimal) -> None:
    """A trade outside the book: the account's `units` against the other's, without fees."""
    mine = _forced(state, account, instrument, units, price)
    settle_trade(state, mine, _forced(state, other, instrument, -units, price), abs(units), True, charged=False)


def _forced(state: State, account: str, instrument: Instrument, units: Decimal, price: Decimal) -> Order:
    now, number = state.now, state.number()
    order = Order(
        *(number, account, "", instrument.name, units, price, True, "ioc", False, True, None, now, now),
        left=abs(units),
    )
    if outside(account):
        state.orders[number] = order
        state.by_client_id[account, ""].append(number)
    return order


def _score(state: State, account: str, instrument: str) -> Decimal:
    holding, mark = state.accounts.holdings[account][instrument], state.marks[instrument].price
    profit = holding.units * mark - holding.cost
    gained = profit / max(abs(holding.cost), Decimal("1e-8"))
    leverage = abs(holding.units) * mark / max(standing(state, account).margin_balance, Decimal(1))
    return gained * leverage if profit > 0 else gained / max(leverage, Decimal("1e-8"))

"""What an account must hold: Deribit's standard margin of linear contracts, across the account.

Source: Deribit's published rules (linear perpetuals and futures: a rate that grows with the position; short options:
15 % of the index less what they are out of the money, at least 10 %, plus the mark; maintenance 7.5 % plus the mark).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from serve.rehearsal.accounts import Holding, margined
from serve.rehearsal.state import State
from serve.rehearsal.types import ZERO, Instrument, Order

FULL, LEAST, KEEP = Decimal("0.15"), Decimal("0.1"), Decimal("0.075")  # of the index, of a short option


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's worth and needs, in the rules' currency."""

    margin_balance: Decimal  # balances after haircuts, and what perpetuals and futures have gained
    options: Decimal  # what they are worth
    initial: Decimal  # of positions and open orders
    maintenance: Decimal

    @property
    def worth(self) -> Decimal:
        """What is left when everything is closed at the marks."""
        return self.margin_balance + self.options


def standing(state: State, account: str, coming: Order | None = None) -> Standing:
    """As of the last marks. `coming`: an order that might rest too."""
    held = state.accounts.holdings.get(account, {})
    orders = [*state.working.get(account, {}).values(), *([] if coming is None else [coming])]
    names = sorted({*held, *(order.instrument for order in orders)})
    gained, options, initial, maintenance = collateral(state, account), ZERO, ZERO, ZERO
    for name in names:
        instrument, holding = state.instruments[name], held.get(name, Holding())
        if instrument.kind == "spot":
            continue
        worth = holding.units * state.marks[name].price
        if instrument.kind == "option":
            options += worth
        else:
            gained += worth - holding.cost
        initial += _initial_at_worst(state, instrument, holding.units, [o for o in orders if o.instrument == name])
        maintenance += maintenance_of(state, instrument, holding.units)
    return Standing(gained, options, initial, maintenance)


def collateral(state: State, account: str) -> Decimal:
    """Balances at their worth, what is positive less its haircut."""
    total = ZERO
    for currency, amount in state.accounts.balances.get(account, {}).items():
        share = 1 - state.haircuts.get(currency, ZERO) if amount > 0 else Decimal(1)
        total += amount * share * state.worth(currency)
    return total


def initial_of(state: State, instrument: Instrument, units: Decimal) -> Decimal:
    mark = state.marks[instrument.name].price
    if margined(instrument):
        return abs(units) * mark * (state.rules.initial_rate + state.rules.tier_rate * abs(units))
    if units >= 0:
        return ZERO
    index = state.indices[instrument.base].price
    assert instrument.strike is not None
    away = instrument.strike - index if instrument.right == "call" else index - instrument.strike
    return -units * (max(FULL * index - max(away, ZERO), LEAST * index) + mark)


def maintenance_of(state: State, instrument: Instrument, units: Decimal) -> Decimal:
    mark = state.marks[instrument.name].price
    if margined(instrument):
        return abs(units) * mark * (state.rules.maintenance_rate + state.rules.tier_rate * abs(units))
    return ZERO if units >= 0 else -units * (KEEP * state.indices[instrument.base].price + mark)


def reserved(state: State, account: str) -> dict[str, Decimal]:
    """By currency: what open spot orders would take from the balances."""
    taken: dict[str, Decimal] = {}
    for order in state.working.get(account, {}).values():
        currency, amount = spot_needs(state, order)
        if amount:
            taken[currency] = taken.get(currency, ZERO) + amount
    return taken


def spot_needs(state: State, order: Order) -> tuple[str, Decimal]:
    """The currency that the rest of a spot order takes, and how much; nothing for a derivative's."""
    instrument = state.instruments[order.instrument]
    if instrument.kind != "spot":
        return instrument.settle, ZERO
    return (instrument.quote, order.left * order.price) if order.units > 0 else (instrument.base, order.left)


def _initial_at_worst(state: State, instrument: Instrument, units: Decimal, orders: list[Order]) -> Decimal:
    """Initial margin if only the buys, or only the sells, fill; premiums of options to buy are needed too."""
    buys = sum((order.left for order in orders if order.units > 0 and not order.reduce_only), ZERO)
    sells = sum((order.left for order in orders if order.units < 0 and not order.reduce_only), ZERO)
    premiums = ZERO
    if instrument.kind == "option":
        premiums = sum((order.left * order.price for order in orders if order.units > 0), ZERO)
    longest, shortest = initial_of(state, instrument, units + buys), initial_of(state, instrument, units - sells)
    return max(longest, shortest) + premiums

"""Who has what. Every amount that leaves one account arrives in another, so that each currency sums to nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from serve.rehearsal.types import ZERO, Instrument

CENT = Decimal("1e-8")  # what amounts are rounded to
OUTSIDE = "outside"  # where deposits come from
EXCHANGE = "exchange"  # takes fees and what rounding leaves
INSURANCE = "insurance"
FLOW = "flow"  # those who trade and are gone
MAKERS = ("maker-1", "maker-2")
BACKGROUND = frozenset({OUTSIDE, EXCHANGE, INSURANCE, FLOW, *MAKERS})


def margined(instrument: Instrument) -> bool:
    """Whether nothing is paid for it but what it gains or loses."""
    return instrument.kind in ("perpetual", "future")


def rounded(amount: Decimal) -> Decimal:
    return amount.quantize(CENT)


@dataclass(slots=True)
class Holding:
    """A position in a derivative."""

    units: Decimal = ZERO
    cost: Decimal = ZERO  # Σ units × price of what is open


class Accounts:
    def __init__(self) -> None:
        self.balances: defaultdict[str, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        self.holdings: defaultdict[str, dict[str, Holding]] = defaultdict(dict)

    def balance(self, account: str, currency: str) -> Decimal:
        return self.balances[account].get(currency, ZERO) if account in self.balances else ZERO

    def units(self, account: str, instrument: Instrument) -> Decimal:
        """The position in a derivative; the balance of a spot's base."""
        if instrument.kind == "spot":
            return self.balance(account, instrument.base)
        holding = self.holdings.get(account, {}).get(instrument.name)
        return holding.units if holding else ZERO

    def pay(self, payer: str, payee: str, currency: str, amount: Decimal) -> None:
        self.balances[payer][currency] -= amount
        self.balances[payee][currency] += amount

    def trade(self, account: str, instrument: Instrument, units: Decimal, price: Decimal) -> Decimal:
        """One side of a trade; the other side must be booked too. Returns the profit realised.

        The profit of what is margined moves to the balance when it is realised; the rest is paid for at once.
        """
        balances = self.balances[account]
        if instrument.kind == "spot":
            balances[instrument.base] += units
            balances[instrument.quote] -= units * price
            return ZERO
        if instrument.kind == "option":
            balances[instrument.settle] -= units * price
            return self._held(account, instrument, units, price)
        realised = self._held(account, instrument, units, price)
        balances[instrument.settle] += realised
        return realised

    def _held(self, account: str, instrument: Instrument, units: Decimal, price: Decimal) -> Decimal:
        """Moves the position; the profit on what it closed."""
        holding = self.holdings[account].setdefault(instrument.name, Holding())
        closed = ZERO if holding.units * units >= 0 else min(abs(units), abs(holding.units)).copy_sign(units)
        share = ZERO if not closed else rounded(holding.cost * -closed / holding.units)
        gone = holding.cost if closed and closed == -holding.units else share
        holding.units += units
        holding.cost += (units - closed) * price - gone
        if not holding.units:
            del self.holdings[account][instrument.name]
        return -closed * price - gone

    def total(self, currency: str, derivatives: dict[str, Instrument]) -> Decimal:
        """0, always: balances, and what open perpetuals and futures have cost, over all accounts.

        `derivatives`: the instruments listed by name.
        """
        balances = sum((balances.get(currency, ZERO) for balances in self.balances.values()), ZERO)
        settled_in = {name for name, each in derivatives.items() if margined(each) and each.settle == currency}
        held = (one for holdings in self.holdings.values() for one in holdings.items())
        return balances - sum((holding.cost for name, holding in held if name in settled_in), ZERO)

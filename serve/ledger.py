"""The authority on cash and positions: Decimal sums of what the journal says happened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True)
class Ledger:
    """Quote currency, and base units of the hedge. `cash` holds everything that was paid and received."""

    cash: Decimal = ZERO
    position: Decimal = ZERO
    fees: Decimal = ZERO  # paid so far
    funding: Decimal = ZERO  # received so far; paid is negative
    options: Decimal = ZERO  # premiums and settlements received so far; paid is negative
    traded: Decimal = ZERO  # notional so far

    def filled(self, units: Decimal, price: Decimal, fee: Decimal) -> Ledger:
        """After buying `units` (selling: negative)."""
        return replace(
            self,
            cash=self.cash - units * price - fee,
            position=self.position + units,
            fees=self.fees + fee,
            traded=self.traded + abs(units) * price,
        )

    def funded(self, cash: Decimal) -> Ledger:
        return replace(self, cash=self.cash + cash, funding=self.funding + cash)

    def option_cash(self, cash: Decimal) -> Ledger:
        """After a premium or a settlement."""
        return replace(self, cash=self.cash + cash, options=self.options + cash)

    @property
    def hedge_cash(self) -> Decimal:
        """Of the hedge alone: fills, fees and funding."""
        return self.cash - self.options

    def worth(self, mark: Decimal) -> Decimal:
        """Cash and the hedge at `mark`; the option's own value is not in here."""
        return self.cash + self.position * mark

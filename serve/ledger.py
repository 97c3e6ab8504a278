"""The authority on cash and positions: Decimal sums of what the journal says happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True)
class Account:
    """One leg's: quote currency, and base units held. `cash` holds everything that was paid and received."""

    cash: Decimal = ZERO
    position: Decimal = ZERO
    fees: Decimal = ZERO  # paid so far
    funding: Decimal = ZERO  # received so far; paid is negative
    traded: Decimal = ZERO  # notional so far

    def filled(self, units: Decimal, price: Decimal, fee: Decimal) -> Account:
        """After buying `units` (selling: negative)."""
        return replace(
            self,
            cash=self.cash - units * price - fee,
            position=self.position + units,
            fees=self.fees + fee,
            traded=self.traded + abs(units) * price,
        )

    def funded(self, cash: Decimal) -> Account:
        return replace(self, cash=self.cash + cash, funding=self.funding + cash)

    def worth(self, mark: Decimal) -> Decimal:
        return self.cash + self.position * mark


@dataclass(frozen=True)
class Ledger:
    accounts: Mapping[str, Account] = field(default_factory=dict)  # by symbol
    book: Decimal = ZERO  # premiums, settlements and funding received so far; paid is negative
    coins: Mapping[str, Decimal] = field(default_factory=dict)  # the same where they change hands in an asset's coin

    def account(self, symbol: str) -> Account:
        return self.accounts.get(symbol, Account())

    def position(self, symbol: str) -> Decimal:
        return self.account(symbol).position

    @property
    def hedge_cash(self) -> Decimal:
        """Of all legs together: fills, fees and funding."""
        return sum((each.cash for each in self.accounts.values()), ZERO)

    @property
    def cash(self) -> Decimal:
        return self.book + self.hedge_cash

    def filled(self, symbol: str, units: Decimal, price: Decimal, fee: Decimal) -> Ledger:
        return self._with(symbol, self.account(symbol).filled(units, price, fee))

    def funded(self, symbol: str, cash: Decimal) -> Ledger:
        return self._with(symbol, self.account(symbol).funded(cash))

    def booked(self, cash: Decimal) -> Ledger:
        """After a premium or a settlement in quote currency."""
        return replace(self, book=self.book + cash)

    def coined(self, asset: str, units: Decimal) -> Ledger:
        """After one in an asset's coin."""
        return replace(self, coins={**self.coins, asset: self.coins.get(asset, ZERO) + units})

    def _with(self, symbol: str, account: Account) -> Ledger:
        return replace(self, accounts={**self.accounts, symbol: account})

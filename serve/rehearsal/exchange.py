"""The rehearsal exchange: deterministic, without clock, network or disk. Commands go in, happenings come out."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from decimal import Decimal
from typing import Any

from serve.rehearsal import showing, trading
from serve.rehearsal.accounts import OUTSIDE
from serve.rehearsal.margin import reserved, standing
from serve.rehearsal.moving import fund, move
from serve.rehearsal.state import State
from serve.rehearsal.tape import MINUTE
from serve.rehearsal.types import (
    ZERO,
    Cancel,
    CancelAll,
    Command,
    DeadMan,
    Fill,
    Fund,
    Funded,
    Happening,
    Instrument,
    LevelsChanged,
    Maintain,
    Move,
    Order,
    Place,
    Printed,
    Rules,
    Settled,
    Transfer,
)
from serve.rehearsal.views import Account, Book, Candle, Funding, Ticker


class Exchange:
    """It changes by `apply` alone, so that the same rules and commands make the same exchange.

    A view of an instrument raises KeyError for one that is not listed; one of an account that is not known is empty.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._state = State(rules)

    @property
    def now(self) -> int:
        """The time of the last command, milliseconds."""
        return self._state.now

    def apply(self, command: Command) -> tuple[Happening, ...]:
        """What it makes happen, in order; a time before `now` counts as now."""
        state = self._state
        state.now = max(state.now, command.time)
        state.happenings = []
        trading.expire(state)
        _ACTIONS[type(command)](state, command)
        for name, book in state.books.items():
            changes = book.changes()
            if changes:
                state.tell(LevelsChanged(state.now, name, book.sequence, changes))
        return tuple(state.happenings)

    def digest(self) -> str:
        """SHA-256 of the whole state."""
        return self._state.digest()

    def total(self, currency: str) -> Decimal:
        """What all accounts have together, those included that deposits come from: 0, always."""
        return self._state.accounts.total(currency, self._state.instruments)

    def instruments(self) -> tuple[Instrument, ...]:
        """Those listed; an option is listed until it settles."""
        return tuple(self._state.instruments[name] for name in self._state.books)

    def instrument(self, name: str) -> Instrument:
        """One that is listed or was."""
        return self._state.instruments[name]

    def index(self, asset: str) -> Decimal:
        return self._state.indices[asset].price

    def order(self, order_id: int) -> Order | None:
        order = self._state.orders.get(order_id)
        return None if order is None else copy(order)

    def by_client_id(self, account: str, client_id: str) -> tuple[Order, ...]:
        """Oldest first; more than one where the rules let an id be used again."""
        return tuple(copy(self._state.orders[key]) for key in self._state.by_client_id.get((account, client_id), ()))

    def open_orders(self, account: str) -> tuple[Order, ...]:
        return tuple(copy(order) for order in self._state.working.get(account, {}).values())

    def orders(self, account: str, since: int = 0) -> tuple[Order, ...]:
        """Those that changed at `since` or later, ended or not, oldest first."""
        mine = (order for order in self._state.orders.values() if order.account == account)
        return tuple(copy(order) for order in mine if order.updated >= since)

    def fills(self, account: str, since: int = 0) -> tuple[Fill, ...]:
        return tuple(fill for fill in self._state.fills.get(account, ()) if fill.time >= since)

    def payments(self, account: str, since: int = 0) -> tuple[Funded | Settled, ...]:
        """Funding and expiries, oldest first."""
        return tuple(paid for paid in self._state.payments.get(account, ()) if paid.time >= since)

    def account(self, name: str) -> Account:
        return showing.account(self._state, name)

    def book(self, instrument: str, depth: int | None = None) -> Book:
        return showing.book(self._state, instrument, depth)

    def ticker(self, instrument: str) -> Ticker:
        """Raises KeyError before the asset's first move too."""
        return showing.ticker(self._state, instrument)

    def trades(self, instrument: str, since: int = 0) -> tuple[Printed, ...]:
        """The last thousand, at most."""
        return tuple(trade for trade in self._state.tapes[instrument].trades if trade.time >= since)

    def candles(self, instrument: str, since: int = 0, interval: int = MINUTE) -> tuple[Candle, ...]:
        return self._state.tapes[instrument].candles(since, interval)

    def funding_history(self, instrument: str, since: int = 0) -> tuple[Funding, ...]:
        return tuple(each for each in self._state.tapes[instrument].fundings if each.time >= since)


def _dead_man(state: State, asked: DeadMan) -> None:
    state.dead_men.pop(asked.account, None)
    if asked.at is not None:
        state.dead_men[asked.account] = asked.at


def _maintain(state: State, asked: Maintain) -> None:
    state.maintenance = asked.on


def _transfer(state: State, asked: Transfer) -> None:
    if asked.amount < 0:
        taken = reserved(state, asked.account).get(asked.currency, ZERO)
        free = state.accounts.balance(asked.account, asked.currency) - taken
        now, worth = standing(state, asked.account), state.worth(asked.currency)
        if free + asked.amount < 0 or now.margin_balance + asked.amount * worth < now.initial:
            trading.refuse(state, asked.account, "", "no_funds")
            return
    state.accounts.pay(OUTSIDE, asked.account, asked.currency, asked.amount)


_ACTIONS: dict[type[Command], Callable[[State, Any], object]] = {
    Place: trading.place,
    Cancel: trading.cancel,
    CancelAll: trading.cancel_all,
    DeadMan: _dead_man,
    Move: move,
    Fund: fund,
    Maintain: _maintain,
    Transfer: _transfer,
}

"""Whatever is asked of it: nothing is lost or made, no book is crossed, and a replay is the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from serve.rehearsal.accounts import BACKGROUND
from serve.rehearsal.exchange import Exchange
from serve.rehearsal.types import (
    Accepted,
    Cancel,
    CancelAll,
    Command,
    DeadMan,
    Fund,
    Gone,
    Happening,
    LevelsChanged,
    Maintain,
    Move,
    Place,
    Rules,
    Traded,
    Transfer,
)
from tests.serve.rehearsal.floor import EXPIRY, LISTED, RULES, SPOT, START, D

ACCOUNTS = ("ann", "bob", "cid")
CAP = D(20)
CAPPED = tuple(replace(each, position_cap=CAP) for each in LISTED)
BY_NAME = {each.name: each for each in CAPPED}
TIFS = ("gtc", "gtc", "ioc", "fok")
PRICES = {**dict.fromkeys(("perpetual", "future", "spot"), (Decimal(980), 81)), "option": (Decimal(5), 81)}


class Checked:
    """An exchange that is looked at after each command."""

    def __init__(self, rules: Rules) -> None:
        self.exchange, self.rules = Exchange(rules), rules
        self.commands, self.told = list[Command](), list[Happening]()
        self.shown: defaultdict[str, dict[tuple[str, Decimal], Decimal]] = defaultdict(dict)
        self.sequences = Counter[str]()

    def do(self, command: Command) -> None:
        self.commands.append(command)
        for each in self.exchange.apply(command):
            self.told.append(each)
            if isinstance(each, LevelsChanged):
                self.heard(each)
            if isinstance(each, Traded):
                self.traded(each)

    def heard(self, changed: LevelsChanged) -> None:
        self.sequences[changed.instrument] += 1
        assert changed.sequence == self.sequences[changed.instrument]
        for side, price, size in changed.changes:
            self.shown[changed.instrument][side, price] = size

    def traded(self, traded: Traded) -> None:
        fill, order = traded.fill, traded.order
        assert fill.price <= order.price if order.units > 0 else fill.price >= order.price
        assert order.filled + order.left == abs(order.units)
        before = fill.position - fill.units
        if order.reduce_only and fill.instrument != SPOT.name:
            assert abs(fill.position) < abs(before)
            assert fill.position * before >= 0
        assert abs(fill.position) <= max(CAP, abs(before)) or fill.liquidation

    def check(self) -> None:
        exchange = self.exchange
        assert exchange.total("USDC") == exchange.total("BTC") == 0
        units = Counter[str]()
        for name in (*ACCOUNTS, *BACKGROUND):
            for held in exchange.account(name).positions:
                units[held.instrument] += held.units  # type: ignore[assignment]
        assert not any(units.values())
        for listed in exchange.instruments():
            book = exchange.book(listed.name)
            assert not (book.bids and book.asks) or book.bids[0][0] < book.asks[0][0]
            levels = {("bid", price): size for price, size in book.bids}
            levels |= {("ask", price): size for price, size in book.asks}
            assert levels == {key: size for key, size in self.shown[listed.name].items() if size}

    def finish(self) -> None:
        """Drains the books; what was reserved is free, every order is told to its end, and a replay is the same."""
        for account in ACCOUNTS:
            self.do(CancelAll(self.exchange.now, account))
            shown = self.exchange.account(account)
            assert [balance.reserved for balance in shown.balances if balance.reserved] == []
            assert shown.initial_margin == sum(held.initial_margin for held in shown.positions)
            assert self.exchange.open_orders(account) == ()
        self.ended()
        again = Exchange(self.rules)
        for command in self.commands:
            again.apply(command)
        assert again.digest() == self.exchange.digest()

    def ended(self) -> None:
        filled, gone = Counter[int](), Counter[int]()
        for each in self.told:
            if isinstance(each, Traded):
                filled[each.order.order_id] += abs(each.fill.units)  # type: ignore[assignment]
            elif isinstance(each, Gone):
                gone[each.order.order_id] += each.order.left  # type: ignore[assignment]
        for accepted in (each.order for each in self.told if isinstance(each, Accepted)):
            assert filled[accepted.order_id] + gone[accepted.order_id] == abs(accepted.units)
            order = self.exchange.order(accepted.order_id)
            assert order is not None
            assert (order.status, order.left) != ("open", 0)
            assert order.filled == filled[accepted.order_id]


def drawn(draws: Random, now: int) -> Command:
    """A command at random, many of them orders that meet."""
    account, kind = draws.choice(ACCOUNTS), draws.random()
    if kind < 0.7:
        listed = draws.choice(CAPPED)
        low, ticks = PRICES[listed.kind]
        price = None if draws.random() < 0.1 else low + draws.randrange(ticks) * listed.tick
        units = draws.randrange(1, 1000) * listed.lot * draws.choice((1, -1))
        expires = None if draws.random() < 0.8 else now + draws.randrange(1, 100_000)
        flags = draws.random() < 0.1, draws.random() < 0.2
        return Place(now, account, "", listed.name, units, price, draws.choice(TIFS), *flags, expires)  # type: ignore[arg-type]
    if kind < 0.8:
        return Cancel(now, account, draws.randrange(1, 400))
    if kind < 0.95:
        depth = draws.choice((0.0, 50_000.0))
        index = D(1000) + draws.randrange(-30, 30) if draws.random() < 0.9 else D(draws.randrange(500, 1800))
        return Move(now, draws.choice(("BTC", "ETH")), index, draws.gauss(0, 1e-3), depth=depth)
    rare: list[Any] = [
        Fund(now),
        CancelAll(now, account),
        DeadMan(now, account, now + 30_000),
        DeadMan(now, account, None),
        Maintain(now, draws.random() < 0.15),
        Transfer(now, account, draws.choice(("USDC", "BTC")), D(draws.randrange(-2, 3))),
    ]
    return draws.choice(rare)  # type: ignore[no-any-return]


def begun(unique_ids: bool, insurance: int) -> Checked:
    rules = replace(RULES, instruments=CAPPED, unique_ids=unique_ids, insurance=D(insurance), stale_after=600_000)
    checked = Checked(rules)
    for asset in ("BTC", "ETH"):
        checked.do(Move(START, asset, D(1000), depth=0.0))
    for account, money in zip(ACCOUNTS, (300, 3000, 30_000), strict=True):
        checked.do(Transfer(START, account, "USDC", D(money)))
    return checked


class Trading(RuleBasedStateMachine):
    """Three accounts of which one is poor, through an expiry, with and without a background."""

    @initialize(unique_ids=st.booleans(), insurance=st.sampled_from([0, 100, 100_000]))
    def opened(self, unique_ids: bool, insurance: int) -> None:
        self.checked, self.now = begun(unique_ids, insurance), START

    @rule(seed=st.integers(0, 2**32), steps=st.integers(1, 12))
    def busy(self, seed: int, steps: int) -> None:
        draws = Random(seed)
        for _ in range(steps):
            self.now += draws.randrange(0, 60_000)
            self.checked.do(drawn(draws, self.now))

    @rule(index=st.integers(300, 3000), asset=st.sampled_from(["BTC", "ETH"]))
    def jump(self, index: int, asset: str) -> None:
        self.checked.do(Move(self.now, asset, D(index), depth=0.0))

    @rule()
    def expiry(self) -> None:
        self.now = max(self.now, EXPIRY)

    @invariant()
    def holds(self) -> None:
        self.checked.check()

    def teardown(self) -> None:
        if hasattr(self, "checked"):
            self.checked.finish()


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_commands(seed: int) -> None:
    draws, checked, now = Random(seed), begun(False, 100), START
    for number in range(1000):
        now += draws.randrange(0, 240_000)
        checked.do(drawn(draws, now))
        if number % 20 == 0:
            checked.check()
    checked.finish()

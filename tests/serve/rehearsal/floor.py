"""A small exchange for tests: perpetuals, options, a future and a spot; no background unless a test asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from serve.clock import DAY, HOUR
from serve.rehearsal.exchange import Exchange
from serve.rehearsal.types import Happening, Instrument, Move, Place, Rules, Transfer

START = 1_767_225_600_000  # 2026-01-01
EXPIRY = START + DAY
NONE = Decimal(0)
FEES = Decimal("0.0001"), Decimal("0.0005")
Kind = TypeVar("Kind")


def D(text: str | int) -> Decimal:
    return Decimal(text)


def linear(name: str, base: str, kind: Any = "perpetual", cap: str = "1000") -> Instrument:
    return Instrument(name, kind, base, "USDC", "USDC", D("0.5"), D("0.01"), D("0.01"), *FEES, D(cap))


PERP, ETH, SPOT = linear("BTC-PERP", "BTC"), linear("ETH-PERP", "ETH"), linear("BTC-SPOT", "BTC", "spot")
CALL = replace(linear("BTC-20260102-1000-C", "BTC", "option"), strike=D(1000), expiry=EXPIRY, right="call")
PUT = replace(CALL, name="BTC-20260102-1000-P", right="put")
FUTURE = replace(linear("BTC-20260102", "BTC", "future"), expiry=EXPIRY)
LISTED = (PERP, ETH, SPOT, CALL, PUT, FUTURE)
RULES = Rules(LISTED, 3, haircuts=(("BTC", D("0.1")),), insurance=D(0))


class Desk:
    """An exchange at an index of 1000 with accounts that have 100,000 each, and what it has told since."""

    def __init__(self, rules: Rules = RULES, accounts: Iterable[str] = ("ann", "bob"), money: int = 100_000) -> None:
        self.exchange, self.now = Exchange(rules), START
        self.told: list[Happening] = []
        for asset in ("BTC", "ETH"):
            self.move(1000, asset=asset)
        for account in accounts:
            self.do(Transfer(self.now, account, "USDC", D(money)))

    def do(self, command: Any) -> tuple[Happening, ...]:
        happened = self.exchange.apply(command)
        self.told += happened
        return happened

    def move(self, index: int | str, minutes: float = 0, asset: str = "BTC", **more: Any) -> tuple[Happening, ...]:
        self.now += round(minutes * HOUR / 60)
        return self.do(Move(self.now, asset, D(index), **{"depth": 0.0, **more}))

    def place(
        self, account: str, units: str, price: str | None = None, instrument: Instrument = PERP, **more: Any
    ) -> tuple[Happening, ...]:
        limit = None if price is None else D(price)
        return self.do(Place(self.now, account, more.pop("client_id", ""), instrument.name, D(units), limit, **more))

    def trade(self, buyer: str, seller: str, units: str, price: str, instrument: Instrument = PERP) -> None:
        """Between two, at a price within the band."""
        self.place(seller, f"-{units}", price, instrument)
        self.place(buyer, units, price, instrument)

    def units(self, account: str, instrument: Instrument = PERP) -> Decimal:
        held = self.exchange.account(account).positions
        return next((each.units for each in held if each.instrument == instrument.name), NONE)

    def money(self, account: str, currency: str = "USDC") -> Decimal:
        held = self.exchange.account(account).balances
        return next((each.amount for each in held if each.currency == currency), NONE)


def only(kind: type[Kind], happened: Iterable[Happening]) -> list[Kind]:
    return [each for each in happened if isinstance(each, kind)]

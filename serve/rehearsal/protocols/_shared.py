"""What the protocols that spell numbers in strings have in common."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from decimal import Decimal

from serve.rehearsal.exchange import Exchange
from serve.rehearsal.types import Accepted, Happening, Instrument, Refused


def text(value: Decimal | float | None) -> str:
    """A number without an exponent; empty where there is none."""
    return "" if value is None else f"{Decimal(str(value)).normalize():f}"


class Listings:
    """Every instrument that ever was, by the exchange's name and by the venue's."""

    def __init__(self, instruments: Iterable[Instrument], spelt: Callable[[Instrument], str]) -> None:
        self.by_name = {each.name: each for each in instruments}
        self.wire = {name: spelt(each) for name, each in self.by_name.items()}
        self.by_wire = {self.wire[name]: each for name, each in self.by_name.items()}


def outcome(happened: Iterable[Happening]) -> Accepted | Refused:
    """Of a command to place or cancel an order."""
    return next(each for each in happened if isinstance(each, (Accepted, Refused)))


def begun(exchange: Exchange, asset: str) -> bool:
    """Whether the asset's market has moved for the first time, before which it has no price."""
    try:
        exchange.index(asset)
    except KeyError:
        return False
    return True


def same(one: str, other: str) -> bool:
    """Of signatures."""
    return hmac.compare_digest(one.encode(), other.encode())

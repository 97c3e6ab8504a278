"""What a rehearsal exchange lists: for each asset a spot and a perpetual; for the first options and a future too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from serve.clock import DAY, HOUR
from serve.rehearsal.types import Instrument

MONEYNESS = ("0.85", "0.95", "1", "1.05", "1.15")
DAYS = (2, 30)  # to the options' expiry, at eight in the morning; the future's is the first
EXPIRES = 8 * HOUR
SIGNIFICANT = 4  # digits of a tick, in the price
Right = Literal["call", "put"]


def listed(spots: Mapping[str, Decimal], starts: int, currency: str = "USDC") -> tuple[Instrument, ...]:
    """`spots`: each asset's index at `starts` (milliseconds), the asset with options first."""
    linear = [each for asset, spot in spots.items() for each in _linear(asset, spot, currency)]
    asset, spot = next(iter(spots.items()))
    return (*linear, *_options(asset, spot, starts, currency), _future(linear[0], starts))


def _linear(asset: str, spot: Decimal, currency: str) -> Iterator[Instrument]:
    unit = Decimal(1).scaleb(spot.adjusted() - SIGNIFICANT)  # of a price of 60,000: 1
    tick, lot = unit / 2, Decimal(1).scaleb(1 - spot.adjusted())
    fees = Decimal("0.0001"), Decimal("0.0005")
    for kind, name in (("perpetual", "PERP"), ("spot", "SPOT")):
        cap = lot * 1_000_000
        yield Instrument(f"{asset}-{name}", kind, asset, currency, currency, tick, lot, lot, *fees, cap)  # type: ignore[arg-type]


def _future(perpetual: Instrument, starts: int) -> Instrument:
    expiry = _expiry(starts, DAYS[0])
    return replace(perpetual, name=f"{perpetual.base}-{_day(expiry)}", kind="future", expiry=expiry)


def _options(asset: str, spot: Decimal, starts: int, currency: str) -> Iterator[Instrument]:
    unit = Decimal(1).scaleb(spot.adjusted() - 1)  # of a price of 60,000: 1,000
    tick, lot = unit / 200, unit.scaleb(-unit.adjusted() - 2)
    fee, cap = Decimal("0.0003"), lot * 100_000
    step = unit / 2
    strikes = sorted({Decimal(f"{round(spot * Decimal(each) / step) * step:f}") for each in MONEYNESS})
    rights: tuple[Right, ...] = ("call", "put")
    for days in DAYS:
        expiry = _expiry(starts, days)
        for strike in strikes:
            for right in rights:
                name = f"{asset}-{_day(expiry)}-{strike:f}-{right[0].upper()}"
                terms = (strike, expiry, right)
                yield Instrument(name, "option", asset, currency, currency, tick, lot, lot, fee, fee, cap, *terms)


def _expiry(starts: int, days: int) -> int:
    return (starts // DAY + days) * DAY + EXPIRES


def _day(expiry: int) -> str:
    return datetime.fromtimestamp(expiry / 1000, UTC).strftime("%Y%m%d")

"""What an asset is worth: the median of independent sources, the hedging venue's own index among them.

A source that is old does not count, nor one far from the others; with fewer than a quorum there is no such price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from envs.calibration import Positive, Section
from serve.clock import SECOND
from serve.events import QuoteEvent, SourcePrice

INDEX = "index"  # the hedging venue's own, as its quotes have it
SourceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.:/-]{0,63}$")]
Verdict = Literal["counts", "silent", "stale", "far"]


class Sources(Section):
    """Of one asset."""

    names: tuple[SourceName, ...]  # besides the index
    quorum: int = Field(gt=0)  # so many must count, the index among them

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if len({INDEX, *self.names}) <= len(self.names):
            raise ValueError(f"names: one comes twice, or is {INDEX!r}, which always counts; drop it")
        if self.quorum > 1 + len(self.names):
            raise ValueError(f"quorum = {self.quorum} is more than there are: {len(self.names)} and the index")
        return self


class Rules(Section):
    stale_seconds: Positive  # a price older than that does not count
    deviation: float = Field(gt=0, lt=1)  # nor one further than that from the median of all that are fresh
    assets: dict[str, Sources]


@dataclass(frozen=True)
class Heard:
    """One source; without price and age where it never spoke."""

    source: str
    price: float | None
    age: int | None  # milliseconds since its own time of the price
    verdict: Verdict


@dataclass(frozen=True)
class Price:
    """`value`: the median of the sources that count; the index, where they are no quorum."""

    asset: str
    value: float
    quorate: bool
    sources: tuple[Heard, ...]

    def words(self) -> str:
        """Such as `20,000.00 by 2 of 3 sources (index 0.0 s, a 1.2 s, b 75.0 s stale)`."""
        each = ", ".join(_told(one) for one in self.sources)
        count = sum(one.verdict == "counts" for one in self.sources)
        return f"{self.value:,.2f} by {count} of {len(self.sources)} sources ({each})"

    def off(self, price: float) -> float:
        """|ln| of how far `price` is from it."""
        return abs(math.log(price / self.value))


def priced(
    rules: Rules, quotes: Mapping[str, QuoteEvent], told: Mapping[str, Mapping[str, SourcePrice]], now: int
) -> dict[str, Price]:
    """Of every asset that is quoted; `told` by asset and source."""
    return {asset: _priced(asset, rules, quote, told.get(asset, {}), now) for asset, quote in quotes.items()}


def _priced(asset: str, rules: Rules, quote: QuoteEvent, told: Mapping[str, SourcePrice], now: int) -> Price:
    own, life = rules.assets[asset], rules.stale_seconds * SECOND
    said = [(INDEX, quote.spot, now - quote.quoted_at)]
    said += [(name, told[name].price, now - told[name].quoted_at) for name in own.names if name in told]
    fresh = [price for _, price, age in said if age <= life]
    middle = median(fresh) if fresh else quote.spot
    heard = [Heard(name, price, age, _verdict(rules, price, middle, age <= life)) for name, price, age in said]
    heard += [Heard(name, None, None, "silent") for name in own.names if name not in told]
    counted = _counted(heard)
    quorate = len(counted) >= own.quorum
    return Price(asset, median(counted) if quorate else quote.spot, quorate, tuple(heard))


def _verdict(rules: Rules, price: float, middle: float, fresh: bool) -> Verdict:
    if not fresh:
        return "stale"
    return "counts" if abs(math.log(price / middle)) <= rules.deviation else "far"


def _counted(heard: Sequence[Heard]) -> list[float]:
    return [each.price for each in heard if each.verdict == "counts" and each.price is not None]


def _told(heard: Heard) -> str:
    age = "" if heard.age is None else f" {heard.age / SECOND:.1f} s"
    return f"{heard.source}{age}" + ("" if heard.verdict == "counts" else f" {heard.verdict}")

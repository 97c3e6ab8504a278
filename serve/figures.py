"""What is priced, as rows of numbers by name, in the order of the tensors that `serve/situation.py` makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from torch import Tensor

from envs.contract import Contract
from envs.instruments.option import Option
from envs.types import Quote
from envs.volatility.memory import Memory
from serve.events import QuoteEvent
from serve.holdings import Book, Group, bars_left
from serve.sight import Listing, Sight
from serve.smile import Smile

Rows = tuple[Any, ...]  # for each tensor a number, or a tuple of numbers
QUOTED = tuple(field.name for field in fields(Quote))
quoted = attrgetter(*QUOTED)


class Figures:
    """Of one contract's assets and legs."""

    def __init__(self, contract: Contract, assets: Mapping[str, int], bar: int) -> None:
        """`assets`: the place of each; `bar` in milliseconds."""
        self._contract, self._assets, self._bar = contract, assets, bar
        self._reference = [_reference(contract, a) for a in range(len(assets))]
        self.groups = lru_cache(maxsize=8)(self._groups)
        self._held = lru_cache(maxsize=8)(self._holdings)
        options = [(k, each.instrument) for k, each in enumerate(contract.hedges)]
        self._options = [(k, each) for k, each in options if isinstance(each, Option)]

    def whole(self, sight: Sight) -> Iterator[tuple[str, Rows]]:
        """All that an observation is made of."""
        each = zip(sight.quotes, sight.memories, sight.smiles, strict=True)
        for quote, memory, smile in each:
            yield from self.market(quote, memory, smile, sight.book, sight.listings, sight.time)
        coins = (float(each) for each in sight.coins)
        yield "account", (row(sight.positions), row(sight.cash), float(sight.claims_cash), *coins)
        yield "targets", tuple(v for t in sight.targets for v in (t.hedge_ratio, t.delta, t.gamma, t.vega))

    def market(
        self,
        quote: QuoteEvent,
        memory: Memory,
        smile: Smile | None,
        book: Book,
        listings: Sequence[Listing | None],
        now: int,
    ) -> Iterator[tuple[str, Rows]]:
        """One asset's market, claims and legs."""
        place = self._assets[quote.asset]
        yield f"quote_{place}", quoted(quote)
        yield f"memory_{place}", remembered(memory)
        yield f"book_{place}", self._held(book, quote.asset, now)
        own = ((k, option) for k, option in self._options if option.asset == place)
        terms = (self.leg(option, listings[k], quote.spot, now) for k, option in own)
        yield f"legs_{place}", tuple(number for each in terms for number in each)
        if smile is not None:
            yield f"smile_{place}", (smile.bars(now, self._bar), *_listed(smile))

    def leg(self, option: Option, listing: Listing | None, spot: float, now: int) -> tuple[int, float]:
        """Bars left and strike of an option leg; what is not listed yet stands as one at the money."""
        if listing is None:
            return max(option.longest, 1), spot
        return bars_left(listing.expiry, now, self._bar, self._contract.bars), listing.strike

    def size(self, book: Book, asset: str) -> float:
        """Units that make the task's book as large as this one ever was; 0 for one that never was."""
        return float(book.peak.get(asset, 0)) / self._reference[self._assets[asset]]

    def _holdings(self, book: Book, asset: str, now: int) -> Rows:
        rows: list[Any] = [self.size(book, asset)]
        for group in self.groups(book):
            if group.asset == self._assets[asset]:
                rows += [group.units, group.bars(now, self._bar, self._contract.bars), *group.parameters]
        return tuple(rows)

    def _groups(self, book: Book) -> tuple[Group, ...]:
        return book.groups(self._assets)


@lru_cache(maxsize=64)
def remembered(memory: Memory) -> Rows:
    return tuple(_numbers(getattr(memory, field.name)) for field in fields(Memory))


@lru_cache(maxsize=16)
def _listed(smile: Smile) -> Rows:
    quote = (_numbers(getattr(smile.listed_in.quote, name)) for name in QUOTED)
    return _numbers(smile.strikes), _numbers(smile.ratios), *quote, *remembered(smile.listed_in.memory)


def _numbers(tensor: Tensor) -> tuple[float, ...]:
    return tuple(tensor.flatten().tolist())


def row(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(map(float, values))


def _reference(contract: Contract, asset: int) -> float:
    """Units of the task's claims on one asset, long and short added, over its base units: their mean."""
    own = [claim for claim in contract.claims if claim.instrument.asset == asset]
    return sum(claim.count * _mean_size(claim.units) for claim in own) or 1.0


def _mean_size(units: float | tuple[float, float]) -> float:
    """Of |u|, u uniform between the two."""
    low, high = units if isinstance(units, tuple) else (units, units)
    if low * high >= 0:
        return abs(low + high) / 2
    return (low**2 + high**2) / (2 * (high - low))

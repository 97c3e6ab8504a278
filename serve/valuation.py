"""What one asset's book and legs are worth at its last quote, with their greeks and what cases of stress would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from envs.instrument import Instrument, View
from envs.types import mapped
from serve.config import Stress
from serve.holdings import DTYPE, Book
from serve.market import Listing, Market


@dataclass(frozen=True)
class Worth:
    """Of a book, or of one unit of a leg. Quote currency, base units per 1 % of spot, quote currency per vol point."""

    value: float
    delta: float
    gamma: float
    vega: float
    stress: tuple[float, ...]  # change of value in each case


@dataclass(frozen=True)
class Valuation:
    spot: float
    book: Worth
    legs: Mapping[str, Worth]  # of the asset's legs, by symbol
    half_spreads: Mapping[str, float]  # fraction of the mark
    depths: Mapping[str, float]  # quote currency


class Valuer:
    """One batched pricing per quote: the first row is the market as it is, the others are the stress cases."""

    def __init__(self, market: Market, stress: Stress) -> None:
        self._market = market
        cases = [(0.0, 0.0), *product(stress.spot, stress.volatility)]
        self._moves = torch.tensor([1 + spot for spot, _ in cases], dtype=DTYPE)
        self._levels = torch.tensor([1 + level for _, level in cases], dtype=DTYPE)

    def valued(self, asset: int, calm: View, book: Book, listings: Sequence[Listing | None], now: int) -> Valuation:
        """`calm`: the asset's market as it is."""
        market, spot = self._market, float(calm.quote.spot)
        view = self._stressed(calm)
        book_rows = [
            _rows(group.units, each, group.terms(now, market.bar, market.contract.bars), view)
            for group, each in zip(market.groups(book), market.instruments(book), strict=True)
            if group.asset == asset
        ]
        legs = [k for k, own in enumerate(market.leg_assets) if own == asset]
        single = torch.ones(1, 1, dtype=DTYPE)
        leg_rows, spreads, depths = [], {}, {}
        for k in legs:
            instrument, terms = market.contract.hedges[k].instrument, market.leg_terms(k, listings[k], spot, now)
            leg_rows.append(_rows(single, instrument, terms, view))
            greeks = instrument.greeks(terms, calm)
            symbol = market.symbols[k]
            spreads[symbol] = float(instrument.half_spread(greeks, calm))
            depths[symbol] = float(instrument.depth(greeks, calm))
        whole = torch.stack(book_rows).sum(0) if book_rows else torch.zeros(4, len(self._moves), dtype=DTYPE)
        worths = [_worth(rows, spot) for rows in torch.stack([whole, *leg_rows]).tolist()]
        return Valuation(
            spot=spot,
            book=worths[0],
            legs={market.symbols[k]: worth for k, worth in zip(legs, worths[1:], strict=True)},
            half_spreads=spreads,
            depths=depths,
        )

    def _stressed(self, calm: View) -> View:
        """(1 + cases) paths."""
        count = len(self._moves)
        wide = mapped(lambda each: each.expand(count), calm.quote)
        moved = {name: getattr(wide, name) * self._moves for name in ("spot", "low", "high", "mark")}
        moved["implied_volatility"] = wide.implied_volatility * self._levels
        past = mapped(lambda each: each.expand(count, *each.shape[1:]), calm.memory)
        return replace(calm, quote=replace(wide, **moved), memory=past)


def _rows(units: Tensor, instrument: Instrument, terms: Any, view: View) -> Tensor:
    """(4, 1 + cases): value, delta, gamma, vega of `units` (1, n) together."""
    wide = mapped(lambda each: each.expand(len(view.quote.spot), -1), terms)
    greeks = instrument.greeks(wide, view)
    return torch.stack([greeks.value, greeks.delta, greeks.gamma, greeks.vega]).mul(units).sum(-1)


def _worth(rows: list[list[float]], spot: float) -> Worth:
    values, delta, gamma, vega = rows
    stress = tuple(value - values[0] for value in values[1:])
    return Worth(values[0], delta[0], gamma[0] * spot / 100, vega[0] / 100, stress)

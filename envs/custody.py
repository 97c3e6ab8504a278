"""The venue's hold on the hedgers: liquidation inside a decision's bars, auto-deleveraging, distance to liquidation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from envs import book as books
from envs import margin, portfolio
from envs.book import Book
from envs.contract import Contract
from envs.instrument import View
from envs.instruments.perpetual import Perpetual
from envs.margin import Claims, Health, Positions, Posted, Prices
from envs.portfolio import Portfolio
from envs.scene import Traded
from envs.types import Quote


@dataclass(frozen=True)
class Extremes:
    """Of each asset since the last decision, one (P,) per asset."""

    low: tuple[Tensor, ...]
    high: tuple[Tensor, ...]
    deleveraged: tuple[Tensor, ...]

    @classmethod
    def of(cls, quotes: Sequence[Quote]) -> Extremes:
        """Before the first bar: the spot, and nobody deleveraged."""
        spots = tuple(quote.spot for quote in quotes)
        return cls(spots, spots, tuple(torch.zeros_like(spot) for spot in spots))

    def widened(self, quotes: Sequence[Quote]) -> Extremes:
        """With one more bar."""
        each = zip(self.low, self.high, self.deleveraged, quotes, strict=True)
        rows = [(low.minimum(q.low), high.maximum(q.high), gone.maximum(q.deleveraged)) for low, high, gone, q in each]
        return Extremes(*zip(*rows, strict=True))


class Custodian:
    """Enforces a contract's margin on books of K instruments."""

    def __init__(self, contract: Contract) -> None:
        self.contract, self.margin = contract, contract.margin
        instruments = [hedge.instrument for hedge in contract.hedges]
        self.assets = tuple(each.asset for each in instruments)
        self.curved = not all(each.linear for each in instruments)
        self.perpetual = [isinstance(each, Perpetual) for each in instruments]

    @property
    def margined(self) -> bool:
        return self.margin.mode != "none"

    def enforced(self, book: Book, held: Portfolio, traded: Traded, views: Sequence[View], extremes: Extremes) -> Book:
        """The books after the venue has had its way during the bars that made `extremes` and ended at `views`."""
        book = self._deleveraged(book, traded, extremes) if any(self.perpetual) else book
        if not self.margined:
            return book
        spot = torch.stack([view.quote.spot for view in views], -1)
        prices = Prices(spot, torch.stack(extremes.low, -1), torch.stack(extremes.high, -1))
        health = self.health(book, held, traded, views, prices)
        return self._closed(book, traded, health)

    def cushion(self, book: Book, held: Portfolio, traded: Traded, views: Sequence[View]) -> Tensor | None:
        """(P, G) in [0, 1], of the account nearest to liquidation: 0 there, 1 when flat; None without margin."""
        if not self.margined:
            return None
        prices = Prices.at(torch.stack([view.quote.spot for view in views], -1))
        distance = margin.distance(self._posted(held), self.health(book, held, traded, views, prices))
        return distance.amin(-1) if distance.dim() > 2 else distance

    def _posted(self, held: Portfolio) -> Posted:
        base = torch.stack(held.base, -1)
        notional = self.contract.notional
        return margin.posted(self.margin, torch.full_like(base[:, 0], notional), notional / base, len(self.assets))

    def health(self, book: Book, held: Portfolio, traded: Traded, views: Sequence[View], prices: Prices) -> Health:
        """Of the accounts at their worst within `prices`; under margin only."""
        curvature = (traded.delta, traded.gamma) if self.curved else (None, None)
        positions = Positions(self.assets, book.units, books.earned(book, traded.mark), *curvature)
        claims = self._claims(book, held, views) if self.margin.portfolio else None
        return margin.health(self.margin, self._posted(held), positions, prices, claims)

    def _claims(self, book: Book, held: Portfolio, views: Sequence[View]) -> Claims:
        exposures = portfolio.exposures(self.contract, held, views)
        value = torch.stack([each.value for each in exposures], -1).sum(-1)
        delta, gamma = (torch.stack([getattr(e, name) for e in exposures], -1) for name in ("delta", "gamma"))
        return Claims(book.claims[:, 0] + value, delta, gamma)

    def _closed(self, book: Book, traded: Traded, health: Health) -> Book:
        """Liquidated accounts flat, and out of the market until the episode ends."""
        closure, out = margin.closure(self.margin, health), margin.liquidated(health)
        cost, fee = torch.where(out, closure.cost, 0.0), torch.where(out, closure.fee, 0.0)
        if out.dim() == 2:  # one account for all instruments: its cost goes to the first
            first = torch.zeros_like(book.cash[0, 0])
            first[0] = 1
            out, cost, fee = out[..., None].expand_as(book.cash), cost[..., None] * first, fee[..., None] * first
        book = books.closed(book, out.to(book.cash.dtype), traded.mark[:, None])
        return replace(
            book,
            cash=book.cash - cost,
            fees=book.fees + fee.sum(-1),
            slippage=book.slippage + (cost - fee).sum(-1),
            liquidated=book.liquidated | out,
        )

    def _deleveraged(self, book: Book, traded: Traded, extremes: Extremes) -> Book:
        """A share of each winning perpetual position closed by the venue at the mark."""
        share = torch.stack([extremes.deleveraged[a] for a in self.assets], -1)[:, None]
        if not all(self.perpetual):
            share = share * share.new_tensor(self.perpetual)
        winning = books.earned(book, traded.mark) > 0
        return books.closed(book, share * winning, traded.mark[:, None])

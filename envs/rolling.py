"""Hedging options that are listed anew: what was bought of earlier listings stays to its expiry or the book's end.

P paths, G hedgers on each; R listings in a book's life.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor

from envs import book as books
from envs.book import Book
from envs.contract import Contract
from envs.instrument import Opening, View
from envs.types import Greeks, Quote, added, mapped


@dataclass(frozen=True)
class Kept:
    """Of one hedge, what was bought of its earlier listings."""

    units: Tensor  # (P, G, R) base units
    terms: Any  # (P, R)


@dataclass(frozen=True)
class Holding:
    """All that is kept on one asset; (P, G), quote currency but for `gross`."""

    value: Tensor
    delta: Tensor
    gamma: Tensor
    vega: Tensor
    gross: Tensor  # base units, long and short added


def opened(contract: Contract, terms: Sequence[Any], base: Sequence[Tensor], hedgers: int) -> tuple[Kept, ...]:
    """Nothing, for each hedge that is listed anew; `terms` of all hedges."""
    return tuple(_empty(contract, place, terms[place], base[0], hedgers) for place in contract.rolling)


def relisted(
    contract: Contract,
    kept: tuple[Kept, ...],
    book: Book,
    terms: tuple[Any, ...],
    views: Sequence[View],
    bars_left: Tensor,
    generator: Generator,
) -> tuple[tuple[Kept, ...], Book, tuple[Any, ...]]:
    """Where a listing is due, the old one's units kept and the hedge at fresh terms; `bars_left` (P,) of the book."""
    left, now, own = bars_left.clamp(min=1), list(terms), list(kept)
    for row, (place, every) in enumerate(_listings(contract)):
        instrument, units = contract.hedges[place].instrument, book.units[..., place : place + 1]
        due = (bars_left % every == 0)[:, None]
        here = due & (torch.arange(contract.bars // every, device=left.device) == (bars_left // every)[:, None])
        own[row] = Kept(
            torch.where(here[:, None], units, kept[row].units),
            mapped(lambda old, new, h=here: torch.where(h, new, old), kept[row].terms, terms[place]),
        )
        opening = Opening(1, left, left[:, None], contract.decision_bars, generator)
        fresh = instrument.opened(views[instrument.asset], opening)
        now[place] = mapped(lambda old, new, d=due: torch.where(d, new, old), terms[place], fresh)
        book = books.moved_out(book, place, due)
    return tuple(own), book, tuple(now)


def aged(contract: Contract, kept: tuple[Kept, ...], bars: int) -> tuple[Kept, ...]:
    """The same `bars` later."""
    each = zip(contract.rolling, kept, strict=True)
    return tuple(replace(own, terms=contract.hedges[k].instrument.aged(own.terms, bars)) for k, own in each)


def settled(
    contract: Contract,
    kept: tuple[Kept, ...],
    book: Book,
    openings: Sequence[Quote],
    views: Sequence[View],
    bars_left: Tensor,
) -> tuple[tuple[Kept, ...], Book]:
    """What expired paid, and what outlives a book at its end taken at its mark; `openings`: the quotes a bar before."""
    own = list(kept)
    for row, place in enumerate(contract.rolling):
        instrument, terms, units = contract.hedges[place].instrument, kept[row].terms, kept[row].units
        view, expired = views[instrument.asset], terms.bars_left <= 0
        payoff = instrument.payoff(terms, openings[instrument.asset], view)
        price = torch.where(expired, payoff, instrument.greeks(terms, view).value)
        due = (expired | (bars_left <= 0)[:, None])[:, None]
        book = books.paid(book, place, torch.where(due, units * price[:, None], 0.0).sum(-1))
        own[row] = replace(kept[row], units=torch.where(due, 0.0, units))
    return tuple(own), book


def holdings(contract: Contract, kept: tuple[Kept, ...], views: Sequence[View]) -> tuple[Holding | None, ...]:
    """One per asset; None where nothing is listed anew."""
    found: list[Holding | None] = []
    for asset, view in enumerate(views):
        own = [
            _holding(contract.hedges[place].instrument.greeks(each.terms, view), each.units)
            for place, each in zip(contract.rolling, kept, strict=True)
            if contract.hedges[place].instrument.asset == asset
        ]
        found.append(mapped(lambda *parts: added(parts), own[0], *own[1:]) if own else None)
    return tuple(found)


def _holding(greeks: Greeks, units: Tensor) -> Holding:
    each = torch.stack([greeks.value, greeks.delta, greeks.gamma, greeks.vega], -1)
    value, delta, gamma, vega = (units @ each).unbind(-1)
    return Holding(value, delta, gamma, vega, units.abs().sum(-1))


def _listings(contract: Contract) -> Iterator[tuple[int, int]]:
    """Place and bars between listings of each hedge that is listed anew."""
    return ((k, bars) for k in contract.rolling if (bars := contract.hedges[k].roll_bars) is not None)


def _empty(contract: Contract, place: int, terms: Any, base: Tensor, hedgers: int) -> Kept:
    bars = contract.hedges[place].roll_bars
    assert bars is not None
    count = contract.bars // bars
    blank = mapped(lambda one: one.expand(-1, count), terms)
    return Kept(base.new_zeros(len(base), hedgers, count), replace(blank, bars_left=torch.zeros_like(blank.bars_left)))

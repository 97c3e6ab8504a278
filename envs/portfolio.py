"""The claims that are hedged: opened at their marks, valued, settled; summed over each asset.

P paths; per claim of the contract n copies. One path's claims are the same for all hedgers on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Generator, Tensor

from envs.contract import Claim, Contract
from envs.instrument import Opening, View
from envs.instruments.option import Option
from envs.types import Quote, added

NEVER = 1 << 40  # bars


@dataclass(frozen=True)
class Portfolio:
    """What P paths hold besides their hedges."""

    bars_left: Tensor  # (P,) of the book's life, int64
    base: tuple[Tensor, ...]  # per asset (P,): its base units, the notional over the spot at the opening
    units: tuple[Tensor, ...]  # per claim (P, n), signed; 0 before it arrives and once settled
    terms: tuple[Any, ...]  # per claim; no bars left before it arrives
    coins: tuple[Tensor, ...]  # per asset (P,): units of it received, less paid, for claims settled in it
    arrived: tuple[Tensor, ...] = ()  # per claim that arrives (P,): its copies so far, int64


@dataclass(frozen=True)
class Exposure:
    """One asset's claims and coins together; all (P,), quote currency."""

    value: Tensor
    delta: Tensor
    gamma: Tensor
    vega: Tensor
    next_bars: Tensor  # bars to the first expiry, int64
    last_bars: Tensor  # bars to the last


def opened(
    contract: Contract, views: Sequence[View], bars_left: Tensor, generator: Generator
) -> tuple[Portfolio, Tensor]:
    """Claims with `bars_left` (P,) to the episode's end, and the cash (P,) received less paid for them."""
    base = tuple(contract.notional / view.quote.spot for view in views)
    till = Till([torch.zeros_like(one) for one in base])
    every_units, every_terms, arrived = [], [], []
    for claim in contract.claims:
        asset = claim.instrument.asset
        view = views[asset]
        places = claim.count + claim.arriving(contract.bars)
        opening = Opening(places, bars_left, contract.bars, contract.decision_bars, generator)
        terms = claim.instrument.opened(view, opening)
        units = drawn_units(claim, base[asset], places, generator)
        if claim.arrivals is not None:
            held = torch.arange(places, device=units.device) < claim.count
            units, terms = units * held, replace(terms, bars_left=terms.bars_left * held)
            arrived.append(torch.full_like(bars_left, claim.count))
        till.take(claim, -units * claim.instrument.greeks(terms, view).value, view)
        every_units.append(units)
        every_terms.append(terms)
    made = Portfolio(bars_left, base, tuple(every_units), tuple(every_terms), tuple(till.coins), tuple(arrived))
    return made, till.cash


def exposures(contract: Contract, portfolio: Portfolio, views: Sequence[View]) -> tuple[Exposure, ...]:
    """One per asset."""
    return tuple(_exposure(contract, portfolio, views[a], a) for a in range(len(views)))


def deltas(
    contract: Contract, portfolio: Portfolio, view: View, asset: int, spots: Tensor, stretches: Tensor
) -> Tensor:
    """(P, S) delta of one asset's claims in S cases: its spot at `spots`, volatilities `stretches` as high."""
    total = portfolio.coins[asset][:, None].expand_as(spots)
    for claim, units, terms in zip(contract.claims, portfolio.units, portfolio.terms, strict=True):
        if claim.instrument.asset == asset:
            total = total + _summed(units[..., None] * claim.instrument.deltas(terms, view, spots, stretches), 1)
    return total


def income(contract: Contract, portfolio: Portfolio, views: Sequence[View]) -> Tensor | None:
    """(P,) earned per year by holding the claims; None where none earns anything."""
    total: Tensor | None = None
    for claim, units, terms in zip(contract.claims, portfolio.units, portfolio.terms, strict=True):
        earned = claim.instrument.income(terms, views[claim.instrument.asset])
        if earned is not None:
            own = _summed(units * earned, 1)
            total = own if total is None else total + own
    return total


def aged(contract: Contract, portfolio: Portfolio, bars: int) -> Portfolio:
    """The same claims `bars` later."""
    each = zip(contract.claims, portfolio.terms, strict=True)
    terms = tuple(claim.instrument.aged(terms, bars) for claim, terms in each)
    return replace(portfolio, bars_left=portfolio.bars_left - bars, terms=terms)


def settled(
    contract: Contract, portfolio: Portfolio, openings: Sequence[Quote], views: Sequence[View]
) -> tuple[Portfolio, Tensor]:
    """Claims with no bars left turned into money: cash (P,) received; `openings` are the quotes a bar before.

    Those that outlive a book at its end are taken at their mark.
    """
    every_units = []
    till = Till(portfolio.coins)
    for claim, units, terms in zip(contract.claims, portfolio.units, portfolio.terms, strict=True):
        view = views[claim.instrument.asset]
        due = terms.bars_left <= 0
        price = claim.instrument.payoff(terms, openings[claim.instrument.asset], view)
        if contract.outlived:
            price = torch.where(due, price, claim.instrument.greeks(terms, view).value)
            due = due | (portfolio.bars_left <= 0)[:, None]
        till.take(claim, torch.where(due, units * price, 0.0), view)
        every_units.append(torch.where(due, 0.0, units))
    return replace(portfolio, units=tuple(every_units), coins=tuple(till.coins)), till.cash


def gross(contract: Contract, portfolio: Portfolio, asset: int) -> Tensor:
    """(P,) base units of one asset's claims and coins, long and short added."""
    own = [u for c, u in zip(contract.claims, portfolio.units, strict=True) if c.instrument.asset == asset]
    return added([portfolio.coins[asset].abs(), *(_summed(units.abs(), 1) for units in own)])


def _exposure(contract: Contract, portfolio: Portfolio, view: View, asset: int) -> Exposure:
    coins = portfolio.coins[asset]
    zero = torch.zeros_like(coins)
    sums = [coins * view.quote.spot, coins, zero, zero]
    soonest = torch.full_like(coins, NEVER, dtype=torch.int64)
    ends = []
    for claim, units, terms in zip(contract.claims, portfolio.units, portfolio.terms, strict=True):
        if claim.instrument.asset != asset:
            continue
        greeks = claim.instrument.greeks(terms, view)
        own = (greeks.value, greeks.delta, greeks.gamma, greeks.vega)
        sums = [total + _summed(units * greek, 1) for total, greek in zip(sums, own, strict=True)]
        ends.append(_only_or(torch.amax, terms.bars_left))
        soonest = soonest.minimum(_only_or(torch.amin, torch.where(terms.bars_left > 0, terms.bars_left, NEVER)))
    latest = reduce(torch.maximum, ends) if ends else torch.zeros_like(soonest)
    value, delta, gamma, vega = sums
    return Exposure(value, delta, gamma, vega, torch.minimum(soonest, latest), latest)


def _summed(each: Tensor, dim: int) -> Tensor:
    """Over the copies on `dim`: one copy costs no sum."""
    return each.sum(dim) if each.shape[dim] > 1 else each.select(dim, 0)


def _only_or(least: Callable[..., Tensor], each: Tensor) -> Tensor:
    """(P,) of (P, n)."""
    return least(each, -1) if each.shape[-1] > 1 else each[:, 0]


class Till:
    """Collects what claims bring: cash (P,), and per asset coins (P,)."""

    def __init__(self, coins: Sequence[Tensor]) -> None:
        """With the `coins` that are there."""
        self.coins, self.cash = list(coins), torch.zeros_like(coins[0])

    def take(self, claim: Claim, money: Tensor, view: View) -> None:
        """`money` (P, n) from the copies of a claim, in quote currency."""
        received = _summed(money, 1)
        if _in_coin(claim):
            asset = claim.instrument.asset
            self.coins[asset] = self.coins[asset] + received / view.quote.spot
        else:
            self.cash = self.cash + received


def drawn_units(claim: Claim, base: Tensor, copies: int, generator: Generator, either: bool = False) -> Tensor:
    """(P, n) base units; `either`: some on the opposite side, as the claim's arrivals say."""
    if isinstance(claim.units, tuple):
        low, high = claim.units
        units = base[:, None] * (low + (high - low) * uniform(base, copies, generator))
    else:
        units = (claim.units * base)[:, None].expand(-1, copies)
    if not (either and claim.arrivals is not None and claim.arrivals.opposite > 0):
        return units
    return torch.where(uniform(base, copies, generator) < claim.arrivals.opposite, -units, units)


def uniform(like: Tensor, copies: int, generator: Generator) -> Tensor:
    """(P, n)."""
    return torch.rand(len(like), copies, generator=generator, device=like.device, dtype=like.dtype)


def _in_coin(claim: Claim) -> bool:
    return isinstance(claim.instrument, Option) and claim.instrument.settlement == "coin"

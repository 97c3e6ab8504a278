"""The claims that are hedged: opened at their marks, valued, settled; summed over each asset.

P paths; per claim of the contract n copies. One path's claims are the same for all hedgers on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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

    base: tuple[Tensor, ...]  # per asset (P,): its base units, the notional over the spot at the opening
    units: tuple[Tensor, ...]  # per claim (P, n), signed; 0 once settled
    terms: tuple[Any, ...]  # per claim
    coins: tuple[Tensor, ...]  # per asset (P,): units of it received, less paid, for claims settled in it


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
    coins = [torch.zeros_like(one) for one in base]
    cash = torch.zeros_like(base[0])
    every_units, every_terms = [], []
    for claim in contract.claims:
        asset = claim.instrument.asset
        view = views[asset]
        opening = Opening(claim.count, bars_left, contract.bars, contract.decision_bars, generator)
        terms = claim.instrument.opened(view, opening)
        units = _drawn_units(claim, base[asset], generator)
        price = -_summed(units * claim.instrument.greeks(terms, view).value, 1)
        if _in_coin(claim):
            coins[asset] = coins[asset] + price / view.quote.spot
        else:
            cash = cash + price
        every_units.append(units)
        every_terms.append(terms)
    return Portfolio(base, tuple(every_units), tuple(every_terms), tuple(coins)), cash


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
    return replace(portfolio, terms=tuple(claim.instrument.aged(terms, bars) for claim, terms in each))


def settled(
    contract: Contract, portfolio: Portfolio, openings: Sequence[Quote], views: Sequence[View]
) -> tuple[Portfolio, Tensor]:
    """Claims with no bars left turned into money: cash (P,) received; `openings` are the quotes a bar before."""
    every_units, coins = [], list(portfolio.coins)
    cash = torch.zeros_like(portfolio.base[0])
    for claim, units, terms in zip(contract.claims, portfolio.units, portfolio.terms, strict=True):
        asset = claim.instrument.asset
        due = terms.bars_left <= 0
        payoff = claim.instrument.payoff(terms, openings[asset], views[asset])
        received = _summed(torch.where(due, units * payoff, 0.0), 1)
        if _in_coin(claim):
            coins[asset] = coins[asset] + received / views[asset].quote.spot
        else:
            cash = cash + received
        every_units.append(torch.where(due, 0.0, units))
    return replace(portfolio, units=tuple(every_units), coins=tuple(coins)), cash


def gross(contract: Contract, portfolio: Portfolio, asset: int) -> Tensor:
    """(P,) base units of one asset's claims and coins, long and short added."""
    own = [u for c, u in zip(contract.claims, portfolio.units, strict=True) if c.instrument.asset == asset]
    return added([portfolio.coins[asset].abs(), *(_summed(units.abs(), 1) for units in own)])


def _exposure(contract: Contract, portfolio: Portfolio, view: View, asset: int) -> Exposure:
    coins = portfolio.coins[asset]
    zero = torch.zeros_like(coins)
    sums = [coins * view.quote.spot, coins, zero, zero]
    soonest = torch.full_like(coins, NEVER, dtype=torch.int64)
    latest = torch.zeros_like(soonest)
    for claim, units, terms in zip(contract.claims, portfolio.units, portfolio.terms, strict=True):
        if claim.instrument.asset != asset:
            continue
        greeks = claim.instrument.greeks(terms, view)
        own = (greeks.value, greeks.delta, greeks.gamma, greeks.vega)
        sums = [total + _summed(units * greek, 1) for total, greek in zip(sums, own, strict=True)]
        latest = latest.maximum(_only_or(torch.amax, terms.bars_left))
        soonest = soonest.minimum(_only_or(torch.amin, torch.where(terms.bars_left > 0, terms.bars_left, NEVER)))
    value, delta, gamma, vega = sums
    return Exposure(value, delta, gamma, vega, torch.minimum(soonest, latest), latest)


def _summed(each: Tensor, dim: int) -> Tensor:
    """Over the copies on `dim`: one copy costs no sum."""
    return each.sum(dim) if each.shape[dim] > 1 else each.select(dim, 0)


def _only_or(least: Callable[..., Tensor], each: Tensor) -> Tensor:
    """(P,) of (P, n)."""
    return least(each, -1) if each.shape[-1] > 1 else each[:, 0]


def _drawn_units(claim: Claim, base: Tensor, generator: Generator) -> Tensor:
    """(P, n) base units."""
    if not isinstance(claim.units, tuple):
        return (claim.units * base)[:, None].expand(-1, claim.count)
    low, high = claim.units
    drawn = torch.rand(len(base), claim.count, generator=generator, device=base.device, dtype=base.dtype)
    return base[:, None] * (low + (high - low) * drawn)


def _in_coin(claim: Claim) -> bool:
    return isinstance(claim.instrument, Option) and claim.instrument.settlement == "coin"

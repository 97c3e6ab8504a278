"""Where profit and loss come from: what each greek earned from decision to decision, and what trading cost.

As the spot goes from S₀ to S₁ and a unit's own volatility stays, Δ(S₀)·(S₁ − S₀) is delta's and the rest of ∫ Δ dS is
gamma's, of all orders. Then time passes: theta's. What is left is the change of an option's own implied volatility,
vega's, or, of what is linear, that of its price less the spot's: the basis'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from envs.book import Book
from envs.contract import Contract
from envs.hedging import Episode
from envs.instrument import Instrument, View

MOVES = ("delta", "gamma", "theta", "vega", "basis", "income")
TERMS = (*MOVES, "fees", "slippage", "funding", "residual")
NODES, WEIGHTS = np.polynomial.legendre.leggauss(5)  # on [-1, 1]


def period(contract: Contract, before: Episode, held: Tensor, views: Sequence[View], later: Sequence[View]) -> Tensor:
    """(P, G, MOVES) money earned from one decision to the next, `held` (P, G, K) the hedges' units.

    `views` and `later`: each asset's market at the two times.
    """

    def moved(instrument: Instrument, terms: Any) -> Tensor:
        asset = instrument.asset
        return unit(instrument, terms, views[asset], later[asset], contract.decision_bars)

    total = held.new_zeros(*held.shape[:2], len(MOVES))
    for claim, units, terms in zip(contract.claims, before.portfolio.units, before.portfolio.terms, strict=True):
        total = total + (units[..., None] * moved(claim.instrument, terms)).sum(1, keepdim=True)
    for k, (hedge, terms) in enumerate(zip(contract.hedges, before.terms, strict=True)):
        total = total + held[..., k, None] * _uncarried(moved(hedge.instrument, terms))
    for k, kept in zip(contract.rolling, before.kept, strict=True):
        total = total + kept.units @ _uncarried(moved(contract.hedges[k].instrument, kept.terms))
    for coins, view, then in zip(before.portfolio.coins, views, later, strict=True):
        total[..., 0] += (coins * (then.quote.spot - view.quote.spot))[:, None]
    return total


def unit(instrument: Instrument, terms: Any, view: View, later: View, bars: int) -> Tensor:
    """(P, n, MOVES) money that one unit of `instrument` earned in `bars`, from `view` to `later`."""
    old, new = view.quote.spot, later.quote.spot
    step = (new - old)[:, None]
    start = instrument.greeks(terms, view)
    spots = old[:, None] + step * (1 + old.new_tensor(NODES)) / 2
    deltas = instrument.deltas(terms, view, spots, torch.ones_like(spots))
    spot = step * (deltas * old.new_tensor(WEIGHTS)).sum(-1) / 2
    moved, aged = replace(view, quote=replace(view.quote, spot=new)), instrument.aged(terms, bars)
    theta = instrument.greeks(aged, moved).value - instrument.greeks(terms, moved).value
    rest = instrument.greeks(aged, later).value - start.value - spot - theta
    income = instrument.income(terms, view)
    zero = torch.zeros_like(rest)
    volatility, basis = (zero, rest) if instrument.linear else (rest, zero)
    carried = zero if income is None else income * bars * view.bar
    return torch.stack([start.delta * step, spot - start.delta * step, theta, volatility, basis, carried], -1)


def whole(moves: Tensor, book: Book, loss: Tensor, notional: float) -> Tensor:
    """(P, G, TERMS) over the notional; they add up to the gain, `loss` (P, G) with its sign turned.

    `moves` (P, G, MOVES): of all periods; `book`: at the end. The residual is what nothing else explains.
    """
    costs = -torch.stack([book.fees, book.slippage, book.funding], -1)
    known = torch.cat([moves, costs], -1) / notional
    return torch.cat([known, -loss[..., None] - known.sum(-1, keepdim=True)], -1)


def _uncarried(moved: Tensor) -> Tensor:
    """Without the income: of hedges the book counts it, bar by bar, as funding."""
    return torch.cat([moved[..., :-1], torch.zeros_like(moved[..., -1:])], -1)

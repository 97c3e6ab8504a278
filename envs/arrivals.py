"""Claims that come in while the book lives, by Poisson processes, opened at their marks when a decision is due."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Generator, Tensor

from envs.contract import Claim, Contract
from envs.instrument import Opening, View
from envs.portfolio import Portfolio, Till, drawn_units, uniform
from envs.types import mapped


def joined(
    contract: Contract, portfolio: Portfolio, views: Sequence[View], generator: Generator
) -> tuple[Portfolio, Tensor]:
    """With the claims that arrived since the last decision, and the cash (P,) received less paid for them.

    A book at its end takes no more.
    """
    till = Till(portfolio.coins)
    units, terms, arrived = (list(each) for each in (portfolio.units, portfolio.terms, portfolio.arrived))
    left = portfolio.bars_left.clamp(min=1)
    places = [place for place, claim in enumerate(contract.claims) if claim.arrivals is not None]
    for row, place in enumerate(places):
        claim = contract.claims[place]
        view, most = views[claim.instrument.asset], claim.arriving(contract.decision_bars)
        room = torch.where(portfolio.bars_left > 0, units[place].shape[1] - arrived[row], 0)
        count = drawn_counts(claim, contract.decision_bars, view.quote.spot, generator).minimum(room)
        fresh = claim.instrument.opened(view, Opening(most, left, left[:, None], contract.decision_bars, generator))
        bought = drawn_units(claim, portfolio.base[claim.instrument.asset], most, generator, either=True)
        bought = torch.where(torch.arange(most, device=left.device) < count[:, None], bought, 0.0)
        till.take(claim, -bought * claim.instrument.greeks(fresh, view).value, view)
        rank = torch.arange(units[place].shape[1], device=left.device) - arrived[row][:, None]
        put = partial(_put, (rank >= 0) & (rank < count[:, None]), rank.clamp(0, most - 1))
        units[place], terms[place] = put(units[place], bought), mapped(put, terms[place], fresh)
        arrived[row] = arrived[row] + count
    coins = tuple(till.coins)
    return replace(portfolio, units=tuple(units), terms=tuple(terms), coins=coins, arrived=tuple(arrived)), till.cash


def drawn_counts(claim: Claim, bars: int, like: Tensor, generator: Generator) -> Tensor:
    """(P,) int64 copies that arrive in so many bars: the inverse of the Poisson law at uniform draws."""
    assert claim.arrivals is not None
    mean = claim.arrivals.rate * bars
    chances = [math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(claim.arriving(bars))]
    return torch.searchsorted(like.new_tensor(chances).cumsum(0), uniform(like, 1, generator)[:, 0], right=True)


def _put(here: Tensor, source: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """(P, n): `new` (P, m) by the place in it that `source` (P, n) names where `here`, else `old`."""
    return torch.where(here, new.gather(1, source), old)

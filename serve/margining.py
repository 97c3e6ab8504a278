"""How far the hedge's margin accounts are from liquidation: by our own account, and by what the venue says."""

from __future__ import annotations

import math

from serve.frozen import replace
from serve.market import Market, Sight
from serve.state import State


def distance(market: Market, sight: Sight) -> float | None:
    """Fraction of spot to liquidation, about, by our account; infinite when flat, None without margin."""
    near = market.cushion(sight)
    if near is None:
        return None
    return near / (1 - near) if near < 1 else math.inf


def told(market: Market, sight: Sight, use: float) -> float:
    """The same of an account of whose equity the venue says that the requirement takes the share `use`.

    The requirement is ours: the venue's word is on the equity.
    """
    at = market.situation(sight).health
    rates = (at.requirement / at.notional)[at.notional > 0]
    if use <= 0 or len(rates) == 0:
        return math.inf
    return max(0.0, float(rates.min()) * (1 / use - 1))


def measured(state: State, market: Market, sight: Sight) -> State:
    """With the distance at the quotes of now, less what the venue's last word takes off it."""
    own = distance(market, sight)
    return replace(state, distance=None if own is None else own * state.venue.margin_share)


def reported(state: State, market: Market, sight: Sight, use: float) -> State:
    """With the venue's word: the worse of the two counts, and in the same proportion until it speaks again."""
    own = distance(market, sight)
    if own is None:
        return state
    share = min(1.0, told(market, sight, use) / own) if 0 < own < math.inf else 1.0
    return replace(state, distance=own * share, venue=replace(state.venue, margin_share=share))

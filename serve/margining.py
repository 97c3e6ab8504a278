"""How far the hedge's margin accounts are from liquidation: by our own account, and by what the venue says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal

from serve.account import Cushion, cushion
from serve.events import BalanceReport
from serve.frozen import replace
from serve.market import Market, Sight
from serve.setup import Setup
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


def measured(state: State, setup: Setup, sight: Callable[[State], Sight]) -> State:
    """With the distance of the nearest account at the quotes of now, once every asset has one that is believed."""
    if len(state.trusted) < len(state.pasts):
        return state
    own = distance(setup.market, sight(state))
    every = [each.distance for each in _told(state, setup)]
    if own is not None:
        every.append(_discounted(own, state, setup))
    return replace(state, distance=min(every, default=None))


def reported(state: State, setup: Setup, sight: Callable[[State], Sight], event: BalanceReport) -> State:
    """With the venue's word: the worse of the two counts, and in the same proportion until it speaks again."""
    seen, share = sight(state), 1.0
    own = distance(setup.market, seen)
    if own is not None and 0 < own < math.inf:
        share = min(1.0, told(setup.market, seen, event.margin_use) / own)
    spots = {name: quote.spot for name, quote in state.quotes.items()}
    venue = replace(state.venue, margin_share=share, accounts=event.accounts, told_at=spots)
    return measured(replace(state, venue=venue), setup, sight)


def accounts(state: State, setup: Setup) -> tuple[str, ...]:
    """The names of the margin accounts: as the venue tells them, else the venue's own name, or each leg's."""
    if state.venue.accounts:
        return tuple(each.venue for each in state.venue.accounts)
    mode = setup.market.contract.margin.mode
    own = setup.market.symbols if mode == "isolated" else (setup.config.venue.name,)
    return () if mode == "none" else own


def cushions(state: State, setup: Setup, sight: Sight) -> tuple[Cushion, ...]:
    """Of every account that holds something: the venue's word where it tells of accounts, else our own account."""
    return _told(state, setup) or tuple(_own(state, setup, sight))


def leg_of(market: Market, account: str) -> str:
    """The leg with which the collateral of an account is counted."""
    return account if account in market.symbols else market.symbols[0]


def _told(state: State, setup: Setup) -> tuple[Cushion, ...]:
    before, now = state.venue.told_at, {name: quote.spot for name, quote in state.quotes.items()}
    found = [cushion(each.moved(before, now), now) for each in state.venue.accounts]
    off = _off(state, setup) if found else 0.0
    return tuple(replace(each, distance=max(0.0, each.distance - off)) for each in found if each.steepness > 0)


def _own(state: State, setup: Setup, sight: Sight) -> Iterator[Cushion]:
    """As `envs.margin.distance` has it: what is left above maintenance, over the notional."""
    names = accounts(state, setup)
    if not names:
        return
    at, held = setup.market.situation(sight).health, dict(zip(setup.market.symbols, sight.positions, strict=True))
    rows = (each.view(-1).tolist() for each in (at.equity, at.requirement, at.notional))
    for name, equity, required, notional in zip(names, *rows, strict=True):
        if notional > 0:
            near = _discounted(max(0.0, equity - required) / notional, state, setup)
            positions: dict[str, Decimal] = {name: held[name]} if name in held else held
            yield Cushion(name, near, notional, required, positions)


def _discounted(own: float, state: State, setup: Setup) -> float:
    """Less what the venue's last word takes off it, and less how far its index is from the oracle's price: it may go
    there yet.
    """
    return own if own == math.inf else max(0.0, own * state.venue.margin_share - _off(state, setup))


def _off(state: State, setup: Setup) -> float:
    return max(price.off(state.quotes[name].spot) for name, price in setup.prices(state).items())

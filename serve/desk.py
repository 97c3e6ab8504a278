"""The paper desk: sells the task's own claims at their marks, settles them at expiry, sells anew if it rolls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import torch
from torch import Generator, Tensor

from envs import portfolio
from envs.instrument import Opening, View
from envs.instruments.option import Option
from envs.portfolio import Portfolio
from envs.types import BadInput
from serve.config import Book as Settings
from serve.events import BookSettled, BookTraded, Event, Holding, Listed, QuoteEvent
from serve.market import Market
from serve.state import State

_CENT_PARTS = Decimal("1e-8")


class Desk:
    """What is drawn at random comes from the settings' seed and the number of the book."""

    def __init__(self, settings: Settings, market: Market, seed: int) -> None:
        """Raises BadInput for claims that a desk on paper cannot sell."""
        self._settings, self._market, self._seed = settings, market, seed
        for claim in market.contract.claims:
            instrument = claim.instrument
            if not isinstance(instrument, Option) or instrument.averaging_hours > 0:
                raise BadInput(
                    f"book.source: the desk cannot sell a {instrument.kind} of this task; give a file instead"
                )
        self._sold = 0

    def remember(self, events: Iterable[Event]) -> None:
        """What the journal says this desk did before a restart."""
        self._sold = max((_number(each) for each in events if isinstance(each, BookTraded)), default=0)

    def saw(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        """What the desk does after this quote."""
        expired = [h for h in state.book.holdings.values() if h.expiry is not None and h.expiry <= quote.time]
        if expired:
            whole = all(each.time >= quote.time for each in state.quotes.values())
            return tuple(self._settled(each, state.quotes[each.asset]) for each in expired) if whole else ()
        flat = not state.book.holdings and not any(state.ledger.position(s) for s in self._market.symbols)
        ready = len(state.quotes) == len(state.pasts) and not state.reserved
        return self._opened(quote, state) if flat and ready and (self._sold == 0 or self._settings.roll) else ()

    def _opened(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        """The task's listed hedges and claims, as the simulator opens them; expiries on the bar grid."""
        market, self._sold = self._market, self._sold + 1
        views = [
            market.view(state.quotes[name], state.pasts[name].memory, state.smiles.get(name), quote.time)
            for name in market.assets
        ]
        seed = np.random.SeedSequence(self._seed, spawn_key=(self._sold,)).generate_state(1)[0]
        generator, bars = Generator().manual_seed(int(seed)), torch.tensor([market.contract.bars])
        claims, _ = portfolio.opened(market.contract, views, bars, generator)
        listed = [
            self._listed(k, hedge.instrument, views, bars, quote.time, generator)
            for k, hedge in enumerate(market.contract.hedges)
            if isinstance(hedge.instrument, Option) and market.legs[k].strike is None
        ]
        trades = [
            self._traded(c, n, claims, views, quote.time)
            for c, units in enumerate(claims.units)
            for n in range(units.shape[1])
        ]
        return (*listed, *(replace(trade, more=True) for trade in trades[:-1]), trades[-1])

    def _listed(
        self, leg: int, option: Option, views: Sequence[View], bars: Tensor, now: int, generator: Generator
    ) -> Listed:
        market, contract = self._market, self._market.contract
        opening = Opening(1, bars, contract.bars, contract.decision_bars, generator)
        terms = option.opened(views[option.asset], opening)
        return Listed(now, market.symbols[leg], float(terms.strike), self._expiry(now, int(terms.bars_left)))

    def _traded(self, claim: int, copy: int, claims: Portfolio, views: Sequence[View], now: int) -> BookTraded:
        """At its mark; the units to the decimal that the journal holds."""
        option, terms = self._market.contract.claims[claim].instrument, claims.terms[claim]
        assert isinstance(option, Option), "checked when the desk was made"
        view = views[option.asset]
        value = float(option.greeks(terms, view).value[0, copy])
        price = Decimal(value if option.settlement == "cash" else value / float(view.quote.spot))
        units = Decimal(float(claims.units[claim][0, copy])).quantize(_CENT_PARTS)
        holding = Holding(
            id=f"{self._sold}-{claim + 1}-{copy + 1}",
            asset=list(self._market.assets)[option.asset],
            kind="option",
            units=units,
            expiry=self._expiry(now, int(terms.bars_left[0, copy])),
            right=option.right,
            strike=float(terms.strike[0, copy]),
            settlement=option.settlement,
        )
        return BookTraded(now, holding, (-units * price).quantize(_CENT_PARTS))

    def _expiry(self, now: int, bars_left: int) -> int:
        return (now // self._market.bar + bars_left) * self._market.bar

    def _settled(self, holding: Holding, quote: QuoteEvent) -> BookSettled:
        """At the last quotes of a bar, whose end follows."""
        assert holding.strike is not None, "an option has a strike"
        sign = 1 if holding.right == "call" else -1
        payoff = max(0.0, sign * (quote.spot - holding.strike))
        paid = Decimal(payoff if holding.settlement == "cash" else payoff / quote.spot)
        cash = (holding.units * paid).quantize(_CENT_PARTS) + 0  # no negative zero
        return BookSettled(quote.time, holding.id, quote.spot, cash, more=True)


def _number(event: BookTraded) -> int:
    head = event.holding.id.partition("-")[0]
    return int(head) if head.isdigit() else 0

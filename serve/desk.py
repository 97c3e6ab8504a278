"""The paper desk: trades the task's own claims at their marks, settles them at expiry, trades anew if it rolls.

By a threshold rule it holds what earns funding only while that pays, and is flat otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from envs import portfolio
from envs.contract import Claim
from envs.instrument import Instrument, Opening, View
from envs.instruments.option import Option
from envs.instruments.perpetual import Perpetual
from envs.instruments.spot import Spot
from envs.portfolio import Portfolio
from envs.types import BadInput
from serve.carrying import CENT_PARTS, Funding, Signal
from serve.config import Book as Settings
from serve.events import BookSettled, BookTraded, Event, Listed, QuoteEvent
from serve.feed import read_funding
from serve.holding import Holding
from serve.market import Market
from serve.state import State


class Desk:
    """What is drawn at random comes from the settings' seed and the number of the book."""

    def __init__(self, settings: Settings, market: Market, seed: int) -> None:
        """Raises BadInput for claims that a desk on paper cannot trade, or not by a threshold rule."""
        self._settings, self._market, self._seed, self._sold = settings, market, seed, 0
        for claim in market.contract.claims:
            instrument = claim.instrument
            averaged = isinstance(instrument, Option) and instrument.averaging_hours > 0
            if averaged or not isinstance(instrument, Option | Perpetual | Spot):
                raise BadInput(
                    f"book.source: the desk cannot trade a {instrument.kind} of this task; give a file instead"
                )
            if settings.carry is not None and (isinstance(instrument, Option) or instrument.asset > 0):
                raise BadInput("book.carry: only of one asset's spot or perpetual; drop it for this task")
        self._funding = Funding(market.bar, {} if settings.funding is None else read_funding(settings.funding))
        self._signal = None if settings.carry is None else Signal(settings.carry, market.bar)

    def remember(self, events: Iterable[Event]) -> None:
        """What the journal says of this desk and of the market before a restart."""
        for event in events:
            if isinstance(event, BookTraded) and not event.command:
                self._sold = max(self._sold, _number(event))
            elif isinstance(event, QuoteEvent):
                self._looked(event, ())

    def saw(self, quote: QuoteEvent, state: State) -> tuple[Event, ...]:
        """What the desk does after this quote."""
        held = state.book.holdings.values()
        paid = self._looked(quote, held)
        left = self._signal is not None and not self._signal.on
        ended = [each for each in held if left or (each.expiry is not None and each.expiry <= quote.time)]
        if ended:
            whole = all(each.time >= quote.time for each in state.quotes.values())
            return (*paid, *(self._settled(each, state.quotes[each.asset]) for each in ended)) if whole else paid
        flat = not held and not left and not any(state.ledger.position(s) for s in self._market.symbols)
        ready = len(state.quotes) == len(state.pasts) and not state.reserved
        again = self._sold == 0 or self._settings.roll or self._signal is not None
        return self._opened(quote, state) if flat and ready and again else paid

    def _looked(self, quote: QuoteEvent, held: Iterable[Holding]) -> tuple[Event, ...]:
        """What the holdings were paid."""
        if self._signal is not None:
            self._signal.saw(quote.time, self._earned(quote))
        return self._funding.saw(quote, held)

    def _earned(self, quote: QuoteEvent) -> float:
        """Per year over the notional, by the claims and a whole hedge of them."""
        spent = {"spot": 0.0, "perpetual": self._funding.rate(quote)}
        earned = {kind: quote.funding_rate - rate for kind, rate in spent.items()}
        return sum(_mean(claim) * earned[claim.instrument.kind] for claim in self._market.contract.claims)

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
        instrument, terms = self._market.contract.claims[claim].instrument, claims.terms[claim]
        view = views[instrument.asset]
        value = float(instrument.greeks(terms, view).value[0, copy])
        holding = Holding(
            id=f"{self._sold}-{claim + 1}-{copy + 1}",
            asset=list(self._market.assets)[instrument.asset],
            units=Decimal(float(claims.units[claim][0, copy])).quantize(CENT_PARTS),
            expiry=self._expiry(now, int(terms.bars_left[0, copy])),
            **_terms(instrument, terms, copy),
        )
        price = Decimal(value / float(view.quote.spot) if holding.settlement == "coin" else value)
        return BookTraded(now, holding, (-holding.units * price).quantize(CENT_PARTS))

    def _expiry(self, now: int, bars_left: int) -> int:
        return (now // self._market.bar + bars_left) * self._market.bar

    def _settled(self, holding: Holding, quote: QuoteEvent) -> BookSettled:
        """At the quote: of what expires, the last of a bar, whose end follows."""
        return BookSettled(quote.time, holding.id, quote.spot, payoff(holding, quote), more=True)


def _terms(instrument: Instrument, terms: Any, copy: int) -> dict[str, Any]:
    """What the holding of one copy has besides its units and its end."""
    if not isinstance(instrument, Option):
        return {"kind": instrument.kind}
    strike = float(terms.strike[0, copy])
    return {"kind": "option", "right": instrument.right, "strike": strike, "settlement": instrument.settlement}


def _mean(claim: Claim) -> float:
    """Units of all its copies, over the base units."""
    low, high = claim.units if isinstance(claim.units, tuple) else (claim.units, claim.units)
    return claim.count * (low + high) / 2


def payoff(holding: Holding, quote: QuoteEvent) -> Decimal:
    """What its units are paid at their end, in what they settle in."""
    worth = _worth(holding, quote)
    each = Decimal(worth / quote.spot if holding.settlement == "coin" else worth)
    return (holding.units * each).quantize(CENT_PARTS) + 0  # no negative zero


def _worth(holding: Holding, quote: QuoteEvent) -> float:
    """Of one base unit at its end."""
    if holding.strike is None:
        return quote.mark if holding.kind == "perpetual" else quote.spot
    sign = 1 if holding.right == "call" else -1
    return max(0.0, sign * (quote.spot - holding.strike))


def _number(event: BookTraded) -> int:
    head = event.holding.id.partition("-")[0]
    return int(head) if head.isdigit() else 0

"""Between the journal's floats and Decimals and the shared code: one path, one book, float64, on the CPU."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import fields
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor

from envs.custody import Custodian
from envs.instrument import Terms, View
from envs.instruments.option import Option, OptionTerms
from envs.instruments.perpetual import Perpetual
from envs.observation import Observer
from envs.task import Task
from envs.types import Quote
from envs.volatility.memory import Memory
from serve.clock import HOUR
from serve.config import Asset, Leg, Stress
from serve.events import QuoteEvent
from serve.figures import Figures, row
from serve.holdings import DTYPE, Book, contract_of
from serve.servable import check
from serve.sheet import Sheet
from serve.sight import Listing as Listing
from serve.sight import Seen as Seen
from serve.sight import Sight as Sight
from serve.sight import Wish as Wish
from serve.situation import Form, Situation, sheet_of
from serve.smile import Smile
from serve.valuation import Valuation, valuation

DEVICE = torch.device("cpu")
LONGEST_HOURS = 400 * 24  # of a holding's life: as far as volatility is forecast


class Market:
    """The shared filters, observation and decision, for the assets and legs that are served."""

    def __init__(self, task: Task, assets: Sequence[Asset], legs: Sequence[Leg], stress: Stress | None = None) -> None:
        """`stress`: the cases that books are valued in. Raises BadInput for a task that cannot be served, or settings
        of other assets or legs than the task's.
        """
        check(task, assets, legs)
        self.contract, self.legs = task.contract, tuple(legs)
        self.assets = {each.name: place for place, each in enumerate(assets)}
        self.bar = round(self.contract.bar_hours * HOUR)  # milliseconds
        self.longest = max(self.contract.horizon, math.ceil(LONGEST_HOURS / self.contract.bar_hours))
        world = task.market.made(self.longest, Generator(DEVICE), DTYPE)
        self.observer = Observer(self.contract, world.calibrations, world.filters, world.surfaces)
        self.filters, self.calibrations = self.observer.filters, self.observer.calibrations
        self.leg_assets = tuple(hedge.instrument.asset for hedge in self.contract.hedges)
        self.symbols = tuple(leg.symbol for leg in legs)
        self.asset_of = {symbol: assets[a].name for symbol, a in zip(self.symbols, self.leg_assets, strict=True)}
        self.actions = 2 * len(legs)
        self._stress = Stress(spot=(0.0,), volatility=(0.0,)) if stress is None else stress
        self.figures = Figures(self.contract, self.assets, self.bar)
        self._form = lru_cache(maxsize=16)(self._made_form)

    def remembered(self, asset: int, closes: Sequence[float]) -> Memory:
        """What an asset's filter knows after these closes, and nothing before them."""
        memory = self.filters[asset].initial(1)
        for before, after in pairwise(closes):
            memory = self.advanced(asset, memory, before, after)
        return memory

    def advanced(self, asset: int, memory: Memory, before: float, after: float) -> Memory:
        """After one more bar, from the close `before` to the close `after`."""
        return self.filters[asset].update(memory, one(math.log(after / before)))

    def volatility(self, asset: int, memory: Memory) -> float:
        """Filtered, of the next bar, per √year."""
        return float(self.filters[asset].spot_variance(memory).sqrt())

    def intensity(self, asset: int, memory: Memory) -> float:
        """Of shocks: 1 when calm, 2 where the excitement strains the venue by half."""
        return 1 + float(memory.excitement) / self.calibrations[asset].liquidity.half_strain

    def valued(
        self,
        quote: QuoteEvent,
        memory: Memory,
        smiles: Sequence[Smile | None],
        book: Book,
        listings: Sequence[Listing | None],
        now: int,
    ) -> Valuation:
        """The quoted asset's book and legs; `smiles` of all assets, `listings` of all legs."""
        asset, sheet = self.assets[quote.asset], self._sheet(book, smiles)
        sheet.show(object(), lambda: self.figures.market(quote, memory, smiles[asset], book, listings, now))
        own = [symbol for symbol, a in zip(self.symbols, self.leg_assets, strict=True) if a == asset]
        return valuation(iter(sheet.result(f"worth_{asset}")), own, quote.spot)

    def observe(self, sight: Sight) -> Seen:
        """With the distance to liquidation of the accounts in `sight`, where the contract has margin."""
        (features,) = self._priced(sight).result("features")
        return Seen(sight, tuple(features))

    def cushion(self, sight: Sight) -> float | None:
        """As `Custodian.cushion`."""
        found = self._priced(sight).result("cushion")
        return found[0][0] if found else None

    def wishes(
        self, action: Sequence[float], seen: Seen, positions: tuple[Decimal, ...], out: Collection[str]
    ) -> tuple[Wish, ...]:
        """Per leg what `action`, on what was `seen`, asks for with the `positions` of now; nothing of those `out`."""
        sight = seen.sight
        sheet = self._priced(sight)
        shut = (name in out or not self.listed(k, sight.listings[k], sight.time) for k, name in enumerate(self.symbols))
        sheet.put("action", (tuple(action), row(positions), tuple(shut)))
        each = zip(*sheet.result("wish"), self.legs, strict=True)
        return tuple(Wish(low, high, round(trade / float(leg.lot)) * leg.lot) for low, high, trade, leg in each)

    def situation(self, sight: Sight) -> Situation:
        """For what no sheet computes."""
        form = self.form(sight.book, sight.smiles)
        return Situation(form, form.tensors(dict(self.figures.whole(sight))))

    def form(self, book: Book, smiles: Sequence[Smile | None]) -> Form:
        return self._form(book, tuple(None if each is None else tuple(each.strikes.shape) for each in smiles))

    def view(self, quote: QuoteEvent, memory: Memory, smile: Smile | None, now: int) -> View:
        """One asset's market as its instruments are priced in it."""
        surface = self.observer.surfaces[self.assets[quote.asset]]
        view = View(quote_tensors(quote), memory, surface, self.contract.bar)
        return view if smile is None else smile.seen(view, now, self.bar)

    def leg_terms(self, leg: int, listing: Listing | None, spot: float, now: int) -> Terms:
        """(1, 1)."""
        option = self.contract.hedges[leg].instrument
        if not isinstance(option, Option):
            return Terms(torch.tensor([[self.contract.bars]]))
        left, strike = self.figures.leg(option, listing, spot, now)
        return OptionTerms(torch.tensor([[left]]), one(strike)[:, None])

    def lot(self, symbol: str) -> Decimal:
        return self.legs[self.symbols.index(symbol)].lot

    def linear(self, symbol: str) -> bool:
        return self.contract.hedges[self.symbols.index(symbol)].instrument.linear

    def pays_funding(self, symbol: str) -> bool:
        return isinstance(self.contract.hedges[self.symbols.index(symbol)].instrument, Perpetual)

    def base(self, book: Book, asset: str, spot: float) -> float:
        """What an asset's hedges are counted over: units that make the task's book as large as this one ever was."""
        return self.figures.size(book, asset) or self.contract.notional / spot

    def listed(self, leg: int, listing: Listing | None, now: int) -> bool:
        """Whether there is something to trade."""
        linear = self.contract.hedges[leg].instrument.linear
        return linear or (listing is not None and listing.expiry > now)

    def _priced(self, sight: Sight) -> Sheet:
        sheet = self._sheet(sight.book, sight.smiles)
        sheet.show(sight, lambda: self.figures.whole(sight))
        return sheet

    def _sheet(self, book: Book, smiles: Sequence[Smile | None]) -> Sheet:
        return sheet_of(self.form(book, smiles))

    def _made_form(self, book: Book, smiles: tuple[Any, ...]) -> Form:
        groups = tuple((group.key, group.room) for group in self.figures.groups(book))
        contract = contract_of(self.contract, tuple(key for key, _ in groups))
        observer = Observer(contract, self.calibrations, self.filters, self.observer.surfaces)
        lots = tuple(float(leg.lot) for leg in self.legs)
        return Form(contract, observer, Custodian(contract), groups, smiles, lots, self._stress)


def quote_tensors(quote: QuoteEvent) -> Quote:
    return Quote(**{field.name: one(getattr(quote, field.name)) for field in fields(Quote)})


def one(value: float) -> Tensor:
    """(1,)."""
    return torch.tensor([value], dtype=DTYPE)

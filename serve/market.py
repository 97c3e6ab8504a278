"""Between the journal's floats and Decimals and the shared code's tensors: one path, one book, float64, on the CPU."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Generator, Tensor

from envs import book, decision, scene
from envs.book import Book as Accounts
from envs.contract import Contract
from envs.custody import Custodian
from envs.instrument import Instrument, Terms, View
from envs.instruments.option import Option, OptionTerms
from envs.instruments.perpetual import Perpetual
from envs.observation import Observation, Observer
from envs.portfolio import Portfolio
from envs.scene import Scene, Traded
from envs.task import Task
from envs.types import Quote
from envs.volatility.memory import Memory
from serve.clock import HOUR
from serve.config import Asset, Leg, Target
from serve.events import QuoteEvent
from serve.holdings import DTYPE, Book, Group, Key, bars_left, contract_of
from serve.servable import check
from serve.smile import Smile

DEVICE = torch.device("cpu")
LONGEST_HOURS = 400 * 24  # of a holding's life: as far as volatility is forecast


@dataclass(frozen=True)
class Listing:
    """Terms of the option that a leg trades."""

    strike: float
    expiry: int


@dataclass(frozen=True, eq=False)
class Sight:
    """All that an observation is made of; tuples are in the order of the assets, or of the legs."""

    time: int
    quotes: tuple[QuoteEvent, ...]
    memories: tuple[Memory, ...]
    book: Book
    positions: tuple[Decimal, ...]  # per leg, base units
    cash: tuple[Decimal, ...]  # per leg, of its account since the book was last empty
    claims_cash: Decimal  # of the book since then
    coins: tuple[Decimal, ...]  # per asset, likewise
    listings: tuple[Listing | None, ...]  # per leg
    targets: tuple[Target, ...]  # per asset
    smiles: tuple[Smile | None, ...]  # per asset: its listed volatilities; None: the quote's and the model's


@dataclass(frozen=True, eq=False)
class Seen:
    """An observation and what it was made of."""

    sight: Sight
    observation: Observation

    @property
    def features(self) -> tuple[float, ...]:
        return tuple(self.observation.features.flatten().tolist())


@dataclass(frozen=True)
class Wish:
    """The band that a decision sets for one leg, over the book's base units, and the trade that it asks for."""

    lower: float
    upper: float
    trade: Decimal


@dataclass(frozen=True, eq=False)
class Shared:
    """The shared code for books whose holdings fall into the same groups."""

    contract: Contract
    observer: Observer
    custodian: Custodian


class Market:
    """The shared filters, observation and decision, for the assets and legs that are served."""

    def __init__(self, task: Task, assets: Sequence[Asset], legs: Sequence[Leg]) -> None:
        """Raises BadInput for a task that cannot be served, or settings of other assets or legs than the task's."""
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
        self.lots = torch.tensor([[[float(leg.lot) for leg in legs]]], dtype=DTYPE)
        self.actions = 2 * len(legs)
        self._reference = [_reference(self.contract, a) for a in range(len(assets))]
        self.shared = lru_cache(maxsize=256)(self._shared)
        self.groups = lru_cache(maxsize=8)(self._groups)

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

    def observe(self, sight: Sight) -> Seen:
        """With the distance to liquidation of the accounts in `sight`, where the contract has margin."""
        now = self.scene(sight)
        cushion = self.cushion(sight, now.traded, now.views)
        return Seen(sight, self.served(sight.book).observer.observe(now, cushion))

    def cushion(self, sight: Sight, traded: Traded, views: tuple[View, ...]) -> Tensor | None:
        """As `Custodian.cushion`."""
        held = self.portfolio(sight, hedged=False)
        return self.served(sight.book).custodian.cushion(accounts(sight), held, traded, views)

    def wishes(
        self, action: Sequence[float], seen: Seen, positions: tuple[Decimal, ...], out: Collection[str]
    ) -> tuple[Wish, ...]:
        """Per leg what `action`, on what was `seen`, asks for with the `positions` of now; nothing of those `out`."""
        band = decision.read(torch.tensor([[action]], dtype=DTYPE), seen.observation)
        sight = seen.sight
        moved = positions != sight.positions
        now = self.scene(replace(sight, positions=positions)) if moved else seen.observation.scene
        shut = [name in out or not self.listed(k, sight.listings[k], sight.time) for k, name in enumerate(self.symbols)]
        trades = decision.orders(band, now, self.lots, torch.tensor([[shut]]))[0, 0].tolist()
        edges = zip(band.lower[0, 0].tolist(), band.upper[0, 0].tolist(), trades, self.legs, strict=True)
        return tuple(Wish(low, high, round(trade / float(leg.lot)) * leg.lot) for low, high, trade, leg in edges)

    def scene(self, sight: Sight) -> Scene:
        """Hedges are counted from the targets, and the book's greeks by the hedge ratios."""
        views = self.views(sight)
        traded = self.traded(sight, views)
        held = _row(sight.positions) - self._steered(sight, traded)
        contract = self.served(sight.book).contract
        return Scene(contract, views, self.portfolio(sight, hedged=True), traded, held[:, None])

    def views(self, sight: Sight) -> tuple[View, ...]:
        each = zip(sight.quotes, sight.memories, sight.smiles, strict=True)
        return tuple(self.view(quote, memory, smile, sight.time) for quote, memory, smile in each)

    def view(self, quote: QuoteEvent, memory: Memory, smile: Smile | None, now: int) -> View:
        """One asset's market as its instruments are priced in it."""
        surface = self.observer.surfaces[self.assets[quote.asset]]
        view = View(quote_tensors(quote), memory, surface, self.contract.bar)
        return view if smile is None else smile.seen(view, now, self.bar)

    def traded(self, sight: Sight, views: Sequence[View]) -> Traded:
        spots = [sight.quotes[asset].spot for asset in self.leg_assets]
        terms = [self.leg_terms(k, sight.listings[k], spot, sight.time) for k, spot in enumerate(spots)]
        return scene.traded(self.contract, terms, views)

    def leg_terms(self, leg: int, listing: Listing | None, spot: float, now: int) -> Terms:
        """(1, 1). An option leg that is not listed yet stands as one at the money."""
        instrument = self.contract.hedges[leg].instrument
        if not isinstance(instrument, Option):
            return Terms(torch.tensor([[self.contract.bars]]))
        if listing is None:
            return OptionTerms(torch.tensor([[max(instrument.longest, 1)]]), one(spot)[:, None])
        left = bars_left(listing.expiry, now, self.bar, self.contract.bars)
        return OptionTerms(torch.tensor([[left]]), one(listing.strike)[:, None])

    def lot(self, symbol: str) -> Decimal:
        return self.legs[self.symbols.index(symbol)].lot

    def linear(self, symbol: str) -> bool:
        return self.contract.hedges[self.symbols.index(symbol)].instrument.linear

    def pays_funding(self, symbol: str) -> bool:
        return isinstance(self.contract.hedges[self.symbols.index(symbol)].instrument, Perpetual)

    def instruments(self, book: Book) -> tuple[Instrument, ...]:
        """One for each of the book's groups."""
        return tuple(claim.instrument for claim in self.served(book).contract.claims)

    def portfolio(self, sight: Sight, hedged: bool) -> Portfolio:
        """The book as the shared code has it; `hedged`: the share of it that the targets want hedged."""
        groups = self.groups(sight.book)
        ratios = [target.hedge_ratio if hedged else 1.0 for target in sight.targets]
        return Portfolio(
            bars_left=torch.tensor([self.contract.bars]),
            base=tuple(one(self.base(sight.book, name, sight.quotes[a].spot)) for name, a in self.assets.items()),
            units=tuple(group.units * ratios[group.asset] for group in groups),
            terms=tuple(group.terms(sight.time, self.bar, self.contract.bars) for group in groups),
            coins=tuple(one(float(coins) * ratio) for coins, ratio in zip(sight.coins, ratios, strict=True)),
        )

    def base(self, book: Book, asset: str, spot: float) -> float:
        """What an asset's hedges are counted over: units that make the task's book as large as this one ever was."""
        peak = book.peak.get(asset)
        return self.contract.notional / spot if peak is None else float(peak) / self._reference[self.assets[asset]]

    def listed(self, leg: int, listing: Listing | None, now: int) -> bool:
        """Whether there is something to trade."""
        linear = self.contract.hedges[leg].instrument.linear
        return linear or (listing is not None and listing.expiry > now)

    def _steered(self, sight: Sight, traded: Traded) -> Tensor:
        """(1, K) units that make the targets' greeks: of options what brings gamma or vega, of the linear the rest."""
        delta, gamma, vega = traded.delta[0].tolist(), traded.gamma[0].tolist(), traded.vega[0].tolist()
        units = [0.0] * len(self.legs)
        for a, target in enumerate(sight.targets):
            left, spot = target.delta, sight.quotes[a].spot
            for k in (k for k, asset in enumerate(self.leg_assets) if asset == a):
                hedge = self.contract.hedges[k]
                if hedge.instrument.linear:
                    units[k], left = left / delta[k], 0.0
                    continue
                own, wanted = (
                    (gamma[k] * spot / 100, target.gamma)
                    if hedge.neutralises == "gamma"
                    else (vega[k] / 100, target.vega)
                )
                units[k] = wanted / own if wanted != 0 and own != 0 else 0.0
                left -= units[k] * delta[k]
        return torch.tensor([units], dtype=DTYPE)

    def _groups(self, book: Book) -> tuple[Group, ...]:
        return book.groups(self.assets)

    def served(self, book: Book) -> Shared:
        """The shared code for what is in the book."""
        return self.shared(tuple(group.key for group in self.groups(book)))

    def _shared(self, keys: tuple[Key, ...]) -> Shared:
        contract = contract_of(self.contract, keys)
        observer = Observer(contract, self.calibrations, self.filters, self.observer.surfaces)
        return Shared(contract, observer, Custodian(contract))


def quote_tensors(quote: QuoteEvent) -> Quote:
    return Quote(**{field.name: one(getattr(quote, field.name)) for field in fields(Quote)})


def one(value: float) -> Tensor:
    """(1,)."""
    return torch.tensor([value], dtype=DTYPE)


def _row(values: Sequence[Decimal]) -> Tensor:
    return torch.tensor([[float(value) for value in values]], dtype=DTYPE)


def accounts(sight: Sight) -> Accounts:
    """Positions and cash as the shared code has them."""
    opened = book.opened(one(float(sight.claims_cash)), 1, len(sight.positions))
    return replace(opened, units=_row(sight.positions)[:, None], cash=_row(sight.cash)[:, None])


def _reference(contract: Contract, asset: int) -> float:
    """Units of the task's claims on one asset, long and short added, over its base units: their mean."""
    own = [claim for claim in contract.claims if claim.instrument.asset == asset]
    return sum(claim.count * _mean_size(claim.units) for claim in own) or 1.0


def _mean_size(units: float | tuple[float, float]) -> float:
    """Of |u|, u uniform between the two."""
    low, high = units if isinstance(units, tuple) else (units, units)
    if low * high >= 0:
        return abs(low + high) / 2
    return (low**2 + high**2) / (2 * (high - low))

"""One moment of what is served, as the shared code has it.

The shared code prices one situation directly, and is recorded on it to price all others of the same form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import torch
from torch import Tensor

from envs import book as books
from envs import decision, scene
from envs.book import Book as Accounts
from envs.contract import Contract
from envs.custody import Custodian
from envs.instrument import Terms, View
from envs.instruments.option import Option, OptionTerms
from envs.margin import Health, Prices
from envs.observation import Observation, Observer
from envs.portfolio import Portfolio, exposures
from envs.scene import Scene, Traded
from envs.types import Quote, mapped
from envs.volatility.memory import Memory
from serve.config import Stress
from serve.figures import QUOTED, Rows
from serve.holdings import DTYPE, Key, parameters, terms_of
from serve.sheet import Sheet
from serve.smile import ListedSurface, Smile

Layout = tuple[tuple[tuple[int, ...], torch.dtype], ...]
FIGURES = ("value", "delta", "gamma", "vega")
ONE = ((1,), DTYPE)


@dataclass(frozen=True, eq=False)
class Form:
    """What situations have in common whose books fall into the same groups."""

    contract: Contract  # with the groups for its claims
    observer: Observer
    custodian: Custodian
    groups: tuple[tuple[Key, int], ...]  # and how many holdings there is room for
    smiles: tuple[tuple[int, int] | None, ...]  # per asset: expiries and strikes of its listed volatilities
    lots: tuple[float, ...]
    stress: Stress

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Forms alike in it are computed alike."""
        return self.observer.sha256, self.groups, self.smiles, self.lots, self.stress.spot, self.stress.volatility

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def layouts(self) -> dict[str, Layout]:
        """Shapes and kinds of the rows' tensors."""
        count, assets = len(self.contract.hedges), range(self.contract.assets)
        leg = (((1, 1), torch.int64), ((1, 1), DTYPE))
        options = [hedge.instrument.asset for hedge in self.contract.hedges if isinstance(hedge.instrument, Option)]
        each = ((1, count), DTYPE)
        found: dict[str, Layout] = {"targets": (ONE,) * 4 * len(assets)}
        found["account"] = (each, each, ONE, *(ONE,) * len(assets))
        found["action"] = (((1, 1, 2 * count), DTYPE), each, ((1, 1, count), torch.bool))
        for a in assets:
            found[f"quote_{a}"], found[f"memory_{a}"] = (ONE,) * len(QUOTED), self._past(a)
            found[f"legs_{a}"] = leg * options.count(a)
            own = [each for key, room in self.groups if key[0] == a for each in _group(key, room)]
            found[f"book_{a}"] = (ONE, *own)
            if (size := self.smiles[a]) is not None:
                listed = (((size[0] + 1,), DTYPE), (size, DTYPE), (size, DTYPE))
                found[f"smile_{a}"] = (*listed, *found[f"quote_{a}"], *self._past(a))
        return found

    def tensors(self, rows: Mapping[str, Rows]) -> dict[str, list[Tensor]]:
        return {
            name: [torch.tensor(v, dtype=kind).view(shape) for v, (shape, kind) in zip(rows[name], own, strict=True)]
            for name, own in self.layouts.items()
            if name in rows
        }

    def _past(self, asset: int) -> Layout:
        regimes = ((1, len(self.observer.filters[asset].stationary)), DTYPE)
        return regimes, regimes, ONE, ((1,), torch.int64)


class Situation:
    """Of one form, on its rows as tensors. Raises nothing that the shared code does not."""

    def __init__(self, form: Form, rows: Mapping[str, Sequence[Tensor]]) -> None:
        self.form, self._rows = form, rows
        self._contract = form.contract
        self._options = [isinstance(hedge.instrument, Option) for hedge in form.contract.hedges]

    @cached_property
    def views(self) -> tuple[View, ...]:
        """Each asset's market, as its instruments are priced in it."""
        return tuple(self._view(a) for a in range(self._contract.assets))

    @cached_property
    def legs(self) -> tuple[Terms, ...]:
        """(1, 1) each."""
        rows = [iter(self._rows[f"legs_{a}"]) for a in range(self._contract.assets)]
        linear = Terms(torch.tensor([[self._contract.bars]]))
        assets = (hedge.instrument.asset for hedge in self._contract.hedges)
        each = zip(assets, self._options, strict=True)
        return tuple(OptionTerms(next(rows[a]), next(rows[a])) if option else linear for a, option in each)

    @cached_property
    def traded(self) -> Traded:
        return scene.traded(self._contract, self.legs, self.views)

    @cached_property
    def whole(self) -> Portfolio:
        return self._portfolio([torch.ones(1, dtype=DTYPE)] * self._contract.assets)

    @cached_property
    def hedged(self) -> Portfolio:
        """The share of the book that the targets want hedged."""
        return self._portfolio([self._target(a, 0) for a in range(self._contract.assets)])

    @cached_property
    def accounts(self) -> Accounts:
        positions, cash, claims_cash = self._rows["account"][:3]
        opened = books.opened(claims_cash, 1, len(self._options))
        return replace(opened, units=positions[:, None], cash=cash[:, None])

    @cached_property
    def cushion(self) -> Tensor | None:
        """As `Custodian.cushion`."""
        return self.form.custodian.cushion(self.accounts, self.whole, self.traded, self.views)

    @cached_property
    def health(self) -> Health:
        """Of the accounts at the quotes as they are; under margin only."""
        prices = Prices.at(torch.stack([view.quote.spot for view in self.views], -1))
        return self.form.custodian.health(self.accounts, self.whole, self.traded, self.views, prices)

    @cached_property
    def observation(self) -> Observation:
        return self.form.observer.observe(self._scene(self._rows["account"][0]), self.cushion)

    def wish(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of the action, on what is observed: lower and upper edges, and trades with the positions held now."""
        action, held, out = self._rows["action"]
        band, lots = decision.read(action, self.observation), torch.tensor([[self.form.lots]], dtype=DTYPE)
        return band.lower, band.upper, decision.orders(band, self._scene(held), lots, out)

    def worth(self, asset: int) -> tuple[Tensor, ...]:
        """Of the asset's book, coins apart, and of one unit of each of its legs: FIGURES (4,), and the change of value
        in each case of stress; of a leg also half-spread and depth.
        """
        bare = replace(self.whole, coins=tuple(torch.zeros_like(each) for each in self.whole.coins))
        cases = self._stressed
        wide = replace(bare, terms=tuple(_wide(each, cases[0]) for each in bare.terms))
        calm = exposures(self._contract, bare, self.views)[asset]
        book = torch.stack([getattr(calm, name).view(()) for name in FIGURES])
        found = [book, exposures(self._contract, wide, cases)[asset].value - calm.value]
        for hedge, terms in zip(self._contract.hedges, self.legs, strict=True):
            if hedge.instrument.asset == asset:
                greeks = hedge.instrument.greeks(terms, self.views[asset])
                moved = hedge.instrument.greeks(_wide(terms, cases[asset]), cases[asset]).value - greeks.value
                found += [torch.stack([getattr(greeks, name).view(()) for name in FIGURES]), moved.view(-1)]
                found.append(hedge.instrument.half_spread(greeks, self.views[asset]))
                found.append(hedge.instrument.depth(greeks, self.views[asset]))
        return tuple(found)

    def results(self) -> dict[str, Sequence[Tensor]]:
        """All that a sheet computes, by name."""
        found: dict[str, Sequence[Tensor]] = {f"worth_{a}": self.worth(a) for a in range(self._contract.assets)}
        cushion = self.cushion
        found["cushion"] = () if cushion is None else (cushion,)
        return found | {"features": (self.observation.features,), "wish": self.wish()}

    def _view(self, asset: int) -> View:
        quote, memory = Quote(*self._rows[f"quote_{asset}"]), Memory(*self._rows[f"memory_{asset}"])
        view = View(quote, memory, self.form.observer.surfaces[asset], self._contract.bar)
        if self.form.smiles[asset] is None:
            return view
        bars, strikes, ratios, *listed_in = self._rows[f"smile_{asset}"]
        count = len(QUOTED)
        there = replace(view, quote=Quote(*listed_in[:count]), memory=Memory(*listed_in[count:]))
        return ListedSurface(Smile(there, (), strikes, ratios), bars).seen(view)

    def _portfolio(self, shares: Sequence[Tensor]) -> Portfolio:
        """`shares` of each asset's claims and coins (1,)."""
        base, units, terms = [], [], []
        for a, view in enumerate(self.views):
            size, *rest = self._rows[f"book_{a}"]
            base.append(torch.where(size > 0, size, self._contract.notional / view.quote.spot))
            left = iter(rest)
            for key, _ in self.form.groups:
                if key[0] == a:
                    units.append(next(left) * shares[a])
                    terms.append(terms_of(key, [next(left) for _ in range(1 + len(parameters(key)))]))
        coins = tuple(own * share for own, share in zip(self._rows["account"][3:], shares, strict=True))
        return Portfolio(torch.tensor([self._contract.bars]), tuple(base), tuple(units), tuple(terms), coins)

    def _scene(self, positions: Tensor) -> Scene:
        """Hedges are counted from the targets, and the book's greeks by the hedge ratios."""
        return Scene(self._contract, self.views, self.hedged, self.traded, (positions - self._steered)[:, None])

    @cached_property
    def _steered(self) -> Tensor:
        """(1, K) units that make the targets' greeks: of options what brings gamma or vega, of the linear the rest."""
        units, traded = [torch.zeros(1, dtype=DTYPE)] * len(self._options), self.traded
        for a, view in enumerate(self.views):
            left = self._target(a, 1)
            for k, hedge in enumerate(self._contract.hedges):
                if hedge.instrument.asset != a:
                    continue
                if hedge.instrument.linear:
                    units[k], left = left / traded.delta[:, k], left * 0
                    continue
                own = traded.gamma[:, k] * view.quote.spot / 100
                wanted = self._target(a, 2)
                if hedge.neutralises == "vega":
                    own, wanted = traded.vega[:, k] / 100, self._target(a, 3)
                units[k] = torch.where((wanted != 0) & (own != 0), wanted / own, 0.0)
                left = left - units[k] * traded.delta[:, k]
        return torch.stack(units, -1)

    def _target(self, asset: int, place: int) -> Tensor:
        """(1,) hedge ratio, delta, gamma or vega."""
        return self._rows["targets"][4 * asset + place]

    @cached_property
    def _stressed(self) -> tuple[View, ...]:
        """Each asset's market with a path for each case."""
        stress = self.form.stress
        cases = list(product(stress.spot, stress.volatility))
        moves = torch.tensor([1 + spot for spot, _ in cases], dtype=DTYPE)
        levels = torch.tensor([1 + level for _, level in cases], dtype=DTYPE)
        return tuple(_moved(view, moves, levels) for view in self.views)


def _moved(calm: View, moves: Tensor, levels: Tensor) -> View:
    """(cases) paths."""
    wide = mapped(lambda each: each.expand(len(moves)), calm.quote)
    moved = {name: getattr(wide, name) * moves for name in ("spot", "low", "high", "mark")}
    moved["implied_volatility"] = wide.implied_volatility * levels
    past = mapped(lambda each: each.expand(len(moves), *each.shape[1:]), calm.memory)
    return replace(calm, quote=replace(wide, **moved), memory=past)


def _wide(terms: Any, view: View) -> Any:
    return mapped(lambda each: each.expand(len(view.quote.spot), -1), terms)


def _group(key: Key, room: int) -> Iterator[tuple[tuple[int, int], torch.dtype]]:
    """Units, bars left and parameters."""
    yield from (((1, room), DTYPE), ((1, room), torch.int64))
    yield from [((1, room), DTYPE)] * len(parameters(key))


@lru_cache(maxsize=32)
def sheet_of(form: Form) -> Sheet:
    """For all situations of the form; recorded when it is first asked for."""
    ones = {name: [torch.ones(shape, dtype=kind) for shape, kind in own] for name, own in form.layouts.items()}
    return Sheet(lambda rows: Situation(form, rows).results(), ones)

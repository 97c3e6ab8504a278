"""What can be computed of a book at one time: its claims' greeks, the instruments at hand, and what neutralises them.

P paths, G hedgers on each, K hedging instruments. Hedges and greeks are counted over the base units of their asset's
book: S·Γ for gamma, vega over S·√(30 days).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from envs import bands, portfolio
from envs.contract import Contract
from envs.costs import Tradable
from envs.instrument import View
from envs.portfolio import Portfolio
from envs.rolling import Holding
from envs.types import mapped

REFERENCE_LIFE = 30 / 365  # years
LEAST_GREEK = 1e-4  # of one hedging option; what has less counts as that, and hedges next to nothing


@dataclass(frozen=True)
class Traded(Tradable):
    """The hedging instruments at one time, with the greeks of a base unit of each; all (P, K)."""

    delta: Tensor
    gamma: Tensor
    vega: Tensor


def traded(contract: Contract, terms: Sequence[Any], views: Sequence[View]) -> Traded:
    """The contract's hedging instruments, with their `terms`, at `views`."""
    columns = []
    for hedge, own in zip(contract.hedges, terms, strict=True):
        instrument, view = hedge.instrument, views[hedge.instrument.asset]
        greeks = instrument.greeks(own, view)
        book = (instrument.half_spread(greeks, view), instrument.depth(greeks, view), view.quote.congestion[:, None])
        columns.append((greeks.value, *book, greeks.delta, greeks.gamma, greeks.vega))
    return Traded(*(torch.cat(parts, -1) if len(parts) > 1 else parts[0] for parts in zip(*columns, strict=True)))


class Scene:
    """P paths at one time."""

    def __init__(
        self,
        contract: Contract,
        views: tuple[View, ...],
        book: Portfolio,
        traded: Traded,
        units: Tensor,
        kept: tuple[Holding | None, ...] | None = None,
    ) -> None:
        """`units` (P, G, K): held of each hedging instrument; `kept`: per asset, of earlier listings."""
        self.contract, self.views, self.book, self.traded = contract, views, book, traded
        self.kept = (None,) * len(views) if kept is None else kept
        self.assets = tuple(hedge.instrument.asset for hedge in contract.hedges)
        self.exposures = portfolio.exposures(contract, book, views)
        self.hedge = units / self.columns(book.base)

    def columns(self, by_asset: Sequence[Tensor]) -> Tensor:
        """(P, 1, K): for each instrument the value (P,) of its asset."""
        return torch.stack([by_asset[a] for a in self.assets], -1)[:, None]

    def of(self, hedger: int) -> Scene:
        """The same with the positions of one `hedger` of the G alone."""
        own = copy(self)
        own.hedge = self.hedge[:, hedger : hedger + 1]
        own.kept = tuple(
            None if each is None else mapped(lambda row: row[:, hedger : hedger + 1], each) for each in self.kept
        )
        own.__dict__.pop("dollar_gamma", None)
        return own

    def steering(self, greek: Literal["gamma", "vega"]) -> Scene:
        """The same with options that all neutralise `greek`."""
        own = copy(self)
        hedges = tuple(hedge.model_copy(update={"neutralises": greek}) for hedge in self.contract.hedges)
        own.contract = self.contract.model_copy(update={"hedges": hedges})
        own.__dict__.pop("greeks", None)
        return own

    def own(self, asset: int, greek: str) -> Tensor:
        """(P, G or 1) value, delta, gamma or vega of what is not traded any more: claims and earlier listings."""
        claims: Tensor = getattr(self.exposures[asset], greek)[:, None]
        kept = self.kept[asset]
        return claims if kept is None else claims + getattr(kept, greek)

    @cached_property
    def times(self) -> tuple[Tensor, ...]:
        """Per asset (P,): years to its claims' last expiry, at least a bar."""
        each = zip(self.exposures, self.views, strict=True)
        return tuple(view.years(exposure.last_bars).clamp(min=view.bar) for exposure, view in each)

    @cached_property
    def cost_rate(self) -> Tensor:
        """(P, 1, K): fee and half-spread, one way."""
        fees = [hedge.execution.tiers[0].taker for hedge in self.contract.hedges]
        return (self.traded.half_spread + self.traded.half_spread.new_tensor(fees))[:, None]

    @cached_property
    def greeks(self) -> dict[tuple[int, int], Tensor]:
        """(P, 1) for each pair (j, k) on one asset: what one unit of j has of the greek that k neutralises."""
        count = range(len(self.assets))
        return {(j, k): self._greek(j, k)[:, None] for k in count for j in count if self.assets[j] == self.assets[k]}

    @cached_property
    def dollar_gamma(self) -> Tensor:
        """(P, G or 1, K): S·Γ of the claims and the options held, per instrument's asset."""
        columns = []
        for asset in self.assets:
            total = self._spot(asset)[:, None] * self.own(asset, "gamma") / self.book.base[asset][:, None]
            for j, hedge in enumerate(self.contract.hedges):
                if self.assets[j] == asset and not hedge.instrument.linear:
                    total = total + self.hedge[..., j] * (self._spot(asset) * self.traded.gamma[:, j])[:, None]
            columns.append(total)
        return stacked(columns)

    def neutral(self, deltas: Sequence[Tensor], worth: Tensor | None = None) -> Tensor:
        """(P, G or 1, K): what brings each instrument's greek to the target, the other hedges staying as they are.

        `deltas`: of each asset's claims (P,). `worth` (P, G): wealth, where the first asset is the numeraire.
        """
        columns = []
        for k, (hedge, asset) in enumerate(zip(self.contract.hedges, self.assets, strict=True)):
            if hedge.instrument.linear:
                left = (self.contract.target.delta - deltas[asset] / self.book.base[asset])[:, None]
                if (kept := self.kept[asset]) is not None:
                    left = left - kept.delta / self.book.base[asset][:, None]
                if worth is not None and asset == 0:
                    left = left + worth / (self._spot(0) * self.book.base[0])[:, None]
            else:
                left = self._greek_left(hedge.neutralises, asset)
            for j in range(len(self.assets)):
                if j != k and (j, k) in self.greeks:
                    left = left - self.hedge[..., j] * self.greeks[j, k]
            columns.append(left / self.greeks[k, k])
        return stacked(columns)

    def stretches(self, risk_aversion: float) -> tuple[Tensor, ...]:
        """Per asset (P,): Zakamouline's volatility over the market's, by the cost of the dearest linear hedge."""
        found = []
        for a, (view, exposure) in enumerate(zip(self.views, self.exposures, strict=True)):
            gamma = self._spot(a) * exposure.gamma / self.book.base[a]
            at = (self.linear_cost(a), gamma, risk_aversion, self.times[a], view.quote.implied_volatility)
            found.append(bands.zakamouline_stretch(*at))
        return tuple(found)

    def linear_cost(self, asset: int) -> Tensor:
        """(P,) one way, of the asset's dearest linear hedge; 0 without one."""
        own = [k for k, h in enumerate(self.contract.hedges) if h.instrument.asset == asset and h.instrument.linear]
        costs = [self.cost_rate[:, 0, k] for k in own] or [torch.zeros_like(self._spot(asset))]
        return costs[0] if len(costs) == 1 else torch.stack(costs, -1).amax(-1)

    def deltas(self, asset: int, spots: Tensor, stretches: Tensor) -> Tensor:
        """(P, S) delta of one asset's claims in S cases: its spot at `spots`, its volatilities `stretches` as high."""
        return portfolio.deltas(self.contract, self.book, self.views[asset], asset, spots, stretches)

    def stretched_deltas(self, risk_aversion: float) -> tuple[Tensor, ...]:
        """Per asset (P,): the claims' delta at Zakamouline's volatility."""
        each = enumerate(self.stretches(risk_aversion))
        return tuple(self.deltas(a, self._spot(a)[:, None], stretch[:, None])[:, 0] for a, stretch in each)

    def _greek(self, j: int, k: int) -> Tensor:
        """(P,)."""
        hedge, spot = self.contract.hedges[k], self._spot(self.assets[k])
        if hedge.instrument.linear:
            return self.traded.delta[:, j]
        own = (
            self.traded.gamma[:, j] * spot if hedge.neutralises == "gamma" else _per_vega(self.traded.vega[:, j], spot)
        )
        return own.clamp(min=LEAST_GREEK) if j == k else own

    def _greek_left(self, name: str, asset: int) -> Tensor:
        """(P, G or 1) target less the greek of what is not traded any more."""
        base, spot, greek = self.book.base[asset][:, None], self._spot(asset)[:, None], self.own(asset, name)
        if name == "gamma":
            return self.contract.target.gamma - spot * greek / base
        return self.contract.target.vega - _per_vega(greek, spot) / base

    def _spot(self, asset: int) -> Tensor:
        return self.views[asset].quote.spot


def _per_vega(vega: Tensor, spot: Tensor) -> Tensor:
    return vega / (spot * math.sqrt(REFERENCE_LIFE))


def stacked(columns: list[Tensor]) -> Tensor:
    """(P, G or 1, K) of columns (P, G or 1)."""
    wide = torch.broadcast_tensors(*columns) if len(columns) > 1 else columns  # type: ignore[no-untyped-call]
    return torch.stack(wide, -1)

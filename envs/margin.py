"""Margin of the hedger itself: collateral, maintenance, liquidation inside a bar, and the distance to it.

P paths, G hedgers, K hedging instruments, A assets; quote currency. An account's columns are its instruments (isolated)
or its assets (cross, netted). Inside a bar every asset takes the price between its low and its high that is worst for
the column: delta and gamma from the bar's end, exact for perpetuals and spot."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from envs.calibration import NonNegative, Positive, Section
from envs.types import BadInput

Fraction = Annotated[float, Field(ge=0, lt=1)]
EMPTY = 1e-6  # of the notional at opening: equity under which a flat account counts as full all the same


class Collateral(Section):
    """Posted at opening."""

    amount: Positive  # over the book's notional at opening
    asset: int | None = Field(default=None, ge=0)  # held in this asset's coin; None: in quote currency
    haircut: Fraction = 0.0  # share of its value that does not count


class MarginTier(Section):
    """Maintenance from a position's notional on."""

    notional: NonNegative = 0.0  # quote currency
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.0125  # Hyperliquid's BTC below 150 M: half of 1/40


class Margin(Section):
    """The hedger's account: `isolated` posts the collateral in equal parts to each instrument, `cross` to all."""

    mode: Literal["none", "isolated", "cross"] = "none"
    collateral: tuple[Collateral, ...] = (Collateral(amount=0.25),)
    tiers: tuple[MarginTier, ...] = (MarginTier(),)
    liquidation_fee: Fraction = 0.005  # of the notional closed
    portfolio: bool = False  # cross: the claims' mark-to-market counts too; alone it never closes an account

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.tiers or self.tiers[0].notional != 0:
            raise ValueError("the first of tiers must start at notional 0")
        for low, high in pairwise(self.tiers):
            if high.notional <= low.notional:
                raise ValueError(f"tiers must rise in notional, {high.notional:g} follows {low.notional:g}")
            if high.rate < low.rate:
                raise ValueError(f"maintenance rates must not fall, {high.rate:g} follows {low.rate:g}")
        if self.mode != "none" and not self.collateral:
            raise ValueError(f"{self.mode} margin needs collateral")
        if self.mode == "isolated" and any(one.asset is not None for one in self.collateral):
            raise ValueError("isolated margin is posted in quote currency; drop the coin or choose cross")
        if self.portfolio and self.mode != "cross":
            raise ValueError(f"portfolio margin needs mode cross, not {self.mode}")
        return self


@dataclass(frozen=True)
class Posted:
    """Collateral as it was posted, at full value and after haircuts; no coins where none are posted."""

    notional: Tensor  # (P,) of the book at opening
    quote: Tensor  # (P,) counted
    coins: Tensor | None  # (P, A) units counted
    full_quote: Tensor  # (P,)
    full_coins: Tensor | None  # (P, A)


@dataclass(frozen=True)
class Prices:
    """Of the A assets over one bar, every field (P, A)."""

    spot: Tensor  # at its end
    low: Tensor
    high: Tensor

    @classmethod
    def at(cls, spot: Tensor) -> Prices:
        """A bar that does not move."""
        return cls(spot, spot, spot)


@dataclass(frozen=True)
class Positions:
    """The hedging instruments held, at the bar's end."""

    assets: tuple[int, ...]  # the asset under each of the K instruments
    units: Tensor  # (P, G, K)
    earned: Tensor  # (P, G, K) profit and loss since opening at the mark, with fees and funding
    delta: Tensor | None = None  # (P, K) per unit; None: 1 everywhere
    gamma: Tensor | None = None  # (P, K) per unit; None: linear instruments only


@dataclass(frozen=True)
class Claims:
    """The book that is hedged, as a position of the desk: a short call has a negative delta."""

    earned: Tensor  # (P,) premium received less its value now
    delta: Tensor  # (P, A) base units
    gamma: Tensor  # (P, A)


@dataclass(frozen=True)
class Health:
    """Of an account at its worst inside a bar: (P, G, K) isolated, (P, G) cross; quote currency."""

    equity: Tensor  # counted, haircuts taken
    full: Tensor  # the same without haircuts
    requirement: Tensor
    notional: Tensor  # net within each column
    closing: Tensor  # change in the positions' value from the bar's end to there


@dataclass(frozen=True)
class Closure:
    """What closing an account's positions at its worst costs, of `Health`'s shape."""

    cost: Tensor  # beyond closing at the bar's end for nothing; negative where the insurance fund bears more than that
    fee: Tensor  # liquidation fee, a part of the cost
    insured: Tensor  # loss beyond the collateral, borne by the insurance fund


def maintenance(tiers: tuple[MarginTier, ...], notional: Tensor) -> Tensor:
    """rate·notional − deduction of the tier that `notional` falls in; continuous, and convex: the largest over tiers.

    deduction_n = deduction_(n−1) + floor_n·(rate_n − rate_(n−1)): Binance, FAQ b3c689c1f50a44cabb3a84e663b81d93,
    "Maintenance Amount"; Hyperliquid Docs, Trading, "Margin tiers".
    """
    rate, deduction = tiers[0].rate, 0.0
    required = rate * notional
    for tier in tiers[1:]:
        deduction += tier.notional * (tier.rate - rate)
        rate = tier.rate
        required = torch.maximum(required, rate * notional - deduction)
    return required


def posted(margin: Margin, notional: Tensor, spot: Tensor, instruments: int) -> Posted:
    """The collateral for books of `notional` (P,) opened at `spot` (P, A); isolated: each instrument's equal part.

    Raises BadInput for a coin of an asset that is not there.
    """
    parts = instruments if margin.mode == "isolated" else 1
    counted = [(one.asset, one.amount * (1 - one.haircut) / parts) for one in margin.collateral]
    full = [(one.asset, one.amount / parts) for one in margin.collateral]
    return Posted(notional, *_deposit(counted, notional, spot), *_deposit(full, notional, spot))


def health(
    margin: Margin, posted: Posted, positions: Positions, prices: Prices, claims: Claims | None = None
) -> Health:
    """The account where its equity less its requirement is least inside the bar.

    `claims` are read under portfolio margin only: they lend equity, and lower no requirement.
    """
    assert margin.mode != "none"
    assert claims is not None or not margin.portfolio
    if margin.mode == "isolated":
        return _isolated(margin, posted, positions, prices)
    return _cross(margin, posted, positions, prices, claims if margin.portfolio else None)


def liquidated(health: Health) -> Tensor:
    """Which accounts the venue closes: less equity than the requirement of what they hold."""
    return (health.equity < health.requirement) & (health.requirement > 0)


def closure(margin: Margin, health: Health) -> Closure:
    """Of the accounts that are liquidated, executed at their worst; no account owes more than its collateral.

    To close at the price where equity meets the requirement would be better by less than the requirement.
    """
    fee = torch.minimum(margin.liquidation_fee * health.notional, health.full.clamp(min=0))
    insured = (-health.full).clamp(min=0)
    return Closure(fee - health.closing - insured, fee, insured)


def distance(posted: Posted, health: Health) -> Tensor:
    """y / (1 + y) in [0, 1], y = (equity − requirement) / notional: 0 at liquidation, 1 when flat.

    y is about the relative price move to liquidation. Meant for a `health` at `Prices.at(spot)`.
    """
    empty = EMPTY * posted.notional.view(-1, *(1,) * (health.equity.dim() - 1))
    free = (health.equity - health.requirement).clamp(min=0) + empty
    return free / (free + health.notional)


def _isolated(margin: Margin, posted: Posted, positions: Positions, prices: Prices) -> Health:
    bar = Prices(*(_under(price, positions.assets) for price in (prices.spot, prices.low, prices.high)))
    held = _weighted(positions.units, positions.delta)
    if positions.gamma is None:
        curvature, worst = None, torch.where(held < 0, bar.high, bar.low)
    else:
        curvature = _weighted(positions.units, positions.gamma)
        worst = _adverse(margin.tiers, held.abs(), held, curvature, bar)
    closing = _change(held, curvature, worst - bar.spot)
    notional = held.abs() * worst
    equity = positions.earned + posted.quote[:, None, None] + closing
    return Health(equity, equity, maintenance(margin.tiers, notional), notional, closing)


def _cross(margin: Margin, posted: Posted, positions: Positions, prices: Prices, claims: Claims | None) -> Health:
    bar = Prices(prices.spot[:, None], prices.low[:, None], prices.high[:, None])
    count = prices.spot.shape[-1]
    held = _netted(_weighted(positions.units, positions.delta), positions.assets, count)
    curved = None if positions.gamma is None else _weighted(positions.units, positions.gamma)
    curvature = None if curved is None else _netted(curved, positions.assets, count)
    slope = held if posted.coins is None else held + posted.coins[:, None]
    bend = curvature
    if claims is not None:
        slope = slope + claims.delta[:, None]
        bend = claims.gamma[:, None] if bend is None else bend + claims.gamma[:, None]
    worst = _adverse(margin.tiers, held.abs(), slope, bend, bar)
    move = worst - bar.spot
    closing = _change(held, curvature, move).sum(-1)
    earned = positions.earned.sum(-1) + closing
    if claims is not None:
        earned = earned + claims.earned[:, None] + _change(claims.delta[:, None], claims.gamma[:, None], move).sum(-1)
    notional = held.abs() * worst
    equity = earned + _worth(posted.quote, posted.coins, worst)
    full = earned + _worth(posted.full_quote, posted.full_coins, worst)
    return Health(equity, full, maintenance(margin.tiers, notional).sum(-1), notional.sum(-1), closing)


@torch.no_grad()  # where a least value lies has no first-order bearing on it
def _adverse(
    tiers: tuple[MarginTier, ...], exposure: Tensor, slope: Tensor, bend: Tensor | None, bar: Prices
) -> Tensor:
    """Price S + x inside the bar where slope·x + ½bend·x² − maintenance(exposure·(S + x)) is least.

    The ends, and where `bend` is positive the vertex under each tier's rate: the tiers' own corners are never lowest.
    """

    def surplus(price: Tensor) -> Tensor:
        return _change(slope, bend, price - bar.spot) - maintenance(tiers, exposure * price)

    def lesser(one: Tensor, other: Tensor) -> Tensor:
        return torch.where(surplus(other) < surplus(one), other, one)

    worst = lesser(bar.low.expand_as(slope), bar.high.expand_as(slope))
    if bend is None:
        return worst
    convex = torch.where(bend > 0, bend, 1.0)
    for tier in tiers:
        vertex = bar.spot + (tier.rate * exposure - slope) / convex
        worst = lesser(worst, torch.minimum(torch.maximum(vertex, bar.low), bar.high))
    return worst


def _worth(quote: Tensor, coins: Tensor | None, price: Tensor) -> Tensor:
    """(P, G) or (P, 1), from (P,), (P, A) and (P, G, A)."""
    return quote[:, None] if coins is None else quote[:, None] + (coins[:, None] * price).sum(-1)


def _change(slope: Tensor, bend: Tensor | None, move: Tensor) -> Tensor:
    return slope * move if bend is None else (slope + 0.5 * bend * move) * move


def _weighted(units: Tensor, greek: Tensor | None) -> Tensor:
    return units if greek is None else units * greek[:, None]


def _under(price: Tensor, assets: tuple[int, ...]) -> Tensor:
    """(P, 1, K) of the instruments' assets, from (P, A)."""
    if assets == tuple(range(price.shape[-1])):
        return price[:, None]
    return torch.stack([price[:, asset] for asset in assets], dim=-1)[:, None]


def _netted(each: Tensor, assets: tuple[int, ...], count: int) -> Tensor:
    """(P, G, A) sums over the instruments of each asset, from (P, G, K)."""
    if assets == tuple(range(count)):
        return each
    sums = [torch.zeros_like(each[..., 0]) for _ in range(count)]
    for asset, column in zip(assets, each.unbind(-1), strict=True):
        sums[asset] = sums[asset] + column
    return torch.stack(sums, dim=-1)


def _deposit(shares: list[tuple[int | None, float]], notional: Tensor, spot: Tensor) -> tuple[Tensor, Tensor | None]:
    """Quote currency (P,), and units (P, A) of each asset's coin, worth those shares of `notional`."""
    money, coins = 0.0, [0.0] * spot.shape[-1]
    for asset, share in shares:
        if asset is None:
            money += share
        elif asset < len(coins):
            coins[asset] += share
        else:
            raise BadInput(f"margin: collateral in asset {asset}, the market has {len(coins)}; count them from 0")
    if not any(coins):
        return notional * money, None
    return notional * money, torch.stack([notional * share for share in coins], dim=-1) / spot

"""What an order pays and when it fills: the one fill model of simulation and paper trading.

Hedging instrument by hedging instrument, for P paths, G hedgers on each and K instruments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from envs.calibration import Finite, NonNegative, Positive, Section
from envs.types import BadInput, Quote

SMOOTH = 1e-12  # keeps the square root differentiable where nothing is traded
Share = Annotated[float, Field(ge=0, le=1)]


class FeeTier(Section):
    """Fees from a traded volume on, as fractions of the traded notional."""

    volume: NonNegative = 0.0  # quote currency traded so far in the instrument
    maker: Finite = 2e-4  # negative: a rebate
    taker: NonNegative = 5e-4

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.maker > self.taker:
            raise ValueError(f"maker fee {self.maker} is above the taker fee {self.taker}")
        if self.maker + self.taker < 0:
            raise ValueError(f"maker rebate {-self.maker} is above the taker fee {self.taker} that pays for it")
        return self


class Execution(Section):
    """How one hedging instrument's orders fill."""

    tiers: tuple[FeeTier, ...] = (FeeTier(),)
    passive_share: Share = 0.0  # of an order, resting and filled as maker when calm; falls to 0 with congestion
    impact: NonNegative = 2e-4  # slippage of an order as large as the depth, fraction of the mark
    gas: NonNegative = 0.0  # quote currency per trade when calm
    gas_stress: NonNegative = 0.0  # relative rise of the gas at full congestion
    participation: Positive | None = None  # largest fill over the depth at hand; None: no limit
    rejection: Share = 0.0  # chance at full congestion that the venue rejects an order
    delay: Share = 0.0  # chance at full congestion that an order fills a bar later
    latency_bars: Literal[0, 1] = 0  # every order fills so many bars later

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.tiers or self.tiers[0].volume != 0:
            raise ValueError("the first of tiers must start at volume 0")
        for low, high in pairwise(self.tiers):
            if high.volume <= low.volume:
                raise ValueError(f"tiers must rise in volume, {high.volume:g} follows {low.volume:g}")
            if high.maker > low.maker or high.taker > low.taker:
                raise ValueError(f"fees must not rise with volume, they do at {high.volume:g}")
        if self.rejection + self.delay > 1:
            raise ValueError(f"rejection {self.rejection} and delay {self.delay} must not add up to more than 1")
        return self


@dataclass(frozen=True)
class Tradable:
    """What an order for K instruments meets; every field (P, K)."""

    mark: Tensor  # quote currency per unit
    half_spread: Tensor  # fraction of the mark
    depth: Tensor  # quote currency resting on one side
    congestion: Tensor  # 0 calm, towards 1 as the venue strains

    @classmethod
    def perpetual(cls, quote: Quote) -> Tradable:
        """The perpetual of `quote` as the only instrument, K = 1."""
        fields = (quote.mark, quote.half_spread, quote.depth, quote.congestion)
        return cls(*(field[:, None] for field in fields))


@dataclass(frozen=True)
class Fill:
    """What became of an order; every field broadcasts to (P, G, K), in quote currency but for `units`."""

    units: Tensor  # filled, base units, signed
    price: Tensor  # average
    fee: Tensor  # to the venue
    gas: Tensor
    slippage: Tensor  # lost to spread and impact: |units|·|price − mark|


@dataclass(frozen=True)
class Schedule:
    """K instruments' settings as tensors (K,), or (T, K) by fee tier, with host flags for what is switched on."""

    volume: Tensor  # (T, K), infinite where an instrument has fewer tiers
    maker: Tensor  # (T, K)
    taker: Tensor  # (T, K)
    passive_share: Tensor
    impact: Tensor
    gas: Tensor
    gas_stress: Tensor
    participation: Tensor  # infinite without a limit
    rejection: Tensor
    delay: Tensor
    latency: Tensor  # bool
    smooth: Tensor  # ()
    passive: bool
    pays_gas: bool
    partial: bool  # some fills may be partial
    rejects: bool
    delays: bool

    @classmethod
    def of(cls, executions: Sequence[Execution], dtype: torch.dtype, device: torch.device) -> Schedule:
        """Raises BadInput where there is no instrument."""
        if not executions:
            raise BadInput("execution: no hedging instrument; name at least one")

        def row(*values: float) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        def column(name: str) -> Tensor:
            return row(*(getattr(one, name) for one in executions))

        tables = [_padded(one.tiers, max(len(other.tiers) for other in executions)) for one in executions]
        volume, maker, taker = torch.tensor(tables, dtype=dtype, device=device).permute(2, 1, 0).contiguous()
        limits = [math.inf if one.participation is None else one.participation for one in executions]
        return cls(
            volume=volume,
            maker=maker,
            taker=taker,
            passive_share=column("passive_share"),
            impact=column("impact"),
            gas=column("gas"),
            gas_stress=column("gas_stress"),
            participation=row(*limits),
            rejection=column("rejection"),
            delay=column("delay"),
            latency=column("latency_bars") > 0,
            smooth=torch.tensor(SMOOTH, dtype=dtype, device=device),
            passive=any(one.passive_share > 0 for one in executions),
            pays_gas=any(one.gas > 0 for one in executions),
            partial=any(one.participation is not None for one in executions),
            rejects=any(one.rejection > 0 for one in executions),
            delays=any(one.delay > 0 or one.latency_bars for one in executions),
        )


def fills(schedule: Schedule, tradable: Tradable, trade: Tensor, traded: Tensor) -> Fill:
    """What becomes of orders for `trade` (P, G, K) base units, signed, after `traded` (P, G, K) quote currency.

    The part that takes liquidity pays the half-spread and impact·√(notional / depth): Tóth et al. (2011), Phys. Rev.
    X 1, 021006. The part that rests fills at the mark: what adverse selection costs it is taken to be its half-spread.
    """
    mark, half_spread, depth = tradable.mark[:, None], tradable.half_spread[:, None], tradable.depth[:, None]
    units = _within(schedule, tradable, trade) if schedule.partial else trade
    passive = _passive(schedule, tradable) if schedule.passive else None
    value = units * mark
    notional = value.abs()
    taking = notional if passive is None else notional * (1 - passive)
    slip = torch.addcmul(half_spread, schedule.impact, torch.addcdiv(schedule.smooth, taking, depth).sqrt())
    slip = slip if passive is None else slip * (1 - passive)
    signed = slip * value.sign()
    fee = torch.addcmul(notional, notional, signed) * _fee_rate(schedule, traded, passive)
    return Fill(
        units=units,
        price=torch.addcmul(mark, mark, signed),
        fee=fee,
        gas=_gas(schedule, tradable, units) if schedule.pays_gas else fee.new_zeros(()),
        slippage=notional * slip,
    )


def rejected(schedule: Schedule, congestion: Tensor, uniform: Tensor) -> Tensor:
    """Which orders (P, K) the venue rejects; `uniform` (P, K) in [0, 1) is shared by the hedgers of a path."""
    return uniform < schedule.rejection * congestion


def late(schedule: Schedule, congestion: Tensor, uniform: Tensor) -> Tensor:
    """Which orders (P, K) fill a bar later, at the quote of then.

    With the draws given to `rejected`: an order is rejected, late or filled at once.
    """
    delayed = uniform >= 1 - schedule.delay * congestion
    return (delayed | schedule.latency) & ~rejected(schedule, congestion, uniform)


def _padded(tiers: tuple[FeeTier, ...], count: int) -> list[tuple[float, float, float]]:
    rows = [(tier.volume, tier.maker, tier.taker) for tier in tiers]
    return rows + [(math.inf, tiers[-1].maker, tiers[-1].taker)] * (count - len(rows))


def _within(schedule: Schedule, tradable: Tradable, trade: Tensor) -> Tensor:
    """`trade` cut to what the depth allows."""
    most = (schedule.participation * tradable.depth / tradable.mark)[:, None]
    return trade.clamp(-most, most)


def _passive(schedule: Schedule, tradable: Tradable) -> Tensor:
    """Share (P, 1, K) of an order that rests."""
    share: Tensor = schedule.passive_share * (1 - tradable.congestion)
    return share[:, None]


def _fee_rate(schedule: Schedule, traded: Tensor, passive: Tensor | None) -> Tensor:
    """Of the tiers that `traded` has reached, taker and maker in their shares."""
    taker, maker = schedule.taker[0], schedule.maker[0]
    for tier in range(1, len(schedule.volume)):
        reached = traded >= schedule.volume[tier]
        taker = torch.where(reached, schedule.taker[tier], taker)
        maker = torch.where(reached, schedule.maker[tier], maker) if passive is not None else maker
    return taker if passive is None else torch.lerp(taker, maker, passive)


def _gas(schedule: Schedule, tradable: Tradable, units: Tensor) -> Tensor:
    each = schedule.gas * (1 + schedule.gas_stress * tradable.congestion)
    return each[:, None] * (units != 0)

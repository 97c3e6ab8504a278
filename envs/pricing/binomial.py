"""The binomial tree of Leisen and Reimer (1996, Applied Mathematical Finance 3, 319), American and European options.

With an odd number of steps the strike falls midway between two last nodes: a European price then converges smoothly as
1/steps², an American one as 1/steps. Arguments as in `black_scholes`, broadcast; the nodes take a last axis of their
own, so memory is O(batch·steps) and time O(batch·steps²). `steps` odd and 3 or more, else BadInput.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from envs.pricing import black_scholes
from envs.pricing.black_scholes import Number, compounded, sign
from envs.types import BadInput, Greeks

STEPS = 101


def peizer_pratt(z: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """(h, 1 − h) of Peizer and Pratt's second inversion, each to full relative accuracy where it is small:

    h = ½ + ½·sign(z)·√(1 − e^{−s}), s = (z/(n + ⅓ + 0.1/(n + 1)))²·(n + ⅙).
    """
    number = torch.finfo(z.dtype)
    scale = math.sqrt(steps + 1 / 6) / (steps + 1 / 3 + 0.1 / (steps + 1))
    bound = math.sqrt(-2 * math.log(number.tiny))  # beyond it the normal density underflows
    y = z.clamp(-bound, bound) * scale
    s = y.square().clamp(min=number.tiny)
    root, tail = y * torch.sqrt(-torch.expm1(-s) / s), torch.exp(-s)
    low = torch.where(root < 0, tail / (1 - root), 1 + root) / 2
    return low, torch.where(root < 0, 1 - root, tail / (1 + root)) / 2


@dataclass(frozen=True)
class Tree:
    """One step: probabilities, log moves of the spot, and the discount factor; each (…, 1)."""

    up: Tensor
    down: Tensor
    log_up: Tensor
    log_down: Tensor
    discount: Number


def grown(
    spot: Tensor, strike: Tensor, time_to_expiry: Tensor, volatility: Tensor, rate: Number, carry: Number, steps: int
) -> Tree:
    """p = h(d2), p′ = h(d1), u = e^{bΔt}·p′/p, d = e^{bΔt}·(1 − p′)/(1 − p).

    As σ√τ → 0, or so far from the strike that p underflows, the tree shrinks to the path of the forward.
    """
    if steps < 3 or steps % 2 == 0:
        raise BadInput(f"binomial tree of steps = {steps}: give an odd number of steps, 3 or more")
    first = black_scholes.d1(spot, strike, time_to_expiry, volatility, carry)
    up, down = peizer_pratt(first - volatility * time_to_expiry.sqrt(), steps)
    up_share, down_share = peizer_pratt(first, steps)
    step = time_to_expiry / steps
    log_up, log_down = carry * step + (up_share / up).log(), carry * step + (down_share / down).log()
    up, down, log_up, log_down = (each.unsqueeze(-1) for each in (up, down, log_up, log_down))
    return Tree(up, down, log_up, log_down, _column(compounded(-rate, step)))


def _column(number: Number) -> Number:
    return number.unsqueeze(-1) if isinstance(number, Tensor) else number


def _layers(
    spot: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    volatility: Tensor,
    side: Number,
    american: bool,
    rate: Number,
    carry: Number,
    steps: int,
) -> list[tuple[Tensor, Tensor]]:
    """(spots, values) of the first three layers of the tree, of 1, 2 and 3 nodes on the last axis."""
    tree = grown(spot, strike, time_to_expiry, volatility, rate, carry, steps)
    ups = torch.arange(steps + 1, dtype=spot.dtype, device=spot.device)
    strikes, sides = strike.unsqueeze(-1), _column(side)
    moves = ups * tree.log_up + (steps - ups) * tree.log_down
    last = spot.unsqueeze(-1) * moves.clamp(max=-0.9 * math.log(torch.finfo(spot.dtype).tiny)).exp()
    values = (sides * (last - strikes)).clamp(min=0)
    kept = []
    for layer in range(steps - 1, -1, -1):
        values = tree.discount * (tree.up * values[..., 1:] + tree.down * values[..., :-1])
        if american or layer < 3:
            spots = last[..., : layer + 1] * torch.exp((layer - steps) * tree.log_down)
            values = torch.maximum(values, sides * (spots - strikes)) if american else values
        if layer < 3:
            kept.append((spots, values))
    return kept[::-1]


def price(
    spot: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    volatility: Tensor,
    call: bool | Tensor = True,
    rate: Number = 0.0,
    carry: Number = 0.0,
    american: bool = True,
    steps: int = STEPS,
) -> Tensor:
    """Quote currency per option."""
    side = sign(call, spot.dtype)
    layers = _layers(spot, strike, time_to_expiry, volatility, side, american, rate, carry, steps)
    return layers[0][1].squeeze(-1)


def greeks(
    spot: Tensor,
    strike: Tensor,
    time_to_expiry: Tensor,
    volatility: Tensor,
    call: bool | Tensor = True,
    rate: Number = 0.0,
    carry: Number = 0.0,
    american: bool = True,
    steps: int = STEPS,
) -> Greeks:
    """Delta and gamma from the tree's second and third layers, vega a central difference of three trees.

    Theta is the Black–Scholes equation's, and 0 where exercise is due. On a tree too narrow to tell its nodes apart
    delta is its limit and gamma 0. In float32 gamma and vega hold three to four digits.
    """
    side = sign(call, spot.dtype)

    smooth = black_scholes.delta(spot, strike, time_to_expiry, volatility, call, rate, carry)
    level = volatility.expand_as(smooth)
    bump = level.clamp(min=1e-3) * torch.finfo(spot.dtype).eps ** (1 / 3)
    trio = torch.stack((level, (level - bump).clamp(min=0), level + bump))
    first, second, third = _layers(spot, strike, time_to_expiry, trio, side, american, rate, carry, steps)
    value, lower, upper = first[1].squeeze(-1)
    vega = (upper - lower) / (trio[2] - trio[1])
    slope, curvature, wide = (each[0] for each in _differences(second, third))
    exercised = (side * (spot - strike) >= value) & (value > 0) if american else torch.zeros_like(wide)
    slope = torch.where(wide, slope, torch.where(exercised, side + torch.zeros_like(slope), smooth))
    curvature = torch.where(wide, curvature, 0.0)
    scale = spot * volatility
    decay = rate * value - carry * spot * slope - scale * (scale * curvature) / 2
    return Greeks(value, slope, curvature, vega, torch.where(exercised, 0.0, decay))


def _differences(second: tuple[Tensor, Tensor], third: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """(delta, gamma, whether the nodes stand far enough apart for them)."""
    (s1, v1), (s2, v2) = second, third
    wide = s1[..., 1] - s1[..., 0] > s1[..., 0] * math.sqrt(torch.finfo(s1.dtype).eps)
    steps = torch.where(wide.unsqueeze(-1), s2.diff(dim=-1), 1.0)
    slopes = v2.diff(dim=-1) / steps
    slope = (v1[..., 1] - v1[..., 0]) / torch.where(wide, s1[..., 1] - s1[..., 0], 1.0)
    return slope, (slopes[..., 1] - slopes[..., 0]) / (steps.sum(-1) / 2), wide

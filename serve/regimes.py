"""The market's regimes as the filters see them, the calmest first, by names that a person understands."""

from __future__ import annotations

from functools import lru_cache

from envs.volatility import regimes
from envs.volatility.memory import Memory
from serve.market import Market

CALM, BETWEEN, STORM = "calm", ("restless", "rough"), "storm"


def chances(market: Market, asset: str, memory: Memory) -> dict[str, float]:
    """Of each regime in the next bar, by name; empty where the market has but one."""
    seen = memory.probability[0].tolist()
    order = _order(market, market.assets[asset])
    return {name: seen[k] for name, k in zip(_named(len(order)), order, strict=True)}


def regimes_of(market: Market, asset: str) -> tuple[str, ...]:
    """The names, the calmest first; none where the market has but one."""
    return _named(len(_order(market, market.assets[asset])))


def _named(count: int) -> tuple[str, ...]:
    if count < 2:
        return ()
    between = BETWEEN[: count - 2] if count <= 4 else [f"level {k}" for k in range(2, count)]
    return (CALM, *between, STORM)


def worded(chances: dict[str, float]) -> str:
    """The likeliest, such as `storm 72 %`."""
    if not chances:
        return ""
    name = max(chances, key=lambda each: chances[each])
    return f"{name} {100 * chances[name]:.0f} %"


@lru_cache(maxsize=64)
def _order(market: Market, place: int) -> tuple[int, ...]:
    """By the mean variance while in it; none where there is but one."""
    own = market.filters[place].regimes
    if len(own.omega) < 2:
        return ()
    mean = (regimes.joint_variance(own).diagonal() / regimes.stationary(own.transition)).tolist()
    return tuple(sorted(range(len(mean)), key=lambda k: mean[k]))

"""The modelled part of a quote: the perpetual's book and the implied volatility, from what the past shows.

Shared by the simulated markets and by the replay of history, for which no book and no implied volatility are recorded.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from envs import shocks
from envs.calibration import Calibration
from envs.types import Quote
from envs.volatility.memory import Filter, Memory


def quote(
    calibration: Calibration,
    filter: Filter,
    memory: Memory,
    spot: Tensor,
    low: Tensor,
    high: Tensor,
    mark: Tensor,
    funding_rate: Tensor,
    implied_volatility: Tensor | None = None,
) -> Quote:
    """The quote at `spot` and `mark` (P,), with the extremes `low` and `high` since the one before.

    A market without an `implied_volatility` (P,) of its own gets the usual one: risk premium × forecast volatility.
    """
    liquidity = calibration.liquidity
    congestion = shocks.congestion(liquidity, memory.excitement)
    if implied_volatility is None:
        implied_volatility = usual_implied(calibration, filter, memory)
    return Quote(
        spot=spot,
        low=low,
        high=high,
        mark=mark,
        half_spread=shocks.half_spread(liquidity, memory.excitement),
        depth=shocks.depth(liquidity, congestion),
        funding_rate=funding_rate,
        implied_volatility=implied_volatility,
        congestion=congestion,
        deleveraged=shocks.deleveraged(liquidity, low, high),
    )


def quotes(
    calibrations: Iterable[Calibration], filters: Iterable[Filter], memories: Iterable[Memory], **seen: Tensor
) -> tuple[Quote, ...]:
    """`quote` of each of A assets, of whose arguments `seen` has the tensors by name, (P, A) each."""
    columns = [{name: table[:, asset] for name, table in seen.items()} for asset in range(seen["spot"].shape[1])]
    each = zip(calibrations, filters, memories, columns, strict=True)
    return tuple(quote(calibration, filter, memory, **own) for calibration, filter, memory, own in each)


def usual_implied(calibration: Calibration, filter: Filter, memory: Memory) -> Tensor:
    """(P,) risk premium × the volatility forecast over the 30 days of the quoted implied volatility."""
    return calibration.surface.risk_premium * filter.implied_variance(memory).sqrt()

"""The modelled part of a quote: the perpetual's book and the implied volatility, from what the past shows.

Shared by the simulated market and by the replay of history, for which no book and no implied volatility are recorded.
"""

from __future__ import annotations

import torch
from torch import Tensor

from envs import shocks
from envs.calibration import Calibration
from envs.types import Quote
from envs.volatility.memory import Filter, Memory

IMPLIED_HOURS = 720  # the implied volatility quoted is that of 30 days


def implied_horizon(calibration: Calibration) -> int:
    """Bars in the 30 days of the quoted implied volatility."""
    return round(IMPLIED_HOURS / calibration.source.bar_hours)


def quote(
    calibration: Calibration, filter: Filter, memory: Memory, spot: Tensor, mark: Tensor, funding_rate: Tensor
) -> Quote:
    """The quote at `spot` and `mark` (P,): spread and depth withdrawn by stress.

    Implied = premium × forecast volatility.
    """
    bars = torch.full_like(memory.bars, implied_horizon(calibration))
    return Quote(
        spot=spot,
        mark=mark,
        half_spread=shocks.half_spread(calibration.liquidity, memory.excitement),
        depth=shocks.depth(calibration.liquidity, memory.excitement),
        funding_rate=funding_rate,
        implied_volatility=calibration.surface.risk_premium * filter.term_variance(memory, bars).sqrt(),
    )

"""The simulated market beside measurements on series that do not ship: eight-hour funding, books, crashes.

BTC's, but for crashes, which are the market's; hourly bars.
"""

from __future__ import annotations

import numpy as np
import torch

from envs.calibration import Liquidity
from envs.costs import Execution, Schedule, Tradable, fills
from envs.funding import INTEREST, INTERVAL
from envs.surface import SPREADS
from train import fidelity
from train.fidelity import Array
from train.likeness import Likeness

Row = tuple[str, str, str]  # name, simulated, measured

CRASHES = (  # day, worst hour, worst open-to-low and peak-to-trough of a week, %: BTC's perpetuals
    ("2020-03-12", 18.7, 29.3, 54.6),
    ("2021-05-19", 9.4, 18.2, 34.2),
    ("2022-11-08", 5.1, 9.4, 25.2),
    ("2024-08-05", 3.4, 7.2, 20.0),
    ("2025-10-10", 2.1, 11.1, 17.1),
)
SLIPPAGE = ((1e5, "0.01"), (1e6, "1.2"), (5e6, "4.2"))  # notional sold at the market, bps measured
SPREAD = (  # range of |delta|, its middle, relative bid–ask measured
    ("|delta| below 0.05", 0.025, "35 %"),
    ("|delta| 0.05 to 0.15", 0.10, "10 %"),
    ("|delta| 0.15 to 0.35", 0.25, "4 %"),
    ("at the money", 0.50, "2.3 %"),
)
YEAR = 1095  # funding times


def crashes(found: Likeness) -> list[Row]:
    """Each crash's sizes, and the share of simulated paths, as long as the record, with one at least as deep."""
    each = [(record.log_return, record.low, fidelity.troughs(record)) for record in found.run.records]
    deepest = np.array([[np.expm1(log_return.min()), low.min(), trough.min()] for log_return, low, trough in each])
    rows = []
    for day, *sizes in CRASHES:
        shares = (deepest <= -np.array(sizes) / 100).mean(axis=0)
        rows.append((day, _listed(100 * shares, "{:.0f} %"), _listed(sizes, "−{:.1f} %")))
    return rows


def funding(found: Likeness) -> list[Row]:
    """Of rates at each funding time, per eight hours where not a year's."""
    every = max(round(8 / found.calibration.source.bar_hours), 1)
    rate = found.run.funding[:, ::every] * INTERVAL
    years = rate[:, : rate.shape[1] // YEAR * YEAR].reshape(-1, YEAR).mean(axis=1) / INTERVAL
    yearly = _listed(100 * np.quantile(years, (0.1, 0.9)), "{:.0f}", " to ") if len(years) else "—"
    return [
        ("mean, % a year", f"{100 * rate.mean() / INTERVAL:.1f}", "11.9"),
        ("mean of one year, %: 80 % of years", yearly, "4 (2022), 5 (2025), 31 (2021)"),
        ("standard deviation, 1e-4", f"{1e4 * rate.std():.1f}", "2.1"),
        ("least and most, %", _listed(100 * np.array([rate.min(), rate.max()]), "{:.2f}", " to "), "−0.30 to 0.30"),
        ("share negative", f"{(rate < 0).mean():.0%}", "15 %"),
        ("share at 0.01 %", f"{(np.abs(rate / INTEREST - 1) < 1e-3).mean():.0%}", "36 %"),
        ("autocorrelation at one interval", _listed([_autocorrelation(rate, 1)], "{:.2f}"), "0.80"),
        ("autocorrelation at nine", _listed([_autocorrelation(rate, 9)], "{:.2f}"), "0.61"),
    ]


def book(liquidity: Liquidity) -> list[Row]:
    """The calm perpetual's; what a market order loses by the costs that a task has by default."""
    calm = torch.tensor([[1.0]], dtype=torch.float64)
    half_spread, depth = calm * liquidity.calm_half_spread, calm * liquidity.calm_depth
    tradable = Tradable(mark=calm, half_spread=half_spread, depth=depth, congestion=0 * calm)
    schedule = Schedule.of([Execution()], torch.float64, torch.device("cpu"))

    def slippage(notional: float) -> float:
        trade = torch.full((1, 1, 1), -notional, dtype=torch.float64)
        return 1e4 * float(fills(schedule, tradable, trade, 0 * trade).slippage) / notional

    sold = [(f"slippage of ${n / 1e6:g} M, bps", f"{slippage(n):.2f}", told) for n, told in SLIPPAGE]
    return [
        ("spread, bps", f"{2e4 * liquidity.calm_half_spread:.2f} (given)", "0.02"),
        ("depth within 5 bps, $M", f"{liquidity.calm_depth / 1e6:.1f} (given)", "2.8"),
        ("depth within 1 and 10 bps, $M", "no ladder: one depth and a square-root impact", "0.4 and 8"),
        *sold,
    ]


def options() -> list[Row]:
    """Relative bid–ask by |delta|; the surface's is made of these."""
    given = {delta: f"{2 * half:.1%} (given)" for delta, half in SPREADS}
    return [(name, given[delta], told) for name, delta, told in SPREAD]


def _autocorrelation(rate: Array, lag: int) -> float:
    """Over all paths (P, n) about their common mean."""
    centred = rate - rate.mean()
    return float((centred[:, lag:] * centred[:, :-lag]).mean() / centred.var())


def _listed(values: Array | list[float], form: str, between: str = " / ") -> str:
    return between.join(form.format(value).replace("-", "−") for value in values)

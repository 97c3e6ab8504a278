"""The report's picture of a policy at work: one simulated path in detail."""

from __future__ import annotations

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes

from envs.contract import Hedge
from envs.instruments.option import Option
from train.drawing import DASHED, DOTTED, LINES, SOLID, STYLE, Array, Picture, array, kept, panels
from train.recorded import Recording

WILD = 0.9  # the spot of the path that is shown ranged further than this share of them


@matplotlib.rc_context(STYLE)
def one_path(found: Recording) -> Picture:
    """Price, each instrument's band, position and trades, and what the policy may know of the regime."""
    contract = found.contract
    path = wild(found)
    days = np.linspace(0, contract.life * 365, len(found.frames), endpoint=False)
    count = len(contract.hedges)
    heights = (2, *[3, 1] * count, 1.6)
    figure, axes = panels(2 + 2 * count, 3 + 3.2 * count, width=6.4, height_ratios=heights, sharex=True)
    spots = _draw_spots(axes[0], days, found, path)
    trades = [_draw_position(axes[1 + 2 * k], axes[2 + 2 * k], days, found, path, k) for k in range(count)]
    _draw_regime(axes[-1], days, found, path)
    axes[-1].set(xlabel="days since the start", xlim=(0, contract.life * 365))
    ranged = f"{spots[-1]:.0f}, between {spots.min():.0f} and {spots.max():.0f}"
    told = f"{sum(trades)} trades at {len(days)} decisions; final loss {1e4 * found.loss[path, 0]:,.0f} bp of notional"
    further = f"one whose spot ranged further than that of {100 * WILD:.0f} %"
    chosen = f"Of {len(found.loss)} simulated paths {further}: no evidence by itself."
    alt = f"One simulated path. The spot goes from 100 to {ranged}; {told}."
    return kept(figure, alt, f"{chosen} {told[0].upper()}{told[1:]}.", wide=True)


def wild(found: Recording) -> int:
    """The path whose first asset's spot ranged further than WILD of them."""
    logs = torch.stack([frame.seen.scene.views[0].quote.spot for frame in found.frames]).log()
    return int((logs.amax(0) - logs.amin(0)).argsort()[int(WILD * logs.shape[1])])


def neutralised(hedge: Hedge) -> str:
    """The greek that a hedge neutralises."""
    return "delta" if hedge.instrument.linear else hedge.neutralises


def _draw_spots(axis: Axes, days: Array, found: Recording, path: int) -> Array:
    """Every asset's price, and the strike where there is one alone; returns the first's, the start being 100."""
    columns = []
    for asset, line in zip(range(len(found.assets)), LINES, strict=False):
        spot = torch.stack([frame.seen.scene.views[asset].quote.spot[path] for frame in found.frames])
        columns.append(array(100 * spot / spot[0]))
        label = "spot" if len(found.assets) == 1 else f"spot of {found.assets[asset]}"
        axis.plot(days, columns[-1], label=label, **line)
    claim = found.contract.claims[0]
    if len(found.contract.claims) == 1 and claim.count == 1 and isinstance(claim.instrument, Option):
        strike = found.start.portfolio.terms[0].strike[path, 0] / found.start.quotes[0].spot[path]
        axis.axhline(100 * float(strike), label="strike", **DASHED)
    axis.set(ylabel="start = 100")
    axis.legend(ncols=3)
    return columns[0]


def _draw_position(axis: Axes, below: Axes, days: Array, found: Recording, path: int, place: int) -> int:
    """The band, the hedge after each decision, what is neutral; below, the trades, of which it returns the count."""
    lower, upper, held, neutral, order = (
        array(found.column(field, place)[:, path]) for field in ("lower", "upper", "held", "neutral", "order")
    )
    hedge = found.contract.hedges[place]
    axis.fill_between(days, lower, upper, step="post", color="0.85", label="PPO's band")
    axis.step(days, held, where="post", label="held", **SOLID)
    axis.plot(days, neutral, label=f"{neutralised(hedge)}-neutral", **DOTTED)
    inside = np.concatenate([held, neutral])
    margin = 0.15 * max(float(np.ptp(inside)), 1e-3)
    axis.set(ylim=(inside.min() - margin, inside.max() + 2.5 * margin))
    axis.set(ylabel=f"{found.named(place)},\nper unit of the book")
    axis.legend(ncols=3)
    below.vlines(days, 0, order, color="black", linewidth=1.4)
    below.set(ylabel="trade")
    return int(np.count_nonzero(order))


def _draw_regime(axis: Axes, days: Array, found: Recording, path: int) -> None:
    views = [frame.seen.scene.views[0] for frame in found.frames]
    restless = [1 - float(view.memory.probability[path, 0]) for view in views]
    axis.plot(days, restless, label="filtered P(regime other than calm)", **SOLID)
    axis.plot(days, [float(view.quote.congestion[path]) for view in views], label="congestion", **DOTTED)
    axis.set(ylabel="share", ylim=(-0.05, 1.5), yticks=(0, 0.5, 1))
    axis.legend(ncols=2)

"""The report's pictures of a judgement: losses, their tail, the paired differences, and what gains come from."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np

from train import attribution
from train.drawing import LINES, MARKERS, STYLE, Array, Picture, array, kept, panels
from train.evaluate import Judgement
from train.recorded import Recording

MEASURES = {"measure": "measure", "es95": "ES95", "y": "Y"}
LOSS = "final loss, bp of notional (a gain is negative)"
HATCHES = ("", "////", "....")  # of PPO, the best tuned band, delta
BODY = 0.005  # of the losses at either end that the histogram leaves to the tail's picture
TAIL = 0.2  # share of the worst losses that the tail's picture shows


@matplotlib.rc_context(STYLE)
def of_judgement(judgement: Judgement, names: Sequence[str], others: dict[str, str]) -> list[Picture]:
    """Losses and their tail of the three agents `names`, and what PPO is to `others`: key of `versus` → its name."""
    columns = {name: 1e4 * array(judgement.outcome.loss[:, judgement.agents.index(name)]) for name in names}
    return [_losses(judgement, columns), _tail(judgement, columns), _differences(judgement, others)]


def _losses(judgement: Judgement, columns: dict[str, Array]) -> Picture:
    low, high = np.quantile(np.concatenate(list(columns.values())), [BODY, 1 - BODY])
    edges = np.linspace(low, high, int(np.clip(len(judgement.outcome.loss) ** 0.5 / 2, 12, 70)))
    figure, (axis,) = panels(1, height=3.7)
    for (name, values), line in zip(columns.items(), LINES, strict=True):
        axis.stairs(100 * np.histogram(values, edges)[0] / len(values), edges, label=name, baseline=None, **line)
    axis.set(xlabel=LOSS, ylabel="share of losses in each bin, %")
    axis.legend()
    told = "; ".join(f"{name} {np.median(v):,.0f} and {v.std():,.0f}" for name, v in columns.items())
    alt = f"Histogram of final losses on {judgement.where}. Median and standard deviation, bp of notional: {told}."
    return kept(figure, alt, f"Final losses; the outermost {100 * BODY:.1f} % at either end are left out.")


def _tail(judgement: Judgement, columns: dict[str, Array]) -> Picture:
    count = len(judgement.outcome.loss)
    ranks = np.unique(np.geomspace(1, max(1, TAIL * count), 150).astype(int))
    figure, (axis,) = panels(1, height=3.7)
    for (name, values), line, marker in zip(columns.items(), LINES, MARKERS, strict=True):
        axis.semilogy(-np.sort(-values)[ranks - 1], ranks / count, label=name, marker=marker, markevery=12, **line)
    axis.axhspan(0.5 / count, 1 / min(judgement.effective, count), color="0.9", zorder=0)
    axis.set(xlabel=LOSS, ylabel="share of losses at least as large", ylim=(0.5 / count, 1.5 * TAIL))
    axis.legend()
    told = "; ".join(f"{name} {np.quantile(v, 0.99):,.0f} and {v.max():,.0f}" for name, v in columns.items())
    alt = f"Tail of the losses on {judgement.where}. 99 % quantile and worst, bp of notional: {told}."
    caption = "The worst fifth of losses; lower is better. Grey: rarer than once in the effective sample."
    return kept(figure, alt, caption)


def _differences(judgement: Judgement, others: dict[str, str]) -> Picture:
    figure, axes = panels(len(judgement.versus), height=4.8)
    told: list[str] = []
    for axis, (key, row) in zip(axes, judgement.versus.items(), strict=True):
        for place, (measure, label) in enumerate(MEASURES.items()):
            found = row[measure]
            axis.barh(-place, 1e4 * found.diff, height=0.6, color="0.85", edgecolor="0.4")
            axis.plot((1e4 * found.low, 1e4 * found.high), (-place, -place), "k|-", linewidth=1.8, markersize=11)
            told.append(f"{label} against {others[key]} {1e4 * found.diff:.3g}")
        axis.axvline(0, color="black", linewidth=1)
        axis.set(title=f"PPO minus {others[key]}", yticks=[0, -1, -2], yticklabels=list(MEASURES.values()))
        axis.margins(x=0.1)
    axes[-1].set_xlabel("difference, bp of notional (negative: PPO is better)")
    alt = f"PPO minus other hedges on {judgement.where}, bp of notional: {'; '.join(told)}."
    caption = "Paired differences with 95 % intervals; each panel has its own scale, the vertical line is zero."
    return kept(figure, alt, caption)


def worst(found: Recording, share: float) -> Array:
    """(G, TERMS) bp of the notional: means over each hedge's own worst `share` of paths."""
    count = max(1, round(share * len(found.loss)))
    rows = found.loss.argsort(0, descending=True)[:count]
    return array(1e4 * found.earned.gather(0, rows[..., None].expand(-1, -1, len(attribution.TERMS))).mean(0))


@matplotlib.rc_context(STYLE)
def of_attribution(found: Recording, share: float) -> Picture:
    """What every term brought, in the mean and in each hedge's own worst `share` of paths."""
    figure, axes = panels(2, height=7.2, width=6.4)
    titles = ("mean of all paths", f"mean of each hedge's own worst {100 * share:.0f} %")
    for axis, title, rows in zip(axes, titles, (worst(found, 1.0), worst(found, share)), strict=True):
        for j, (name, values, hatch) in enumerate(zip(found.agents, rows, HATCHES, strict=True)):
            places = -np.arange(len(values)) + 0.27 * (1 - j)
            face = "0.25" if j == 0 else "white"
            axis.barh(places, values, 0.27, label=name, facecolor=face, edgecolor="black", hatch=hatch, linewidth=0.7)
        axis.axvline(0, color="black", linewidth=1)
        axis.set(title=title, yticks=-np.arange(len(attribution.TERMS)), yticklabels=attribution.TERMS)
        axis.grid(visible=False, axis="y")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    axes[1].set_xlabel("bp of notional (positive: a gain)")
    told = ", ".join(
        f"{term} {value:+.0f}" for term, value in zip(attribution.TERMS, worst(found, 1.0)[0], strict=True)
    )
    alt = f"Gains by source. PPO's mean over all paths, bp of notional: {told}."
    return kept(
        figure,
        alt,
        "What each source brought; a hedge's bars add up to its gain, the loss with its sign turned.",
        wide=True,
    )

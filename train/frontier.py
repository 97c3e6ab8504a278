"""What a sweep found: a row per trial, and the frontier of cost against expected shortfall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich import box
from rich.table import Table

from train.drawing import LINES, MARKERS, STYLE, panels
from train.sweep import Sweep

BP = 1e4
OTHERS = {"delta": "x", "band": "P"}  # markers of the delta hedge and of the best tuned band


@dataclass(frozen=True)
class Row:
    """One trial."""

    number: int
    state: str
    values: dict[str, Any]  # of what the sweep varies
    result: dict[str, Any]

    @property
    def book(self) -> str:
        return str(self.values.get("task", "the recipe's book"))

    def point(self, agent: str) -> tuple[float, float]:
        """Mean cost and expected shortfall at 95 %, bp of the notional."""
        row = self.result["agents"][agent]
        return BP * row["cost"], BP * row["cvar95"]


def rows(study: Study, sweep: Sweep) -> list[Row]:
    """In the order of their numbers, with the values of what varies."""
    varied = [name for name in (*sweep.grid, *sweep.search) if len(sweep.grid.get(name, (0, 1))) > 1]
    return [_row(each, varied) for each in study.trials]


def table(found: Sequence[Row]) -> Table:
    names = list(found[0].values)
    heads = [name.rsplit(".", 1)[-1] for name in names]
    made = Table(title="Trials: % of notional", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("trial", *heads, "measure", "less band, bp", "cost", "ES95", "delta's", "band's"):
        made.add_column(head, justify="left" if head == "task" else "right")
    for row in found:
        own = [str(row.number), *(_shown(row.values[name]) for name in names)]
        made.add_row(*own, *(_figures(row) if row.state == "complete" else [row.state]))
    return made


def draw(path: Path, found: Sequence[Row]) -> None:
    """PNG: a panel per book, a point per policy, a line through the means over seeds; reads in black and white."""
    done = [row for row in found if row.state == "complete"]
    books = list(dict.fromkeys(row.book for row in done))
    with mpl.rc_context(STYLE):
        figure, axes = panels(1, 3.6, 4.6 * max(1, len(books)), max(1, len(books)))
        for axis, book in zip(axes, books, strict=False):
            _panel(axis, book, [row for row in done if row.book == book])
        figure.savefig(path, dpi=150, metadata={"Software": None})


def _panel(axis: Axes, book: str, found: Sequence[Row]) -> None:
    cells: dict[str, list[Row]] = {}
    for row in found:
        cells.setdefault(_cell(row), []).append(row)
    means = {name: _mean([row.point("PPO") for row in own]) for name, own in cells.items()}
    axis.plot(*zip(*sorted(means.values()), strict=True), marker=MARKERS[0], label="their means", **LINES[0])
    cost, shortfall = zip(*(row.point("PPO") for row in found), strict=True)
    axis.scatter(cost, shortfall, marker=MARKERS[0], c="white", ec="black", label="policies")
    for name, at in means.items():
        axis.annotate(name, at, textcoords="offset points", xytext=(5, 5), fontsize=8)
    for (agent, marker), line in zip(OTHERS.items(), LINES[1:], strict=True):
        x, y = _mean([row.point(agent) for row in found])
        axis.scatter(x, y, marker=marker, c=line["color"], s=50, label={"band": "best band"}.get(agent, agent))
    axis.set(title=book, xlabel="mean cost, bp of notional", ylabel="ES95 of the loss, bp of notional")
    axis.legend()


def _row(trial: FrozenTrial, varied: Sequence[str]) -> Row:
    values = {name: trial.params[name] for name in varied if name in trial.params}
    state = "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()
    return Row(trial.number, state, values, trial.user_attrs)


def _cell(row: Row) -> str:
    """What tells policies of one book apart, but for their seeds."""
    return ", ".join(_shown(value) for name, value in row.values.items() if name not in ("task", "seed"))


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    x, y = (sum(column) / len(points) for column in zip(*points, strict=True))
    return x, y


def _figures(row: Row) -> list[str]:
    policy, delta, band = (row.result["agents"][name] for name in ("PPO", *OTHERS))
    shown = [100 * each for each in (policy["cost"], policy["cvar95"], delta["cvar95"], band["cvar95"])]
    return [f"{100 * policy['measure']:.3f}", f"{BP * row.result['value']:+.2f}", *(f"{each:.3f}" for each in shown)]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

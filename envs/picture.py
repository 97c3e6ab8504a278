"""A picture of one hedger's episode so far: spot, hedge within its band, profit and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from envs.decision import Band
from envs.hedging import HedgingWorld

SIZE, DPI = (8.0, 6.0), 100
STYLES = ("-", "--", ":", "-.")


@dataclass
class Tape:
    """What the first hedger on the first path has lived through since its episode began."""

    days: list[float] = field(default_factory=list)
    spots: list[list[float]] = field(default_factory=list)
    hedges: list[list[float]] = field(default_factory=list)
    lower: list[list[float]] = field(default_factory=list)
    upper: list[list[float]] = field(default_factory=list)
    profit: list[float] = field(default_factory=list)
    paid: list[float] = field(default_factory=list)

    def begin(self, world: HedgingWorld) -> None:
        """Forget what was; the episode is at its start."""
        self.__init__()  # type: ignore[misc]
        self._mark(world)

    def decided(self, band: Band) -> None:
        """The band that the decision before the next bars set."""
        self.lower.append(band.lower[0, 0].tolist())
        self.upper.append(band.upper[0, 0].tolist())

    def lived(self, world: HedgingWorld) -> None:
        """After the bars to the next decision."""
        self._mark(world)

    def _mark(self, world: HedgingWorld) -> None:
        now = world.episode
        passed = world.contract.bars - int(now.bars_left[0])
        self.days.append(passed * world.contract.bar * 365)
        base = [held[0].item() for held in now.portfolio.base]
        self.spots.append([quote.spot[0].item() for quote in now.quotes])
        units = now.book.units[0, 0].tolist()
        self.hedges.append([u / base[each.asset] for u, each in zip(units, world.instruments, strict=True)])
        self.profit.append(-1e4 * now.loss[0, 0].item())
        book = now.book
        self.paid.append(1e4 * (book.fees + book.slippage)[0, 0].item() / world.contract.notional)


def drawn(tape: Tape, world: HedgingWorld) -> NDArray[np.uint8]:
    """(height, width, 3) picture of the `tape`."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    _spots(top, tape)
    _hedges(middle, tape, world)
    _profit(bottom, tape)
    bottom.set_xlim(0, world.contract.life * 365)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def _spots(axes: Any, tape: Tape) -> None:
    rows = np.array(tape.spots)
    for a, column in enumerate((rows / rows[0]).T):
        axes.plot(tape.days, column, STYLES[a % len(STYLES)], color="black", label=f"asset {a}")
    axes.set_ylabel("spot over its start")
    if rows.shape[1] > 1:
        axes.legend(loc="upper left", frameon=False)


def _hedges(axes: Any, tape: Tape, world: HedgingWorld) -> None:
    held = np.array(tape.hedges)
    low, high = np.array(tape.lower), np.array(tape.upper)
    for k, each in enumerate(world.instruments):
        style = STYLES[k % len(STYLES)]
        axes.step(tape.days, held[:, k], style, where="post", color="black", label=f"{each.kind} {k}")
        if len(low):
            begun = tape.days[: len(low)]
            axes.fill_between(begun, low[:, k], high[:, k], step="post", alpha=0.25, color="grey", linewidth=0)
    axes.set_ylabel("hedge and band,\nper base unit")
    axes.legend(loc="upper left", frameon=False)


def _profit(axes: Any, tape: Tape) -> None:
    axes.plot(tape.days, tape.profit, "-", color="black", label="profit")
    axes.plot(tape.days, tape.paid, "--", color="black", label="costs paid")
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.set_ylabel("bp of notional")
    axes.set_xlabel("days")
    axes.legend(loc="upper left", frameon=False)

"""How the report draws: matplotlib figures without pyplot, kept as SVG. They read in black and white."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
STYLE: Any = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": "0.88",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 3.2,
    "lines.markersize": 4.5,
    "svg.hashsalt": "rehedge",  # no random names
}
SOLID: dict[str, Any] = {"color": "black", "linestyle": "-", "linewidth": 1.8}
DASHED: dict[str, Any] = {"color": "#0062a8", "linestyle": "--", "linewidth": 1.5}
DOTTED: dict[str, Any] = {"color": "#c44d00", "linestyle": ":", "linewidth": 2.0}
LINES, MARKERS = (SOLID, DASHED, DOTTED), ("o", "s", "^")


@dataclass(frozen=True)
class Picture:
    """A drawn figure, what it shows in words, and how to read it."""

    svg: bytes
    alt: str
    caption: str
    wide: bool = False

    @property
    def uri(self) -> str:
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


def array(values: Tensor) -> Array:
    return np.asarray(values.double().numpy())


def panels(rows: int, height: float, width: float = 5.4, columns: int = 1, **grid: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, **grid).flat)


def kept(figure: Figure, alt: str, caption: str, wide: bool = False) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return Picture(buffer.getvalue(), alt, caption, wide)

"""What the forecast and the regime probabilities are worth: the shipped policy against a twin that never saw them.

The twin is trained by the same recipe and seed with `blind` features, or loaded with `--twin FOLDER`. Both are judged
on the same fresh paths; then both are followed around the hours in which the market's hidden era turns from calm to
turbulent, with the filter's probability beside them: `docs/foresight.png`. A lag is the hours until half of the way
from the level before the turn to that at the picture's end is gone. Prints one JSON object as its last line.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.progress import Progress as Bars
from torch import Tensor

from agents import card as cards
from agents.card import Model
from agents.learned import Learned
from envs.calibration import read_toml, validated
from envs.seeding import generators
from train import cohort, statistics
from train.drawing import DASHED, DOTTED, SOLID
from train.pipeline import Recipe, trained

ROOT = Path(__file__).parents[1]
BLIND = ("forecast_over_implied", "spot_over_implied", "stress", "regime_1", "regime_2", "regime_3")
JUDGED, FOLLOWED, SEED = 100_000, 16_384, 2027
TURBULENT = 2  # the first regime of the turbulent era
BEFORE, AFTER = 12, 48  # decisions shown


@dataclass(frozen=True)
class Followed:
    """At every decision (D, P): the hidden era, the filter's view of it, and the bands in units of the tuned band."""

    turbulent: Tensor
    filtered: Tensor
    width: Tensor  # (D, P, 2) log half-width of the policy's band and the twin's over the tuned band's
    centre: Tensor  # (D, P, 2) half-widths


def twin(model: Model, recipe: Path) -> Model:
    """Trained as the model was and in its units, but blind."""
    raw = read_toml(recipe)
    raw["learning"] = {**raw.get("learning", {}), "blind": BLIND}
    blind, card = validated(Recipe, raw, str(recipe)), model.card
    folder = ROOT / "runs" / f"{card.name}_blind"
    with Bars() as progress:
        return trained(folder, blind, card.training.seed, torch.device("cpu"), progress, card.opponents)


def worth(model: Model, blind: Model) -> dict[str, float]:
    """The policy's measure less its twin's, in basis points of the notional, with the bootstrap's interval."""
    market, resampling = generators(SEED, 2)
    task = model.card.task
    agents = [Learned(blind.network), Learned(model.network)]
    losses = cohort.run(task.cohort(JUDGED, 2, market, cohort.BLOCK), agents).loss.double()
    resampled = statistics.Resampled(losses, resampling)
    replicates = resampled.of(task.objective.value)
    measures = task.objective.value(losses.T)
    found = statistics.interval(measures[1] - measures[0], replicates[:, 1] - replicates[:, 0])
    return {name: round(1e4 * value, 2) for name, value in vars(found).items()}


@torch.no_grad()
def followed(model: Model, blind: Model) -> Followed:
    """Whole episodes of both on the same paths."""
    task = model.card.task
    (generator,) = generators(SEED + 1, 1)
    world = task.world(FOLLOWED, 2, generator)
    world.reset(staggered=False)
    rows: list[tuple[Tensor, ...]] = []
    for _ in range(task.contract.decisions):
        seen = world.observation
        band = cohort.joint(world, [Learned(model.network), Learned(blind.network)])
        width = ((band.upper - band.lower) / 2 / seen.half_width).clamp(min=1e-3).log()
        centre = ((band.upper + band.lower) / 2 - seen.centre) / seen.half_width
        memory = seen.scene.views[0].memory
        filtered = memory.probability[:, TURBULENT:].sum(-1)
        rows.append((world.state.regime[:, 0] >= TURBULENT, filtered, width[..., 0], centre[..., 0]))
        world.advance(band)
    return Followed(*(torch.stack(column) for column in zip(*rows, strict=True)))


def around(found: Followed) -> dict[str, Tensor]:
    """(W, ...) means over all turns from calm to turbulent that stay so to the end of the window."""
    era = found.turbulent
    last = len(era) - AFTER
    calm = torch.stack([~era[t - BEFORE : t].any(0) for t in range(BEFORE, last)])
    lasting = torch.stack([era[t : t + AFTER].all(0) for t in range(BEFORE, last)])
    when, path = (calm & lasting).nonzero().unbind(-1)
    window = when + torch.arange(BEFORE + AFTER)[:, None]  # (W, N)
    tables = {"filtered": found.filtered, "width": found.width, "centre": found.centre}
    return {"turns": torch.tensor(len(when)), **{k: table[window, path].mean(1) for k, table in tables.items()}}


def lag(curve: Tensor, hours: float) -> float:
    """Hours after the turn until `curve` (W,) is halfway from its level before to that at its end."""
    start, end = curve[: BEFORE - 1].mean(), curve[-BEFORE:].mean()
    share = (curve[BEFORE:] - start) / (end - start)
    return hours * int((share >= 0.5).nonzero()[0, 0])


def picture(curves: dict[str, Tensor], hours: float) -> Figure:
    """Three panels over the hours since the turn."""
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    axes: Any = figure.subplots(3, sharex=True)
    x = hours * (torch.arange(BEFORE + AFTER) - BEFORE)
    axes[0].plot(x, curves["filtered"], **DOTTED)
    axes[0].set(ylabel="filtered probability\nof turbulence")
    for row, name in ((1, "width"), (2, "centre")):
        values = curves[name].exp() if name == "width" else curves[name]
        axes[row].plot(x, values[:, 0], label="sees forecast and regimes", **SOLID)
        axes[row].plot(x, values[:, 1], label="blind to them", **DASHED)
    axes[1].set(ylabel="half-width, multiple\nof the tuned band's")
    axes[2].set(ylabel="centre moved,\nhalf-widths", xlabel="hours since the market turned turbulent")
    axes[1].legend()
    for each in axes:
        each.axvline(0, color="0.7", linewidth=1)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "short_call")
    parser.add_argument("--recipe", type=Path, default=ROOT / "configs" / "short_call.toml")
    parser.add_argument("--twin", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = cards.load(given.model)
    blind = twin(model, given.recipe) if given.twin is None else cards.load(given.twin)
    contract = model.card.task.contract
    hours = contract.decision_bars * contract.bar_hours
    curves = around(followed(model, blind))
    picture(curves, hours).savefig(ROOT / "docs" / "foresight.png", dpi=110)
    lags = {"filter": lag(curves["filtered"], hours)}
    for place, who in enumerate(("policy", "twin")):
        lags |= {f"{who}_{name}": lag(curves[name][:, place], hours) for name in ("width", "centre")}
    print(json.dumps({"difference_bp": worth(model, blind), "turns": int(curves["turns"]), "lag_hours": lags}))


if __name__ == "__main__":
    main()

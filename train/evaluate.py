"""Judging: every agent on the same paths, paired differences with bootstrap intervals.

On simulated paths, on later history, and on that history resampled in blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from agents import card as cards
from agents import register
from agents.base import Agent
from agents.card import Card, Model
from agents.classical.delta import Delta
from agents.learned import Learned, Untrained
from envs.hedging import HedgingWorld
from envs.instruments.option import Option
from envs.objective import Objective, expected_shortfall
from envs.objectives.mean_shortfall import MeanShortfall
from envs.seeding import generators
from envs.types import BadInput
from train import cohort, history, statistics
from train.cohort import Outcome
from train.statistics import Influence, Interval, Resampled

MEASURES = ("measure", "es95", "y")
Progress = Callable[[int], None]
SURFACE = (
    "Options are marked on a modelled surface that real returns drive, as no history of implied volatilities was at "
    "hand; one, by strike and expiry, would replace it."
)
OTHERS = {
    "vs_delta": "the Black-Scholes delta hedge",
    "vs_best_band": "the best tuned band",
    "vs_action0": "its own untrained self",
}


@dataclass(frozen=True)
class Judgement:
    """One market's verdict."""

    where: str  # in words
    agents: tuple[str, ...]
    outcome: Outcome
    rows: dict[str, dict[str, float]]  # agent → its statistics
    versus: dict[str, dict[str, Interval]]  # vs_delta, vs_best_band, vs_action0 → measure → PPO minus the other
    blocks: int  # independent blocks that the bootstrap draws
    effective: float  # independent windows that PPO's mean loss is worth
    against: dict[str, Interval]  # agent → PPO minus it, in the trained measure
    effects: dict[str, float]  # agent → that difference over the deviation of the windows' own: Cohen's d of pairs
    forced: tuple[str, ...] = ()  # what would have been refused without force
    notes: tuple[str, ...] = ()  # what else a reader must know

    @property
    def beats(self) -> dict[str, bool]:
        """Whether PPO is better in the trained measure, the whole interval on its side."""
        return {name: row["measure"].high < 0 for name, row in self.versus.items()}

    def sentences(self) -> list[str]:
        """Each paired difference in words."""
        return [f"PPO {_verdict(row['measure'])} {OTHERS[name]}" for name, row in self.versus.items()] + [
            f"{len(self.outcome.loss):,} windows in {self.blocks:,} independent blocks; "
            f"PPO's mean loss is worth {self.effective:,.0f} independent windows.",
            *(f"FORCED: {each}." for each in self.forced),
            *self.notes,
        ]

    def json(self) -> dict[str, object]:
        agents = {name: {**row, "paths": len(self.outcome.loss)} for name, row in self.rows.items()}
        versus = {
            name: {"measure": "trained", **vars(row["measure"]), "also": {m: vars(row[m]) for m in MEASURES[1:]}}
            for name, row in self.versus.items()
        }
        against = {name: {**vars(row), "effect": self.effects[name]} for name, row in self.against.items()}
        sample = {"blocks": self.blocks, "effective": self.effective}
        told = {"forced": list(self.forced), "notes": list(self.notes)}
        said = {name: lines for name, lines in told.items() if lines}
        return {"where": self.where, "agents": agents, **versus, "against": against, **sample, **said}


def roster(model: Model, chosen: Sequence[str] = (), force: bool = False) -> list[Agent]:
    """Whom a model is judged against, PPO last: every agent, or those `chosen` and the three of OTHERS.

    An agent is chosen by the name of its classical hedge, or the folder of a model. Raises BadInput for a model that
    was trained for another market or book, but by force.
    """
    tuned, contract = model.card.opponents.tuned, model.card.task.contract
    suiting = register.suiting(contract)
    fixed = [one.name for one in suiting if one.start is None]
    needed = (Delta.name, model.card.opponents.best)
    names = [*fixed, *tuned] if not chosen else list(dict.fromkeys([*chosen, *needed]))
    folders = [name for name in names if (Path(name) / cards.CARD).is_file()]
    if unsuited := {name for name in names if name in register.every()} - {each.name for each in suiting}:
        raise BadInput(f"{', '.join(sorted(unsuited))}: needs options among the hedges, and {model.folder} has none")
    classical = [register.made(name, tuned) for name in names if name not in folders]
    others = [_another(model, Path(folder), force) for folder in folders]
    return [*classical, *others, Untrained(), Learned(model.network)]


def on_simulated(
    model: Model, paths: int, seed: int, progress: Progress = lambda paths: None, agents: Sequence[Agent] = ()
) -> Judgement:
    """On `paths` fresh paths of the market that the model was trained for, by all of its roster or by `agents`."""
    agents, card = agents or roster(model), model.card
    market, resampling = generators(seed, 2)
    outcome = cohort.run(card.task.cohort(paths, len(agents), market, cohort.BLOCK), agents, progress)
    where = f"{paths:,} simulated paths, seed {seed}"
    return judged(where, card, _names(agents), outcome, Resampled(outcome.loss, resampling))


def on_bootstrapped(
    model: Model,
    record: history.Record,
    paths: int,
    seed: int,
    progress: Progress = lambda paths: None,
    agents: Sequence[Agent] = (),
) -> Judgement:
    """On `paths` paths that repeat weeks of `record`, drawn at random, one after the other."""
    agents, card = agents or roster(model), model.card
    source, resampling = generators(seed, 2)
    market = history.bootstrapped(model.observer, record, source)
    sizes = [min(cohort.BLOCK, paths - first) for first in range(0, paths, cohort.BLOCK)]
    worlds = (HedgingWorld(market, card.task.contract, card.task.objective, n, len(agents), source) for n in sizes)
    outcome = cohort.run(map(_begun, worlds), agents, progress)
    where = f"{paths:,} paths of weeks drawn from {record.name}, {record.first:%Y-%m-%d} to {record.last:%Y-%m-%d}"
    resampled = Resampled(outcome.loss, resampling)
    return judged(where, card, _names(agents), outcome, resampled, forced=record.forced, notes=notes(card))


def on_history(model: Model, record: history.Record, seed: int, agents: Sequence[Agent] = ()) -> Judgement:
    """On every window of `record`; whole calendar quarters are resampled."""
    agents, card = agents or roster(model), model.card
    (resampling,) = generators(seed, 1)
    outcome, quarters = carried(model, record, agents)
    where = f"{record.name}, {record.first:%Y-%m-%d} to {record.last:%Y-%m-%d}, a window starting each day"
    resampled = Resampled(outcome.loss, resampling, quarters)
    return judged(where, card, _names(agents), outcome, resampled, forced=record.forced, notes=notes(card))


def carried(model: Model, record: history.Record, agents: Sequence[Agent]) -> tuple[Outcome, Tensor]:
    """What `agents` made of every window of `record` under the model's filters, and its calendar quarter (P,)."""
    world, quarters = history.world(model.observer, model.card.task.objective, record, len(agents))
    return cohort.run(iter([world]), agents), quarters


def notes(card: Card) -> tuple[str, ...]:
    """What must be known of a judgement on real returns."""
    contract = card.task.contract
    parts = [*(claim.instrument for claim in contract.claims), *(hedge.instrument for hedge in contract.hedges)]
    return (SURFACE,) if any(isinstance(each, Option) for each in parts) else ()


def judged(
    where: str,
    card: Card,
    names: tuple[str, ...],
    outcome: Outcome,
    resampled: Resampled,
    best: str | None = None,
    forced: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Judgement:
    """The verdict on an `outcome` of agents of these `names`, PPO the last, with the intervals that `resampled` gives.

    `best` is the tuned band's name, the card's without one.
    """
    losses, objective = resampled.losses, card.task.objective
    observed = _observed(losses, objective)
    means, replicates = _replicates(resampled, objective, observed)
    tuned = card.opponents.best if best is None else best
    others = {"vs_delta": Delta.name, "vs_best_band": tuned, "vs_action0": Untrained.name}
    versus = {
        key: {m: _difference(observed[m], replicates[m], names.index(other)) for m in MEASURES}
        for key, other in others.items()
    }
    pairs = [(name, j) for j, name in enumerate(names[:-1])]
    effective = statistics.effective_sample(losses, means)
    return Judgement(
        where=where,
        agents=names,
        outcome=outcome,
        rows={name: _row(outcome, observed["measure"], float(effective[j]), j) for j, name in enumerate(names)},
        versus=versus,
        blocks=resampled.count,
        effective=float(effective[-1]),
        against={name: _difference(observed["measure"], replicates["measure"], j) for name, j in pairs},
        effects={name: _effect(objective, losses[:, [j, -1]]) for name, j in pairs},
        forced=forced,
        notes=notes,
    )


def _names(agents: Sequence[Agent]) -> tuple[str, ...]:
    return tuple(agent.name for agent in agents)


def _another(model: Model, folder: Path, force: bool) -> Agent:
    """The policy in `folder` as an opponent, named by its folder."""
    other = cards.load(folder)
    alike = other.card.features_sha256 == model.card.features_sha256
    if not alike and (not force or other.card.features != model.card.features):
        raise BadInput(
            f"{folder}: trained for another market or book than {model.folder}; judge it by itself"
            + ("" if other.card.features != model.card.features else ", or --force")
        )
    return Learned(other.network, str(folder))


def _begun(world: HedgingWorld) -> HedgingWorld:
    world.reset(staggered=False)
    return world


def _replicates(
    resampled: Resampled, objective: Objective, observed: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """(R, G) of the mean and of each measure; a blend of mean and ES95 has a fast way of its own."""
    if resampled.many:
        return _linear(resampled, objective, observed)
    means, deviations, shortfalls = resampled.replicates(0.95)
    if isinstance(objective, MeanShortfall) and objective.level == 0.95:
        measure = (1 - objective.weight) * means + objective.weight * shortfalls
    else:
        measure = resampled.of(objective.value)
    return means, {"measure": measure, "es95": shortfalls, "y": means + statistics.Y_WEIGHT * deviations}


def _linear(
    resampled: Resampled, objective: Objective, observed: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The same by influences, of many losses: what each moves every measure by; an agent at a time, to save memory."""
    tail = MeanShortfall(level=0.95, weight=1.0)

    def y(losses: Tensor) -> Tensor:
        centred, deviation = losses - losses.mean(), losses.std().clamp(min=1e-300)
        return centred + statistics.Y_WEIGHT * (centred.square() - losses.var()) / (2 * deviation)

    moved: dict[str, Influence] = {"measure": partial(_moved, objective), "es95": partial(_moved, tail), "y": y}
    replicates = {name: resampled.linear(observed[name], each) for name, each in moved.items()}
    return resampled.linear(resampled.losses.mean(0), lambda losses: losses), replicates


def _moved(objective: Objective, losses: Tensor) -> Tensor:
    """(N,) how much each of `losses` (N,) moves the measure, by the envelope theorem; see `train/influence.py`."""
    return objective.transform(losses, objective.dual(losses))


def _effect(objective: Objective, pair: Tensor) -> float:
    """Measure of the second column of `pair` (N, 2) less that of the first, in deviations of the losses' influences."""
    theirs, ours = objective.value(pair.T)
    deviation = float((_moved(objective, pair[:, 1]) - _moved(objective, pair[:, 0])).std())
    return float(ours - theirs) / deviation if deviation > 0 else 0.0


def _observed(losses: Tensor, objective: Objective) -> dict[str, Tensor]:
    """(G,) of each measure."""
    return {
        "measure": objective.value(losses.T),
        "es95": expected_shortfall(losses.T, 0.95),
        "y": losses.mean(0) + statistics.Y_WEIGHT * losses.std(0),
    }


def _difference(observed: Tensor, replicates: Tensor, other: int) -> Interval:
    """PPO, the last agent, minus the `other`."""
    return statistics.interval(observed[-1] - observed[other], replicates[:, -1] - replicates[:, other])


def _row(outcome: Outcome, measure: Tensor, effective: float, agent: int) -> dict[str, float]:
    names = {"turnover": "turnover", "fees": "fees", "slippage": "slippage", "funding": "funding", "trades": "traded"}
    names |= {"liquidated": "liquidated"}
    means = {name: float(getattr(outcome, field)[agent]) for field, name in names.items()}
    losses = outcome.loss[:, agent].double()
    return {
        "measure": float(measure[agent]),
        **statistics.summary(losses),
        **means,
        "cost": means["fees"] + means["slippage"],
        "effective": effective,
        "cvar95_sample": statistics.tail_sample(losses, 0.95, effective),
        "cvar99_sample": statistics.tail_sample(losses, 0.99, effective),
    }


def _verdict(difference: Interval) -> str:
    """`is better by … than`, or the contrary, or that the interval holds zero; in basis points of notional."""
    size = f"{1e4 * abs(difference.diff):.2f} bp in the trained measure"
    span = f"(95 % interval {1e4 * difference.low:+.2f} to {1e4 * difference.high:+.2f} bp)"
    if not difference.excludes_zero:
        return f"is not shown to differ {span} from"
    return f"is {'better' if difference.high < 0 else 'WORSE'} by {size} {span} than"

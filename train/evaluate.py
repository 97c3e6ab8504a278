"""Judging: every agent on the same paths, paired differences with bootstrap intervals.

On simulated paths and on later history.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from agents import register
from agents.base import Agent
from agents.card import Card, Model
from agents.classical.delta import Delta
from agents.learned import Learned, Untrained
from envs.objective import Objective, expected_shortfall
from envs.objectives.mean_shortfall import MeanShortfall
from envs.seeding import generators
from train import cohort, history, statistics
from train.cohort import Outcome
from train.statistics import Interval, Resampled

MEASURES = ("measure", "es95", "y")
Progress = Callable[[int], None]
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

    @property
    def beats(self) -> dict[str, bool]:
        """Whether PPO is better in the trained measure, the whole interval on its side."""
        return {name: row["measure"].high < 0 for name, row in self.versus.items()}

    def sentences(self) -> list[str]:
        """Each paired difference in words."""
        return [f"PPO {_verdict(row['measure'])} {OTHERS[name]}" for name, row in self.versus.items()] + [
            f"{len(self.outcome.loss):,} windows in {self.blocks:,} independent blocks; "
            f"PPO's mean loss is worth {self.effective:,.0f} independent windows."
        ]

    def json(self) -> dict[str, object]:
        agents = {name: {**row, "paths": len(self.outcome.loss)} for name, row in self.rows.items()}
        versus = {
            name: {"measure": "trained", **vars(row["measure"]), "also": {m: vars(row[m]) for m in MEASURES[1:]}}
            for name, row in self.versus.items()
        }
        return {"where": self.where, "agents": agents, **versus, "blocks": self.blocks, "effective": self.effective}


def roster(model: Model) -> list[Agent]:
    """Every agent that a model is judged against, the tuned hedges among them; PPO last."""
    tuned, contract = model.card.opponents.tuned, model.card.task.contract
    fixed = [register.made(one.name, tuned) for one in register.suiting(contract) if one.start is None]
    classical = [register.made(name, tuned) for name in tuned]
    return [*fixed, *classical, Untrained(), Learned(model.network)]


def on_simulated(model: Model, paths: int, seed: int, progress: Progress = lambda paths: None) -> Judgement:
    """On `paths` fresh paths of the market that the model was trained for."""
    agents, card = roster(model), model.card
    market, resampling = generators(seed, 2)
    outcome = cohort.run(card.task.cohort(paths, len(agents), market, cohort.BLOCK), agents, progress)
    where = f"{paths:,} simulated paths, seed {seed}"
    return _judged(where, card, agents, outcome, Resampled(outcome.loss, resampling))


def on_history(model: Model, record: history.Record, seed: int) -> Judgement:
    """On every window of `record`, all after the calibration window; whole calendar quarters are resampled."""
    agents, card = roster(model), model.card
    (resampling,) = generators(seed, 1)
    world, quarters = history.world(model.observer, card.task.objective, record, len(agents))
    outcome = cohort.run(iter([world]), agents)
    where = f"{record.name}, {record.first:%Y-%m-%d} to {record.last:%Y-%m-%d}, a window starting each day"
    return _judged(where, card, agents, outcome, Resampled(outcome.loss, resampling, quarters))


def _judged(where: str, card: Card, agents: Sequence[Agent], outcome: Outcome, resampled: Resampled) -> Judgement:
    names = tuple(agent.name for agent in agents)
    losses, objective = resampled.losses, card.task.objective
    means, replicates = _replicates(resampled, objective)
    observed = _observed(losses, objective)
    others = {"vs_delta": Delta.name, "vs_best_band": card.opponents.best, "vs_action0": Untrained.name}
    versus = {
        key: {m: _difference(observed[m], replicates[m], names.index(other)) for m in MEASURES}
        for key, other in others.items()
    }
    return Judgement(
        where=where,
        agents=names,
        outcome=outcome,
        rows={name: _row(outcome, observed["measure"], j) for j, name in enumerate(names)},
        versus=versus,
        blocks=resampled.count,
        effective=float(statistics.effective_sample(losses, means)[-1]),
    )


def _replicates(resampled: Resampled, objective: Objective) -> tuple[Tensor, dict[str, Tensor]]:
    """(R, G) of the mean and of each measure; a blend of mean and ES95 has a fast way of its own."""
    means, deviations, shortfalls = resampled.replicates(0.95)
    if isinstance(objective, MeanShortfall) and objective.level == 0.95:
        measure = (1 - objective.weight) * means + objective.weight * shortfalls
    else:
        measure = resampled.of(objective.value)
    return means, {"measure": measure, "es95": shortfalls, "y": means + statistics.Y_WEIGHT * deviations}


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


def _row(outcome: Outcome, measure: Tensor, agent: int) -> dict[str, float]:
    names = {"turnover": "turnover", "fees": "fees", "slippage": "slippage", "funding": "funding", "trades": "traded"}
    names |= {"liquidated": "liquidated"}
    means = {name: float(getattr(outcome, field)[:, agent].double().mean()) for field, name in names.items()}
    return {
        "measure": float(measure[agent]),
        **statistics.summary(outcome.loss[:, agent].double()),
        **means,
        "cost": means["fees"] + means["slippage"],
    }


def _verdict(difference: Interval) -> str:
    """`is better by … than`, or the contrary, or that the interval holds zero; in basis points of notional."""
    size = f"{1e4 * abs(difference.diff):.2f} bp in the trained measure"
    span = f"(95 % interval {1e4 * difference.low:+.2f} to {1e4 * difference.high:+.2f} bp)"
    if not difference.excludes_zero:
        return f"is not shown to differ {span} from"
    return f"is {'better' if difference.high < 0 else 'WORSE'} by {size} {span} than"

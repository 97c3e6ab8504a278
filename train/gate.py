"""The gate that a model passes before it ships: why it must not, and the swap of folders where nothing speaks against.

On the walk-forward set, which is the history after the calibration windows of both, and in every stress scenario, each
model in the market that it was calibrated to. What was tuned or learned has seen none of either.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from agents import card as cards
from agents.base import Agent
from agents.card import Model
from agents.learned import Learned, Untrained
from envs.seeding import generators
from envs.types import BadInput
from train import cohort, evaluate, history, stress
from train.evaluate import Judgement
from train.history import Record, Sources
from train.statistics import Resampled
from train.stress import Stressed

MARGIN = 50e-4  # of the notional: how much worse the measure may be in a stress
SEED = 77
TUNED = ("risk_aversion", "greek_band")  # of the contract: by each model's own training
KEPT = ".previous"  # beside the models: what was replaced
EXCHANGE = 2  # RENAME_EXCHANGE of Linux
HERE = -100  # AT_FDCWD


def reasons(
    candidate: Model,
    incumbent: Path | None,
    sources: Sources,
    margin: float = MARGIN,
    progress: Callable[[str], None] = lambda what: None,
) -> list[str]:
    """Why the candidate must not replace the incumbent; none: it may. Raises BadInput where they cannot be compared."""
    rival = None if incumbent is None else _rival(candidate, incumbent)
    record = history.later(candidate.card.task, sources, *([] if rival is None else [rival.card.task]))
    if record is None:
        return [f"{candidate.folder}: no history follows its calibration window, so nothing walks forward"]
    tuned = tuple(candidate.card.opponents.tuned)
    agents = evaluate.roster(candidate, tuned)
    progress(record.name)
    judgement = _judged(candidate, rival, record, agents)
    progress("stress")
    scenarios = stress.on_scenarios(candidate, agents, SEED, stress.PATHS, progress)
    if rival is None:
        best, rivals = candidate.card.opponents.best, [*tuned, Untrained.name]
    else:
        best, rivals = str(rival.folder), [str(rival.folder), *tuned, Untrained.name]
        theirs = stress.on_scenarios(rival, [Learned(rival.network, best)], SEED, stress.PATHS, progress)
        scenarios = [replace(one, rows=other.rows | one.rows) for one, other in zip(scenarios, theirs, strict=True)]
    return [*not_better(judgement, rivals), *worse(scenarios, best, margin)]


def _rival(candidate: Model, folder: Path) -> Model:
    """The incumbent. Raises BadInput for one that hedges another book."""
    rival = cards.load(folder)
    books = [one.card.task.contract.model_copy(update=dict.fromkeys(TUNED)) for one in (candidate, rival)]
    if books[0] != books[1]:
        raise BadInput(f"{folder}: trained for another book than {candidate.folder}; give the model that it replaces")
    return rival


def _judged(candidate: Model, rival: Model | None, record: Record, agents: Sequence[Agent]) -> Judgement:
    """On every window of the record; the incumbent sees it with the filters that it was trained with."""
    outcome, quarters = evaluate.carried(candidate, record, agents)
    names = [agent.name for agent in agents]
    if rival is not None:
        own = Learned(rival.network, str(rival.folder))
        outcome = cohort.beside(evaluate.carried(rival, record, [own])[0], outcome)
        names.insert(0, own.name)
    resampled = Resampled(outcome.loss, generators(SEED, 1)[0], quarters)
    where = f"{record.name}, {record.first:%Y-%m-%d} to {record.last:%Y-%m-%d}"
    return evaluate.judged(where, candidate.card, tuple(names), outcome, resampled, forced=record.forced)


def not_better(judgement: Judgement, rivals: Sequence[str]) -> Iterator[str]:
    """A line for each rival that the candidate is not shown to be better than, the whole interval below zero."""
    for name in rivals:
        found = judgement.against[name]
        if found.high >= 0:
            span = f"{1e4 * found.diff:+.1f} bp, 95 % interval {1e4 * found.low:+.1f} to {1e4 * found.high:+.1f} bp"
            yield f"not shown to be better than {name} on {judgement.where}: measure {span}"


def worse(scenarios: Sequence[Stressed], rival: str, margin: float) -> Iterator[str]:
    """A line for each scenario where the candidate's measure is above the rival's by more than `margin`."""
    for one in scenarios:
        excess = one.rows[Learned.name]["measure"] - one.rows[rival]["measure"]
        if excess > margin:
            yield f"worse than {rival} in {one.name} by {1e4 * excess:,.0f} bp; the margin is {1e4 * margin:,.0f} bp"


def swapped(candidate: Path, place: Path) -> Path | None:
    """A copy of the candidate in `place`, at once; where the model that was there is kept, None if there was none."""
    new = place.parent / f".{place.name}.new"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(candidate, new)
    if not place.exists():
        new.rename(place)
        return None
    kept = place.parent / KEPT / f"{place.name}-{cards.read(place).weights_sha256[:12]}"
    kept.parent.mkdir(exist_ok=True)
    shutil.rmtree(kept, ignore_errors=True)
    _exchange(new, place)
    new.rename(kept)
    return kept


def _exchange(one: Path, other: Path) -> None:
    """Both change names in one step. Raises OSError where the system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} ({errno.errorcode.get(code, code)})", str(one), None, str(other))

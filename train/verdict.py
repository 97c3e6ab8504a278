"""What a judgement says, in words: no more than its intervals bear out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from agents.card import Card
from agents.learned import Learned
from train.evaluate import Judgement
from train.pictures import MEASURES

MIN_BLOCKS = 30  # fewer make percentile intervals too narrow
MIN_TAIL = 100  # independent losses beyond a quantile, fewer of which say little of it
BP = 1e4  # basis points in one


def headline(judgements: Sequence[Judgement], card: Card) -> str:
    """One sentence: the trained measure against the best tuned band, market by market, whatever way it fell."""
    other = f"the best tuned band, {card.opponents.best}"
    parts = [f"on {one.where}, {verdict(one, 'vs_best_band', 'measure', other)}" for one in judgements]
    leaders = [_lowest(one) for one in judgements]
    notes = ["" if name == Learned.name else f"; {name} has the lowest measure of all there" for name in leaders]
    return capital("; ".join(part + note for part, note in zip(parts, notes, strict=True))) + "."


def verdict(judgement: Judgement, key: str, measure: str, other: str) -> str:
    """What a paired difference says, and no more than its interval bears out."""
    found, name = judgement.versus[key][measure], MEASURES[measure]
    if judgement.blocks < 2:
        return f"there are too few independent blocks to compare PPO's {name} with that of {other}"
    low, high = sorted((found.low, found.high), key=abs)
    if not found.excludes_zero:
        ends = f"{number(BP * found.low)} to {number(BP * found.high)} bp"
        return (
            f"PPO cannot be told from {other}: its {name} differs by {number(BP * found.diff)} bp of notional, "
            f"and the 95 % interval, {ends}, includes zero"
        )
    side = "lower (better)" if found.high < 0 else "higher (worse)"
    ends = f"{number(BP * abs(low))} to {number(BP * abs(high))} bp"
    size = f"{number(BP * abs(found.diff))} bp of notional"
    return f"PPO's {name} is {size} {side} than that of {other} (95 % interval {ends})"


def number(value: float, decimals: int = 2) -> str:
    """With thousands marked and a true minus; a figure that would round to zero keeps its first digit."""
    if not math.isfinite(value):
        return "not finite"
    text = f"{value:,.{decimals}f}"
    if value and not float(text.replace(",", "")):
        text = f"{value:.1g}"
    return text.replace("-", "−")


def _lowest(judgement: Judgement) -> str:
    """The agent of the lowest measure, without regard to chance."""
    return min(judgement.agents, key=lambda name: judgement.rows[name]["measure"])


def least(judgement: Judgement) -> str:
    """How far PPO is from the lowest measure."""
    least = _lowest(judgement)
    if least == Learned.name:
        return f"of the {len(judgement.agents)} hedges PPO has the lowest measure here"
    gap = number(BP * (judgement.rows[Learned.name]["measure"] - judgement.rows[least]["measure"]))
    return f"of the {len(judgement.agents)} hedges {least} has the lowest measure here, {gap} bp below PPO's"


def sample(judgement: Judgement) -> Iterator[str]:
    """How much data there is, and how little of it in the tail."""
    count, blocks = len(judgement.outcome.loss), judgement.blocks
    paths = "independent paths" if blocks == count else "overlapping windows"
    effective = min(judgement.effective, count)
    yield f"{count:,} {paths}; {blocks:,} blocks resampled; effective sample about {_rough(effective)}."
    yield from (f"FORCED: {each}." for each in judgement.forced)
    if blocks < MIN_BLOCKS:
        yield f"With only {blocks} blocks the intervals are too narrow as a rule: read them as an indication."
    for name, share in (("ES95", 0.05), ("ES99", 0.01)):
        yield f"{name} rests on the worst {_rough(share * count)}, worth {_rough(share * effective)} independent ones."
    if 0.01 * effective < MIN_TAIL:
        yield "That is a small sample of the tail: read such figures, and the worst, as what happened, not as risk."


def _rough(value: float) -> str:
    """Two significant digits."""
    return f"{float(f'{value:.2g}'):,.10g}" if math.isfinite(value) else "not finite"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]

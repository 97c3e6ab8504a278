"""The evaluation report: one HTML page that needs nothing beside it and no network, read instead of logs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from agents.card import Card, Model
from agents.classical.delta import Delta
from agents.learned import Learned, Untrained
from envs.contract import Hedge
from train import history, pictures, portrait
from train.drawing import Picture
from train.evaluate import Judgement
from train.page import document, row, table
from train.pictures import MEASURES
from train.statistics import Interval
from train.stress import Stressed

SHOWN_SEED = 20  # of the paths that the policy is shown on; not of those that it is judged on
MIN_BLOCKS = 30  # fewer make percentile intervals too narrow
MIN_TAIL = 100  # independent losses beyond a quantile, fewer of which say little of it
BP = 1e4  # basis points in one
COLUMNS = {  # statistic → (heading, factor, decimals)
    "measure": ("measure, bp", BP, 1),
    "mean": ("mean, bp", BP, 1),
    "std": ("std, bp", BP, 1),
    "y": ("Y, bp", BP, 1),
    "cvar95": ("ES95, bp", BP, 1),
    "cvar99": ("ES99, bp", BP, 1),
    "worst": ("worst, bp", BP, 0),
    "turnover": ("turnover, × notional", 1.0, 2),
    "cost": ("cost, bp", BP, 1),
    "funding": ("funding, bp", BP, 1),
    "traded": ("decisions traded, %", 100.0, 1),
    "liquidated": ("liquidated, %", 100.0, 2),
}
TERMS = {
    "loss": "what the book has lost at its end, costs included, as a fraction of its notional at the start; "
    "a negative loss is a gain. 1 bp is 0.01 %.",
    "ES95, ES99": "expected shortfall: the mean of the worst 5 % and 1 % of losses.",
    "Y": "mean plus 1.5 standard deviations, for comparison with the literature.",
    "turnover, cost, funding": "notional traded over the book's; fees, gas, spread and impact; funding paid.",
    "decisions traded, liquidated": "shares of the hedging instruments' decisions, and of their accounts.",
    "paired": "every hedge runs on the same paths, so the chance they share cancels. Intervals: 95 %, block bootstrap.",
    "effective sample": "how many independent losses would make PPO's mean loss as certain.",
    "action 0": f"what the policy does before it has learned, shown as {Untrained.name}: the tuned Zakamouline band, "
    "and for options among the hedges the tuned band of their greek.",
}


def write(
    path: Path,
    model: Model,
    judgements: Sequence[Judgement],
    seed: int = SHOWN_SEED,
    scenarios: Sequence[Stressed] = (),
) -> Path:
    """The report on `model` at `path`, its folder made if need be; `seed` draws the path that shows the policy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(model, judgements, seed, scenarios), encoding="utf-8")
    return path


def page(
    model: Model, judgements: Sequence[Judgement], seed: int = SHOWN_SEED, scenarios: Sequence[Stressed] = ()
) -> str:
    card = model.card
    body = [
        f"<h1>{escape(card.name)}: {escape(card.task.about)}</h1>",
        f'<p class="headline">{escape(headline(judgements, card))}</p>',
        f"<p>{escape(_task(card))}</p>",
        "<h2>How to read it</h2>",
        _terms(card),
        *(_judged(judgement, card) for judgement in judgements),
        *_stress(scenarios),
        "<h2>The policy at work</h2>",
        _gallery(portrait.of_policy(model, seed)),
        *_left_out(card),
        "<h2>Limits of use</h2>",
        f"<ul>{''.join(f'<li>{escape(limit)}</li>' for limit in card.limits)}</ul>",
        "<h2>All settings</h2>",
        *_settings(card),
    ]
    return document(f"Rehedge: {card.name}", "\n".join(body))


def headline(judgements: Sequence[Judgement], card: Card) -> str:
    """One sentence: the trained measure against the best tuned band, market by market, whatever way it fell."""
    other = f"the best tuned band, {card.opponents.best}"
    parts = [f"on {one.where}, {verdict(one, 'vs_best_band', 'measure', other)}" for one in judgements]
    leaders = [_lowest(one) for one in judgements]
    notes = ["" if name == Learned.name else f"; {name} has the lowest measure of all there" for name in leaders]
    return _capital("; ".join(part + note for part, note in zip(parts, notes, strict=True))) + "."


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


def _task(card: Card) -> str:
    """The contract in words."""
    contract = card.task.contract
    days, hours = contract.bars * contract.bar_hours / 24, contract.decision_bars * contract.bar_hours
    sources = [each.source for each in history.calibrated(card.task)]
    fitted = [f"{one.asset}, {one.first[:10]} to {one.last[:10]}" for one in sources]
    market = f"calibrated on {'; '.join(fitted)}" if fitted else "a model of the literature"
    return (
        f"Hedged: {card.task.about}. Notional {contract.notional:,.0f} over {days:g} days, decided every {hours:g} "
        f"hours, with {'; '.join(map(_hedge, contract.hedges))}; besides the fees, the market's spread and impact are "
        f"paid. The market ({card.task.market.kind}) was {market}; the policy learned from {card.training.steps:,} "
        "simulated decisions."
    )


def _hedge(hedge: Hedge) -> str:
    name = f"the {hedge.instrument.kind} on asset {hedge.instrument.asset}"
    return f"{name} at a taker fee of {BP * hedge.execution.tiers[0].taker:g} bp"


def _stress(scenarios: Sequence[Stressed]) -> Iterator[str]:
    """Every agent's measure in every scenario, and what each scenario is."""
    if scenarios:
        heads = ["scenario", *(f"{name}, bp" for name in scenarios[0].rows)]
        rows = [row(one.name, [number(BP * own["measure"], 0) for own in one.rows.values()]) for one in scenarios]
        told = "".join(f"<li>{escape(one.name)}: {escape(one.about)} ({one.paths} paths)</li>" for one in scenarios)
        yield f"<h2>Stress</h2>{table('The trained measure of every hedge', heads, rows)}<ul>{told}</ul>"


def _left_out(card: Card) -> Iterator[str]:
    if not portrait.single_option(card.task):
        yield "<p>Bands against the spot are drawn only for a book of one option hedged with one perpetual.</p>"


def _terms(card: Card) -> str:
    rows = {"measure": f"what training lowers: {card.task.objective.words}, of the loss.", **TERMS}
    return f"<dl>{''.join(f'<dt><b>{term}</b></dt><dd>{escape(text)}</dd>' for term, text in rows.items())}</dl>"


def _judged(judgement: Judgement, card: Card) -> str:
    """The section of one market."""
    others = _others(card)
    verdicts = [verdict(judgement, key, "measure", others[key]) for key in judgement.versus]
    return "\n".join(
        [
            f"<h2>{escape(_capital(judgement.where))}</h2>",
            f"<ul>{''.join(f'<li>{escape(_capital(text))}.</li>' for text in [*verdicts, _least(judgement)])}</ul>",
            _agents(judgement),
            f'<p class="note">{escape(" ".join(_sample(judgement)))}</p>',
            _differences(judgement, others),
            _gallery(pictures.of_judgement(judgement, (Learned.name, card.opponents.best, Delta.name), others)),
        ]
    )


def _others(card: Card) -> dict[str, str]:
    band = card.opponents.best
    return {"vs_delta": Delta.name, "vs_best_band": f"the best tuned band ({band})", "vs_action0": Untrained.name}


def _lowest(judgement: Judgement) -> str:
    """The agent of the lowest measure, without regard to chance."""
    return min(judgement.agents, key=lambda name: judgement.rows[name]["measure"])


def _least(judgement: Judgement) -> str:
    """How far PPO is from the lowest measure."""
    least = _lowest(judgement)
    if least == Learned.name:
        return f"of the {len(judgement.agents)} hedges PPO has the lowest measure here"
    gap = number(BP * (judgement.rows[Learned.name]["measure"] - judgement.rows[least]["measure"]))
    return f"of the {len(judgement.agents)} hedges {least} has the lowest measure here, {gap} bp below PPO's"


def _sample(judgement: Judgement) -> Iterator[str]:
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


def _agents(judgement: Judgement) -> str:
    heads = ["hedge", *(head for head, _, _ in COLUMNS.values())]
    rows = []
    for name in judgement.agents:
        cells = [number(f * judgement.rows[name][key], digits) for key, (_, f, digits) in COLUMNS.items()]
        rows.append(row(name, cells, "learned" if name == Learned.name else ""))
    return table("Every hedge on the same paths", heads, rows)


def _differences(judgement: Judgement, others: Mapping[str, str]) -> str:
    heads = ["PPO minus", *(f"{label}, bp (95 % interval)" for label in MEASURES.values()), "in the measure PPO is"]
    rows = []
    for key, found in judgement.versus.items():
        cells = [_difference(found[measure]) for measure in MEASURES]
        rows.append(row(others[key], [*cells, _side(judgement, found["measure"])]))
    return table("Paired differences: below zero PPO is better", heads, rows)


def _difference(found: Interval) -> str:
    return f"{number(BP * found.diff)} ({number(BP * found.low)} to {number(BP * found.high)})"


def _side(judgement: Judgement, found: Interval) -> str:
    if judgement.blocks < 2 or not found.excludes_zero:
        return "not told apart"
    return "better" if found.high < 0 else "worse"


def _settings(card: Card) -> Iterator[str]:
    """Everything in the card that no other section shows, part by part."""
    whole = card.model_dump(mode="json")
    whole.pop("limits")
    parts = {name: whole.pop(name) for name, value in list(whole.items()) if isinstance(value, dict)}
    sections = {"identity and hashes": whole, **parts}
    for name, values in ((name, values) for name, values in sections.items() if values):
        rows = [row(key, [value]) for key, value in _flat(values)]
        shown = table("", ["setting", "value"], rows, "settings")
        yield f"<details open><summary>{escape(_capital(name.replace('_', ' ')))}</summary>{shown}</details>"


def _flat(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _gallery(shown: Iterable[Picture]) -> str:
    return f'<div class="pictures">{"".join(map(_figure, shown))}</div>'


def _figure(picture: Picture) -> str:
    image = f'<img src="{picture.uri}" alt="{escape(picture.alt)}">'
    kind = "wide" if picture.wide else "half"
    return f'<figure class="{kind}">{image}<figcaption>{escape(picture.caption)}</figcaption></figure>'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

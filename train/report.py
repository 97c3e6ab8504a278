"""The evaluation report: one HTML page that needs nothing beside it and no network, read instead of logs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from agents.card import Card, Model
from agents.delta import Delta
from agents.learned import Learned, Untrained
from train import pictures, tune
from train.evaluate import Judgement
from train.pictures import MEASURES, Picture
from train.statistics import Interval

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
    "traded": ("steps traded, %", 100.0, 1),
}
CSS = """
:root { color-scheme: light }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: #fff; color: #111; line-height: 1.5;
  font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { border-top: 2px solid #111; padding-top: .6rem; margin-top: 2.2rem }
.headline { font-size: 1.2rem; border-left: .35rem solid #111; padding-left: .8rem }
.note { background: #f2f2f2; padding: .5rem .8rem; border-left: .35rem solid #777 }
.scroll { overflow-x: auto; margin: 1rem 0 } table { border-collapse: collapse; font-size: .9rem }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ccc; text-align: right; font-variant-numeric: tabular-nums;
  overflow-wrap: normal }
thead th { vertical-align: bottom; border-bottom: 2px solid #111 }
tbody th, th:first-child, .settings td { text-align: left } .settings td { overflow-wrap: anywhere }
tbody th { font-weight: 400; position: sticky; left: 0; background: #fff } .learned > * { font-weight: 700 }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.2rem }
figure { margin: 0 } .wide { grid-column: 1 / -1 } img { width: 100%; height: auto } figcaption { font-size: .9rem }
summary { cursor: pointer; font-weight: 600; padding: .3rem 0 }
@media print { details { break-inside: avoid } }
"""
TERMS = {
    "loss": "what the book has lost at expiry, costs included, as a fraction of the option's notional at its start; "
    "a negative loss is a gain. 1 bp is 0.01 %.",
    "ES95, ES99": "expected shortfall: the mean of the worst 5 % and 1 % of losses.",
    "Y": "mean plus 1.5 standard deviations, for comparison with the literature.",
    "turnover, cost, funding": "notional traded over the option's notional; fees, spread and impact; funding paid.",
    "paired": "every hedge runs on the same paths, so the chance they share cancels. Intervals: 95 %, block bootstrap.",
    "effective sample": "how many independent losses would make PPO's mean loss as certain.",
    "action 0": f"what the policy does before it has learned, shown as {Untrained.name}: the tuned Zakamouline band.",
}


def write(path: Path, model: Model, judgements: Sequence[Judgement], seed: int = SHOWN_SEED) -> Path:
    """The report on `model` at `path`, its folder made if need be; `seed` draws the path that shows the policy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(model, judgements, seed), encoding="utf-8")
    return path


def page(model: Model, judgements: Sequence[Judgement], seed: int = SHOWN_SEED) -> str:
    card = model.card
    body = [
        f"<h1>{escape(card.name)}: {escape(card.book)}</h1>",
        f'<p class="headline">{escape(headline(judgements, card))}</p>',
        f"<p>{escape(_task(card))}</p>",
        "<h2>How to read it</h2>",
        _terms(card),
        *(_judged(judgement, card) for judgement in judgements),
        "<h2>The policy at work</h2>",
        _gallery(pictures.of_policy(model, seed)),
        "<h2>Limits of use</h2>",
        f"<ul>{''.join(f'<li>{escape(limit)}</li>' for limit in card.limits)}</ul>",
        "<h2>All settings</h2>",
        *_settings(card),
    ]
    return _document(f"Rehedge: {card.name}", "\n".join(body))


def headline(judgements: Sequence[Judgement], card: Card) -> str:
    """One sentence: the trained measure against the best tuned band, market by market, whatever way it fell."""
    other = f"the best tuned band, {best_band(card)}"
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


def best_band(card: Card) -> str:
    """Name of the tuned band that did best where it was tuned."""
    return tune.TUNABLE[card.opponents.best][0](1.0).name


def _task(card: Card) -> str:
    """The contract in words."""
    task, source = card.contract, card.calibration.source
    days, hours = task.option_bars * task.bar_hours / 24, task.decision_bars * task.bar_hours
    return (
        f"Hedged: {card.book}, notional {task.notional:,.0f}, over {days:g} days, with the perpetual, decided every "
        f"{hours:g} hours at a fee of {BP * task.fee_rate:g} bp and the market's spread and impact. The market was "
        f"calibrated on {source.asset}, {source.first[:10]} to {source.last[:10]}; the policy learned from "
        f"{card.training.steps:,} simulated decisions."
    )


def _terms(card: Card) -> str:
    weight, level = card.objective.weight, card.objective.level
    trained = f"what training lowers: {1 - weight:g} × mean + {weight:g} × ES{100 * level:g} of the loss."
    rows = {"measure": trained, **TERMS}
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
            _gallery(pictures.of_judgement(judgement, (Learned.name, best_band(card), Delta.name), others)),
        ]
    )


def _others(card: Card) -> dict[str, str]:
    band = best_band(card)
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
        rows.append(_row(name, cells, "learned" if name == Learned.name else ""))
    return _table("Every hedge on the same paths", heads, rows)


def _differences(judgement: Judgement, others: Mapping[str, str]) -> str:
    heads = ["PPO minus", *(f"{label}, bp (95 % interval)" for label in MEASURES.values()), "in the measure PPO is"]
    rows = []
    for key, found in judgement.versus.items():
        cells = [_difference(found[measure]) for measure in MEASURES]
        rows.append(_row(others[key], [*cells, _side(judgement, found["measure"])]))
    return _table("Paired differences: below zero PPO is better", heads, rows)


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
        rows = [_row(key, [value]) for key, value in _flat(values)]
        table = _table("", ["setting", "value"], rows, "settings")
        yield f"<details open><summary>{escape(_capital(name.replace('_', ' ')))}</summary>{table}</details>"


def _flat(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(caption: str, heads: Iterable[str], rows: Iterable[str], kind: str = "figures") -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    parts = f"{named}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll" tabindex="0"><table class="{kind}">{parts}</table></div>'


def _row(name: str, cells: Iterable[str], kind: str = "") -> str:
    data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr class="{kind}"><th scope="row">{escape(name)}</th>{data}</tr>'


def _gallery(shown: Iterable[Picture]) -> str:
    return f'<div class="pictures">{"".join(map(_figure, shown))}</div>'


def _figure(picture: Picture) -> str:
    image = f'<img src="{picture.uri}" alt="{escape(picture.alt)}">'
    kind = "wide" if picture.wide else "half"
    return f'<figure class="{kind}">{image}<figcaption>{escape(picture.caption)}</figcaption></figure>'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _document(title: str, body: str) -> str:
    """The policy in its head forbids every fetch."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return f"""<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
{body}
</body>
</html>
"""

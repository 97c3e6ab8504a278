"""The evaluation report: one HTML page that needs nothing beside it and no network, read instead of logs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from agents.card import Card, Model
from agents.classical.delta import Delta
from agents.learned import Learned, Untrained
from envs.contract import Hedge
from train import at_work, history, pictures
from train.evaluate import Judgement
from train.page import Section, contents, document, gallery, row, table
from train.pictures import MEASURES
from train.statistics import Interval
from train.stress import Stressed
from train.verdict import BP, capital, headline, least, number, sample, verdict

SHOWN_SEED = 20  # of the paths that the policy is shown on; not of those that it is judged on
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
    limits = f"<ul>{''.join(f'<li>{escape(limit)}</li>' for limit in card.limits)}</ul>"
    parts = [
        *(_judged(judgement, card, k) for k, judgement in enumerate(judgements)),
        Section("stress", "Stress", tuple(_stress(scenarios))),
        *at_work.sections(model, seed),
        Section("terms", "How to read it", (_terms(card),)),
        Section("limits", "Limits of use", (limits,)),
        Section("settings", "All settings", tuple(_settings(card))),
    ]
    body = [
        f"<h1>{escape(card.name)}: {escape(card.task.about)}</h1>",
        f'<p class="headline">{escape(headline(judgements, card))}</p>',
        f'<p class="note">{escape(_forced(judgements))}</p>',
        f"<p>{escape(_task(card))}</p>",
        contents(parts),
        *(part.html for part in parts),
    ]
    return document(f"Rehedge: {card.name}", "\n".join(body))


def _forced(judgements: Sequence[Judgement]) -> str:
    """What was judged against the rules; on how many markets."""
    forced = list(dict.fromkeys(each for one in judgements for each in one.forced))
    markets = "simulated paths alone: no later history" if len(judgements) == 1 else f"{len(judgements)} kinds of paths"
    return f"Judged on {markets}. " + (f"FORCED: {'; '.join(forced)}." if forced else "Nothing was forced.")


def _task(card: Card) -> str:
    """The contract in words."""
    contract = card.task.contract
    days, hours = contract.bars * contract.bar_hours / 24, contract.decision_bars * contract.bar_hours
    sources = [each.source for each in history.calibrated(card.task)]
    assets = [one.asset for one in sources]
    fitted = [f"{one.asset}, {one.first[:10]} to {one.last[:10]}" for one in sources]
    market = f"calibrated on {'; '.join(fitted)}" if fitted else "a model of the literature"
    hedges = "; ".join(_hedge(each, assets) for each in contract.hedges)
    return (
        f"Hedged: {card.task.about}. Notional {contract.notional:,.0f} over {days:g} days, decided every {hours:g} "
        f"hours, with {hedges}; besides the fees, the market's spread and impact are paid. The market "
        f"({card.task.market.kind}) was {market}; the policy learned from {card.training.steps:,} simulated decisions."
    )


def _hedge(hedge: Hedge, assets: Sequence[str]) -> str:
    on = f" on {assets[hedge.instrument.asset]}" if len(assets) > 1 else ""
    return f"the {hedge.instrument.kind}{on} at a taker fee of {BP * hedge.execution.tiers[0].taker:g} bp"


def _stress(scenarios: Sequence[Stressed]) -> Iterator[str]:
    """Every agent's measure in every scenario, and what each scenario is."""
    if not scenarios:
        yield "<p>Not judged under stress; rehedge evaluate --stress adds it.</p>"
        return
    heads = ["bp of notional", *scenarios[0].rows]
    rows = [row(one.name, _measures(one)) for one in scenarios]
    told = "".join(f"<li>{escape(one.name)}: {escape(one.about)} ({one.paths:,} paths)</li>" for one in scenarios)
    yield table("The trained measure of every hedge; * the lowest of its row", heads, rows)
    yield f"<ul>{told}</ul>"


def _measures(scenario: Stressed) -> list[str]:
    lowest = min(own["measure"] for own in scenario.rows.values())
    each = [own["measure"] for own in scenario.rows.values()]
    return [number(round(BP * value) + 0.0, 0) + (" *" if value == lowest else "") for value in each]


def _terms(card: Card) -> str:
    rows = {"measure": f"what training lowers: {card.task.objective.words}, of the loss.", **TERMS}
    return f"<dl>{''.join(f'<dt><b>{term}</b></dt><dd>{escape(text)}</dd>' for term, text in rows.items())}</dl>"


def _judged(judgement: Judgement, card: Card, place: int) -> Section:
    """The section of one market."""
    others = _others(card)
    verdicts = [verdict(judgement, key, "measure", others[key]) for key in judgement.versus]
    shown = pictures.of_judgement(judgement, (Learned.name, card.opponents.best, Delta.name), others)
    parts = (
        f"<ul>{''.join(f'<li>{escape(capital(text))}.</li>' for text in [*verdicts, least(judgement)])}</ul>",
        _agents(judgement),
        f'<p class="note">{escape(" ".join(sample(judgement)))}</p>',
        _differences(judgement, others),
        gallery(shown),
    )
    return Section(f"judged{place}", f"Judged on {judgement.where}", parts)


def _others(card: Card) -> dict[str, str]:
    band = card.opponents.best
    return {"vs_delta": Delta.name, "vs_best_band": f"the best tuned band ({band})", "vs_action0": Untrained.name}


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
        yield f"<details open><summary>{escape(capital(name.replace('_', ' ')))}</summary>{shown}</details>"


def _flat(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

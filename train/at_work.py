"""The report's sections on the policy at work: what gains come from, one path, departures from delta, its picture."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from agents.card import Model
from train import attribution, departures, pictures, policy_map, portrait, recorded
from train.departures import Departures
from train.page import Section, gallery, row, table
from train.recorded import Recording
from train.verdict import number

PATHS = 512  # that the policy is watched on
TAIL = 0.05  # share of the losses that the attribution calls the worst
SOURCES = {
    "delta": "what the spot's moves made of a book that was not delta-neutral",
    "gamma": "what curvature added to that, of the claims and the options held",
    "theta": "time's passing",
    "vega": "changes of the options' own implied volatilities, the smile's included",
    "basis": "changes of the perpetuals' and futures' prices less the spot's",
    "income": "what holding the claims earned, such as a pool's fees",
    "fees": "to venues, gas and liquidation fees among them",
    "slippage": "lost to spread and impact",
    "funding": "received less paid for holding the hedges",
    "residual": "what none of these explains: orders filled late, income between decisions",
}
MARKED = "The book counts its profit in coin, so it is not split into greeks in quote currency."
UNDRAWN = "Its claims or listings change along the way, so there is no one book to draw bands of."
READING = (
    "How much of the variance of each column the tenths of a feature explain (η²), one feature at a time: features go "
    "together, so the shares do not add up, and what goes with a departure need not be its cause."
)


def sections(model: Model, seed: int) -> Iterator[Section]:
    found = recorded.run(model, PATHS, seed)
    yield Section("attribution", "Where gains and losses come from", tuple(_attributed(found)))
    yield Section("path", "One path in detail", (gallery([portrait.one_path(found)]),))
    yield Section("departures", "When the policy departs from delta", tuple(_departures(model, found)))
    drawn = policy_map.drawable(found.contract)
    shown = gallery(policy_map.of_policy(model, found)) if drawn else f"<p>{UNDRAWN}</p>"
    yield Section("policy", "The policy as a picture", (shown,))


def _attributed(found: Recording) -> Iterator[str]:
    if found.contract.numeraire == "coin":
        yield f"<p>{MARKED}</p>"
        return
    every, worst = pictures.worst(found, 1.0), pictures.worst(found, TAIL)
    heads = ["bp of notional", *found.agents, *(f"{name}, worst {100 * TAIL:.0f} %" for name in found.agents)]
    cells = [[_tidy(value) for value in (*every[:, k], *worst[:, k])] for k in range(len(attribution.TERMS))]
    rows = [row(term, own) for term, own in zip(attribution.TERMS, cells, strict=True)]
    sums = [_tidy(value) for value in (*every.sum(1), *worst.sum(1))]
    yield f"<p>{len(found.loss)} simulated paths, the same for all three; a gain is positive.</p>"
    yield gallery([pictures.of_attribution(found, TAIL)])
    yield table("Gains by source, means", heads, [*rows, row("gain", sums, "learned")])
    yield f"<ul>{''.join(f'<li>{term}: {text}.</li>' for term, text in SOURCES.items())}</ul>"


def _tidy(value: float) -> str:
    """One decimal; what rounds to zero is no more than that."""
    return number(round(value, 1) + 0.0, 1)


def _departures(model: Model, found: Recording) -> Iterator[str]:
    names = model.card.features
    each = [departures.of(found, names, place) for place in range(len(found.contract.hedges))]
    yield f"<ul>{''.join(f'<li>{escape(one.sentence)}</li>' for one in each)}</ul>"
    yield gallery(departures.picture(one) for one in each)
    yield f"<p>{READING}</p>"
    yield from map(_shares, each)


def _shares(found: Departures) -> str:
    shown = list(found.shares.items())[: departures.LISTED]
    heads = ["feature", *(f"{what}, %" for what in shown[0][1])]
    rows = [row(feature, [number(100 * share, 0) for share in shares.values()]) for feature, shares in shown]
    return table(f"What the {found.name}'s departures go with", heads, rows)

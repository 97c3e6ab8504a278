"""The calibration report: real against simulated on one HTML page, to see whether to trust the market."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from envs.surface import SPREADS
from train import calibration_pictures, contest, implied
from train.contest import Entry
from train.drawing import Picture
from train.fidelity import Target
from train.likeness import Likeness
from train.page import document, row, table

MEMORY = "eras are the only memory beyond days, and the likeliest ones remember less than the record does"
WHY = {  # what a statistic outside its interval comes from, where that is known
    "diurnal ratio of |r|": "the simulated market has no hour of the day",
    "funding, share of days at 0.01 %": "one AR(1) premium cannot have the real share of days at the usual rate and "
    "the real persistence at once",
    "funding, autocorrelation at 3 days": "the premium is an AR(1); the real one has a slow part besides",
    "funding, most a year": "the premium's law is symmetric, the real one's is not",
    "funding, share of days negative": "the premium's law is symmetric, the real one's is not",
    "spell of low volatility, hours": "there are two eras only, which change with constant chances",
    "spell of high volatility, hours": "there are two eras only, which change with constant chances",
    "worst peak-to-trough, a week": "a bootstrap cannot go beyond the deepest week on record",
    "autocorrelation of |r|, 168 h": MEMORY,
    "autocorrelation of |r|, 720 h": MEMORY,
    "best bar": "a bootstrap cannot go beyond the best bar on record",
    "correlation": "the volatilities of the two assets part so often that no copula makes up for it",
    "correlation in the first's worst 1 %": "each asset has a variance and a chance of cascades of its own, so that in "
    "a fall their volatilities part more than the real ones",
    "beta of the second": "it is the correlation times the ratio of two volatilities, each that of the window which "
    "its asset was calibrated on",
}
READING = {
    "real": "the statistic of the window that was fitted.",
    "95 % interval": "of the real statistic, by the stationary bootstrap in blocks of a month on average.",
    "simulated": "median over simulated paths as long as the window, and the range of 80 % of them.",
    "must": "statistics that a market must have right before a policy is trained on it.",
    "extremes": "a bootstrap cannot go beyond the worst bar on record, so its interval ends there.",
}


def page(found: Likeness, entries: Sequence[Entry] = ()) -> str:
    """HTML of a calibrated market and, where there are `entries`, of the contest of volatility models."""
    source = found.calibration.source
    title = f"Calibration: {source.asset}, {source.first[:10]} to {source.last[:10]}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="headline">{escape(headline(found.targets))}</p>',
        "<h2>How to read it</h2>",
        reading(*READING),
        "<h2>Targets</h2>",
        beside(found.targets),
        reasons(found.targets),
        "<h2>Pictures</h2>",
        f'<div class="pictures">{"".join(figure(each) for each in calibration_pictures.of(found))}</div>',
        "<h2>Implied volatility</h2>",
        "<p>No history of implied volatility ships. Beside the simulated stand measurements on other series.</p>",
        table("", ("", "simulated", "measured"), [row(*each) for each in _implied(found)]),
        "<h2>Options' bid and ask</h2>",
        table(
            "Half of the relative bid–ask",
            ("|delta|", "share of price"),
            [row(f"{d:g}", [f"{h:.2%}"]) for d, h in SPREADS],
        ),
        *(_contest(entries) if entries else ()),
    ]
    return document(f"Rehedge: {title}", "\n".join(body))


def headline(targets: Iterable[Target]) -> str:
    """One sentence: how many of the statistics that must lie inside do, and of the others."""
    shown = list(targets)
    core, rest = [t for t in shown if t.core], [t for t in shown if not t.core]
    missed = ", ".join(t.name for t in core if not t.inside)
    tail = f"; outside: {missed}" if missed else ""
    return (
        f"{sum(t.inside for t in core)} of the {len(core)} statistics that a market must have right lie inside the "
        f"real record's 95 % interval, and {sum(t.inside for t in rest)} of the {len(rest)} others{tail}."
    )


def reading(*names: str) -> str:
    """A list of what the columns and words of `names`, of READING, mean."""
    return "<ul>" + "".join(f"<li><b>{escape(name)}</b>: {escape(READING[name])}</li>" for name in names) + "</ul>"


def beside(targets: Iterable[Target]) -> str:
    heads = ("", "real", "95 % interval", "simulated", "80 % of paths", "inside", "")
    return table("", heads, [_target(each) for each in targets])


def _target(target: Target) -> str:
    cells = (
        number(target.real),
        f"{number(target.low)} to {number(target.high)}",
        number(target.simulated),
        f"{number(target.least)} to {number(target.most)}",
        "inside" if target.inside else "OUTSIDE",
        "must" if target.core else "",
    )
    return row(target.name, cells, "learned" if target.core else "")


def reasons(targets: Iterable[Target]) -> str:
    told = [f"{t.name}: {WHY.get(t.name, 'no known reason; judge by its size')}" for t in targets if not t.inside]
    return "".join(f'<p class="note">{escape(each)}.</p>' for each in told)


def _contest(entries: Sequence[Entry]) -> tuple[str, ...]:
    rows = [row(entry.name, contest.cells(entry)) for entry in entries]
    return "<h2>Volatility models</h2>", f"<p>{escape(contest.READING)}</p>", table("", ("", *contest.HEADS), rows)


def _implied(found: Likeness) -> Iterable[tuple[str, tuple[str, str]]]:
    return [(name, (number(value), measured)) for name, value, measured in implied.measured(found)]


def figure(picture: Picture) -> str:
    image = f'<img src="{picture.uri}" alt="{escape(picture.alt)}">'
    return f"<figure>{image}<figcaption>{escape(picture.caption)}</figcaption></figure>"


def number(value: float) -> str:
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return "—" if np.isnan(value) else f"{value:.{digits}f}".replace("-", "−")

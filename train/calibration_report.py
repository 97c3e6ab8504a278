"""The calibration report: real against simulated on one HTML page, to see whether to trust the market."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from train import calibration_pictures, contest, elsewhere, implied
from train.contest import Entry
from train.drawing import Picture
from train.elsewhere import Row
from train.fidelity import Target
from train.likeness import Likeness
from train.page import document, row, table

MEMORY = "eras are the only memory beyond days, and the likeliest ones remember less than the record does"
DAY = "the simulated market has no hour of the day"
TAILS = "ordinary shocks end where cascades begin, and eras take over what a Student-t alone would have to explain"
SQUARES = "it reacts to the size of a return less than in proportion; the simulated recursions are of squares"
WHY = {  # what a statistic outside its interval comes from, where that is known
    "diurnal ratio of |r|": DAY,
    "hour of most |r|, UTC": DAY,
    "hour of least |r|, UTC": DAY,
    "BIC of GARCH-normal less GARCH-t's, per bar": TAILS,
    "BIC of EGARCH-t less GARCH-t's, per bar": SQUARES,
    "BIC of FIGARCH-t less GARCH-t's, per bar": "its memory fades slower than that of two eras; "
    "within days the simulated market is a GARCH",
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
ELSEWHERE = (
    "These series do not ship: beside the simulated stand measurements on BTC, 2019 to 2025. Given: an input of the "
    "market, taken from the measurement. Crashes: the share of simulated paths that have one at least as deep."
)
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
        "<h2>Measured elsewhere</h2>",
        f"<p>{escape(ELSEWHERE)}</p>",
        *(table(caption, ("", "simulated", "measured"), _rows(each)) for caption, each in _elsewhere(found)),
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


def _elsewhere(found: Likeness) -> Iterable[tuple[str, Iterable[Row]]]:
    yield "Implied volatility, 30 days", [(name, number(value), told) for name, value, told in implied.measured(found)]
    yield "Options' bid–ask over their price", elsewhere.options()
    yield "The calm perpetual's book", elsewhere.book(found.calibration.liquidity)
    yield "Funding every eight hours", elsewhere.funding(found)
    yield "Crashes: worst hour / open to low / peak to trough", elsewhere.crashes(found)


def _rows(told: Iterable[Row]) -> list[str]:
    return [row(name, (simulated, measured)) for name, simulated, measured in told]


def figure(picture: Picture) -> str:
    image = f'<img src="{picture.uri}" alt="{escape(picture.alt)}">'
    return f"<figure>{image}<figcaption>{escape(picture.caption)}</figcaption></figure>"


def number(value: float) -> str:
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return "—" if np.isnan(value) else f"{value:.{digits}f}".replace("-", "−")

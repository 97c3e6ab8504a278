"""The page of a pair: how two real assets hang together, beside how their simulations do."""

from __future__ import annotations

from html import escape

from train import calibration_report, pair_pictures
from train.page import document, row, table
from train.pairs import LIMIT, Pair


def page(pair: Pair) -> str:
    title = f"Pair: {pair.names[0]} and {pair.names[1]}, {pair.first:%Y-%m-%d} to {pair.last:%Y-%m-%d}"
    pictures = "".join(calibration_report.figure(each) for each in pair_pictures.of(pair))
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="headline">{escape(headline(pair))}</p>',
        "<h2>How to read it</h2>",
        calibration_report.reading("real", "95 % interval", "simulated"),
        "<h2>Targets</h2>",
        calibration_report.beside(pair.targets),
        calibration_report.reasons(pair.targets),
        "<h2>Pictures</h2>",
        f'<div class="pictures">{pictures}</div>',
        "<h2>The two markets</h2>",
        table("", ("", "calibrated on", "volatility, a year"), _markets(pair)),
    ]
    return document(f"Rehedge: {title}", "\n".join(body))


def headline(pair: Pair) -> str:
    """One sentence: the fitted copula, and how many of the statistics lie inside."""
    inside = sum(target.inside for target in pair.targets)
    end = f", as far as it goes ({LIMIT:g})" if pair.at_limit else ""
    return (
        f"A copula of correlation {pair.copula:.3f}{end}: {inside} of the {len(pair.targets)} statistics lie inside "
        f"the real record's 95 % interval, over {len(pair.real):,} bars that both assets have."
    )


def _markets(pair: Pair) -> list[str]:
    return [
        row(name, (f"{made.source.first[:10]} to {made.source.last[:10]}", f"{made.reference_volatility:.2f}"))
        for name, made in zip(pair.names, pair.calibrations, strict=True)
    ]

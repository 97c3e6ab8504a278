"""The crash days of the data, with breakers and without, side by side: what was lost, unhedged and sent?

The shipped policy hedges a 30-day call on a notional of a million, sold a day before the crash, for three days of
hourly bars walked through their lows and highs, on a venue that strains as the simulator's does: it rejects, delays,
fills in parts, deleverages and liquidates. Limits stay in both runs, scaled from the settings' price to the day's.
Everything is read from the journal. Prints a line per run, and one JSON object as its last line: by day, with breakers
`on` and `off`, `worst_loss` and `profit` (quote currency, book and hedges at their marks), `hours_unhedged` (net delta
beyond a tenth of the notional), `orders`, `rejected`, `cut` (the venue closed a part of the hedge), `traded` and hours
in each state.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from agents import card as cards
from envs.calibration import Calibration
from envs.costs import Execution
from envs.task import DATA, Task
from serve.clock import HOUR, parse
from serve.codec import decode
from serve.commands import SubmitOrder
from serve.config import ServeConfig
from serve.events import Deleveraged, Event, Rejected
from serve.exposure import net, profit
from serve.feed import read_bars
from serve.journal import Journal
from serve.runner import Core
from serve.session import Source, run
from serve.state import State

ROOT = Path(__file__).parents[1]
CRASHES = (
    ("BTC", "2020-03-12"),
    ("BTC", "2021-05-19"),
    ("BTC", "2022-11-08"),
    ("BTC", "2024-08-05"),
    ("ETH", "2022-11-08"),
    ("ETH", "2024-08-05"),
)
CALIBRATIONS = {"BTC": "btc_2017_2022.toml", "ETH": "eth_2022_2024.toml"}
STRAINED = Execution(participation=0.05, rejection=0.3, delay=0.2, impact=5e-4)
DAYS = 3
PRICED_AT = Decimal(8000)  # what a unit cost where the settings' limits were set
UNHEDGED = 0.1  # of the notional
NEVER = 10**9


def settings(folder: Path, asset: str, spot: float, breakers: bool) -> ServeConfig:
    """The shipped settings and policy on the asset's own calibration and a venue that strains."""
    raw = tomllib.loads((ROOT / "configs" / "paper.toml").read_text(encoding="utf-8").replace("BTC", asset))
    raw["model"] = str(_model(ROOT / raw["model"], folder / "model", asset))
    raw["venue"] = {"name": "paper", "seed": 1, "latency_seconds": 0.4}
    raw["book"] = {"source": "desk", "roll": False}
    scale = PRICED_AT / Decimal(repr(spot))
    legs, greeks = raw["limits"]["legs"].values(), raw["limits"]["assets"].values()
    for limit in (each[name] for each in (*legs, *greeks) for name in each if name != "vega"):
        limit.update({hardness: str(Decimal(size) * scale) for hardness, size in limit.items()})
    if not breakers:
        raw["breakers"] = {name: off(each) for name, each in raw["breakers"].items()}
    return ServeConfig.model_validate(raw)


def off(raw: dict[str, Any]) -> dict[str, Any]:
    """A breaker's settings with which it never trips, nor casts doubt."""
    out = {**raw, "confirmations": NEVER} if "confirmations" in raw else dict(raw)
    out.update({name: off(each) for name, each in raw.items() if isinstance(each, dict)})
    if "entry" in raw:
        out |= {"entry": 1e15, "exit": 1e14} if raw["entry"] > raw["exit"] else {"entry": 0, "exit": 1e-15}
    return out


def _model(shipped: Path, folder: Path, asset: str) -> Path:
    """The shipped weights, told of another market and venue; the features are dimensionless, and so the same."""
    model = cards.read(shipped)
    raw = model.task.model_dump(mode="json")
    raw["market"]["settings"]["assets"] = [Calibration.load(DATA / CALIBRATIONS[asset]).model_dump(mode="json")]
    raw["contract"]["hedges"][0]["execution"] = STRAINED.model_dump(mode="json")
    task = Task.model_validate(raw)
    changed = model.model_copy(update={"task": task, "features_sha256": task.observer().sha256})
    folder.mkdir()
    (folder / cards.CARD).write_text(changed.model_dump_json(), encoding="utf-8")
    (folder / cards.WEIGHTS).write_bytes((shipped / cards.WEIGHTS).read_bytes())
    return folder


@dataclass
class Seen:
    """What the journal's events make of the core, added up."""

    notional: float
    worst: float = 0.0
    last: int | None = None
    hours: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def after(self, event: Event, state: State) -> None:
        if isinstance(event, Rejected | Deleveraged):
            self.counts[type(event).__name__] += 1
        if self.last is not None and state.book.holdings:
            self._passed((event.time - self.last) / HOUR, state)
        self.last = event.time

    def _passed(self, hours: float, state: State) -> None:
        self.hours[state.risk.name] += hours
        self.worst = min(self.worst, profit(state) or 0.0)
        for valuation in state.valuations.values():
            if abs(net(state, valuation, 0.0).delta) * valuation.spot > UNHEDGED * self.notional:
                self.hours["unhedged"] += hours


def told(url: str, notional: float) -> dict[str, Any]:
    core, seen, journal, orders = Core(), Seen(notional), Journal(url, readonly=True), 0
    for entry in journal.read():
        item = decode(entry.body)
        orders += isinstance(item, SubmitOrder)
        if isinstance(item, Event):
            core.step(item)
            assert core.state is not None
            seen.after(item, core.state)
    journal.close()
    assert core.state is not None
    traded = sum(account.traded for account in core.state.ledger.accounts.values())
    return {
        "worst_loss": round(-seen.worst),
        "profit": round(profit(core.state) or 0.0),
        "hours_unhedged": round(seen.hours.pop("unhedged", 0.0), 1),
        "orders": orders,
        "rejected": seen.counts["Rejected"],
        "cut": seen.counts["Deleveraged"],
        "traded": round(traded),
        "hours": {name: round(hours, 1) for name, hours in sorted(seen.hours.items())},
    }


def hedged(folder: Path, asset: str, day: str, breakers: bool) -> dict[str, Any]:
    """Three days from the day before the crash."""
    first = parse(day) - 24 * HOUR
    spot = next(bar.open for bar in read_bars(asset.lower()) if bar.start == first)
    config, url = settings(folder, asset, spot, breakers), str(folder / "j.db")
    journal = Journal(url)
    run(config, journal, Source((asset.lower(),), first, DAYS))
    journal.close()
    return told(url, cards.read(folder / "model").task.contract.notional)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", nargs="*", default=[], help="only these, such as 2020-03-12")
    given = parser.parse_args()
    began, report = time.perf_counter(), dict[str, Any]()
    for asset, day in CRASHES:
        if given.days and day not in given.days:
            continue
        for breakers in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                found = hedged(Path(folder), asset, day, breakers)
            report.setdefault(f"{asset} {day}", {})["on" if breakers else "off"] = found
            print(f"{asset} {day}, breakers {'on' if breakers else 'off'}: {found}", flush=True)
    print(json.dumps({"days": report, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()

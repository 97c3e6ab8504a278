"""The live hedger on the rehearsal exchange: a day a seed, the protocols in turn, every fault on, and kill -9.

Each run is two processes: `rehedge serve` through real ccxt, and the exchange. Hedges go out in small slices, so that
a run has many hundred orders. Say beside a run what else the machine was doing: calls that time out, do so on the
wall.

Example: python benchmarks/rehearsal.py --seeds 50
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tomli_w

from serve.clock import DAY, parse
from serve.errors import ServeError
from serve.rehearsal import faults, protocols
from serve.rehearsal.plan import Plan
from serve.rehearsal.rehearsing import Rehearsal, Verdict, kills

ROOT = Path(__file__).resolve().parent.parent
FIRST, SPAN = parse("2021-02-01"), 390  # days that a run may begin on: to where the record has a hole
KILLS = 2  # a run: one of the hedger, one of the exchange
SLICE = "0.015"  # BTC
FEWEST = 500  # orders
RESTED = 100  # of them that rest, on a day that does not end in REDUCING, in which nothing does
RESTING = 30  # seconds: less than to the next slice, so that some expire and some are withdrawn
DEAD_MAN = 60.0  # seconds: a killed hedger stays away for less or for more


def settings(protocol: str) -> dict[str, Any]:
    """Those that ship, with hedges in many small orders, which rest where they may."""
    raw = tomllib.loads((ROOT / "configs" / f"{protocol}.toml").read_text())
    raw["model"] = str(ROOT / raw["model"])
    raw["venue"] |= {"timeout_seconds": 1.0, "dead_man_seconds": DEAD_MAN}
    raw["bands"] |= {"calm_width": 0.05, "stress_width": 0.05}
    raw["execution"] |= {"slice_seconds": 45.0, "resting_seconds": RESTING}
    raw["breakers"]["own_patterns"]["pulled"] = {"entry": 400, "exit": 100}  # of small slices that rest in vain
    raw["breakers"]["liquidity_collapse"]["depth"] = {"entry": 5_000, "exit": 10_000}  # else no order grows the hedge
    raw["limits"]["legs"]["BTC-PERP"]["order"] = {"soft": SLICE, "hard": SLICE}
    return raw


def run(seed: int, protocol: str, which: tuple[str, ...], folder: Path) -> Verdict:
    config = folder / "config.toml"
    config.write_text(tomli_w.dumps(settings(protocol)))
    plan = Plan(folder, ("BTC",), protocol, FIRST + seed * 7919 % SPAN * DAY, 1, seed, which)
    return Rehearsal(config, plan, kills(KILLS, plan), lambda now: None).run()


def day(place: int, arguments: argparse.Namespace) -> Verdict:
    spoken = arguments.protocols.split(",")
    seed, protocol = arguments.first + place, spoken[place % len(spoken)]
    with TemporaryDirectory(prefix="rehearsal-", dir=arguments.folder) as folder:
        try:
            verdict = run(seed, protocol, faults.chosen(arguments.faults), Path(folder))
        except ServeError as error:
            verdict = Verdict(protocol, seed, violations=[str(error)])
        if verdict.orders < FEWEST:
            verdict.violations.append(f"few: {verdict.orders} orders, {FEWEST} wanted")
        if verdict.state != "REDUCING" and verdict.rested < RESTED:
            verdict.violations.append(f"few: {verdict.rested} orders rested, {RESTED} wanted")
        if verdict.violations and arguments.keep is not None:
            Path(folder).rename(arguments.keep / f"{protocol}-{seed}")
            Path(folder).mkdir()
    return verdict


def runs(arguments: argparse.Namespace) -> Iterator[Verdict]:
    """As they end."""
    context = get_context("spawn")
    with context.Pool(arguments.jobs) as pool:
        for verdict in pool.imap_unordered(partial(day, arguments=arguments), range(arguments.seeds)):
            print(json.dumps(asdict(verdict)), file=sys.stderr, flush=True)
            yield verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="runs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at once")
    parser.add_argument("--protocols", default=",".join(protocols.names()), help="in turn")
    parser.add_argument("--faults", default="all", help="as of `rehedge rehearse`")
    parser.add_argument("--folder", type=Path, help="where runs keep their files while they last")
    parser.add_argument("--keep", type=Path, help="where the files of runs with violations go")
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    verdicts = list(runs(arguments))
    struck = Counter[str]()
    for verdict in verdicts:
        struck.update(verdict.faults)
    result = {
        "seeds": len(verdicts),
        "protocols": sorted({verdict.protocol for verdict in verdicts}),
        "faults": dict(sorted(struck.items())),
        "orders": sum(verdict.orders for verdict in verdicts),
        "fewest_orders": min(verdict.orders for verdict in verdicts),
        "rested": sum(verdict.rested for verdict in verdicts),
        "dead_man": sum(verdict.dead_man for verdict in verdicts),
        "cancels": sum(verdict.cancels for verdict in verdicts),
        "restarts": sum(verdict.restarts for verdict in verdicts),
        "violations": sum(len(verdict.violations) for verdict in verdicts),
        "seconds": round(sum(verdict.seconds for verdict in verdicts)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

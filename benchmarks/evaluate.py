"""Paths a second of judging: a policy and four classical hedges on the same paths, on one thread.

`paths_per_second` is all of it: simulating, deciding, filling, and the verdict with its intervals, of a short call on
geometric Brownian motion with costs over 180 decisions, hedged by a shipped policy of the literature. The yardstick
simulates that market and hedges the call by its delta once, without costs (pfhedge 0.23.0, in blocks: its tensors of
all paths and steps would not fit), in a process of its own. `calibrated_paths_per_second` is the shipped short call on
the calibrated market, four bars a decision and 1,500 before the first, on fewer paths. Seconds are of the processor.

    pip install --no-deps pfhedge==0.23.0   # it asks for numpy<2 and runs with numpy 2
    python benchmarks/evaluate.py [paths]

Prints one JSON object as its last line; `peak_mb` is this process's, at the end of the judging of `paths`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from agents import card as cards
from agents.card import Model
from envs.contract import Claim
from train import evaluate

ROOT = Path(__file__).parents[1]
PATHS, CALIBRATED_PATHS, DECISIONS, SEED = 1_000_000, 65_536, 180, 2026
FOURTH = ["Whalley-Wilmott"]  # beside delta, the best band, and action 0
YARDSTICK = """
import sys, time, torch
from pfhedge.instruments import BrownianStock, EuropeanOption
from pfhedge.nn import BlackScholes, Hedger
torch.set_num_threads(1)
paths, block = int(sys.argv[1]), min(int(sys.argv[1]), 20_000)
call = EuropeanOption(BrownianStock(), maturity=180 / 250)
delta = BlackScholes(call)
hedger, began = Hedger(delta, delta.inputs()), time.process_time()
with torch.no_grad():
    for _ in range(paths // block):
        call.simulate(n_paths=block)
        hedger.compute_pl(call)
print(paths // block * block / (time.process_time() - began))
"""


def lengthened(model: Model) -> Model:
    """The model on a call that lives for DECISIONS decisions."""
    contract = model.card.task.contract
    life = {"bars": DECISIONS * contract.decision_bars, "claims": (Claim(),)}
    task = model.card.task.model_copy(update={"contract": contract.model_copy(update=life)})
    return replace(model, card=model.card.model_copy(update={"task": task}), observer=task.observer())


def paths_per_second(model: Model, paths: int) -> float:
    agents, began = evaluate.roster(model, FOURTH), time.process_time()
    evaluate.on_simulated(model, paths, SEED, agents=agents)
    return round(paths / (time.process_time() - began), 1)


def yardstick(paths: int) -> float | None:
    """None where pfhedge is not installed."""
    done = subprocess.run([sys.executable, "-c", YARDSTICK, str(paths)], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"no yardstick: {done.stderr.strip().splitlines()[-1]}")
        return None
    return round(float(done.stdout), 1)


def main() -> None:
    torch.set_num_threads(1)
    paths = int(sys.argv[1]) if len(sys.argv) > 1 else PATHS
    brownian = lengthened(cards.load(ROOT / "models" / "literature" / "cao_gbm_3m_daily" / "ppo_1"))
    found: dict[str, float | None] = {"paths_per_second": paths_per_second(brownian, paths)}
    found["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    found["pfhedge_paths_per_second"] = yardstick(paths)
    calibrated = cards.load(ROOT / "models" / "short_call")
    found["calibrated_paths_per_second"] = paths_per_second(calibrated, min(paths, CALIBRATED_PATHS))
    print(json.dumps({"paths": paths, **found}))


if __name__ == "__main__":
    main()

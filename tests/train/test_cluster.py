"""A sweep on Ray's own test cluster: two nodes, a worker killed, no trial lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
TASK = """
id = "Brief"
about = "a short call of two days"
[market]
settings.assets = ["btc_2017_2022"]
[contract]
bars = 48
claims = [{ instrument = { kind = "option", bars = 48 } }]
"""
SWEEP = """
paths = 1000
[recipe]
task = "TASK"
tuning_paths = 4096
learning = { steps = 40960, paths = 64, hedgers = 4, rollout = 8, warm_up = 0, validation_paths = 256 }
[grid]
"task.objective.weight" = [0.3, 0.7]
seed = [1, 2, 3, 4]
"""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a cluster of two nodes with a core each."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs the extra ray")
    node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # short: sockets lie in it
        monkeypatch.setenv("RAY_TMPDIR", folder)
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
        try:
            cluster.add_node(**node)
            yield cluster.address
        finally:
            cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_eight_trials_on_two_nodes_survive_a_killed_worker(address: str, tmp_path: Path) -> None:
    task, config, out = (tmp_path / name for name in ("task.toml", "sweep.toml", "out"))
    task.write_text(TASK)
    config.write_text(SWEEP.replace("TASK", str(task)))
    arguments = ["rehedge.py", "sweep", str(config), str(out), "--address", address, "--json"]
    sweep = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    victim = _learning(out, sweep)
    os.kill(victim, signal.SIGKILL)
    told = json.loads(sweep.communicate()[0].splitlines()[-1])
    assert sweep.returncode == 0
    assert [row["state"] for row in told["trials"]] == ["complete"] * 8
    assert len(list(out.glob("trials/*/model/card.json"))) == 8
    assert len({row["result"]["node"] for row in told["trials"]}) == 2


def _learning(out: Path, sweep: subprocess.Popen[str]) -> int:
    """The process of the second trial that has begun to learn."""
    while len(begun := list(out.glob("trials/*/model/metrics.jsonl"))) < 2:
        assert sweep.poll() is None
        time.sleep(0.05)
    lock = str(begun[-1].with_name("lock"))
    for process in psutil.process_iter():
        try:
            if any(file.path == lock for file in process.open_files()):
                return process.pid
        except psutil.Error:
            continue
    raise AssertionError(f"nobody holds {lock}")

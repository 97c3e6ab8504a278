"""Inside a running `rehedge serve`: what it has loaded, and that no weights came by pickle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import tomli_w

from serve.clock import show
from serve.journal import Journal
from tests.serve.support import START, raw_config, save_model, write_bars

ROOT = Path(__file__).parents[2]

# Runs the real command; once its journal has entries a thread tells what the process holds.
HARNESS = """
import json, pickle, sys, threading, pathlib
import torch

def refuse(*arguments, **settings):
    raise AssertionError("unpickled")

torch.load = pickle.load = pickle.loads = refuse
journal, arguments = pathlib.Path(sys.argv[1]), sys.argv[2:]

def tell():
    wal = journal.with_name(journal.name + "-wal")
    while not wal.exists() or wal.stat().st_size < 50_000:
        threading.Event().wait(0.02)
    print(json.dumps(sorted(sys.modules)), flush=True)

threading.Thread(target=tell, daemon=True).start()
import rehedge
rehedge.main(arguments)
"""


def test_a_running_hedger_holds_no_training_code_and_no_pickle(tmp_path: Path) -> None:
    bars, journal = write_bars(tmp_path / "bars.csv"), tmp_path / "j.db"
    save_model(tmp_path / "model")
    config = tmp_path / "paper.toml"
    config.write_text(tomli_w.dumps(raw_config(model=str(tmp_path / "model"))))
    arguments = ["serve", str(config), "--journal", str(journal), "--feed", str(bars), "--days", "2"]
    arguments += ["--from", show(START), "--speed", "20000"]
    command = [sys.executable, "-c", HARNESS, str(journal), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGTERM)  # which ends a session as Ctrl-C does
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    modules = set(json.loads(line))
    assert {"serve.engine", "serve.policy", "agents.network", "safetensors"} <= modules
    assert not [name for name in modules if name.split(".")[0] in ("stable_baselines3", "train")]
    assert "unpickled" not in errors
    kept = Journal(str(journal), readonly=True)
    assert kept.verify() > 10
    kept.close()

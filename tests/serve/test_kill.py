"""Fifty times a real `rehedge serve` is killed with SIGKILL and started again, on either database."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import tomli_w

import serve.cli  # noqa: F401
from rehedge import main
from serve.clock import show
from serve.codec import decode
from serve.commands import SubmitOrder
from serve.events import Filled, Started
from serve.journal import Journal
from serve.runner import replayed
from serve.states import RiskState
from tests.serve.databases import Server
from tests.serve.support import PERP, START, raw_config, save_model, write_bars

KILLS = 50


def started(arguments: list[str], log: Path) -> int:
    """The process's id: a fork that has loaded everything and runs the command, as a fresh interpreter would."""
    child = os.fork()
    if child == 0:
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            main(arguments)
        finally:
            os._exit(1)
    return child


def entries(url: str) -> int:
    """In the chain, and none below the head beside the file."""
    journal = Journal(url, readonly=True)
    count = journal.verify()
    journal.close()
    return count


def _wait_for(url: str, entry: int, child: int, log: Path) -> None:
    """Until the child has written so much: however slow the machine, the kills are spread over the session."""
    reader = Journal(url, readonly=True)
    while next(reader.read(entry - 1), None) is None:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), log.read_text()
        threading.Event().wait(0.01)
    reader.close()


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_fifty_kills_lose_and_double_nothing(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = str(tmp_path / "j.db")
    if database == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        url = server.fresh()
    save_model(tmp_path / "model")
    config = tmp_path / "paper.toml"
    config.write_text(tomli_w.dumps(raw_config(model=str(tmp_path / "model"))))
    feed = str(write_bars(tmp_path / "bars.csv", 220))  # more than the kills leave time for
    arguments = ["serve", str(config), "--journal", url, "--feed", feed, "--from", show(START), "--days", "6", "--json"]
    rng, known, log = np.random.default_rng(50), 0, tmp_path / "log"
    Journal(url).close()
    for _ in range(KILLS):
        child = started(arguments, log)
        _wait_for(url, known + int(rng.integers(1, 14)), child, log)
        threading.Event().wait(rng.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        known, before = entries(url), known
        assert known >= before
    os.waitpid(started(arguments, log), 0)
    whole = Journal(url, readonly=True)
    core, _ = replayed(whole)
    items = [decode(entry.body) for entry in whole.read()]
    whole.close()
    assert core.state is not None
    assert core.state.risk < RiskState.HALTED, core.state.strictest()
    assert sum(isinstance(item, Started) for item in items) == KILLS + 1, "a kill came before anything was served"
    sent = [item.order for item in items if isinstance(item, SubmitOrder)]
    assert len(sent) == len(set(sent)) > 0
    fills = {item.trade: item.units for item in items if isinstance(item, Filled)}
    assert sum(fills.values()) == core.state.ledger.position(PERP)
    assert not core.state.reserved

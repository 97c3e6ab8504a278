"""A hedger that is stopped in its tracks with an order resting: the watchdog cancels it over a line of its own."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import tomli_w

from envs.calibration import read_toml
from serve.events import Operator
from tests.serve.processes import ROOT, entries, private, running, until, webhook
from tests.serve.test_watchdog_process import RULES, waiting

RESTS = 6 * 3600  # seconds that an order may wait at the touch


@pytest.mark.slow
def test_what_a_stopped_hedger_left_at_the_exchange_is_cancelled(tmp_path: Path) -> None:
    """The exchange's time stands still with the hedger, so nothing else could end the order."""
    journal, folder = tmp_path / "j.db", tmp_path / "exchange"
    raw = read_toml(ROOT / "configs/okx.toml")
    raw["execution"]["resting_seconds"] = RESTS
    config, rules = tmp_path / "okx.toml", tmp_path / "watchdog.toml"
    config.write_text(tomli_w.dumps(raw))
    rules.write_text(tomli_w.dumps(RULES))
    served = ["rehearse", str(config), "--serve-only", "--faults", "none", "--folder", str(folder)]
    with webhook() as (url, got), running(tmp_path / "exchange.log", *served):
        until(lambda: (folder / "port").exists() and bool((folder / "port").read_text()))
        address = f"http://127.0.0.1:{(folder / 'port').read_text()}"
        hedge = ["serve", str(config), "--rehearsal", address, "--journal", str(journal)]
        urls = private(tmp_path / "urls", url)
        watch = ["watchdog", str(journal), "--config", str(rules), "--services", str(urls)]
        with running(tmp_path / "hedger.log", *hedge) as hedger:
            stop, go = (lambda sign=sign: hedger.popen.send_signal(sign) for sign in (signal.SIGSTOP, signal.SIGCONT))
            until(lambda: entries(journal) > 0)
            until(lambda: _caught(address, stop, go))
            resting = _resting(address)
            with running(tmp_path / "watchdog.log", *watch, "--hedger", str(config), "--rehearsal", address) as dog:
                until(lambda: any("written nothing" in each["message"] for each in got))
                until(lambda: not _resting(address))
                until(lambda: "of the silent hedger are cancelled" in dog.said())
            assert len(resting) >= 1
            ended = {each["client_id"]: each for each in _statement(address)["orders"]}
            assert all(ended[each["client_id"]]["status"] == "cancelled" for each in resting)
            (told,) = waiting(journal)
            assert isinstance(told, Operator)
            assert (told.action, told.who) == ("halt", "watchdog")
            hedger.popen.kill()


def _caught(address: str, stop: Any, go: Any) -> bool:
    """Stopped while an order rests; else it goes on."""
    if not _resting(address):
        return False
    stop()
    if _resting(address):
        return True
    go()
    return False


def _resting(address: str) -> list[dict[str, Any]]:
    return [each for each in _statement(address)["orders"] if each["status"] == "open"]


def _statement(address: str) -> dict[str, Any]:
    with urlopen(f"{address}/control/statement") as reply:
        found: dict[str, Any] = json.loads(reply.read())
        return found

"""The dead-man alert, with real processes: a hedger is killed, a person is paged, what starts again sends nothing."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path

import pytest
import tomli_w

from serve.clock import SECOND, RealClock, show
from serve.commands import SubmitOrder
from serve.config import ServeConfig
from serve.events import Heartbeat, Operator
from serve.inbox import Instruction
from serve.journal import Journal
from tests.serve.processes import entries, found, private, running, until, webhook
from tests.serve.support import START, raw_config, write_bars

SPEED = 2_000  # times the wall: a heartbeat in .45 s
RULES = {"silent_seconds": 8.0, "fence_seconds": 16.0, "repeat_seconds": 600.0}


@pytest.mark.slow
def test_a_killed_hedger_is_paged_and_fenced(settings: ServeConfig, tmp_path: Path) -> None:
    journal, config, rules = tmp_path / "j.db", tmp_path / "config.toml", tmp_path / "watchdog.toml"
    bars = write_bars(tmp_path / "bars.csv")
    config.write_text(tomli_w.dumps(raw_config(model=settings.model)))
    rules.write_text(tomli_w.dumps(RULES))
    serve = ["serve", str(config), "--journal", str(journal), "--feed", str(bars), "--from", show(START)]
    serve += ["--days", "3", "--speed", str(SPEED)]
    with webhook() as (url, got), running(tmp_path / "hedger.log", *serve) as hedger:
        urls = private(tmp_path / "urls", url)
        watch = ["watchdog", str(journal), "--config", str(rules), "--services", str(urls)]
        until(lambda: entries(journal) > 0)
        with running(tmp_path / "watchdog.log", *watch) as dog:
            until(lambda: "watching" in dog.said())
            beats = len(found(journal, Heartbeat))
            until(lambda: len(found(journal, Heartbeat)) > beats + 2)
            assert not [each for each in got if "written nothing" in each["message"]]

            hedger.popen.send_signal(signal.SIGKILL)
            died = RealClock().now()
            until(lambda: any("written nothing" in each["message"] for each in got))
            (page,) = [each for each in got if "written nothing" in each["message"]]
            assert (page["title"], page["type"]) == ("Rehedge critical", "failure")
            assert RealClock().now() - died >= 1000 * (RULES["silent_seconds"] - 2), "it waited for the silence"

            until(lambda: bool(waiting(journal)))
            sent = len(found(journal, SubmitOrder))
            with running(tmp_path / "again.log", *serve):
                until(lambda: any("writes again" in each["message"] for each in got))
                until(lambda: bool(found(journal, Operator)))
                beats = len(found(journal, Heartbeat))
                until(lambda: len(found(journal, Heartbeat)) > beats + 20, patience=60 * SECOND)
            (told,) = found(journal, Operator)
            assert (told.action, told.who) == ("halt", "watchdog")
            assert len(found(journal, SubmitOrder)) == sent, "nothing leaves until a person resumes"


def waiting(journal: Path) -> list[Instruction | None]:
    """What the hedger has been told and has not taken."""
    with closing(Journal(str(journal), readonly=True)) as kept, closing(kept.inbox()) as inbox:
        return [each.told for each in inbox.waiting()]

"""A journal's server that answers nobody for a while: what was not durable did not leave, and nothing leaves after."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from serve.errors import JournalError
from serve.events import Heartbeat, OrdersReport
from serve.journal import Journal
from serve.runner import Core, Runner, replayed
from tests.serve.busy import Exchange
from tests.serve.databases import Server
from tests.serve.support import START, opening

PATIENCE = 1.0  # seconds, where a session has ten


@contextmanager
def hung(server: Server) -> Iterator[None]:
    postmaster = psutil.Process(int((server._folder / "data" / "postmaster.pid").read_text().split()[0]))
    every = [postmaster, *postmaster.children(recursive=True)]
    for each in every:
        os.kill(each.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in every:
            os.kill(each.pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_server_that_hangs_stops_the_session_with_one_line_and_is_taken_up_again(postgresql: Server) -> None:
    url = postgresql.fresh()
    journal, venue = Journal(url, patience=PATIENCE), Exchange()
    runner = Runner(journal, venue, None, Core())
    *before, sale = opening(with_model=False)
    for event in before:
        runner.handle(event)
    runner.flush()
    with hung(postgresql):
        began = time.monotonic()
        with pytest.raises(JournalError, match=r"cannot be written: no answer for 1 s$") as caught:
            runner.handle(sale)
        assert "\n" not in str(caught.value)
        assert PATIENCE <= time.monotonic() - began < 20 * PATIENCE
        with pytest.raises(JournalError):
            runner.handle(Heartbeat(START + 10))
    with pytest.raises(JournalError):
        runner.handle(Heartbeat(START + 20))
    assert venue.received == {}, "an order that is not durable does not leave"
    journal.close()
    again = Journal(url)
    core, events = replayed(again)
    assert core.state is not None
    assert [type(each) for each in events if isinstance(each, OrdersReport)] == [OrdersReport]
    again.close()

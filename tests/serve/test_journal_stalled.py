"""A commit that takes long is told to the core, and so is the first quick one after it."""

from __future__ import annotations

from pathlib import Path

from serve.clock import VirtualClock
from serve.codec import decode
from serve.events import JournalStalled
from serve.journal import Journal
from serve.runner import Core, Runner, replayed
from tests.serve.busy import Exchange
from tests.serve.support import START, call, history, quote, started


class Slow(Journal):
    """A journal on a disk that answers late."""

    def __init__(self, file: str, clock: VirtualClock) -> None:
        super().__init__(file)
        self._clock, self.takes = clock, 0

    def append(self, bodies: object) -> None:
        super().append(bodies)  # type: ignore[arg-type]
        self._clock.wait_until(self._clock.now() + self.takes)


def test_a_slow_commit_is_an_event_and_so_is_the_recovery(tmp_path: Path) -> None:
    clock = VirtualClock(START)
    journal = Slow(str(tmp_path / "j.db"), clock)
    runner = Runner(journal, Exchange(), None, Core(), clock=clock)
    for event in (started(with_model=False), history(), quote(START + 1)):
        runner.handle(event)
    for place, takes in enumerate((100, 101, 3000, 0, 0)):
        journal.takes = takes
        runner.handle(call(clock.now(), name=f"call-{place}", units="-0.001"))
    runner.flush()
    told = [item for entry in journal.read() if isinstance(item := decode(entry.body), JournalStalled)]
    assert [each.milliseconds for each in told] == [101, 3000, 0]
    assert runner.state.venue.commit_ms == 0
    replayed(journal)
    journal.close()

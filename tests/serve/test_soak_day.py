"""A day of minutes with seeded faults, at accelerated time: `benchmarks/day.py`, run whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import day

FAULTS = ("feed gaps, minutes", "bad ticks", "kills")
EVENTS = ("Rejected", "Cancelled", "Malformed", "Deleveraged", "decisions by policy", "decisions by fallback")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return day.lived(tmp_path_factory.mktemp("day"), seed=1, hours=24, kills=3)


@pytest.mark.slow
def test_a_day_of_faults_ends_where_its_journal_says(report: dict[str, Any]) -> None:
    """A fault is a ledger that is not its fills, an order sent twice, or while halted, or without an end."""
    assert report["faults"] == []
    assert min(report["made"][name] for name in FAULTS) > 0
    assert min(report["counts"].get(name, 0) for name in EVENTS) > 0, "not the day that was meant"
    assert report["counts"]["-> SubmitOrder"] > 50


@pytest.mark.slow
def test_memory_stays_flat(report: dict[str, Any]) -> None:
    """Within the bound that `faults` names, over hours enough to see it grow."""
    assert report["hours"] >= 6
    assert not any("memory" in each for each in report["faults"])


@pytest.mark.slow
def test_a_ledger_that_lost_a_fill_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the first test might pass on anything."""
    heard = day.Witness.told

    def deaf(self: day.Witness, event: Any, outputs: Any) -> None:
        if not (type(event).__name__ == "Filled" and not self.trades):
            heard(self, event, outputs)
        else:
            self.trades.add(event.trade)

    monkeypatch.setattr(day.Witness, "told", deaf)
    found = day.lived(tmp_path, seed=2, hours=2, kills=0)["faults"]
    assert any("the fills say" in each for each in found)

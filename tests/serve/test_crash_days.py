"""The crash days with breakers and without: `benchmarks/crash_days.py`, on one day."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import crash_days
from serve.config import build_breakers
from serve.states import RiskState
from tests.serve.breaker_settings import BREAKERS
from tests.serve.support import START
from tests.serve.watching import CASES, MINUTE, shown


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_breaker_that_is_off_never_trips_nor_casts_doubt(name: str) -> None:
    off = build_breakers({each: crash_days.off(raw) for each, raw in BREAKERS.items()}, "off")
    breaches = [CASES[name].breach(START + k * MINUTE) for k in range(5)]
    monitor = shown(off[name], breaches)
    assert monitor.level is RiskState.ACTIVE
    assert not monitor.suspicious or name in ("policy_invalid", "reconciliation_mismatch", "auto_deleveraging")


@pytest.mark.slow
def test_breakers_off_never_trip_and_on_do(tmp_path: Path) -> None:
    """March 2020: either way the book stays hedged but for a few hours, and nobody has to be called."""
    for name in ("on", "off"):
        (tmp_path / name).mkdir()
    on, off = (crash_days.hedged(tmp_path / name, "BTC", "2020-03-12", name == "on") for name in ("on", "off"))
    assert set(off["hours"]) == {"ACTIVE"}
    assert on["hours"]["REDUCING"] > 1
    assert "HALTED" not in on["hours"]
    for found in (on, off):
        assert sum(found["hours"].values()) == pytest.approx(24 * crash_days.DAYS, abs=0.3)
        assert 0 < found["hours_unhedged"] < 12
        assert found["orders"] > 10
        assert 50_000 < found["worst_loss"] < 300_000, "of a million, in a fall by half"

"""More quotes than the core can take, for a few seconds of the machine's clock: `benchmarks/quotes.py` in small."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.decision_latency import Session, settings
from benchmarks.quotes import RATE, flooded
from serve.coalescing import MOST
from serve.journal import Journal
from serve.runner import replayed
from serve.states import RiskState


@pytest.mark.slow
def test_a_flood_is_merged_and_journalled_and_no_quote_is_lost(tmp_path: Path) -> None:
    with closing(Journal(str(tmp_path / "journal.db"))) as journal:
        session = Session(settings(), journal)
        found, _ = flooded(session, 5.0)
        session.runner.flush()
        state = session.runner.state
        assert found.made == 5 * RATE == found.taken + found.merged
        assert found.most <= MOST + 1
        assert found.decisions >= 4
        assert (state.risk, state.dropped) == (RiskState.ACTIVE, {})
        again, _ = replayed(journal)
        assert again.state is not None
        assert (again.state.ledger, again.state.quotes) == (state.ledger, state.quotes)

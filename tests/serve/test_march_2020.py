"""12 March 2020 on a thin account: the hedge left alone, protected, and with the proposals carried out."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from envs.calibration import read_toml
from envs.margin import Collateral, Margin
from envs.task import Task
from serve import session
from serve.clock import DAY, parse
from serve.commands import Decision, Output, Proposal
from serve.config import ServeConfig
from serve.events import CollateralMoved, Deleveraged, Event
from serve.exposure import profit
from serve.inbox import Inbox
from serve.journal import Journal
from serve.runner import replayed
from serve.session import Basis, Source
from tests.serve.support import PERP

CONFIG = Path(__file__).parents[2] / "configs" / "paper.toml"
FIRST = parse("2020-03-11T00:00:00Z")
WIDE = {"soft": "200", "hard": "200"}  # BTC


def task() -> Task:
    """A million of notional on 350,000 of collateral."""
    short = Task.load("short_call")
    margin = Margin(mode="isolated", collateral=(Collateral(amount=0.35),))
    return short.model_copy(update={"contract": short.contract.model_copy(update={"margin": margin})})


def config(folder: Path, watched: bool) -> ServeConfig:
    """120 calls sold deep in the money, which as many BTC hedge; limits that let the hedge shrink.

    Without being watched: a limit that no account comes under before it is closed.
    """
    terms = {"asset": "BTC", "kind": "option", "right": "call", "strike": 4000.0, "expiry": FIRST + 20 * DAY}
    sold = {"type": "BookTraded", "holding": {"id": "calls", "units": "-120", **terms}, "premium": "480000"}
    (folder / "book.jsonl").write_text(json.dumps(sold) + "\n")
    raw: dict[str, Any] = read_toml(CONFIG)
    raw |= {"model": None, "task": "short_call", "book": {"source": "file", "path": str(folder / "book.jsonl")}}
    raw["limits"] |= {"stress_loss": {"soft": "1e7", "hard": "1e7"}, "order_value": {"soft": "2e6", "hard": "2e6"}}
    raw["limits"]["assets"]["BTC"]["delta"] = WIDE
    raw["limits"]["legs"][PERP] = {"order": WIDE, "position": WIDE}
    raw["collateral"] = {"target": 0.2, "transfer_seconds": 3600, "lead": 4.0, "sigmas": 6.0}
    if not watched:
        raw["breakers"]["margin_distance"] |= {"entry": 1e-9, "exit": 1e-8}
        raw["collateral"] |= {"target": 1e-9, "sigmas": 1e-9}
    return ServeConfig.model_validate(raw)


@dataclass
class Told:
    """What came of the days; with an inbox, a person sends what was proposed last, one transfer at a time."""

    inbox: Inbox | None = None
    protections: int = 0
    moved: Decimal = Decimal(0)
    closed: Counter[str] = field(default_factory=Counter)
    _on_its_way: bool = False

    def heard(self, event: Event, outputs: tuple[Output, ...]) -> None:
        if isinstance(event, Deleveraged):
            self.closed[event.why] += 1
        if isinstance(event, CollateralMoved):
            self.moved, self._on_its_way = self.moved + event.amount, False
        self.protections += sum(isinstance(each, Decision) and each.source == "protect" for each in outputs)
        for each in outputs:
            if isinstance(each, Proposal) and self.inbox is not None and not self._on_its_way:
                self._on_its_way = True
                self.inbox.tell(
                    CollateralMoved(0, each.account, each.amount, each.source, each.expected, "ann", "asked")
                )


def days(folder: Path, monkeypatch: pytest.MonkeyPatch, watched: bool, person: bool) -> dict[str, Any]:
    folder.mkdir()
    monkeypatch.setattr(session, "basis", lambda config: Basis(task(), None))
    journal = Journal(str(folder / "j.db"))
    inbox = journal.inbox()
    told = Told(inbox if person else None)
    core = session.run(config(folder, watched), journal, Source(("btc",), FIRST, 3), told.heard)
    state = core.state
    assert state is not None
    assert not state.dropped
    again = replayed(journal)[0].state
    assert again is not None
    assert (again.ledger, again.care) == (state.ledger, state.care)
    inbox.close()
    journal.close()
    found = {
        "liquidated": told.closed["liquidated"],
        "held": float(state.ledger.position(PERP)),
        "protections": told.protections,
        "moved": float(told.moved),
        "profit": profit(state),
    }
    print(json.dumps({"watched": watched, "person": person, **found}))
    return found


@pytest.mark.slow
def test_a_thin_account_is_rescued_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BTC falls from 7,935 to 3,850 within 27 hours."""
    alone = days(tmp_path / "alone", monkeypatch, watched=False, person=False)
    protected = days(tmp_path / "protected", monkeypatch, watched=True, person=False)
    funded = days(tmp_path / "funded", monkeypatch, watched=True, person=True)
    assert (alone["liquidated"], alone["held"], alone["protections"]) == (1, 0, 0)
    assert (protected["liquidated"], funded["liquidated"]) == (0, 0)
    assert protected["held"] > 0
    assert protected["protections"] > 0
    assert funded["held"] > 2 * protected["held"], "with the collateral the hedge stands"
    assert funded["moved"] > 100_000
    assert min(protected["profit"], funded["profit"]) > alone["profit"]

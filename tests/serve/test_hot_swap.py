"""Policies swapped while quotes come as fast as they can: no decision is lost, and none is by half a model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from agents import card
from envs.types import BadInput
from serve.clock import VirtualClock
from serve.codec import decode
from serve.commands import Decision, Infer, Output
from serve.config import ServeConfig
from serve.events import DecisionDue, Event, Inference, ModelSwapped, Operator, QuoteEvent
from serve.inbox import Inbox
from serve.journal import Journal
from serve.policy import NetworkPolicies
from serve.promoting import load
from serve.runner import replayed
from serve.session import Source, run
from tests.serve.support import START, raw_config, save_model, write_bars

SEEDS = (7, 8, 9)


class Restless:
    """Promotes the next model with every sixth quote, as long as the one before was taken."""

    def __init__(self, inbox: Inbox, models: list[Path]) -> None:
        self.inbox, self.models, self.quotes, self.told = inbox, models, 0, list[str]()

    def watched(self, event: Event, outputs: tuple[Output, ...]) -> None:
        self.quotes += isinstance(event, QuoteEvent)
        waits = self.told and self.inbox.answered(self.told[-1]) is None
        if isinstance(event, QuoteEvent) and self.quotes % 6 == 0 and not waits:
            folder = str(self.models[len(self.told) % len(self.models)])
            self.told.append(self.inbox.tell(Operator(event.time, "promote", "ann", "drill", folder)))


def served(folder: Path, days: int) -> list[Event | Output]:
    """The journal's items."""
    models = [folder / str(seed) for seed in SEEDS]
    journal = Journal(str(folder / "j.db"))
    inbox = journal.inbox()
    config = ServeConfig.model_validate(raw_config(model=str(models[0]), book__roll=False))
    restless = Restless(inbox, [*models[1:], models[0]])
    run(config, journal, Source((str(folder / "bars.csv"),), START, days), restless.watched)
    replayed(journal)
    items = [decode(entry.body) for entry in journal.read()]
    journal.close()
    inbox.close()
    return items


@pytest.mark.slow
def test_swaps_under_load_lose_no_decision_and_none_is_by_another_model(tmp_path: Path) -> None:
    """Each answer is what the model that was asked makes of those features, to the last bit."""
    for seed in SEEDS:
        save_model(tmp_path / str(seed), seed=seed)
    write_bars(tmp_path / "bars.csv")
    items = served(tmp_path, 1)
    policies = NetworkPolicies(VirtualClock(START), 2.0)
    for model in (load(tmp_path / str(seed)) for seed in SEEDS):
        policies.add(model.card.weights_sha256, model.network)
    asked = {each.request: each for each in items if isinstance(each, Infer)}
    answers = [each for each in items if isinstance(each, Inference)]
    assert Counter(each.request for each in answers) == Counter([*asked]), "every question is answered once"
    for each in answers:
        again = policies.answer(asked[each.request])
        assert (each.model, each.action, each.error) == (again.model, again.action, "")
    made = [each for each in items if isinstance(each, Decision)]
    assert all(each.model == asked[each.request].model for each in made if each.source == "policy")
    due = [each.time for each in items if isinstance(each, DecisionDue)]
    assert set(due[1:]) <= {each.time for each in made}, "a decision that was due was lost"
    swaps = [each.model for each in items if isinstance(each, ModelSwapped)]
    assert len(swaps) > 5
    assert len({each.model for each in made if each.source == "policy"}) > 1


def test_weights_that_are_replaced_while_they_load_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they are read: refused. After: what is served is what was read, and has the hash that it is known by."""
    ours, theirs = save_model(tmp_path / "ours", seed=7), save_model(tmp_path / "theirs", seed=8)
    whole, other = load(ours), (theirs / card.WEIGHTS).read_bytes()
    read = Path.read_bytes

    def replacing(path: Path) -> bytes:
        raw = read(path)
        if path == ours / card.WEIGHTS:
            path.write_bytes(other)
        return raw

    monkeypatch.setattr(Path, "read_bytes", replacing)
    again = load(ours)
    assert again.card.weights_sha256 == whole.card.weights_sha256
    for before, after in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(before, after)
    with pytest.raises(BadInput, match="SHA-256"):
        load(ours)

"""The mirror: the same state as the hedger's own, however the journal is read in."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal

import pytest

from serve import codec
from serve.api.views import snapshot
from serve.api.words import told
from serve.baseline import Baseline
from serve.commands import Alert, Decision, Proposal, SubmitOrder, Transition
from serve.durations import EDGES, Durations
from serve.events import CollateralMoved, Event, Filled
from serve.exposure import profit
from serve.journal import Journal
from serve.mirror import CURVE, LATEST, Mirror
from serve.paging import retold
from serve.runner import replayed
from tests.serve.api.conftest import Beside
from tests.serve.support import SPOT


@pytest.mark.parametrize("step", [97])
def test_the_mirror_holds_the_state_that_a_replay_ends_in(beside: Beside, step: int) -> None:
    mirror = Mirror(beside.journal)
    while mirror.entries < beside.journal.head[0]:
        before = mirror.entries
        mirror.advance(step)
        assert before < mirror.entries <= before + step
    core, _ = replayed(beside.journal)
    assert core.state is not None
    assert mirror.state is not None
    for name in ("time", "ledger", "orders", "monitors", "valuations", "quotes", "targets", "record"):
        assert getattr(mirror.state, name) == getattr(core.state, name), name
    mirror.advance(step)
    assert mirror.entries == beside.journal.head[0]


def test_records_are_the_journals_latest(mirrored: Mirror) -> None:
    mirror = mirrored
    items = [codec.decode(entry.body) for entry in mirror.journal.read()]
    for kind in (Decision, Transition, Filled):
        found = [each for each in items if isinstance(each, kind)]
        assert found
        assert [each.record for each in mirror.records[kind]] == found[-LATEST:]
    assert [items[each.number - 1] for each in mirror.story] == [each.record for each in mirror.story]
    told = [each for each in items if type(each) in mirror.records and not (isinstance(each, Alert) and retold(each))]
    assert [each.record for each in mirror.story] == told[-LATEST:]
    assert any(isinstance(each, Alert) for each in items)
    sent = sum(isinstance(each, SubmitOrder) for each in items)
    assert mirror.fills.buckets()[-1][1] == sent, "each order filled"


def test_a_proposal_stands_until_its_transfer_is_recorded(beside: Beside) -> None:
    mirror, shown = Mirror(beside.journal), list[Proposal]()
    mirror.advance(10**9)
    assert mirror.state is not None
    now = mirror.state.time
    for account, amount, in_time in (("BTC-PERP", 25_000, True), ("spare", 9_000, False)):
        shown.append(Proposal(now, account, "outside", Decimal(amount), 0.04, now + 1, in_time, "5.0% away"))
    with closing(Journal(str(beside.file))) as writer:
        writer.append([codec.encode(each) for each in shown])
        mirror.advance(10)
        assert {each.account: each.in_time for each in snapshot(mirror).proposals} == {"BTC-PERP": True, "spare": False}
        assert told(mirror.story[-2].record) == "Proposed: move 25,000.00 from outside to BTC-PERP: 5.0% away."
        moved = CollateralMoved(now, "BTC-PERP", Decimal(25_000), "outside", now + 1, "ann", "as proposed")
        writer.append([codec.encode(moved)])
        mirror.advance(10)
    assert [each.account for each in snapshot(mirror).proposals] == ["spare"]


def test_the_course_has_a_point_a_bar_and_ends_where_the_hedger_stands(mirrored: Mirror) -> None:
    mirror = mirrored
    assert mirror.state is not None
    times = [point.time for point in mirror.curve]
    assert times == sorted(set(times))
    assert 12 < len(times) <= min(CURVE, 24)
    made, fills = profit(mirror.state), [each.record for each in mirror.records[Filled]]
    since = [each for each in fills if each.time >= times[-1]]
    assert made is not None
    paid = sum(float(each.fee) + abs(float(each.units)) * 0.01 * SPOT for each in since if isinstance(each, Filled))
    assert mirror.curve[-1].profit == pytest.approx(made, abs=1e-6 + paid), "but for what filled since"


def test_the_delta_hedge_is_ahead_by_what_its_own_ledger_says(beside: Beside) -> None:
    """Right after a decision its delta is its target's; nothing it does reaches the hedger's state."""
    mirror, journal = Mirror(beside.journal), beside.journal
    for entry in journal.read():
        before = mirror.state
        mirror.advance(1)
        item = codec.decode(entry.body)
        if not isinstance(item, Event):
            assert mirror.state is before
        if isinstance(item, Decision) and mirror.state is not None and mirror.state.book.holdings:
            shadow = mirror.baseline.shadow
            assert shadow is not None
            value = mirror.state.valuations["BTC"]
            position = float(shadow.ledger.position("BTC-PERP"))
            assert value.book.delta + position * value.legs["BTC-PERP"].delta == pytest.approx(
                0, abs=5.1e-4
            )  # half a lot
    assert mirror.baseline.ahead(mirror.core) != 0
    assert Baseline().ahead(mirror.core) == 0


def test_durations_fall_into_their_buckets() -> None:
    spell = Durations()
    for number, milliseconds in enumerate((1, 3, 40_000)):
        spell.begin(str(number), 1_000)
        spell.end(str(number), 1_000 + milliseconds)
        spell.end(str(number), 9_000_000)  # the first end counts
    assert spell.total == pytest.approx(40.004)
    counts = dict(spell.buckets())
    assert [counts[str(edge)] for edge in EDGES[:3]] == [1, 1, 2]
    assert counts["30.0"] == 2
    assert counts["+Inf"] == 3

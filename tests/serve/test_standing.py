"""What `rehedge status` says of orders, by their entries in the journal alone."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from serve.clock import SECOND
from serve.codec import encode
from serve.commands import Dropped, Output, SubmitOrder
from serve.events import Absent, Event, Filled
from serve.journal import Journal
from serve.standing import Standing, standing
from tests.serve.support import PERP, START, quote

SENT = SubmitOrder(START, "test-000001", PERP, Decimal(2), Decimal(20_000), START + 30 * SECOND, False)
FILL = Filled(START + 1, SENT.order, "t-1", Decimal(2), Decimal(20_000), Decimal(1))


def stands(folder: Path, *items: Event | Output) -> Standing:
    with closing(Journal(str(folder / "j.db"))) as journal, closing(journal.inbox()) as inbox:
        journal.append([encode(each) for each in items])
        return standing(journal, inbox)


@pytest.mark.parametrize(("asked", "left"), [(SENT.expires_at, [SENT.order]), (SENT.expires_at + 1, [])])
def test_an_order_that_the_venue_does_not_have_after_its_expiry_is_lost(
    asked: int, left: list[str], tmp_path: Path
) -> None:
    assert list(stands(tmp_path, SENT, Absent(asked, SENT.order)).open) == left


@pytest.mark.parametrize(("after", "position"), [("Filled", None), ("QuoteEvent", 2)])
def test_a_fill_that_the_core_refused_moves_nothing(after: str, position: int | None, tmp_path: Path) -> None:
    """What is refused further on is another event."""
    between = [] if after == "Filled" else [quote(START + 2)]
    found = stands(tmp_path, SENT, FILL, *between, Dropped(START + 2, after, "price nan"))
    assert found.positions.get(PERP) == position
    assert (SENT.order in found.open) == (position is None)

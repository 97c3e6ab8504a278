"""A queue that stays small whatever comes: nothing but quotes, and noise, is ever merged."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from serve import coalescing
from serve.coalescing import MOST, Coalescing
from serve.events import Event, FundingPaid, Malformed, QuoteEvent
from tests.serve.support import START, quote


def drained(queue: Coalescing) -> list[Event]:
    return [queue.take() for _ in range(len(queue))]


def tick(number: int, asset: str = "BTC", spot: float = 100.0) -> QuoteEvent:
    return quote(START + number, spot, asset=asset)


def test_what_keeps_up_is_not_touched() -> None:
    queue, ticks = Coalescing(), [tick(k, spot=100 + k) for k in range(MOST)]
    for each in ticks:
        queue.put(each)
    assert drained(queue) == ticks


def test_a_merged_quote_is_the_latest_with_the_way_of_all() -> None:
    queue = Coalescing()
    spots = [100 + (k * 37) % 50 for k in range(MOST + 1)]
    for k, spot in enumerate(spots):
        queue.put(tick(k, spot=spot))
    (found,) = drained(queue)
    assert isinstance(found, QuoteEvent)
    assert (found.time, found.spot) == (START + MOST, spots[-1])
    assert (found.low, found.high, found.merged) == (min(spots), max(spots), MOST)


@given(st.lists(st.sampled_from(["BTC", "ETH", "bad", "paid"]), min_size=1, max_size=4 * MOST), st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_order_is_kept_nothing_else_is_lost_and_every_quote_is_counted(kinds: list[str], taken_each: int) -> None:
    """`taken_each`: how many of four steps the consumer takes one."""
    queue, out, told = Coalescing(), list[Event](), 0
    for k, kind in enumerate(kinds):
        if kind == "paid":
            queue.put(FundingPaid(START + k, "BTC-PERP", Decimal(1)))
            told += 1
        else:
            queue.put(Malformed(START + k, "feed", kind, "") if kind == "bad" else tick(k, kind))
        out += [queue.take()] if k % 4 < taken_each and len(queue) else []
    out += drained(queue)
    assert [each.time for each in out] == sorted(each.time for each in out)
    assert sum(isinstance(each, FundingPaid) for each in out) == told
    merged = sum(1 + each.merged for each in out if isinstance(each, QuoteEvent | Malformed))
    assert merged == len(kinds) - told
    last = {kind: k for k, kind in enumerate(kinds)}
    assert {each.asset: each.time - START for each in out if isinstance(each, QuoteEvent)} == {
        kind: k for kind, k in last.items() if kind in ("BTC", "ETH")
    }


def test_it_stays_as_small_as_what_may_not_be_merged() -> None:
    queue, most = Coalescing(), 0
    for k in range(20_000):
        queue.put(tick(k, ("BTC", "ETH")[k % 2]) if k % 100 else FundingPaid(START + k, "x", Decimal(1)))
        most = max(most, len(queue))
        if k % 50 == 0:
            queue.take()
    assert most <= MOST + 1
    assert coalescing.MOST == 256

"""Messages that are malformed, out of order, repeated or dated ahead: journalled, counted, not acted on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.bookfile import BookFile
from serve.clock import SECOND
from serve.codec import decode, encode
from serve.commands import Dropped
from serve.engine import Engine
from serve.errors import JournalBroken
from serve.events import (
    Acknowledged,
    BalanceReport,
    BookSettled,
    BookTraded,
    Event,
    Filled,
    FundingPaid,
    History,
    Listed,
    Malformed,
    PositionsReport,
    SourcePrice,
    SurfaceQuote,
    TargetSet,
)
from serve.state import State
from tests.serve.support import HOUR, PERP, SPOT, START, call, opening, quote, started

D, NOW = Decimal, START + 10 * SECOND
NAN = math.nan
TARGETED = ("delta", "gamma", "vega", "hedge_ratio", "above", "below")


@cache
def usual() -> tuple[Engine, State]:
    engine = Engine.opened(started(with_model=False))
    state = engine.initial()
    *before, sold = [started(with_model=False), *opening()[1:]]
    for event in [*before, replace(sold, trade="t-1")]:
        state, _ = engine.step(state, event)
    return engine, state


def target(**changes: float) -> TargetSet:
    return TargetSet(NOW, "BTC", **(dict.fromkeys(TARGETED) | changes), who="ann")


BAD: list[tuple[Event, str]] = [
    *((quote(NOW, **{name: value}), name) for name in ("spot", "mark", "depth") for value in (NAN, 0.0, -1.0)),
    (quote(NOW, mark=1e300), "mark 1e+300"),
    (quote(NOW, half_spread=1.0), "half_spread"),
    (quote(NOW, implied_volatility=NAN), "implied_volatility"),
    (quote(NOW, implied_volatility=21.0), "implied_volatility"),
    (quote(NOW, funding_rate=math.inf), "funding_rate"),
    (quote(NOW, congestion=1.1), "congestion"),
    (quote(NOW, low=SPOT + 1), "outside its low"),
    (quote(NOW, asset="DOGE"), "DOGE is not served"),
    (quote(NOW, quoted_at=NOW + 6 * SECOND), "6.0 s in the future"),
    (quote(NOW, quoted_at=START), "out of order"),
    (replace(quote(START + 1), time=NOW), "repeats the last"),
    (SurfaceQuote(NOW, "BTC", NOW, ()), "no points"),
    (SurfaceQuote(NOW, "BTC", NOW, ((NOW + HOUR, SPOT, NAN),)), "point"),
    (SurfaceQuote(NOW, "BTC", NOW, ((NOW + HOUR, SPOT, 0.5), (NOW + HOUR, SPOT, 0.6))), "twice"),
    (BalanceReport(NOW, NOW, D(0), NAN), "margin_use"),
    (BalanceReport(NOW, NOW, D(0), -0.1), "margin_use"),
    (SourcePrice(NOW, "BTC", "north", NAN, NOW), "price"),
    (SourcePrice(NOW, "BTC", "x", SPOT, NOW), "x is no source of BTC"),
    (History(NOW, "BTC", NOW, (1.0,)), "no prices"),
    (History(NOW, "BTC", NOW, (1.0, -1.0)), "no prices"),
    (Listed(NOW, "BTC-CALL", 1.0, NOW + HOUR), "BTC-CALL is not served"),
    (Listed(NOW, PERP, 1.0, NOW + HOUR), "BTC-PERP is no option"),
    (replace(call(NOW, name="call-2"), trade="t-1"), "trade t-1 of call-2 repeats"),
    (PositionsReport(NOW, NOW + 6 * SECOND, ()), "6.0 s in the future"),
    (PositionsReport(NOW, START - 1, ()), "out of order"),
    (BalanceReport(NOW, NOW + 6 * SECOND, D(0), 0.0), "6.0 s in the future"),
    (BalanceReport(NOW, START - 1, D(0), 0.0), "out of order"),
    (replace(call(NOW), premium=D("NaN")), "premium"),
    (call(NOW, units="Infinity", name="new"), "units"),
    (call(NOW, units="1e400", name="new"), "units 1E+400"),
    (replace(call(NOW, name="new"), premium=D("1e999999999")), "premium 1E+999999999"),
    (BookSettled(NOW, "call-1", NAN, D(0)), "price nan"),
    (BookSettled(NOW, "call-1", SPOT, D("-1e18")), "beyond all reason"),
    (call(NOW, bars=20_000, name="new"), "more than"),
    (target(hedge_ratio=1.6), "hedge_ratio"),
    (target(delta=NAN), "not finite"),
    (target(delta=20.5), "delta 20.5 is beyond its hard limit of 20"),
    (target(vega=-2e6), "vega -2e+06 is beyond its hard limit of 1000000"),
    (target(above=-1.0), "thresholds"),
    (target(below=NAN), "thresholds"),
    (target(), "a target of nothing"),
    (FundingPaid(NOW, PERP, D("NaN")), "not finite"),
    (BalanceReport(NOW, NOW, D("Infinity"), 0.0), "not finite"),
    (PositionsReport(NOW, NOW, ((PERP, D("NaN")),)), "not finite"),
    (Filled(NOW, "test-000001", "1", D(1), D("-5"), D(0)), "price"),
    (Acknowledged(NOW, "someone-1"), "not ours"),
    (Malformed(NOW, "ticks.csv", "…", "no tick"), "no tick"),
]


@pytest.mark.parametrize(("event", "words"), BAD)
def test_it_is_counted_told_and_not_acted_on(event: Event, words: str) -> None:
    engine, before = usual()
    state, outputs = engine.step(before, event)
    (dropped,) = (each for each in outputs if isinstance(each, Dropped))
    assert dropped.what == type(event).__name__
    assert words in dropped.reason
    assert state.dropped == {type(event).__name__: 1}
    unmoved = ("quotes", "trusted", "book", "ledger", "orders", "targets", "listings", "pasts", "surfaces", "sources")
    assert all(getattr(state, name) is getattr(before, name) for name in unmoved)
    assert decode(encode(event)) == event or "nan" in str(event).lower()


def test_a_later_quote_of_the_same_moment_is_news() -> None:
    engine, state = usual()
    state, outputs = engine.step(state, quote(NOW, SPOT + 1, quoted_at=START + 1))
    assert not [each for each in outputs if isinstance(each, Dropped)]
    assert state.quotes["BTC"].spot == SPOT + 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=8), s, max_size=4),
        max_leaves=8,
    )
)
def test_bytes_that_are_no_event_are_told_apart(raw: Any) -> None:
    with pytest.raises(JournalBroken):
        decode(json.dumps({"type": "QuoteEvent", "time": 1, "spot": raw}).encode())


def line(**changes: Any) -> str:
    held = {
        "id": "a",
        "asset": "BTC",
        "kind": "option",
        "units": "-10",
        "expiry": START + 48 * HOUR,
        "right": "call",
        "strike": 20000.0,
    }
    return json.dumps({"type": "BookTraded", "holding": {**held, **changes}, "premium": "5000"})


def test_a_book_in_a_file_is_read_as_it_grows_and_not_twice(tmp_path: Path) -> None:
    _, state = usual()
    path, seen = tmp_path / "book.jsonl", quote(NOW)
    path.write_text(line() + "\n" + '{"type": "Nonsense"}\n' + line(id="b")[:20])
    book = BookFile(path, ())
    first, second = book.saw(seen, state)
    assert isinstance(first, BookTraded)
    assert (first.time, first.holding.units, first.holding.style) == (NOW, -10, "european")
    assert isinstance(second, Malformed)
    assert book.saw(seen, state) == ()
    with path.open("a") as file:
        file.write(line(id="b")[20:] + "\n" + '{"type": "Operator"}\n')
    third, fourth = book.saw(seen, state)
    assert isinstance(third, BookTraded)
    assert isinstance(fourth, Malformed)
    again = BookFile(path, [started(with_model=False, book={"source": "file", "path": str(path)}), first, second])
    assert [type(each) for each in again.saw(seen, state)] == [BookTraded, Malformed]

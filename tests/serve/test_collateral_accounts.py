"""A margin account is relieved by what it holds itself, not by what all accounts hold together."""

from __future__ import annotations

import pytest

from serve.clock import HOUR
from serve.commands import Ask, Decision, SubmitOrder
from serve.events import Filled
from tests.serve.support import PERP, START, quote
from tests.serve.test_collateral import D, account, go, hedged, of, told

LONG = account("21000", ("BTC", "9", "2250"), venue="long", units="9")
SHORT = account("200000", ("BTC", "-3.7", "925"), venue="short", units="-3.7")


def test_an_account_is_relieved_though_another_holds_the_opposite() -> None:
    """9 long and 3.7 short: more goes than the 5 that both come to."""
    state, outputs = go(hedged(), told(0.01, START + 5, "0", LONG, SHORT))
    (order,), (cap,) = of(outputs, SubmitOrder), state.care.caps.values()
    assert (order.venue, order.reduce_only, 9 + order.units) == ("long", True, cap.carried)
    assert -order.units > state.ledger.position(PERP)


def test_an_account_is_relieved_once_for_each_word_of_the_venue() -> None:
    state, outputs = go(hedged(), told(0.01, START + 5, "0", LONG, SHORT))
    (order,) = of(outputs, SubmitOrder)
    filled, later = (
        Filled(START + 6, order.order, "1", order.units, D(20_000), D(1)),
        quote(START + 4 * HOUR + 5, 20_001),
    )
    state, outputs = go(state, filled, quote(START + 7))
    assert [each.what for each in of(outputs, Ask)] == ["balance"]
    assert "protect" not in [each.source for each in of(go(state, later)[1], Decision)]
    paid = str(state.ledger.hedge_cash - hedged().ledger.hedge_cash)
    _, outputs = go(state, told(0.01, START + 8, paid, LONG, SHORT), later)
    assert "protect" in [each.source for each in of(outputs, Decision)], "it says that nothing went"


def test_the_distance_is_of_the_quote_that_was_believed_last() -> None:
    state, _ = go(hedged(), quote(START + 6, 19_900))
    assert state.trusted["BTC"].spot == 19_900
    again, _ = go(state, quote(START + 7, 19_900))
    assert state.distance == pytest.approx(again.distance, rel=1e-5)
    assert state.distance != pytest.approx(hedged().distance, rel=1e-3)

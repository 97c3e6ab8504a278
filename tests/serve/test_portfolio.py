"""One engine, two assets, a leg each: books that change, targets, and one hedge at a time for each exposure."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from functools import cache

import pytest

from serve.commands import Decision, Dropped, Infer, Output, SubmitOrder
from serve.engine import Engine
from serve.events import (
    Acknowledged,
    BookSettled,
    Cancelled,
    DecisionDue,
    Event,
    Filled,
    Inference,
    Operator,
    Rejected,
    TargetSet,
)
from serve.exposure import net
from serve.state import State
from serve.states import RiskState
from tests.serve.books import ETH, MODEL, ether, fold, pair_started, sold, warm
from tests.serve.support import SPOT, START, quote

D = Decimal


NARROW = {"bands__calm_width": 0.01, "bands__stress_width": 0.01}  # the hedge is all but the neutral one


@cache
def analytic() -> Engine:
    return Engine.opened(pair_started(**NARROW))


@cache
def learned() -> Engine:
    return Engine.opened(pair_started(with_model=True))


def orders(outputs: list[Output]) -> dict[str, Decimal]:
    return {each.symbol: each.units for each in outputs if isinstance(each, SubmitOrder)}


def decisions(outputs: list[Output]) -> list[Decision]:
    return [each for each in outputs if isinstance(each, Decision)]


def filled(outputs: list[Output], at: int) -> list[Event]:
    """Every order of `outputs` at its limit's mark."""
    fills: list[Event] = []
    for each in outputs:
        if isinstance(each, SubmitOrder):
            price = D(20_000 if each.symbol == "BTC-PERP" else 1_000)
            fills += [Acknowledged(at, each.order), Filled(at, each.order, f"{each.order}/1", each.units, price, D(0))]
    return fills


def delta(state: State, asset: str) -> float:
    return net(state, state.valuations[asset], 0.0).delta


def opened(*events: Event) -> tuple[State, list[Output]]:
    """Without a model: every trade of the book is hedged at once by the analytic hedge."""
    return fold(analytic(), [pair_started(**NARROW), *warm(), *events])


def hedged(*events: Event) -> State:
    """With the orders of each event filled before the next."""
    state, outputs = opened()
    for event in events:
        state, outputs = fold(analytic(), [event], state)
        state, _ = fold(analytic(), filled(outputs, event.time), state)
    return state


def test_a_trade_in_one_asset_is_hedged_in_that_asset_alone() -> None:
    _, outputs = opened(sold(START + 2))
    assert [*orders(outputs)] == ["BTC-PERP"]
    _, outputs = opened(sold(START + 2, "ETH", "-150", ETH))
    assert [*orders(outputs)] == ["ETH-PERP"]


def test_one_hedge_at_a_time_for_each_asset_and_no_waiting_for_another() -> None:
    """While the BTC order flies a second BTC trade waits, and an ETH trade does not."""
    state, outputs = opened(sold(START + 2), sold(START + 3, strike=21_000.0), sold(START + 4, "ETH", "-150", ETH))
    assert [*orders(outputs)] == ["BTC-PERP", "ETH-PERP"]
    assert state.due == {"BTC"}
    _, more = fold(analytic(), filled(outputs, START + 5)[:2], state)
    assert [*orders(more)] == ["BTC-PERP"]


def test_the_book_nets_over_its_holdings_and_changes_at_any_time() -> None:
    before = hedged(sold(START + 2), sold(START + 3, units="10", strike=21_000.0))
    assert abs(delta(before, "BTC")) < 0.05
    bought_back = replace(sold(START + 5), holding=replace(sold(0).holding, units=D(10)))
    after = hedged(sold(START + 2), sold(START + 3, units="10", strike=21_000.0), bought_back)
    assert [*after.book.holdings] == ["BTC-21000"]
    assert after.ledger.position("BTC-PERP") < 0, "long calls are hedged short"


def test_puts_spot_and_other_expiries_are_hedged_with_their_greeks() -> None:
    put = sold(START + 2, units="-10", strike=19_000.0, right="put", hours=400)
    coins = sold(START + 3, units="4", kind="spot", right=None)
    state = hedged(put, coins)
    book = state.valuations["BTC"].book
    assert 4 < book.delta < 14
    assert abs(delta(state, "BTC")) < 0.05
    assert state.ledger.position("BTC-PERP") < -4


def test_an_american_option_is_priced_on_the_tree() -> None:
    """Without rates nothing is gained by early exercise: the tree's value is the European one to its own error."""
    american = hedged(sold(START + 2, right="put", style="american")).valuations["BTC"].book
    european = hedged(sold(START + 2, right="put")).valuations["BTC"].book
    assert american != european
    assert american.value == pytest.approx(european.value, rel=2e-3)
    assert american.delta == pytest.approx(european.delta, rel=5e-3)


def test_a_holding_that_settles_leaves_its_hedge_to_be_closed() -> None:
    state = hedged(sold(START + 2), sold(START + 3, "ETH", "-150", ETH))
    state, outputs = fold(analytic(), [BookSettled(START + 9, "BTC-20000", SPOT, D(-7))], state)
    assert orders(outputs) == {"BTC-PERP": -state.ledger.position("BTC-PERP")}
    assert state.ledger.book == -7


def target(time: int, asset: str = "BTC", **changes: float) -> TargetSet:
    named = dict.fromkeys(("delta", "gamma", "vega", "hedge_ratio", "above", "below"))
    return TargetSet(time, asset, **(named | changes), who="ann")


def test_what_a_target_does_not_name_stays() -> None:
    both = hedged(target(START + 2, delta=3.0), target(START + 3, below=0.5)).targets["BTC"]
    assert (both.delta, both.below, both.hedge_ratio) == (3.0, 0.5, 1.0)


def test_a_delta_target_moves_the_hedge_by_as_much() -> None:
    plain, steered = hedged(sold(START + 2)), hedged(target(START + 2, delta=3.0), sold(START + 3))
    assert steered.ledger.position("BTC-PERP") - plain.ledger.position("BTC-PERP") == 3


def test_under_reducing_a_target_buys_no_risk() -> None:
    """Nearer to it is further from neutral: only what is short may be bought back."""
    state = hedged(target(START + 2, delta=-3.0), sold(START + 3))
    people = [Operator(START + 8, action, "ann", "drill", "") for action in ("halt", "resume")]
    state, outputs = fold(analytic(), [*people, target(START + 9, delta=9.0)], state)
    assert state.risk is RiskState.REDUCING
    short = net(state, state.valuations["BTC"], 0.0).delta
    assert float(orders(outputs)["BTC-PERP"]) == pytest.approx(-short, abs=0.001)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.5])
def test_the_hedge_ratio_hedges_its_share(ratio: float) -> None:
    state = hedged(target(START + 2, hedge_ratio=ratio), sold(START + 3))
    book = state.valuations["BTC"].book.delta
    assert float(state.ledger.position("BTC-PERP")) == pytest.approx(-ratio * book, abs=0.05)


@pytest.mark.parametrize(("threshold", "trades"), [("below", False), ("above", True)])
def test_thresholds_on_either_side(threshold: str, trades: bool) -> None:
    """A short call leaves the net delta below its target: only the threshold below holds the hedge back."""
    _, outputs = opened(target(START + 2, **{threshold: 9.0}), sold(START + 3))
    assert bool(orders(outputs)) is trades


def test_a_repeated_or_wrong_trade_is_counted_and_dropped() -> None:
    wrong: list[Event] = [
        replace(sold(START + 3), holding=replace(sold(0).holding, strike=1.0)),
        sold(START + 4, "DOGE"),
        sold(START + 4, strike=math.nan, id="nan"),
        sold(START + 4, hours=-1, id="past"),
        sold(START + 4, units="0", id="none"),
        BookSettled(START + 5, "nothing", 1.0, D(0)),
    ]
    state, outputs = opened(sold(START + 2), *wrong)
    dropped = [each.reason for each in outputs if isinstance(each, Dropped)]
    assert len(dropped) == len(wrong) == sum(state.dropped.values())
    assert "other terms" in dropped[0]
    assert [*state.book.holdings] == ["BTC-20000"]
    assert state.risk is RiskState.FALLBACK, "as without a model, and no stricter"


def test_the_policy_decides_every_leg_and_its_answer_waits_for_nobody() -> None:
    events: list[Event] = [pair_started(with_model=True), *warm(), sold(START + 2), sold(START + 2, "ETH", "-150", ETH)]
    state, outputs = fold(learned(), events)
    (asked,) = (each for each in outputs if isinstance(each, Infer))
    answer = Inference(START + 3, asked.request, MODEL, (0.0,) * 4, "")
    state, outputs = fold(learned(), [answer], state)
    assert orders(outputs) == {}, "the book has changed since it was asked"
    again = next(each for each in outputs if isinstance(each, Infer))
    _, outputs = fold(learned(), [replace(answer, request=again.request, time=START + 4)], state)
    assert [*orders(outputs)] == ["BTC-PERP", "ETH-PERP"]
    (made,) = decisions(outputs)
    assert (made.source, [leg.symbol for leg in made.legs]) == ("policy", ["BTC-PERP", "ETH-PERP"])


@pytest.mark.parametrize("end", [Cancelled, Rejected])
def test_what_an_order_left_undone_is_decided_anew_with_the_next_slice(end: type[Event]) -> None:
    state, outputs = opened(sold(START + 2))
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    ended = end(START + 3, order.order, *(["no"] if end is Rejected else []))
    state, outputs = fold(analytic(), [Acknowledged(START + 3, order.order)] * (end is Cancelled) + [ended], state)
    assert orders(outputs) == {}
    later = START + 14_400_000 + 10
    _, outputs = fold(analytic(), [quote(later), ether(later)], state)
    assert [*orders(outputs)] == ["BTC-PERP"]


def test_a_decision_names_what_it_rests_on() -> None:
    _, outputs = opened(sold(START + 2), DecisionDue(START + 3))
    made = decisions(outputs)[0]
    setup = analytic().setup
    assert (made.config, made.limits) == (setup.config_sha256, setup.limits_sha256)
    assert len(made.observation) == 64

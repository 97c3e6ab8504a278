"""What trading itself gives away: losses, greeks, rates, refusals, slippage, the venue's records and the policy."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from serve.breaker import View
from serve.clock import HOUR, SECOND
from serve.config import build_breakers
from serve.events import BalanceReport, Event, Heartbeat, OrdersReport, QuoteEvent
from serve.states import RiskState
from tests.serve.breaker_settings import BREAKERS as RAW
from tests.serve.support import PERP, START, quote
from tests.serve.watching import BREAKERS, CALM, MINUTE, answered, at, cut, fed, reported, seen, shown


class TestLoss:
    slow = build_breakers({**RAW, "loss": {**RAW["loss"], "half_life_seconds": 600}}, "test")["loss"]

    def test_drawdown_from_the_best_moment(self) -> None:
        views = [at(START, profit=0.0), at(START + HOUR, profit=30_000.0)]
        views += [at(START + 2 * HOUR + k * MINUTE, profit=-20_100.0) for k in (1, 2)]
        assert "drawdown is 50,100, limit 50,000" in fed("loss", views).reason

    def test_a_phantom_loss_trips_nothing_and_a_lasting_one_does(self) -> None:
        start = at(START, profit=0.0)
        phantom = [at(START + k * SECOND, profit=-90_000.0) for k in range(1, 30)]
        assert shown(self.slow, [start, *phantom]).level is RiskState.ACTIVE, "smoothed it is under 3,000"
        assert shown(self.slow, [start, *phantom, at(START + HOUR, profit=-90_000.0)]).suspicious
        lasting = [at(START + k * MINUTE, profit=-90_000.0) for k in range(1, 14)]
        assert shown(self.slow, [start, *lasting]).level is RiskState.REDUCING

    def test_a_phantom_gain_is_no_best_moment(self) -> None:
        """A drawdown from it would be one from money that never was."""
        views = [at(START, profit=0.0), at(START + 1, profit=1e6)]
        views += [at(START + HOUR + k * MINUTE, profit=0.0) for k in range(5)]
        assert shown(self.slow, views).level is RiskState.ACTIVE

    def test_a_profit_that_is_no_number_is_a_breach_and_is_forgotten(self) -> None:
        views = [at(START, profit=0.0), *(at(START + k, profit=math.nan) for k in (1, 2))]
        assert fed("loss", views).reason == "profit is nan"
        recovered = [at(START + k * HOUR, profit=0.0) for k in range(1, 5)]
        assert fed("loss", [*views, *recovered]).level is RiskState.ACTIVE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gamma": {"BTC": -20.1}}, "gamma is 402,000, limit 400,000"),
        ({"vega": {"BTC": -1.1e6}}, "vega is 1,100,000"),
        ({"stress_loss": 1.1e7}, "stress loss is 11,000,000"),
        ({"delta": {"BTC": math.nan}}, "delta is nan"),
    ],
)
def test_each_greek_limit(change: dict[str, Any], words: str) -> None:
    assert words in fed("greek_limit", [at(START + k, **change) for k in range(2)]).reason


def test_greeks_add_up_over_assets_whatever_their_signs() -> None:
    quotes = {"BTC": quote(START), "ETH": quote(START, 1_000.0, asset="ETH")}
    views = [at(START + k, quotes=quotes, delta={"BTC": -10.0, "ETH": 150.0}) for k in range(2)]
    assert "delta is 350,000" in fed("greek_limit", views).reason


class TestWindows:
    @pytest.mark.parametrize(
        ("name", "field", "count", "seconds"),
        [("order_rate", "sent", 41, 60), ("repeated_execution", "executions", 201, 3600)],
    )
    def test_what_is_older_does_not_count(self, name: str, field: str, count: int, seconds: int) -> None:
        inside = (START - (seconds - 1) * SECOND,) * count
        outside = (START - (seconds + 1) * SECOND,) * count
        for times, level in ((inside, RiskState.REDUCING), (outside, RiskState.ACTIVE)):
            views = [seen(Heartbeat(START + k), **{field: times}) for k in range(2)]
            assert fed(name, views).level is level

    def test_a_refusal_or_two_are_no_rate(self) -> None:
        few = [at(START + k, sent=(START,) * 2, rejections=(START,) * 2) for k in range(3)]
        assert fed("reject_rate", few).level is RiskState.ACTIVE

    def test_a_fill_or_two_prove_no_slippage_and_good_fills_make_up_for_bad(self) -> None:
        for fills in (((START, 900.0),) * 2, ((START, 900.0), (START, -900.0), (START, 300.0))):
            assert fed("slippage", [at(START + k, slippages=fills) for k in range(3)]).level is RiskState.ACTIVE


class TestReconciliationMismatch:
    wrong = "the venue says 1 BTC-PERP, we say 0"

    def test_it_is_confirmed_by_a_report_of_its_own_kind_alone(self) -> None:
        said = {"mismatches": {"positions": self.wrong}}
        others: list[Event] = [OrdersReport(START + 1, ()), BalanceReport(START + 2, START + 2, Decimal(0), 0.0)]
        once = [reported(START, self.wrong), *(seen(event, **said) for event in others), at(START + 3, **said)]
        monitor = fed("reconciliation_mismatch", once)
        assert (monitor.level, monitor.suspicious) == (RiskState.ACTIVE, True)
        assert fed("reconciliation_mismatch", [*once, reported(START + HOUR, self.wrong)]).level is RiskState.HALTED

    def test_one_that_crossed_a_fill_is_forgotten(self) -> None:
        views = [reported(START, self.wrong), reported(START + 1, None), reported(START + 2, self.wrong)]
        assert fed("reconciliation_mismatch", views).level is RiskState.ACTIVE

    def test_a_mismatch_of_two_reports_is_told_by_each(self) -> None:
        both = {"mismatches": {"positions": self.wrong, "orders": "order x rests on the account and is not ours"}}
        views = [seen(OrdersReport(START + k, ()), **both) for k in range(2)]
        assert "order x rests" in fed("reconciliation_mismatch", views).reason


class TestAutoDeleveraging:
    def test_it_is_clear_once_no_leg_was_cut_for_a_while(self) -> None:
        def later(seconds: int) -> View:
            return at(START + seconds * SECOND, deleveraged={PERP: START, "ETH-PERP": START - HOUR})

        judge = BREAKERS["auto_deleveraging"].judge
        found = [judge(later(seconds), ())[0] for seconds in (1, 1199, 1200)]
        assert [each is not None and (each.breached, each.clear) for each in found] == [
            (False, False),
            (False, False),
            (False, True),
        ]
        assert fed("auto_deleveraging", [cut(START), cut(START + 1)]).level is RiskState.REDUCING


class TestPolicyDisagreement:
    def test_an_answer_is_judged_once(self) -> None:
        views = [at(START + k, disagreement=(START, 21.0)) for k in range(9)]
        assert fed("policy_disagreement", views).suspicious
        again = at(START + 9, disagreement=(START + 9, 21.0))
        assert fed("policy_disagreement", [*views, again]).level is RiskState.FALLBACK


class TestPolicyInvalid:
    @pytest.mark.parametrize(
        ("view", "words"),
        [
            (answered(START, (0.0,)), "answered 1 numbers, not 2"),
            (answered(START, (0.0, 1.01)), "answered 1.01, outside"),
            (answered(START, (float("-inf"), 0.0)), "answered -inf"),
            (answered(START, None), "the policy failed: boom"),
            (answered(START, features=(0.0, 2.6)), "feature b is 2.6, 30% of its trained width"),
            (answered(START, features=(float("nan"), 1.0)), "feature a is nan"),
            (
                replace(answered(START), event=Heartbeat(START + 3 * SECOND), overdue=True),
                "no answer to q within 3.0 s",
            ),
        ],
    )
    def test_what_is_no_answer(self, view: View, words: str) -> None:
        assert words in fed("policy_invalid", [view, view]).reason

    def test_other_events_say_nothing(self) -> None:
        others: list[Event] = [Heartbeat(START), QuoteEvent(**vars(quote(START)))]
        for event in others:
            assert BREAKERS["policy_invalid"].judge(replace(CALM, event=event), ())[0] is None

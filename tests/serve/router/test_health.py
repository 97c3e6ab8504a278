"""A venue drops out and comes back by rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.router.health import REMEMBERED, Health, Latency, Rules

RULES = Rules(failures=3, latency_seconds=1.0, quantile=0.9, dwell_seconds=60.0)
OUT = Health(failures=3, out_since=1000, why="x")


def failed(health: Health, times: int, now: int = 1000) -> Health:
    for _ in range(times):
        health = health.failed(now, "no answer", RULES)
    return health


def test_it_drops_out_with_the_last_of_so_many_failures_in_a_row() -> None:
    two = failed(Health(), 2)
    assert two.well
    assert not failed(two, 1).well
    assert failed(two, 1).why == "no answer"
    assert failed(two.answered(1001, 50.0, RULES), 2).well


def test_it_drops_out_when_its_high_quantile_lags_and_not_for_one_slow_answer() -> None:
    health = Health()
    for number in range(20):
        health = health.answered(number, 5_000.0 if number == 10 else 10.0, RULES)
    assert health.well
    for number in range(2):
        health = health.answered(number, 5_000.0, RULES)
    assert not health.well
    assert "5.0 s" in health.why


def test_it_is_probed_after_a_dwell_and_again_after_another() -> None:
    assert not OUT.due(1000 + 59_999, RULES)
    assert OUT.due(1000 + 60_000, RULES)
    assert not OUT.probed(61_000).due(61_001, RULES)
    assert OUT.probed(61_000).due(121_000, RULES)
    assert not Health().due(10**9, RULES)


def test_a_failure_while_out_begins_the_dwell_anew() -> None:
    assert not failed(OUT, 1, now=60_000).due(61_000, RULES)


def test_a_quick_probe_lets_it_back_on_trial() -> None:
    back = OUT.timed(40.0, RULES)
    assert back.well
    assert not failed(back, 1).well
    assert failed(back.answered(2000, 10.0, RULES), 2).well


def test_a_slow_probe_or_a_late_answer_does_not() -> None:
    assert not OUT.timed(1_001.0, RULES).well
    assert not OUT.answered(2000, 10.0, RULES).well


def test_a_question_for_the_time_stands_in_until_an_order_was_measured() -> None:
    asked = Health().timed(30.0, RULES)
    assert asked.latency.mean == 30.0
    assert asked.timed(500.0, RULES).latency.mean == 30.0
    assert failed(Health(), 2).timed(30.0, RULES).failures == 2


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=100), st.floats(0.01, 0.99))
def test_the_quantile_is_of_the_last_ones_and_the_mean_within_them(times: list[float], share: float) -> None:
    latency = Latency()
    for each in times:
        latency = latency.measured(each)
    last, found = times[-REMEMBERED:], latency.quantile(share)
    assert sum(each <= found for each in last) >= share * len(last) > sum(each < found for each in last) - 1e-9
    assert latency.mean is not None
    assert min(times) - 1e-9 <= latency.mean <= max(times) + 1e-9

"""Whether the market's numbers may be believed: stale inputs, jumps, sources; and the market itself, asset by asset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serve.breaker import View
from serve.clock import HOUR, SECOND
from serve.events import Heartbeat, Started
from serve.oracle import Price
from serve.states import RiskState
from tests.serve.support import SPOT, START, quote
from tests.serve.watching import BREAKERS, CALM, MINUTE, at, bar, fed, seen, silent, told

DAY = 24 * HOUR
BOTH = {"BTC": True, "ETH": True}


def ether(time: int, spot: float = 1_000.0, **changes: Any) -> View:
    """At a quote of ETH, BTC's being as it was."""
    now = quote(time, spot, asset="ETH")
    prices = {**CALM.prices, "ETH": Price("ETH", spot, True, ())}
    return seen(now, **{"quotes": {"BTC": quote(START), "ETH": now}, "prices": prices, "market_open": BOTH, **changes})


class TestStaleInput:
    @pytest.mark.parametrize("name", ["spot:BTC", "mark:BTC", "funding:BTC", "surface:BTC"])
    def test_each_price_has_its_own_age(self, name: str) -> None:
        ages = {**CALM.ages, name: 2701 * SECOND}
        views = [seen(Heartbeat(START + k * DAY), ages=ages if k else CALM.ages) for k in range(3)]
        assert f"{name} is 2701.0 s old, limit 2700 s" in fed("stale_input", views).reason

    @pytest.mark.parametrize("name", ["orders", "positions", "balance"])
    def test_a_venue_that_does_not_report_is_stale_too(self, name: str) -> None:
        heard = {each: 0 for each in ("orders", "positions", "balance") if each != name}
        views = [seen(Heartbeat(START + k * 7 * DAY), ages={**CALM.ages, **heard}) for k in range(4)]
        assert fed("stale_input", views[:2]).level is RiskState.ACTIVE
        assert f"{name} is 1814400.0 s old" in fed("stale_input", views).reason

    def test_an_account_that_is_the_book_and_is_not_read_is_stale(self) -> None:
        """By the limit of positions."""
        ages = {**CALM.ages, **dict.fromkeys(("orders", "positions", "balance"), 0), "account": 30 * DAY}
        views = [seen(Heartbeat(START + k * 7 * DAY), ages=ages) for k in range(4)]
        assert "account is 1814400.0 s old" in fed("stale_input", views).reason

    def test_a_feed_that_never_came_is_stale(self) -> None:
        views = [seen(Heartbeat(START + k * HOUR), ages={}) for k in range(3)]
        assert fed("stale_input", views[:1]).level is RiskState.ACTIVE
        assert "spot:BTC is 7200.0 s old" in fed("stale_input", views).reason

    def test_after_a_restart_each_has_as_long_to_come_again(self) -> None:
        """What was away for a day, and two events before the first quote; one that stays away is stale all the same."""
        back, ages = START + DAY, dict.fromkeys(CALM.ages, DAY)
        away = [
            seen(event, ages=ages) for event in (Started(back, *[""] * 4), Heartbeat(back + 1), Heartbeat(back + 2))
        ]
        late = [seen(Heartbeat(back + HOUR + k), ages=ages) for k in range(2)]
        assert fed("stale_input", [at(START), *away]).level is RiskState.ACTIVE
        assert fed("stale_input", [at(START), *away[1:]]).level is RiskState.REDUCING
        assert fed("stale_input", [at(START), *away, *late]).level is RiskState.REDUCING

    def test_a_feed_that_repeats_itself_is_stale(self) -> None:
        old = {**CALM.ages, "spot:BTC": DAY}
        repeated = [at(START + 2 * DAY + k, ages=old) for k in range(2)]
        assert fed("stale_input", [at(START), *repeated]).level is RiskState.REDUCING

    def test_a_shut_market_does_not_age_and_has_time_to_open(self) -> None:
        def weekend(time: int, is_open: bool) -> View:
            return seen(Heartbeat(time), ages=dict.fromkeys(CALM.ages, time - START), market_open={"BTC": is_open})

        shut = [weekend(START + k * HOUR, False) for k in range(1, 49)]
        opened = [weekend(START + 48 * HOUR + k * 20 * MINUTE, True) for k in range(1, 5)]
        assert fed("stale_input", [at(START), *shut, *opened[:2]]).level is RiskState.ACTIVE
        assert fed("stale_input", [at(START), *shut, *opened]).level is RiskState.REDUCING

    def test_confirmed_staleness_stays_confirmed(self) -> None:
        monitor = fed("stale_input", [at(START), *(silent(START + HOUR + k, 2701) for k in range(5))])
        assert (monitor.level, monitor.suspicious, len(monitor.trips)) == (RiskState.REDUCING, False, 1)


class TestPriceJump:
    def test_an_index_that_moves_alone_is_no_jump(self) -> None:
        alone = [replace(at(START + k * MINUTE, SPOT * 1.5), prices=CALM.prices) for k in range(1, 4)]
        assert fed("price_jump", [at(START), *alone]).reason == ""

    def test_a_bad_tick_while_reducing_is_doubted_too(self) -> None:
        views = [at(START), *(at(START + k, SPOT * 0.9) for k in (1, 2, 3)), at(START + 4, SPOT * 1.5)]
        monitor = fed("price_jump", views)
        assert (monitor.level, monitor.suspicious, len(monitor.trips)) == (RiskState.REDUCING, True, 1)

    def test_one_bad_tick_clears_itself(self) -> None:
        views = [at(START), at(START + MINUTE, SPOT * 1.5), at(START + 2 * MINUTE), at(START + 3 * MINUTE, SPOT * 1.5)]
        assert fed("price_jump", [*views, at(START + 4 * MINUTE)]).level is RiskState.ACTIVE

    def test_a_jump_that_stays_is_confirmed_once_and_recovers_by_rungs(self) -> None:
        after = [at(START + k * 20 * MINUTE, SPOT * 0.9) for k in range(1, 12)]
        assert fed("price_jump", [at(START), after[0]]).suspicious
        monitor = fed("price_jump", [at(START), *after[:2]])
        assert monitor.level is RiskState.REDUCING
        assert "from 20000.00 to 18000.00 in 2400 s: 10.54%" in monitor.reason
        levels = [fed("price_jump", [at(START), *after[:k]]).level.name for k in range(5, 12)]
        assert levels == ["REDUCING"] + ["FALLBACK"] * 3 + ["ACTIVE"] * 3

    def test_moves_between_exit_and_entry_hold(self) -> None:
        steps = [at(START + HOUR * k, SPOT * 0.9 * 1.04 ** (k % 2)) for k in range(1, 12)]
        monitor = fed("price_jump", [at(START), at(START + 1, SPOT * 0.9), at(START + 2, SPOT * 0.9), *steps])
        assert (monitor.level, len(monitor.trips)) == (RiskState.REDUCING, 1)

    def test_sigmas_count_once_the_filter_is_warm(self) -> None:
        moved = [at(START), *(at(START + k * MINUTE, SPOT * 1.05, volatility={"BTC": 0.3}) for k in (1, 2))]
        assert fed("price_jump", moved).level is RiskState.REDUCING
        cold = [replace(view, volatility={}) for view in moved]
        assert fed("price_jump", cold).level is RiskState.ACTIVE

    def test_a_calm_asset_does_not_clear_the_doubt_of_another(self) -> None:
        two = {"market_open": BOTH}
        views = [at(START, **two), ether(START), at(START + 1, SPOT * 1.5, **two), ether(START + 2)]
        assert fed("price_jump", views).suspicious
        assert not fed("price_jump", [*views, at(START + 3, **two)]).suspicious


class TestOracleDeviation:
    def test_one_source_that_is_off_moves_nothing(self) -> None:
        assert fed("oracle_deviation", [told(START + k, SPOT, SPOT * 2, SPOT) for k in range(3)]).reason == ""

    def test_sources_that_fall_silent_are_a_breach(self) -> None:
        """Doubted at once, confirmed when they stay silent for a minute, over at the first word of them."""
        silent = [told(START + k * SECOND, SPOT, SPOT, age=HOUR) for k in (0, 1, 59, 60)]
        assert (fed("oracle_deviation", silent[:3]).suspicious, fed("oracle_deviation", silent[:3]).reason) == (
            True,
            "",
        )
        assert "has no quorum: 20,000.00 by 1 of 3 sources (index 0.0 s" in fed("oracle_deviation", silent).reason
        assert not fed("oracle_deviation", [*silent[:3], told(START + 60 * SECOND, SPOT, SPOT)]).suspicious

    def test_a_quorum_lost_anew_has_a_minute_of_its_own(self) -> None:
        gaps = [told(START + k * 40 * SECOND, SPOT, SPOT, age=HOUR * (k % 2)) for k in range(9)]
        assert fed("oracle_deviation", gaps).reason == ""

    def test_two_that_disagree_make_no_price(self) -> None:
        assert (
            "has no quorum" in fed("oracle_deviation", [told(START + k * MINUTE, SPOT * 1.5) for k in range(2)]).reason
        )


class TestLiquidityCollapse:
    def test_a_thin_book_counts_as_a_wide_one_does(self) -> None:
        thin = [at(START + k, quoted={"depth": 9_000.0}) for k in range(2)]
        assert "depth of BTC is 9,000, limit 10,000" in fed("liquidity_collapse", thin).reason


class TestAssets:
    """One asset's news neither confirms nor clears another's breach."""

    wide = staticmethod(lambda time: at(time, quoted={"half_spread": 0.02}, market_open=BOTH))

    def test_a_breach_is_not_confirmed_by_another_assets_quote(self) -> None:
        stuck = {"quotes": {"BTC": quote(START, half_spread=0.02), "ETH": quote(START, asset="ETH")}}
        others = [ether(START + k, **stuck) for k in range(1, 9)]
        monitor = fed("liquidity_collapse", [self.wide(START), *others])
        assert (monitor.level, monitor.suspicious) == (RiskState.ACTIVE, True)
        assert fed("liquidity_collapse", [self.wide(START), *others, self.wide(START + 9)]).level is RiskState.REDUCING

    def test_a_breach_is_not_cleared_by_another_assets_quote(self) -> None:
        stuck = {"quotes": {"BTC": quote(START, half_spread=0.02), "ETH": quote(START, asset="ETH")}}
        views = [self.wide(START), self.wide(START + 1), *(ether(START + k * HOUR, **stuck) for k in range(1, 9))]
        assert fed("liquidity_collapse", views).level is RiskState.REDUCING

    @pytest.mark.parametrize("name", ["volatility_spike", "liquidation_cascade"])
    def test_a_cold_filter_says_nothing(self, name: str) -> None:
        assert BREAKERS[name].judge(bar(START, volatility={}, intensity={}), ()) == (None, ())

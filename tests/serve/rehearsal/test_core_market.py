"""The market of a rehearsal: it goes through the hours it was made of, and is the same every time."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest

from envs.history import load_bars
from envs.types import BadInput
from serve.clock import HOUR, parse, show
from serve.rehearsal.exchange import Exchange
from serve.rehearsal.listing import listed
from serve.rehearsal.market import Market, Scenario
from serve.rehearsal.types import Command, Fund, Happening, Liquidated, Move, Place, Rules, Transfer

CRASH = parse("2020-03-12T08:00")
BOTH = (("BTC", "btc"), ("ETH", "eth"))
PAIR = Scenario(parse("2022-06-13T00:00"), 3, BOTH, seed=4)


def everything(scenario: Scenario, given: int = 0) -> list[Command]:
    market = Market(scenario, given)
    return list(market.commands(market.ends))


def test_each_hour_has_its_own_open_low_high_and_nearly_its_close() -> None:
    for asset, data in BOTH:
        bars = load_bars(data).window(show(PAIR.first), show(PAIR.first + 2 * HOUR)).frame
        moves = [each for each in everything(PAIR) if isinstance(each, Move) and each.asset == asset]
        for hour in range(3):
            path = [float(each.index) for each in moves[hour * 60 : hour * 60 + 60]]
            bar = bars.iloc[hour]
            assert [path[0], min(path), max(path)] == pytest.approx([bar.open, bar.low, bar.high], abs=0.01)
            assert path[-1] == pytest.approx(bar.close, rel=0.01)


def test_the_same_seed_gives_the_same_commands_and_another_does_not() -> None:
    assert everything(PAIR) == everything(PAIR)
    assert everything(PAIR) != everything(Scenario(PAIR.first, 3, BOTH, seed=5))


def test_no_two_commands_come_at_one_time_and_a_restart_gives_the_rest() -> None:
    whole = everything(PAIR)
    times = [each.time for each in whole]
    assert times == sorted(set(times))
    for cut in (0, 1, 7, len(whole) - 1):
        assert everything(PAIR, whole[cut].time) == whole[cut + 1 :]


def test_commands_are_given_once_and_only_up_to_the_time_asked_for() -> None:
    market = Market(PAIR)
    first = list(market.commands(market.starts + HOUR - 1))
    assert first[-1].time < market.starts + HOUR
    assert list(market.commands(market.starts + HOUR - 1)) == []
    assert first + list(market.commands(market.ends)) == everything(PAIR)


def test_funding_is_paid_every_hour_and_a_crowd_comes_on_credit() -> None:
    whole = everything(PAIR)
    assert sum(isinstance(each, Fund) for each in whole) == 3
    money = {each.account: each.amount for each in whole if isinstance(each, Transfer)}
    placed = [each for each in whole if isinstance(each, Place)]
    assert {each.account for each in placed} == set(money)
    spots, sides = Market(PAIR).spots(), defaultdict[bool, int](int)
    for each in placed:
        notional = abs(each.units) * spots[each.instrument.removesuffix("-PERP")]
        assert 7 < notional / money[each.account] < 30
        sides[each.units > 0] += 1
    assert sides[True] > 0 < sides[False]


def test_the_past_is_there_to_be_asked_for() -> None:
    past = Market(PAIR).past("ETH")
    assert past[-1].time == PAIR.first - HOUR
    assert past[0].low <= past[0].open <= past[0].high


@pytest.mark.parametrize(
    "scenario",
    [Scenario(parse("2031-01-01T00:00"), 2), Scenario(PAIR.first + 60_000, 2), Scenario(parse("2025-06-30T20:00"), 48)],
)
def test_hours_that_the_data_lacks_are_refused(scenario: Scenario) -> None:
    with pytest.raises(BadInput):
        Market(scenario)


def test_a_crash_liquidates_the_crowd_and_thins_the_book() -> None:
    market = Market(Scenario(CRASH, 5, seed=1))
    exchange = Exchange(Rules(listed(market.spots(), market.starts), 1, insurance=Decimal(50_000)))
    told, depths = list[Happening](), list[float]()
    for command in market.commands(market.ends):
        told += exchange.apply(command)
        depths += [command.depth] if isinstance(command, Move) else []
    assert sum(isinstance(each, Liquidated) for each in told) >= 3
    assert min(depths) < 0.1 * max(depths)
    assert exchange.total("USDC") == exchange.total("BTC") == 0


def test_what_is_listed_lies_around_the_spot() -> None:
    for spot in ("63210.55", "1843.2", "0.52"):
        instruments = listed({"BTC": Decimal(spot), "ETH": Decimal(100)}, PAIR.first)
        names = [each.name for each in instruments]
        assert len(set(names)) == len(names) == 24
        strikes = sorted({each.strike for each in instruments if each.strike is not None})
        assert strikes[0] < Decimal(spot) < strikes[-1]
        for each in instruments:
            price = Decimal(spot) if each.base == "BTC" else Decimal(100)
            assert each.tick < price / 1000
            assert each.lot * price < 200
            assert each.expiry is None or each.expiry > PAIR.first + 24 * HOUR

"""The market of a rehearsal: it goes through the hours it was made of, and is the same every time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from envs.history import load_bars
from envs.types import BadInput
from serve.clock import HOUR, parse, show
from serve.rehearsal.exchange import Exchange
from serve.rehearsal.listing import listed
from serve.rehearsal.market import Market, Scenario
from serve.rehearsal.types import Command, Fund, Happening, Liquidated, Move, Place, Rules, Transfer

FIRST, CRASH = parse("2022-06-13T00:00"), parse("2020-03-12T08:00")


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return Scenario(CRASH, 5, (("BTC", cut("btc", CRASH, tmp_path_factory.mktemp("crash"))),), seed=1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    folder = tmp_path_factory.mktemp("pair")
    return Scenario(FIRST, 3, tuple((name.upper(), cut(name, FIRST, folder)) for name in ("btc", "eth")), seed=4)


def cut(name: str, first: int, folder: Path) -> str:
    """A file with a few of the hours that are shipped, quick to read."""
    frame = load_bars(name).window(show(first - 10 * HOUR), show(first + 8 * HOUR)).frame
    path = folder / f"{name}.csv"
    frame.assign(splice=frame["splice"].astype(int)).to_csv(path, index_label="time", date_format="%Y-%m-%dT%H:%M:%SZ")
    return str(path)


def everything(scenario: Scenario, given: int = 0) -> list[Command]:
    market = Market(scenario, given)
    return list(market.commands(market.ends))


def test_each_hour_has_its_own_open_low_high_and_nearly_its_close(pair: Scenario) -> None:
    for asset, data in pair.data:
        bars = load_bars(data).window(show(FIRST), show(FIRST + 2 * HOUR)).frame
        moves = [each for each in everything(pair) if isinstance(each, Move) and each.asset == asset]
        for hour in range(3):
            path = [float(each.index) for each in moves[hour * 60 : hour * 60 + 60]]
            bar = bars.iloc[hour]
            assert [path[0], min(path), max(path)] == pytest.approx([bar.open, bar.low, bar.high], abs=0.01)
            assert path[-1] == pytest.approx(bar.close, rel=0.01)


def test_the_same_seed_gives_the_same_commands_and_another_does_not(pair: Scenario) -> None:
    assert everything(pair) == everything(pair)
    assert everything(pair) != everything(replace(pair, seed=5))


def test_no_two_commands_come_at_one_time_and_a_restart_gives_the_rest(pair: Scenario) -> None:
    whole = everything(pair)
    times = [each.time for each in whole]
    assert times == sorted(set(times))
    for cut in (0, 1, 7, len(whole) - 1):
        assert everything(pair, whole[cut].time) == whole[cut + 1 :]


def test_commands_are_given_once_and_only_up_to_the_time_asked_for(pair: Scenario) -> None:
    market = Market(pair)
    first = list(market.commands(market.starts + HOUR - 1))
    assert first[-1].time < market.starts + HOUR
    assert list(market.commands(market.starts + HOUR - 1)) == []
    assert first + list(market.commands(market.ends)) == everything(pair)


def test_funding_is_paid_every_hour_and_a_crowd_comes_on_credit(pair: Scenario) -> None:
    whole = everything(pair)
    assert sum(isinstance(each, Fund) for each in whole) == 3
    money = {each.account: each.amount for each in whole if isinstance(each, Transfer)}
    placed = [each for each in whole if isinstance(each, Place)]
    assert {each.account for each in placed} == set(money)
    spots, sides = Market(pair).spots(), defaultdict[bool, int](int)
    for each in placed:
        notional = abs(each.units) * spots[each.instrument.removesuffix("-PERP")]
        assert 7 < notional / money[each.account] < 30
        sides[each.units > 0] += 1
    assert sides[True] > 0 < sides[False]


def test_the_past_is_there_to_be_asked_for(pair: Scenario) -> None:
    past = Market(pair).past("ETH")
    assert past[-1].time == FIRST - HOUR
    assert past[0].low <= past[0].open <= past[0].high


@pytest.mark.parametrize("wrong", [{"first": FIRST + 365 * 24 * HOUR}, {"first": FIRST + 60_000}, {"hours": 10}])
def test_hours_that_the_data_lacks_are_refused(pair: Scenario, wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput):
        Market(replace(pair, **wrong))


def test_a_crash_liquidates_the_crowd_and_thins_the_book(crash: Scenario) -> None:
    market = Market(crash)
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
        instruments = listed({"BTC": Decimal(spot), "ETH": Decimal(100)}, FIRST)
        names = [each.name for each in instruments]
        assert len(set(names)) == len(names) == 25
        strikes = sorted({each.strike for each in instruments if each.strike is not None})
        assert strikes[0] < Decimal(spot) < strikes[-1]
        for each in instruments:
            price = Decimal(spot) if each.base == "BTC" else Decimal(100)
            assert each.tick < price / 1000
            assert each.lot * price < 1000
            assert each.expiry is None or each.expiry > FIRST + 24 * HOUR

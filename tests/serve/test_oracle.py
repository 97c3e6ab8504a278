"""The oracle: what one source that is off, old or behind does, what is left without a quorum, and who hears of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.types import BadInput
from serve import codec
from serve.clock import HOUR, SECOND
from serve.commands import Decision, Denied, Output, SubmitOrder
from serve.config import ServeConfig
from serve.engine import Engine
from serve.events import Event, SourcePrice
from serve.oracle import Price, Rules, Sources, priced
from serve.state import State
from serve.states import RiskState
from tests.serve.books import fold
from tests.serve.support import SPOT, START, call, history, quote, raw_config, reports, started

NAMES = ("north", "south", "west")
THREE = Rules(stale_seconds=60, deviation=0.01, assets={"BTC": Sources(names=NAMES, quorum=3)})
SETTINGS: dict[str, Any] = {"oracle": THREE.model_dump()}
NOW = START + HOUR


def asked(index: float = SPOT, rules: Rules = THREE, **said: tuple[float, int]) -> Price:
    """`said`: price and age in milliseconds, by source."""
    told = {name: SourcePrice(NOW, "BTC", name, price, NOW - age) for name, (price, age) in said.items()}
    return priced(rules, {"BTC": quote(NOW, index)}, {"BTC": told}, NOW)["BTC"]


def verdicts(price: Price) -> dict[str, str]:
    return {each.source: each.verdict for each in price.sources}


def test_one_that_is_off_does_not_move_the_price() -> None:
    price = asked(SPOT + 10, north=(SPOT + 20, 0), south=(SPOT * 3, 0), west=(SPOT, 0))
    assert (price.value, price.quorate) == (SPOT + 10, True)
    assert verdicts(price) == {"index": "counts", "north": "counts", "south": "far", "west": "counts"}


def test_an_index_that_is_off_is_told_from_the_price() -> None:
    price = asked(SPOT * 0.9, north=(SPOT, 0), south=(SPOT + 2, 0), west=(SPOT + 4, 0))
    assert (price.value, price.quorate, verdicts(price)["index"]) == (SPOT + 2, True, "far")
    assert price.off(SPOT * 0.9) == pytest.approx(0.1055, abs=1e-4)


def test_one_that_is_old_does_not_count_from_its_limit_on() -> None:
    for age, verdict in ((60_000, "counts"), (60_001, "stale")):
        price = asked(SPOT, north=(SPOT + 60, age), south=(SPOT, 0), west=(SPOT, 0))
        assert verdicts(price)["north"] == verdict
    assert price.value == SPOT
    assert "north 60.0 s stale" in price.words()


def test_one_that_lags_behind_a_fall_does_not_hold_the_price_up() -> None:
    """It stamps its old price anew at every tick, so only its distance gives it away."""
    told = [asked(now, north=(now - 1, 0), south=(SPOT, 0), west=(now + 1, 0)) for now in (SPOT, 19_500, 19_000)]
    assert [each.value for each in told] == [SPOT, 19_500, 19_000]
    assert [verdicts(each)["south"] for each in told] == ["counts", "far", "far"]


def test_a_quorum_that_is_lost_leaves_the_index_and_says_so() -> None:
    price = asked(SPOT, north=(SPOT + 4, 0), south=(SPOT, 61_000))
    assert (price.value, price.quorate) == (SPOT, False)
    assert price.words() == "20,000.00 by 2 of 4 sources (index 0.0 s, north 0.0 s, south 61.0 s stale, west silent)"


@given(st.lists(st.floats(0.991, 1.009), min_size=3, max_size=3), st.floats(1e-6, 1e6), st.integers(0, 2))
def test_no_single_source_takes_the_price_out_of_the_others_range(honest: list[float], lie: float, place: int) -> None:
    """Three honest voices, the index one of them, and any fourth."""
    voices = [SPOT * each for each in honest]
    liar = NAMES[place]
    said = dict(zip([name for name in NAMES if name != liar], voices[1:], strict=True)) | {liar: SPOT * lie}
    loose = THREE.model_copy(update={"deviation": 0.04})
    price = asked(voices[0], loose, **{name: (value, 0) for name, value in said.items()})
    assert price.quorate
    assert min(voices) <= price.value <= max(voices)


@pytest.mark.parametrize(
    ("names", "quorum", "words"),
    [(("a", "a"), 1, "comes twice"), (("index",), 1, "always counts"), (("a",), 3, "more than there are")],
)
def test_settings_that_cannot_be(names: tuple[str, ...], quorum: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Sources(names=names, quorum=quorum)


def test_an_asset_without_sources_in_the_settings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"oracle\.assets\.BTC is missing"):
        ServeConfig.model_validate(raw_config(oracle__assets={}))
    raw = raw_config()
    del raw["oracle"]["stale_seconds"]
    with pytest.raises(ValueError, match=r"oracle\.stale_seconds"):
        ServeConfig.model_validate(raw)


def said(time: int, *prices: float) -> list[Event]:
    return [SourcePrice(time, "BTC", name, price, time) for name, price in zip(NAMES, prices, strict=True)]


def run(events: list[Event], **changes: Any) -> tuple[State, list[Output]]:
    engine = Engine.opened(started(with_model=False, **SETTINGS, **changes))
    return fold(engine, [started(with_model=False, **SETTINGS, **changes), *reports(), history(), *events])


def test_the_collar_is_around_the_oracle_and_a_denial_carries_what_it_knew() -> None:
    """The index and the mark agree 1.5 % above the others: within the collar of the index, beyond the oracle's."""
    high = SPOT * 1.015
    events = [*said(START + 1, *[SPOT] * 3), quote(START + 2, mark=high), call(START + 3)]
    for collar, sends in (("0.02", True), ("0.01", False)):
        _, outputs = run(events, limits__collar=collar)
        assert any(isinstance(each, SubmitOrder) for each in outputs) is sends
    (denied,) = (each for each in outputs if isinstance(each, Denied))
    assert "mark is 1.50% from the oracle's price" in denied.reason
    assert denied.price is not None
    assert [(each.source, each.age) for each in denied.price.sources] == [("index", 1), *((name, 2) for name in NAMES)]
    assert codec.decode(codec.encode(denied)) == denied


def test_a_limit_price_follows_the_oracle_and_not_the_index() -> None:
    """The index is 0.9 % low and counts; the median of the four is what the collar is around."""
    events = [*said(START + 1, SPOT, SPOT, SPOT), quote(START + 2, SPOT * 0.991, mark=SPOT), call(START + 3)]
    _, outputs = run(events, limits__collar="0.001")
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    assert order.limit == 20_020
    (made,) = (each for each in outputs if isinstance(each, Decision))
    (price,) = made.prices
    assert (price.value, price.quorate, {each.age for each in price.sources}) == (SPOT, True, {1, 2})


def test_without_a_quorum_nothing_is_decided_and_then_only_what_shrinks_risk() -> None:
    first: list[Event] = [*said(START + 1, *[SPOT] * 3), quote(START + 2)]
    silent: list[Event] = [quote(START + 61 * SECOND + k) for k in (2, 3)]
    state, outputs = run([*first, *silent, call(START + 62 * SECOND)])
    assert state.monitors["oracle_deviation"].suspicious
    assert not [each for each in outputs if isinstance(each, SubmitOrder)]
    late: list[Event] = [quote(START + 122 * SECOND)]
    state, outputs = run([*first, *silent, call(START + 62 * SECOND), *late])
    assert (state.risk, state.strictest()[:37]) == (RiskState.REDUCING, "oracle_deviation: BTC has no quorum: ")
    assert [each.units > 0 for each in outputs if isinstance(each, SubmitOrder)] == [True]


def test_liquidation_is_nearer_by_as_much_as_the_index_is_off() -> None:
    events = [*said(START + 1, *[SPOT] * 3), quote(START + 2), call(START + 3)]
    calm, _ = run([*events, quote(START + 4)])
    low, _ = run([*events, *said(START + 4, *[SPOT * 0.95] * 3), quote(START + 5)])
    assert calm.distance is not None
    assert low.distance == pytest.approx(calm.distance - 0.05, rel=1e-3)


def test_a_session_of_settings_without_an_oracle_is_refused_in_one_line() -> None:
    old = started(with_model=False)
    raw = {name: value for name, value in raw_config().items() if name != "oracle"}
    bad = type(old)(old.time, codec.canonical(raw).decode(), old.task, old.trained, old.model)
    with pytest.raises(BadInput, match=r"^config: oracle.*$"):
        Engine.opened(bad)

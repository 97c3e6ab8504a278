"""Bands and slices that follow the market, and prices that no order goes beyond."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import card
from envs import decision
from serve.commands import Decision, Denied, Output, SubmitOrder
from serve.config import Bands, Execution, Target
from serve.engine import Engine
from serve.events import Event, Operator
from serve.executing import Climate, shrunk, strain, width
from serve.feed import QuoteModel
from serve.holdings import DTYPE, Book
from serve.market import Market, Sight
from serve.state import State
from tests.serve.support import ASSETS, CALM, LEGS, SPOT, START, TARGET, call, opening, quote, started

BANDS = Bands(**CALM, calm_width=1.6, stress_width=0.4)
EXECUTION = Execution(
    **CALM, depth_share=0.5, stress_share=0.25, slice_seconds=60, slippage=0.01, option_slippage=0.2, resting_seconds=0
)
D = Decimal


@pytest.mark.parametrize(
    ("volatility", "intensity", "strained"),
    [(0.5, 1.0, 0.0), (1.0, 1.5, 0.0), (3.0, 1.0, 1.0), (9.0, 9.0, 1.0), (3**0.5, 1.0, 0.5), (1.0, 4.5**0.5, 0.5)],
)
def test_strain_is_the_worse_of_two_readings(volatility: float, intensity: float, strained: float) -> None:
    climate = Climate(volatility, intensity)
    assert strain(BANDS, climate) == pytest.approx(strained, abs=1e-12)
    assert width(BANDS, climate) == pytest.approx(1.6 ** (1 - strained) * 0.4**strained)
    assert float(shrunk(EXECUTION, climate)) == pytest.approx(1 - 0.75 * strained)


@given(st.floats(0.05, 20), st.floats(1, 20), st.floats(1, 3))
def test_more_stress_never_widens_a_band_nor_enlarges_a_slice(volatility: float, intensity: float, more: float) -> None:
    calm, worse = Climate(volatility, intensity), Climate(volatility * more, intensity * more)
    assert width(BANDS, worse) <= width(BANDS, calm)
    assert shrunk(EXECUTION, worse) <= shrunk(EXECUTION, calm)


@cache
def engine(**changes: Any) -> Engine:
    return Engine.opened(started(with_model=False, **changes))


def fold(events: list[Event], **changes: Any) -> tuple[State, list[Output]]:
    made = engine(**changes)
    state, outputs = made.initial(), list[Output]()
    for event in [started(with_model=False, **changes), *events]:
        state, more = made.step(state, event)
        outputs += more
    return state, outputs


def stressed(state: State, volatility: float) -> State:
    """With another filtered volatility."""
    return replace(state, pasts={name: replace(past, volatility=volatility) for name, past in state.pasts.items()})


def decided(state: State, **changes: Any) -> Decision:
    _, outputs = engine(**changes).step(state, call(START + 5, name="call-2", units="-0.001"))
    return next(each for each in outputs if isinstance(each, Decision))


def test_the_analytic_band_is_wider_in_calm_and_tighter_in_stress() -> None:
    """The widths that the rule says, of the tuned band, around the same book."""
    changes: dict[str, Any] = {"bands__calm_width": 1.6, "bands__stress_width": 0.4}
    events = [*opening()[1:-1]]
    state, _ = fold(events, **changes)
    calm, stress = (decided(stressed(state, volatility), **changes) for volatility in (0.3, 6.0))
    plain = decided(stressed(fold(events)[0], 0.6))
    sizes = [(made.legs[0].upper - made.legs[0].lower) for made in (calm, plain, stress)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[0] / sizes[1] == pytest.approx(1.6, rel=0.01)
    assert sizes[2] / sizes[1] == pytest.approx(0.4, rel=0.01)


def test_a_slice_is_what_the_depth_allows_and_less_under_stress() -> None:
    """Of 5 M at 20,000: 250 units deep, of which 1 % calm; a quarter of that under stress."""
    changes: dict[str, Any] = {"execution__depth_share": 0.01, "execution__stress_share": 0.25}
    before, _ = fold(opening()[1:-1], **changes)
    for volatility, size in ((0.3, "2.500"), (6.0, "0.625")):
        _, outputs = engine(**changes).step(stressed(before, volatility), call(START + 5))
        (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
        (denied,) = (each for each in outputs if isinstance(each, Denied))
        assert (order.units, denied.reason) == (D(size), f"sliced to {size}")


@pytest.mark.parametrize(
    ("slippage", "collar", "mark", "limit"),
    [(0.001, "0.02", SPOT, "20020"), (0.02, "0.005", SPOT, "20100"), (0.01, "0.005", SPOT * 1.001, "20100")],
)
def test_no_order_walks_the_book_beyond_the_stated_slippage(
    slippage: float, collar: str, mark: float, limit: str
) -> None:
    changes: dict[str, Any] = {"execution__slippage": slippage, "limits__collar": collar}
    *before, _, sold = opening()[1:]
    _, outputs = fold([*before, quote(START + 1, mark=mark), sold], **changes)
    (order,) = (each for each in outputs if isinstance(each, SubmitOrder))
    assert order.limit == D(limit)
    assert order.expires_at == order.time + 30_000


def test_a_persons_override_of_a_soft_limit_is_recorded_and_runs_out() -> None:
    tight: dict[str, Any] = {"limits__legs__BTC-PERP__position": {"soft": "2", "hard": "3"}}
    sent = {}
    for name, events in {
        "before": [],
        "lifted": [Operator(START + 2, "override", "ann", "expiry week", "position:BTC-PERP")],
        "late": [Operator(START - 600_000, "override", "ann", "expiry week", "position:BTC-PERP")],
    }.items():
        early = [event for event in events if event.time < START]
        first = started(START - 700_000, with_model=False, **tight)
        *usual, sold = opening()[1:]
        later = [replace(sold, time=START + 3)] if sold else []
        made = Engine.opened(first)
        state, outputs = made.initial(), list[Output]()
        for event in [first, *early, *usual, *(each for each in events if each.time >= START), *later]:
            state, more = made.step(state, event)
            outputs += more
        sent[name] = sum(each.units for each in outputs if isinstance(each, SubmitOrder))
    assert sent == {"before": 2, "lifted": 3, "late": 2}


def band_of_the_shipped_policy(moves: list[float]) -> tuple[float, float]:
    """The width that it sets around a short call after 150 calm hours and `moves`, and the tuned band's there."""
    model = card.load(Path(__file__).parents[2] / "models" / "short_call", DTYPE)
    market, closes = Market(model.card.task, ASSETS, LEGS), [SPOT * (1 + 0.002 * (-1) ** k) for k in range(150)]
    for move in moves:
        closes.append(closes[-1] * (1 + move))
    now = QuoteModel(market, "BTC", tuple(closes)).quote(START, closes[-1])
    sight = Sight(
        time=START,
        quotes=(now,),
        memories=(market.remembered(0, closes),),
        book=Book().traded(call(strike=now.spot, bars=360).holding),
        positions=(D(5),),
        cash=(D(-5) * D(repr(now.spot)),),
        claims_cash=D(5000),
        coins=(D(0),),
        listings=(None,),
        targets=(Target(**TARGET),),
        smiles=(None,),
    )
    seen = market.situation(sight).observation
    band = decision.read(model.network(seen.features).detach(), seen)
    return float(band.upper - band.lower), 2 * float(seen.half_width)


def test_the_learned_band_is_wider_in_calm_and_tighter_in_stress() -> None:
    """As learned, not by a rule: also over the tuned band at the same time, which follows gamma and cost alone."""
    found = [band_of_the_shipped_policy(moves) for moves in ([], [-0.03, 0.02] * 4, [-0.03, 0.03] * 20)]
    widths, shares = [width for width, _ in found], [width / tuned for width, tuned in found]
    assert widths[0] > 1.5 * widths[1] > 2 * widths[2] > 0
    assert shares[0] > 1.3 * shares[1] > 1.5 * shares[2] > 0

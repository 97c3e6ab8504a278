"""Listed volatilities: what is listed prices book, hedges and observation, by the code that the simulator uses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from envs.pricing import binomial, black_scholes
from serve.clock import HOUR, SECOND
from serve.commands import Dropped, Output, Transition
from serve.engine import Engine
from serve.events import BookTraded, Event, Heartbeat, SurfaceQuote
from serve.exposure import net
from serve.holdings import DTYPE
from serve.market import Listing, Market
from serve.smile import Point, Smile, between
from serve.state import State
from serve.venues.screen import Screen
from tests.serve.books import OPTION_LEGS, option_task
from tests.serve.support import ASSETS, SPOT, START, call, history, opening, quote, reports, started

NOW, EXPIRY = START + 3, START + 2 + 48 * HOUR


@cache
def engine() -> Engine:
    return Engine.opened(started(with_model=False))


def fold(*events: Event, state: State | None = None) -> tuple[State, list[Output]]:
    state, outputs = engine().initial() if state is None else state, list[Output]()
    for event in events:
        state, more = engine().step(state, event)
        outputs += more
    return state, outputs


@cache
def sold() -> State:
    return fold(started(with_model=False), *opening()[1:])[0]


def surface(*points: Point, at: int = NOW) -> SurfaceQuote:
    return SurfaceQuote(at, "BTC", at, points)


def modelled(state: State, *options: tuple[int, float]) -> tuple[Point, ...]:
    """The model's own volatilities of options by expiry and strike."""
    market, past = engine().setup.market, state.pasts["BTC"]
    view = market.view(state.quotes["BTC"], past.memory, None, NOW)
    strikes = torch.tensor([[strike for _, strike in options]], dtype=DTYPE)
    bars = torch.tensor([[-(-(expiry - NOW) // HOUR) for expiry, _ in options]])
    volatilities = view.surface.volatility(view.quote, view.memory, strikes, bars)[0].tolist()
    return tuple((expiry, strike, v) for (expiry, strike), v in zip(options, volatilities, strict=True))


def features(state: State) -> tuple[float, ...]:
    return engine().setup.market.observe(engine().decider.sight(state)).features


def test_a_listed_option_is_worth_what_its_volatility_says() -> None:
    """Against Black and Scholes at the volatility listed for its strike, the others' listed beside it."""
    state, _ = fold(
        surface((EXPIRY, 19_000.0, 0.9), (EXPIRY, SPOT, 0.8), (EXPIRY + 99 * HOUR, SPOT, 0.5)), state=sold()
    )
    at = (torch.tensor(v, dtype=DTYPE) for v in (SPOT, SPOT, 48 / 8760, 0.8))
    greeks, book = black_scholes.greeks(*at, call=True), state.valuations["BTC"].book
    assert book.value == pytest.approx(-10 * float(greeks.value), rel=1e-12)
    assert book.delta == pytest.approx(-10 * float(greeks.delta), rel=1e-12)
    assert book.gamma == pytest.approx(-10 * float(greeks.gamma) * SPOT / 100, rel=1e-12)
    assert book.vega == pytest.approx(-10 * float(greeks.vega) / 100, rel=1e-12)


def test_an_american_option_is_priced_on_the_tree_at_the_listed_volatility() -> None:
    held = replace(call(START + 2).holding, id="american", right="put", style="american")
    before, _ = fold(*opening()[1:-1], BookTraded(START + 2, held, call().premium * 0), state=fold(started(False))[0])
    state, _ = fold(surface((EXPIRY, SPOT, 0.8)), state=before)
    at = (torch.tensor([[v]], dtype=DTYPE) for v in (SPOT, SPOT, 48 / 8760, 0.8))
    tree = binomial.greeks(*at, call=False)
    assert state.valuations["BTC"].book.value == pytest.approx(-10 * float(tree.value), rel=1e-12)


@pytest.mark.parametrize("strikes", [(SPOT,), (15_000.0, 19_000.0, 26_000.0)])
def test_a_list_that_is_the_models_own_changes_nothing(strikes: tuple[float, ...]) -> None:
    """Valuation, stress cases and observation, at strikes and expiries that are not listed themselves."""
    before = sold()
    points = modelled(before, *((START + days * 24 * HOUR, strike) for days in (1, 9, 60) for strike in strikes))
    after, _ = fold(surface(*points), state=before)
    one, other = before.valuations["BTC"], after.valuations["BTC"]
    assert other.book.value == pytest.approx(one.book.value, rel=1e-12)
    assert other.book.vega == pytest.approx(one.book.vega, rel=1e-12)
    assert features(after) == pytest.approx(features(before), rel=1e-12, abs=1e-12)
    flat = [k for k, (spot, _) in enumerate(stresses()) if spot == 0]
    assert [other.book.stress[k] for k in flat] == pytest.approx([one.book.stress[k] for k in flat], rel=1e-9)


def stresses() -> list[tuple[float, float]]:
    stress = engine().setup.config.stress
    return [(spot, level) for spot in stress.spot for level in stress.volatility]


def test_the_observation_has_the_listed_volatility_at_the_money_over_30_days() -> None:
    (point,) = modelled(sold(), (START + 720 * HOUR, SPOT))
    state, _ = fold(surface((point[0], SPOT, 1.25 * point[2])), state=sold())
    seen = engine().setup.market.situation(engine().decider.sight(state)).observation
    assert float(seen.implied_volatility) == pytest.approx(1.25 * state.quotes["BTC"].implied_volatility, rel=1e-9)
    assert features(state) != features(sold())


def test_every_case_of_stress_moves_the_listed_volatilities_too() -> None:
    state, _ = fold(surface((EXPIRY, SPOT, 0.8)), state=sold())
    for (spot, level), change in zip(stresses(), state.valuations["BTC"].book.stress, strict=True):
        at = (torch.tensor(v, dtype=DTYPE) for v in (SPOT * (1 + spot), SPOT, 48 / 8760, 0.8 * (1 + level)))
        value = -10 * float(black_scholes.greeks(*at, call=True).value)
        assert value - state.valuations["BTC"].book.value == pytest.approx(change, rel=1e-9)


def test_between_what_is_listed_the_ratio_is_interpolated_and_beyond_it_is_flat() -> None:
    knots, values = (torch.tensor([row], dtype=DTYPE) for row in ([0.0, 1.0, 3.0, 3.0], [1.0, 2.0, 4.0, 4.0]))
    at = torch.tensor([[-5.0, 0.25, 1.0, 2.0, 9.0]], dtype=DTYPE)
    assert between(knots, values, at)[0].tolist() == [1.0, 1.25, 2.0, 3.0, 4.0]


def test_what_was_listed_keeps_pricing_as_spot_and_bars_move_on() -> None:
    state, _ = fold(surface((EXPIRY, SPOT, 0.8)), quote(START + 600 * SECOND, SPOT * 1.01), state=sold())
    at = (torch.tensor(v, dtype=DTYPE) for v in (SPOT * 1.01, SPOT, 48 / 8760, 0.8))
    value = -10 * float(black_scholes.greeks(*at, call=True).value)
    assert state.valuations["BTC"].book.value == pytest.approx(value, rel=1e-12)


def test_a_stale_surface_trips_its_breaker_and_prices_no_more() -> None:
    """2700 s by the settings; quotes go on. Then the quoted volatility and the model's smile price again."""
    state, _ = fold(surface((EXPIRY, SPOT, 0.8)), state=sold())
    ticks = [quote(NOW + seconds * SECOND) for seconds in (1200, 2400, 2699, 2701, 2702)]
    state, _ = fold(*ticks[:3], state=state)
    assert state.smiles
    state, outputs = fold(*ticks[3:], state=state)
    assert not state.smiles
    moved = [each for each in outputs if isinstance(each, Transition)]
    assert [(each.breaker, each.after) for each in moved] == [("stale_input", "REDUCING")]
    assert "surface:BTC" in moved[0].reason
    plain, _ = fold(*ticks, state=sold())
    assert state.valuations["BTC"].book == plain.valuations["BTC"].book
    fresh, _ = fold(surface((EXPIRY, SPOT, 0.8), at=NOW + 2703 * SECOND), state=state)
    assert fresh.smiles


def test_a_silent_market_fades_the_surface_with_the_time_that_passes() -> None:
    state, _ = fold(surface((EXPIRY, SPOT, 0.8)), Heartbeat(NOW + 2701 * SECOND), state=sold())
    assert not state.smiles
    assert net(state, state.valuations["BTC"], 0.0) == net(state, sold().valuations["BTC"], 0.0)


def test_a_surface_before_the_first_quote_is_refused() -> None:
    state, outputs = fold(started(with_model=False), *reports(), history(), surface((EXPIRY, SPOT, 0.8)))
    (dropped,) = (each for each in outputs if isinstance(each, Dropped))
    assert "before its first quote" in dropped.reason
    assert not state.surfaces


def test_the_paper_venue_marks_an_option_leg_at_its_listed_volatility() -> None:
    market, now = Market(option_task(), ASSETS, OPTION_LEGS), quote(START)
    memory = market.remembered(0, (SPOT, SPOT * 1.01, SPOT))
    venue = Screen(market)
    venue.show(now, memory)
    venue.listings["BTC-CALL"] = Listing(21_000.0, START + 96 * HOUR)
    listed = Smile.of([(START + 96 * HOUR, 21_000.0, 0.7)], market.view(now, memory, None, START), START, HOUR)
    venue.smiles = {"BTC": listed}
    at = (torch.tensor(v, dtype=DTYPE) for v in (SPOT, 21_000.0, 96 / 8760, 0.7))
    assert venue.mark("BTC-CALL", START) == pytest.approx(float(black_scholes.greeks(*at, call=True).value), rel=1e-12)

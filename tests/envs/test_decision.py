"""A raw action is a band in the tuned hedge's units, and an order never leaves it by more than half a lot."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agents.delta import Delta
from agents.zakamouline import Zakamouline
from envs import decision, simulated
from envs.calibration import Calibration
from envs.contract import Contract
from envs.decision import EXTREMES, Band
from envs.observation import Observation, Observer, Option
from envs.types import Quote

CALIBRATION = Calibration.load(simulated.SHIPPED_CALIBRATION)
HEDGERS = 3
raw = st.floats(-1, 1)


@pytest.fixture(scope="module")
def observer() -> Observer:
    return simulated.observer(CALIBRATION, Contract(risk_aversion=7.0), torch.float64, torch.device("cpu"))


@pytest.fixture(scope="module")
def seen(observer: Observer) -> Observation:
    """Moneyness from −40 to +40 %, an expiry bar to 30 days, calm and wide spreads: 60 paths."""
    axes = ([-0.4, -0.2, 0.0, 0.2, 0.4], [0, 1, 3, 24, 240, 720], [1e-6, 1e-3])
    moneyness, bars, spread = torch.cartesian_prod(*(torch.tensor(axis, dtype=torch.float64) for axis in axes)).T
    spot = 40_000 * moneyness.exp()
    quote = Quote(
        spot=spot,
        mark=spot * 1.0003,
        half_spread=spread,
        depth=torch.full_like(spot, 2e6),
        funding_rate=torch.full_like(spot, 0.11),
        implied_volatility=torch.linspace(0.4, 1.5, len(spot), dtype=torch.float64),
    )
    option = Option(torch.full_like(spot, 40_000.0), torch.full_like(spot, 25.0), bars.long())
    held = 25.0 * torch.tensor([0.0, 0.4, 1.1], dtype=torch.float64).expand(len(spot), HEDGERS)
    return observer.observe(quote, observer.filter.initial(len(spot)), option, held)


def observation(delta: float, band_delta: float, half_width: float) -> Observation:
    column = torch.tensor([0.5], dtype=torch.float64)
    return Observation(
        features=column.view(1, 1, 1),
        hedge=column.view(1, 1),
        spot=column,
        strike=column,
        time_to_expiry=column,
        implied_volatility=column,
        forecast_volatility=column,
        cost_rate=column,
        delta=torch.tensor([delta], dtype=torch.float64),
        dollar_gamma=column,
        band_delta=torch.tensor([band_delta], dtype=torch.float64),
        half_width=torch.tensor([half_width], dtype=torch.float64),
    )


def read(offset: float, stretch: float, delta: float = 0.5, band_delta: float = 0.52, width: float = 0.03) -> Band:
    action = torch.tensor([[[offset, stretch]]], dtype=torch.float64)
    return decision.read(action, observation(delta, band_delta, width))


def edges(band: Band) -> tuple[float, float]:
    return float(band.lower), float(band.upper)


def order(hedge: Tensor, band: Band, units: float, lot: float) -> Tensor:
    one = torch.tensor([units, lot], dtype=torch.float64)
    return decision.order(band, hedge, one[:1], one[1:])


def test_action_zero_is_the_tuned_zakamouline_hedge(seen: Observation) -> None:
    """Its band at the contract's risk aversion, within the extremes that no band passes."""
    band = decision.read(torch.zeros(*seen.hedge.shape, 2, dtype=torch.float64), seen)
    tuned = Zakamouline(7.0).band(seen)
    assert (band.lower - tuned.lower.clamp(*EXTREMES)).abs().max() < 1e-14
    assert (band.upper - tuned.upper.clamp(*EXTREMES)).abs().max() < 1e-14
    assert (band.upper - band.lower).min() > 1e-3


def test_action_zero_is_the_tuned_hedge_in_the_last_quarter_of_an_hour_too() -> None:
    source = CALIBRATION.source.model_copy(update={"bar_hours": 0.25})
    calibration = CALIBRATION.model_copy(update={"source": source})
    contract = Contract(bar_hours=0.25, risk_aversion=1000.0)
    observer = simulated.observer(calibration, contract, torch.float64, torch.device("cpu"))
    one = torch.ones(1, dtype=torch.float64)
    quote = Quote(spot=one, mark=one, half_spread=one * 1e-4, depth=one, funding_rate=one, implied_volatility=one)
    option = Option(one * 1.002, one, torch.tensor([1]))
    last = observer.observe(quote, observer.filter.initial(1), option, one[:, None])
    band, tuned = decision.read(torch.zeros(1, 1, 2, dtype=torch.float64), last), Zakamouline(1000.0).band(last)
    assert edges(band) == pytest.approx(edges(tuned), rel=1e-9)


def test_action_zero_sends_the_tuned_hedges_orders(seen: Observation) -> None:
    zero = torch.zeros(*seen.hedge.shape, 2, dtype=torch.float64)
    units, lot = torch.full_like(seen.spot, 25.0), torch.full_like(seen.spot, 0.0025)
    ours = decision.order(decision.read(zero, seen), seen.hedge, units, lot)
    theirs = decision.order(Zakamouline(7.0).band(seen), seen.hedge, units, lot)
    assert ours.tolist() == theirs.tolist()
    assert (ours != 0).any()
    assert (ours == 0).any()


def test_a_narrow_band_nears_the_black_scholes_delta(seen: Observation) -> None:
    """At full narrowing e^−5 of the half-width and of the centre's distance from the delta are left."""
    action = torch.zeros(*seen.hedge.shape, 2, dtype=torch.float64)
    action[..., 1] = -1.0
    band, delta = decision.read(action, seen), Delta().band(seen)
    away = (seen.half_width + (seen.band_delta - seen.delta).abs())[:, None] * math.exp(-5) + 1e-14
    for edge, limit in ((band.lower, delta.lower), (band.upper, delta.upper)):
        assert ((edge - limit).abs() <= away).all()


def test_the_map_by_hand() -> None:
    """Tuned centre 0.52, delta 0.5, half-width 0.03."""
    assert edges(read(0.0, 0.0)) == pytest.approx((0.49, 0.55))
    assert edges(read(1.0, 0.0)) == pytest.approx((0.58, 0.64))  # the centre moves by three half-widths
    assert edges(read(-0.5, 0.0)) == pytest.approx((0.445, 0.505))
    assert edges(read(0.0, math.log(2) / 3)) == pytest.approx((0.46, 0.58))  # twice as wide, centred as before
    centre = 0.5 + 0.25 * 0.02
    assert edges(read(0.0, -math.log(4) / 5)) == pytest.approx((centre - 0.0075, centre + 0.0075))
    assert edges(read(0.0, 1.0)) == pytest.approx((0.52 - 0.03 * math.exp(3), 0.52 + 0.03 * math.exp(3)))


@given(offset=st.floats(-100, 100), stretch=st.floats(-100, 100))
def test_actions_are_clipped(offset: float, stretch: float) -> None:
    assert edges(read(offset, stretch)) == edges(read(max(-1, min(1, offset)), max(-1, min(1, stretch))))


@given(offset=raw, stretch=raw, delta=st.floats(0, 1), band_delta=st.floats(0, 1), width=st.floats(1e-6, 1))
def test_bands_are_ordered_and_within_the_extremes(
    offset: float, stretch: float, delta: float, band_delta: float, width: float
) -> None:
    lower, upper = edges(read(offset, stretch, delta, band_delta, width))
    assert EXTREMES[0] <= lower <= upper <= EXTREMES[1]


@given(offset=raw, stretch=st.floats(-1, 0.9), more=st.floats(0.01, 0.1))
def test_the_second_action_widens_and_the_first_raises(offset: float, stretch: float, more: float) -> None:
    base, wide = edges(read(offset, stretch)), edges(read(offset, stretch + more))
    assert wide[1] - wide[0] > base[1] - base[0]
    if offset + more <= 1 and max(abs(edge) for edge in base) < 1:
        assert edges(read(offset + more, stretch))[0] > base[0]
        assert edges(read(offset + more, stretch))[1] > base[1]


@given(
    hedge=st.floats(-0.5, 1.5),
    lower=st.floats(-0.5, 1.5),
    wide=st.floats(0, 1),
    units=st.floats(1e-3, 1e6),
    fraction=st.one_of(st.just(0.0), st.floats(1e-6, 0.3)),
)
def test_orders_go_to_the_nearer_edge_in_whole_lots(
    hedge: float, lower: float, wide: float, units: float, fraction: float
) -> None:
    held = torch.tensor([[hedge]], dtype=torch.float64)
    lot, upper = fraction * units, lower + wide
    trade = float(order(held, Band(torch.full_like(held, lower), torch.full_like(held, upper)), units, lot))
    nearer = min(max(hedge, lower), upper)
    after = hedge + trade / units
    assert abs(after - nearer) <= fraction / 2 * (1 + 1e-9) + 1e-12
    if lower <= hedge <= upper:
        assert trade == 0
    assert trade * (nearer - hedge) >= 0
    if lot:
        assert trade / lot == pytest.approx(round(trade / lot), rel=1e-12)


def test_orders_by_hand() -> None:
    """25 units short, lot 0.01: from 0.2 up to 0.49, from 0.9 down to 0.55, and none from inside."""
    hedge = torch.tensor([[0.2, 0.9, 0.52, 0.4899]], dtype=torch.float64)
    trades = order(hedge, Band(torch.full_like(hedge, 0.49), torch.full_like(hedge, 0.55)), 25.0, 0.01)
    assert trades[0].tolist() == pytest.approx([7.25, -8.75, 0.0, 0.0])
    exact = order(hedge, Band(torch.full_like(hedge, 0.49), torch.full_like(hedge, 0.55)), 25.0, 0.0)
    assert exact[0].tolist() == pytest.approx([7.25, -8.75, 0.0, 0.0025])


def test_paths_have_their_own_units_and_lots() -> None:
    hedge = torch.zeros(2, 2, dtype=torch.float64)
    target = Band(hedge + 0.5, hedge + 0.5)
    trades = decision.order(target, hedge, torch.tensor([10.0, 3.0]).double(), torch.tensor([0.0, 1.0]).double())
    assert trades.tolist() == [[5.0, 5.0], [2.0, 2.0]]

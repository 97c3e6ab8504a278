"""A raw action is a band per instrument in the classical hedge's units; orders go to its edge in whole lots."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agents.classical.banded_greeks import BandedGreeks
from agents.classical.delta import Delta
from agents.classical.delta_gamma import DeltaGamma
from agents.classical.zakamouline import Zakamouline
from envs import decision
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.observation import LEAST_WIDTH, Observation
from tests.envs.worlds import F64, band, contract, free, tensor, world

AVERSION, GREEK_BAND = 7.0, 0.3
PERPETUAL = {"instrument": {"kind": "perpetual"}, "lot_fraction": 1e-4}
OPTION = {"instrument": {"kind": "option", "bars": 480}, "lot_fraction": 1e-2}
raw = st.floats(-1, 1)


def lived(hedges: list[Any], **settings: Any) -> HedgingWorld:
    """60 paths with two hedgers, five decisions before the end of 20 days: all moneyness, some hedges held."""
    bars = {"bars": 480, "decision_bars": 12}
    claims = [
        {"instrument": {"bars": 480, "moneyness": [0.8, 1.25]}},
        {"instrument": {"bars": [24, 480]}, "units": 0.3},
    ]
    rules = contract(claims=claims, hedges=hedges, risk_aversion=AVERSION, greek_band=GREEK_BAND, **bars, **settings)
    made = world(
        501, 60, rules, hedgers=2, market={"kind": "gbm", "settings": {"volatility": [0.8], "half_spread": 1e-4}}
    )
    for _ in range(rules.decisions - 5):
        made.advance(band(made, Zakamouline(3.0), BandedGreeks(30.0, 0.1)))
    return made


@pytest.fixture(scope="module")
def plain() -> HedgingWorld:
    return lived([PERPETUAL])


@pytest.fixture(scope="module")
def gammas() -> HedgingWorld:
    return lived([OPTION, PERPETUAL])


def zeros(seen: Observation) -> Tensor:
    return torch.zeros(*seen.hedge.shape[:2], 2 * seen.hedge.shape[2], dtype=F64)


def by_hand(neutral: float, centre: float, half_width: float, limit: float, seen: Observation) -> Observation:
    """An observation of one path, one hedger and one instrument, with these numbers."""
    own = {"neutral": neutral, "centre": centre, "half_width": half_width, "limit": limit, "hedge": 0.0}
    return replace(seen, **{name: tensor(value).view(1, 1, 1) for name, value in own.items()})


def read(seen: Observation, offset: float, stretch: float, *numbers: float) -> tuple[float, float]:
    """Edges at a neutral of 0.5, a tuned centre of 0.52, a half-width of 0.03 and a limit of 1.5, or `numbers`."""
    shaped = by_hand(*(numbers or (0.5, 0.52, 0.03, 1.5)), seen)
    found = decision.read(tensor(offset, stretch).view(1, 1, 2), shaped)
    return float(found.lower), float(found.upper)


def test_action_zero_is_the_tuned_zakamouline_hedge(plain: HedgingWorld) -> None:
    """Its band at the contract's risk aversion, within the limits that no band passes; and its orders."""
    seen = plain.observation
    found, tuned = decision.read(zeros(seen), seen), band(plain, *[Zakamouline(AVERSION)] * 2)
    assert (found.lower - tuned.lower.maximum(-seen.limit)).abs().max() < 2 * LEAST_WIDTH
    assert (found.upper - tuned.upper.minimum(seen.limit)).abs().max() < 2 * LEAST_WIDTH
    wide = (seen.half_width > LEAST_WIDTH).expand_as(found.lower)
    inside = wide & (tuned.lower > -seen.limit) & (tuned.upper < seen.limit)
    assert (found.lower - tuned.lower)[inside].abs().max() < 1e-12
    assert inside.float().mean() > 0.9
    one, other = (decision.orders(each, seen.scene, plain.lots()) for each in (found, tuned))
    assert torch.equal(one[inside], other[inside])
    assert (one != 0).any()
    assert (one == 0).any()


def test_action_zero_holds_options_in_the_contracts_greek_band(gammas: HedgingWorld) -> None:
    seen = gammas.observation
    found, tuned = decision.read(zeros(seen), seen), band(gammas, *[BandedGreeks(AVERSION, GREEK_BAND)] * 2)
    assert (found.lower - tuned.lower).abs().max() < 1e-12
    assert (found.upper - tuned.upper).abs().max() < 1e-12
    expected = (GREEK_BAND / seen.scene.greeks[0, 0]).minimum(seen.limit[..., 0])
    assert (seen.half_width[..., 0] - expected).abs().max() < 1e-12


@pytest.mark.parametrize("book", ["plain", "gammas"])
def test_a_narrow_band_nears_what_is_neutral(book: str, request: pytest.FixtureRequest) -> None:
    """At full narrowing e^−5 of the half-width and of the centre's distance from neutral are left."""
    made: HedgingWorld = request.getfixturevalue(book)
    seen = made.observation
    action = zeros(seen)
    action[..., 1::2] = -1.0
    found = decision.read(action, seen)
    agent = Delta() if book == "plain" else DeltaGamma()
    exact = band(made, agent, agent)
    away = (seen.half_width + (seen.centre - seen.neutral).abs()) * math.exp(-5) + 1e-12
    inside = seen.neutral.abs() < seen.limit - away
    for edge, limit in ((found.lower, exact.lower), (found.upper, exact.upper)):
        assert ((edge - limit).abs() <= away)[inside.expand_as(edge)].all()
    assert inside.float().mean() > 0.5


def test_the_map_by_hand(plain: HedgingWorld) -> None:
    """Tuned centre 0.52, neutral 0.5, half-width 0.03."""
    seen = plain.observation
    assert read(seen, 0.0, 0.0) == pytest.approx((0.49, 0.55))
    assert read(seen, 1.0, 0.0) == pytest.approx((0.58, 0.64))  # the centre moves by three half-widths
    assert read(seen, -0.5, 0.0) == pytest.approx((0.445, 0.505))
    assert read(seen, 0.0, math.log(2) / 3) == pytest.approx((0.46, 0.58))  # twice as wide, centred as before
    centre = 0.5 + 0.25 * 0.02
    assert read(seen, 0.0, -math.log(4) / 5) == pytest.approx((centre - 0.0075, centre + 0.0075))
    assert read(seen, 0.0, 1.0) == pytest.approx((0.52 - 0.03 * math.exp(3), 0.52 + 0.03 * math.exp(3)))
    assert read(seen, 1.0, 1.0, 1.4, 1.4, 0.3, 1.5) == pytest.approx((-1.5, 1.5))  # the limit
    assert read(seen, -1.0, -1.0, -1.4, -1.4, 0.3, 1.5) == pytest.approx((-1.5, -1.5))


@given(offset=st.floats(-100, 100), stretch=st.floats(-100, 100))
def test_actions_are_clipped(plain: HedgingWorld, offset: float, stretch: float) -> None:
    seen = plain.observation
    assert read(seen, offset, stretch) == read(seen, max(-1, min(1, offset)), max(-1, min(1, stretch)))


@given(offset=raw, stretch=raw, neutral=st.floats(-2, 2), centre=st.floats(-2, 2), width=st.floats(1e-6, 1))
def test_bands_are_ordered_and_within_the_limit(
    plain: HedgingWorld, offset: float, stretch: float, neutral: float, centre: float, width: float
) -> None:
    lower, upper = read(plain.observation, offset, stretch, neutral, centre, width, 1.2)
    assert -1.2 <= lower <= upper <= 1.2


@given(offset=raw, stretch=st.floats(-1, 0.9), more=st.floats(0.01, 0.1))
def test_the_second_action_widens_and_the_first_raises(
    plain: HedgingWorld, offset: float, stretch: float, more: float
) -> None:
    seen = plain.observation
    base, wide = read(seen, offset, stretch), read(seen, offset, stretch + more)
    assert wide[1] - wide[0] > base[1] - base[0]
    if offset + more <= 1 and max(abs(edge) for edge in base) < 1:
        assert read(seen, offset + more, stretch)[0] > base[0]
        assert read(seen, offset + more, stretch)[1] > base[1]


def test_each_instrument_reads_its_own_pair(gammas: HedgingWorld) -> None:
    seen = gammas.observation
    action = zeros(seen)
    still = decision.read(action, seen)
    action[..., 2] = 0.3
    moved = decision.read(action, seen)
    assert torch.equal(moved.lower[..., 0], still.lower[..., 0])
    assert (moved.upper[..., 1] >= still.upper[..., 1]).all()
    assert (moved.upper[..., 1] > still.upper[..., 1]).any()


def ordered(made: HedgingWorld, lower: float, upper: float, hedge: float, fraction: float) -> float:
    """The order, per base unit, of the first hedger who holds `hedge`."""
    seen = made.observation.scene.of(0)
    seen.hedge = torch.full_like(seen.hedge, hedge)
    edges = torch.full_like(seen.hedge, lower), torch.full_like(seen.hedge, upper)
    base = seen.columns(seen.book.base)
    return float((decision.orders(Band(*edges), seen, fraction * base) / base)[0, 0, 0])


@given(
    hedge=st.floats(-0.5, 1.5),
    lower=st.floats(-0.5, 1.5),
    wide=st.floats(0, 1),
    fraction=st.one_of(st.just(0.0), st.floats(1e-6, 0.3)),
)
def test_orders_go_to_the_nearer_edge_in_whole_lots(
    plain: HedgingWorld, hedge: float, lower: float, wide: float, fraction: float
) -> None:
    trade = ordered(plain, lower, lower + wide, hedge, fraction)
    nearer = min(max(hedge, lower), lower + wide)
    assert abs(hedge + trade - nearer) <= fraction / 2 * (1 + 1e-9) + 1e-12
    if lower <= hedge <= lower + wide:
        assert trade == 0
    assert trade * (nearer - hedge) >= 0
    if fraction:
        assert trade / fraction == pytest.approx(round(trade / fraction), rel=1e-9)


def test_orders_by_hand(plain: HedgingWorld) -> None:
    """Lot 0.01 of the base: from 0.2 up to 0.49, from 0.9 down to 0.55, and none from inside or by half a lot."""
    for hedge, lot, expected in ((0.2, 0.01, 0.29), (0.9, 0.01, -0.35), (0.52, 0.01, 0.0), (0.486, 0.01, 0.0)):
        assert ordered(plain, 0.49, 0.55, hedge, lot) == pytest.approx(expected, abs=1e-12)
    assert ordered(plain, 0.49, 0.55, 0.486, 0.0) == pytest.approx(0.004, abs=1e-12)


def test_an_options_order_shifts_the_perpetuals_band_by_the_delta_it_brings(gammas: HedgingWorld) -> None:
    """Exactly: the perpetual goes to the edges less the option's rounded trade times its delta."""
    now, seen = gammas.observation.scene, gammas.observation
    lower = torch.stack(torch.broadcast_tensors(seen.hedge[..., 0] + 0.5, seen.hedge[..., 1] - 0.01), -1)
    upper = torch.stack(torch.broadcast_tensors(seen.hedge[..., 0] + 0.7, seen.hedge[..., 1] + 0.02), -1)
    lots = gammas.lots() * torch.tensor([1.0, 0.0])
    trades = decision.orders(Band(lower, upper), now, lots) / now.columns(now.book.base)
    assert (trades[..., 0] - 0.5).abs().max() <= 0.5e-2 + 1e-12
    brought = trades[..., 0] * now.traded.delta[:, 0, None]
    expected = (0 * brought).clamp(-0.01 - brought, 0.02 - brought)
    assert (trades[..., 1] - expected).abs().max() < 1e-12
    assert (trades[..., 1] < -0.1).any()


def test_a_perpetual_of_another_asset_is_not_shifted() -> None:
    claims = [{"instrument": {"bars": 48, "asset": a}} for a in (0, 1)]
    hedges = [{"instrument": {"kind": "option", "bars": 48, "asset": 1}, "lot_fraction": 0.0}, free(asset=0)]
    made = world(
        502, 5, contract(claims=claims, hedges=hedges), market={"kind": "gbm", "settings": {"volatility": [0.8, 0.6]}}
    )
    now = made.observation.scene
    edges = tensor(0.5, 0.25).expand(5, 1, 2)
    trades = decision.orders(Band(edges, edges), now, torch.zeros_like(edges)) / now.columns(now.book.base)
    assert (trades - edges).abs().max() < 1e-12


def test_paths_have_their_own_lots(plain: HedgingWorld) -> None:
    assert plain.lots().shape == (60, 1, 1)
    assert (plain.lots()[:, 0, 0] / plain.episode.portfolio.base[0]).tolist() == pytest.approx([1e-4] * 60, rel=1e-12)

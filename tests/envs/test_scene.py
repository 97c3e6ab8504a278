"""What is traded to neutral leaves the net greek at its target, on one asset or several."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs import bands, decision, portfolio
from envs.decision import Band
from envs.instrument import Opening
from envs.scene import LEAST_GREEK, REFERENCE_LIFE, Scene
from tests.envs.worlds import F64, constant_views, contract, free, scene, tensor

MONTH = {"bars": 720, "decision_bars": 8, "notional": 1e6}
PATHS = 7
SPOTS = [(30_000.0 + 6_000 * path, 2_000.0 + 150 * path) for path in range(PATHS)]


def option(**terms: Any) -> dict[str, Any]:
    return {"kind": "option", "bars": 1440, **terms}


def claim(units: float = -1.0, **terms: Any) -> dict[str, Any]:
    return {"instrument": {"kind": "option", **terms}, "units": units}


def made(
    claims: list[Any],
    hedges: list[Any],
    held: Tensor | None = None,
    hedgers: int = 1,
    spots: Any = None,
    **settings: Any,
) -> Scene:
    """Claims opened where the spots are SPOTS and moved to `spots`, with `held` (K,) hedges per base unit."""
    rules = contract(claims=claims, hedges=hedges, **MONTH, **settings)
    views = constant_views([row[: rules.assets] for row in SPOTS])
    left, generator = torch.full((PATHS,), 720), torch.Generator().manual_seed(5)
    book, _ = portfolio.opened(rules, views, left, generator)
    opening = Opening(1, left, 720, 8, generator)
    terms = tuple(h.instrument.opened(views[h.instrument.asset], opening) for h in rules.hedges)
    base = torch.stack([book.base[h.instrument.asset] for h in rules.hedges], -1)[:, None]
    ratio = torch.zeros(hedgers, len(hedges), dtype=F64) if held is None else held.expand(hedgers, -1)
    now = views if spots is None else constant_views(spots)
    return scene(rules, now, book, terms, ratio * base)


def traded_to_neutral(before: Scene) -> Scene:
    """After orders, of no lot, to bands closed at neutral."""
    neutral = before.neutral([each.delta for each in before.exposures]).expand_as(before.hedge)
    orders = decision.orders(Band(neutral, neutral), before, torch.zeros_like(neutral))
    units = before.hedge * before.columns(before.book.base) + orders
    after = Scene(before.contract, before.views, before.book, before.traded, units)
    return after


def net(now: Scene, greek: str, asset: int) -> Tensor:
    """(P, G): claims and hedges together, over the base units, as `Target` counts it."""
    spot = now.views[asset].quote.spot
    unit = {"delta": 1.0, "gamma": spot, "vega": 1 / (spot * math.sqrt(REFERENCE_LIFE))}[greek]
    total = (getattr(now.exposures[asset], greek) * unit / now.book.base[asset])[:, None].clone()
    for k, own in enumerate(now.assets):
        if own == asset:
            total = total + now.hedge[..., k] * (getattr(now.traded, greek)[:, k] * unit)[:, None]
    return total


def near(found: Tensor, expected: float) -> None:
    assert (found - expected).abs().max() < 1e-12


@given(target=st.floats(-0.5, 0.5), held=st.floats(-1, 1))
def test_a_perpetual_brings_the_delta_to_its_target(target: float, held: float) -> None:
    near(net(traded_to_neutral(made([claim()], [free()], tensor(held), target={"delta": target})), "delta", 0), target)


@pytest.mark.parametrize("kind", ["perpetual", "spot", "future"])
def test_whatever_is_linear_does(kind: str) -> None:
    near(net(traded_to_neutral(made([claim()], [free(kind=kind)])), "delta", 0), 0.0)


@pytest.mark.parametrize("greek", ["gamma", "vega"])
@given(delta=st.floats(-0.3, 0.3), other=st.floats(-0.2, 0.2), held=st.floats(-0.5, 0.5))
def test_an_option_and_a_perpetual_bring_two_greeks_to_their_targets(
    greek: str, delta: float, other: float, held: float
) -> None:
    hedges = [{**free(), "instrument": option(), "neutralises": greek}, free()]
    target = {"delta": delta, greek: other}
    after = traded_to_neutral(
        made([claim(moneyness=1.1), claim(right="put")], hedges, tensor(held, -held), target=target)
    )
    near(net(after, greek, 0), other)
    near(net(after, "delta", 0), delta)


def test_two_perpetuals_of_one_asset_share_the_delta() -> None:
    """The first does all that is left to do, the second then finds nothing."""
    before = made([claim()], [free(kind="future"), free()], tensor(0.1, 0.2))
    after = traded_to_neutral(before)
    near(net(after, "delta", 0), 0.0)
    assert (after.hedge[..., 1] - before.hedge[..., 1]).abs().max() < 1e-12
    assert (after.hedge[..., 0] - before.hedge[..., 0]).abs().min() > 0.1


def test_two_assets_are_brought_to_neutral_apart() -> None:
    claims = [claim(asset=0), claim(asset=1, units=2.0)]
    hedges = [
        {**free(), "instrument": option(asset=1), "neutralises": "vega"},
        free(asset=0),
        free(asset=1),
    ]
    before = made(claims, hedges, tensor(0.3, -0.2, 0.1), target={"delta": 0.25, "vega": -0.1})
    assert set(before.greeks) == {(0, 0), (1, 1), (2, 2), (0, 2), (2, 0)}
    after = traded_to_neutral(before)
    near(net(after, "delta", 0), 0.25)
    near(net(after, "delta", 1), 0.25)
    near(net(after, "vega", 1), -0.1)


def test_trades_in_one_asset_leave_the_other_alone() -> None:
    """Its own half of neutral is the same whatever the other's market and position."""
    hedges = [free(asset=0), free(asset=1)]
    one = made([claim(asset=0), claim(asset=1)], hedges)
    moved = [(btc, 3 * eth) for btc, eth in SPOTS]
    other = made([claim(asset=0), claim(asset=1)], hedges, tensor(0.0, 5.0), spots=moved)
    first, second = (s.neutral([each.delta for each in s.exposures])[..., 0] for s in (one, other))
    assert torch.equal(first, second)


def test_gamma_and_vega_options_together_come_to_both_targets_by_trading_on() -> None:
    """Each sees the other as it was: exact in the limit, for vega grows with an option's life and gamma falls."""
    short, long = option(bars=720), option(bars=2000)
    hedges = [
        {**free(), "instrument": short, "neutralises": "gamma"},
        {**free(), "instrument": long, "neutralises": "vega"},
        free(),
    ]
    now = made([claim(moneyness=1.05), claim(right="put", bars=240)], hedges)
    errors = []
    for _ in range(60):
        now = traded_to_neutral(now)
        errors.append(max(float(net(now, greek, 0).abs().max()) for greek in ("gamma", "vega")))
    assert errors[-1] < 1e-9 < errors[0]
    near(net(now, "delta", 0), 0.0)


def test_the_matrix_says_what_each_instrument_has_of_the_greek_that_another_neutralises() -> None:
    hedges = [{**free(), "instrument": option(moneyness=1.2), "neutralises": "vega"}, free(kind="future"), free()]
    now = made([claim()], hedges)
    spot = now.views[0].quote.spot
    vega = now.traded.vega[:, 0] / (spot * math.sqrt(REFERENCE_LIFE))
    carry = torch.full_like(spot, math.exp(0.05 * 720 / 8760))
    expected = {(0, 0): vega, (0, 1): now.traded.delta[:, 0], (0, 2): now.traded.delta[:, 0], (1, 1): carry}
    for pair, value in expected.items():
        assert now.greeks[pair][:, 0].tolist() == pytest.approx(value.tolist(), rel=1e-12), pair
    for linear in (1, 2):
        assert now.greeks[linear, 0].tolist() == [[0.0]] * PATHS
    assert (now.greeks[0, 2] > 0.3).all()


def test_a_hedging_option_far_from_the_money_counts_as_a_little_greek() -> None:
    """And so is not asked for in the millions."""
    hedges = [{**free(), "instrument": option(bars=720, moneyness=8.0)}, free()]
    now = made([claim()], hedges)
    assert now.greeks[0, 0].tolist() == [[LEAST_GREEK]] * PATHS
    assert now.neutral([each.delta for each in now.exposures]).isfinite().all()


def test_dollar_gamma_is_that_of_claims_and_options_held_on_the_asset() -> None:
    claims = [claim(asset=0), claim(asset=1, units=0.5)]
    hedges = [{**free(), "instrument": option(asset=0)}, free(asset=0), free(asset=1)]
    now = made(claims, hedges, torch.stack([tensor(0.4, 9.0, -9.0), tensor(0.0, 1.0, 1.0)]), hedgers=2)
    for k, asset in ((0, 0), (1, 0), (2, 1)):
        assert (now.dollar_gamma[..., k] - net(now, "gamma", asset)).abs().max() < 1e-12
    assert (now.dollar_gamma[:, 0, 1] != now.dollar_gamma[:, 1, 1]).all()
    assert (now.dollar_gamma[:, 0, 2] == now.dollar_gamma[:, 1, 2]).all()
    alone = now.of(1)
    assert torch.equal(alone.dollar_gamma.expand(-1, 1, -1), now.dollar_gamma[:, 1:])
    assert torch.equal(alone.hedge, now.hedge[:, 1:])


def test_in_coin_the_neutral_hedge_holds_the_wealth_too() -> None:
    """Profit in coin is W/S, and S·∂(W/S)/∂S = ∂W/∂S − W/S: so the whole book's delta must be W/S."""
    now = made([claim()], [free()])
    worth = torch.linspace(-1e5, 3e5, PATHS, dtype=F64)[:, None]
    spot = now.views[0].quote.spot
    plain, coin = (now.neutral([each.delta for each in now.exposures], own)[..., 0] for own in (None, worth))
    whole = now.exposures[0].delta[:, None] + coin * now.book.base[0][:, None]
    assert (whole - worth / spot[:, None]).abs().max() < 1e-12
    assert not torch.equal(plain, coin)


def test_stretched_deltas_are_the_deltas_at_zakamoulines_volatility() -> None:
    """0.8 times the stretch, at the dearest linear hedge's cost: fee 30 bp beside one that is free."""
    dear = {**free(kind="future"), "execution": {"tiers": [{"taker": 3e-3, "maker": 0}], "impact": 0.0}}
    now = made([claim(moneyness=1.1)], [dear, free()], spots=[row[:1] for row in SPOTS])
    (found,) = now.stretched_deltas(5.0)
    gamma = net(now, "gamma", 0)[:, 0]
    stretch = bands.zakamouline_stretch(torch.full_like(gamma, 3e-3), gamma, 5.0, now.times[0], 0.8 + 0 * gamma)
    assert (stretch > 1.01).all()
    (view,), units, terms = now.views, now.book.units[0], now.book.terms[0]
    stretched = [
        constant_views([(float(spot),)], volatility=0.8 * float(s))[0]
        for spot, s in zip(view.quote.spot, stretch, strict=True)
    ]
    for path, other in enumerate(stretched):
        own = type(terms)(terms.bars_left[path : path + 1], terms.strike[path : path + 1])
        delta = now.contract.claims[0].instrument.greeks(own, other).delta * units[path]
        assert float(found[path]) == pytest.approx(float(delta), rel=1e-9)


def test_cost_rates_are_fee_and_half_spread() -> None:
    dear = {**free(), "execution": {"tiers": [{"taker": 3e-3, "maker": 0}]}}
    assert made([claim()], [dear, free()]).cost_rate.tolist() == [[[3e-3, 0.0]]] * PATHS


def test_times_are_of_the_last_claim_and_never_nothing() -> None:
    now = made([claim(bars=24), claim(bars=720)], [free()])
    assert now.times[0].tolist() == [720 / 8760] * PATHS
    bare = made([claim(asset=0), claim(asset=1)], [free(asset=0)])
    assert [each.shape for each in bare.times] == [(PATHS,)] * 2

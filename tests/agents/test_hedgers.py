"""What the classical hedges keep to, with and without options among the instruments."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from agents.base import Agent
from agents.classical.banded_greeks import BandedGreeks
from agents.classical.delta import Delta
from agents.classical.delta_gamma import DeltaGamma
from agents.classical.delta_vega import DeltaVega
from agents.classical.fixed_band import FixedBand
from agents.classical.fixed_time import FixedTime
from agents.classical.greek_band import GreekBand
from agents.classical.leland import Leland
from agents.classical.no_hedge import NoHedge
from agents.classical.whalley_wilmott import WhalleyWilmott
from agents.classical.zakamouline import Zakamouline
from agents.learned import Untrained
from envs import decision
from envs.hedging import HedgingWorld
from envs.seeding import generators
from tests.train import support

PATHS = 40
RISK_AVERSION, GREEK_BAND = 35.0, 0.2


def world(with_option: bool, **contract: object) -> HedgingWorld:
    """A few decisions on, and with lots so small that they do not matter."""
    hedges = [{**hedge, "lot_fraction": 1e-9} for hedge in support.WITH_OPTION[0 if with_option else 1 :]]
    own = {"risk_aversion": RISK_AVERSION, "greek_band": GREEK_BAND, "hedges": hedges}
    (generator,) = generators(77, 1)
    made = support.task(**{**own, **contract}).world(PATHS, 1, generator, dtype=torch.float64)
    made.reset(staggered=False)
    for _ in range(3):
        made.advance(Delta().band(made.observation))
    return made


def nets(made: HedgingWorld) -> tuple[Tensor, Tensor, Tensor]:
    """(P,) net delta, net S·Γ and net vega of book and hedges, over the base units."""
    scene = made.observation.scene
    held = scene.hedge[:, 0]
    exposure, base = scene.exposures[0], scene.book.base[0]
    delta = exposure.delta / base + (held * scene.traded.delta).sum(-1)
    spot = scene.views[0].quote.spot
    vega = (exposure.vega / base + (held * scene.traded.vega).sum(-1)) / spot
    return delta, spot * (exposure.gamma / base + (held * scene.traded.gamma).sum(-1)), vega


def traded(made: HedgingWorld, agent: Agent) -> tuple[Tensor, Tensor, Tensor]:
    """The nets right after `agent`'s trades, before the market moves."""
    scene = made.observation.scene
    order = decision.orders(agent.band(made.observation), scene, made.lots())
    scene.hedge = scene.hedge + order / scene.columns(scene.book.base)
    scene.__dict__.pop("dollar_gamma", None)
    return nets(made)


@pytest.mark.parametrize("with_option", [False, True])
def test_delta_is_neutral_after_the_delta_hedge(with_option: bool) -> None:
    delta, *_ = traded(world(with_option), Delta())
    assert delta.abs().max() < 1e-8


@pytest.mark.parametrize("neutralises", ["gamma", "vega"])
@pytest.mark.parametrize(("agent", "greek"), [(DeltaGamma(), "gamma"), (DeltaVega(), "vega")])
def test_delta_and_the_greek_of_the_name_are_left_at_nothing(agent: Agent, greek: str, neutralises: str) -> None:
    """Whichever the contract neutralises, where the limit lets it: at most 1.5 options per unit sold."""
    option, perpetual = ({**hedge, "lot_fraction": 1e-9} for hedge in support.WITH_OPTION)
    made = world(True, hedges=[{**option, "neutralises": neutralises}, perpetual])
    limit = made.observation.limit[:, 0, 0]
    delta, *others = traded(made, agent)
    reachable = made.observation.scene.hedge[:, 0, 0].abs() < limit
    net = dict(zip(("gamma", "vega"), others, strict=True))[greek]
    assert reachable.sum() > PATHS / 2
    assert delta.abs().max() < 1e-8
    assert net[reachable].abs().max() < 1e-8


def test_the_greek_band_trades_options_only_to_its_edge() -> None:
    made = world(True)
    _, before, _ = nets(made)
    width = float(before.abs().median())
    delta, after, _ = traded(made, GreekBand(width))
    outside = before.abs() > width
    assert outside.sum() == PATHS / 2
    assert (after[outside].abs() < before[outside].abs()).all()
    assert (after[outside].abs() >= width - 1e-8).all()  # beyond it where the limit binds
    torch.testing.assert_close(after[~outside], before[~outside])
    assert delta.abs().max() < 1e-8


@pytest.mark.parametrize(
    "agent", [Delta(), Zakamouline(20.0), WhalleyWilmott(50.0), FixedBand(0.05), FixedTime(2), Leland(1)]
)
def test_hedges_of_delta_alone_leave_options_as_they_are(agent: Agent) -> None:
    made = world(True)
    made.advance(DeltaGamma().band(made.observation))
    held = made.observation.hedge[..., 0]
    band = agent.band(made.observation)
    assert held.abs().min() > 0
    assert torch.equal(band.lower[..., 0], held)
    assert torch.equal(band.upper[..., 0], held)


@pytest.mark.parametrize("with_option", [False, True])
def test_action_0_is_the_classical_hedge_at_the_contracts_parameters(with_option: bool) -> None:
    seen = world(with_option).observation
    start, classical = Untrained().band(seen), BandedGreeks(RISK_AVERSION, GREEK_BAND).band(seen)
    torch.testing.assert_close(classical.lower, start.lower)
    torch.testing.assert_close(classical.upper, start.upper)


def test_action_0_without_options_is_zakamoulines_band() -> None:
    seen = world(False).observation
    start, classical = Untrained().band(seen), Zakamouline(RISK_AVERSION).band(seen)
    inside = (classical.lower.abs() < seen.limit) & (classical.upper.abs() < seen.limit)
    assert inside.any()
    torch.testing.assert_close(classical.lower[inside], start.lower[inside])
    torch.testing.assert_close(classical.upper[inside], start.upper[inside])


def test_classical_parameters_do_not_move_the_others() -> None:
    """Another risk aversion or greek band than the contract's is another hedge."""
    seen = world(True).observation
    at, bolder, wider = (
        BandedGreeks(*pair).band(seen)
        for pair in ((RISK_AVERSION, GREEK_BAND), (5.0, GREEK_BAND), (RISK_AVERSION, 0.4))
    )
    assert torch.equal(at.upper[..., 0], bolder.upper[..., 0])
    assert not torch.equal(at.upper[..., 1], bolder.upper[..., 1])
    assert torch.equal(at.upper[..., 1], wider.upper[..., 1])
    assert (at.upper[..., 0] <= wider.upper[..., 0]).all()


@pytest.mark.parametrize("target", [0.0, 0.25])
def test_the_target_is_what_is_left(target: float) -> None:
    delta, *_ = traded(world(False, target={"delta": target}), Delta())
    torch.testing.assert_close(delta, torch.full_like(delta, target), rtol=0, atol=1e-8)


def test_no_hedge_closes_what_is_held() -> None:
    band = NoHedge().band(world(True).observation)
    assert not band.lower.any()
    assert not band.upper.any()


def test_an_open_greek_band_trades_no_option() -> None:
    """Also where neutral lies beyond the limit of what may be held."""
    seen = world(True).observation
    assert (seen.neutral[..., 0].abs() > seen.limit[..., 0]).any()
    band, classical = BandedGreeks(RISK_AVERSION, 1e9).band(seen), Zakamouline(RISK_AVERSION).band(seen)
    assert (band.lower[..., 0] <= 0).all()
    assert (band.upper[..., 0] >= 0).all()
    inside = (classical.lower[..., 1].abs() < seen.limit[..., 1]) & (classical.upper[..., 1].abs() < seen.limit[..., 1])
    torch.testing.assert_close(band.lower[..., 1][inside], classical.lower[..., 1][inside])

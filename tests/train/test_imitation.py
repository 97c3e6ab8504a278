"""Imitation: any hedger's band as a raw action, and a network that learns to give it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from agents.base import Agent
from agents.classical.delta import Delta
from agents.classical.zakamouline import Zakamouline
from agents.learned import Learned, Untrained
from envs import decision
from envs.calibration import validated
from envs.decision import Band
from envs.hedging import HedgingWorld
from envs.observation import Observation
from envs.seeding import generators
from envs.types import BadInput
from tests.train import support
from tests.train.test_learn import CPU, HEDGE, SMALL, blank, weights
from train import cohort, imitation
from train.learn import Settings, learn

TASK = support.task(risk_aversion=35.0, hedges=[HEDGE])


def world(seed: int, paths: int = 256, options: bool = False) -> HedgingWorld:
    task = support.task(hedges=support.WITH_OPTION) if options else TASK
    made = task.world(paths, 1, generators(seed, 1)[0], torch.float64 if options else torch.float32)
    made.reset()
    return made


@pytest.mark.parametrize("options", [False, True])
def test_a_raw_action_is_what_its_band_is_written_as(options: bool) -> None:
    """Where neither edge meets the limit of what may be held."""
    seen = world(1, options=options).observation
    raw = 2 * torch.rand(256, 1, 2 * seen.hedge.shape[-1], generator=generators(2, 1)[0]) - 1
    raw = raw.to(seen.hedge)
    band = decision.read(raw, seen)
    inside = (band.lower > -seen.limit) & (band.upper < seen.limit)
    assert inside.sum() > 50
    back = decision.written(band, seen).view(*inside.shape, 2)
    given = raw.view(*inside.shape, 2)
    tolerance = 1e-9 if options else 2e-3  # in single precision a narrow band's width is what two edges differ by
    assert (back - given)[inside].abs().max() < tolerance


def test_the_delta_hedge_is_written_as_the_narrowest_band_at_delta() -> None:
    seen = world(3).observation
    band = decision.read(decision.written(Delta().band(seen), seen), seen)
    torch.testing.assert_close((band.lower + band.upper) / 2, seen.neutral, rtol=0, atol=1e-5)
    assert ((band.upper - band.lower) <= 2.001 * seen.half_width * torch.tensor(decision.NARROWEST).exp()).all()


def edges(agent: Agent, seen: Observation) -> Tensor:
    band: Band = agent.band(seen)
    return torch.stack([band.lower, band.upper])


def test_a_clone_of_zakamouline_at_another_risk_aversion_has_its_bands() -> None:
    """On paths and ages that it has not seen, nine tenths of its edges to a twentieth of the teacher's half-width.

    The policy's unit is half as wide and more; losses then follow the teacher's as closely.
    """
    teacher = Zakamouline(8.0)
    network = imitation.cloned([world(4, 512)], blank(TASK), teacher, iterations=40, learning_rate=1e-2)
    seen = world(5, 2048).observation
    wide = edges(teacher, seen)
    half = (wide[1] - wide[0]) / 2
    with torch.no_grad():
        found, before = ((edges(agent, seen) - wide).abs() / half for agent in (Learned(network), Untrained()))
    assert before.median() > 0.25
    assert found.quantile(0.9) < 0.05
    agents = [Learned(network), Untrained(), teacher]
    losses = cohort.run(TASK.cohort(2048, 3, generators(6, 1)[0], 2048), agents).loss
    away = (losses[:, :2] - losses[:, 2:]).square().mean(0)
    assert away[0] < away[1] / 50


def test_learning_may_begin_with_what_it_imitates() -> None:
    settings = SMALL.model_copy(update={"warm_up_from": "fixed band"})
    found = learn(TASK, settings, 1, CPU, tuned={"fixed band": 0.1})
    other = learn(TASK, settings, 1, CPU, tuned={"fixed band": 0.01})
    assert found.history[0].warmed == SMALL.warm_up
    assert not torch.equal(weights(found.network), weights(other.network))
    with pytest.raises(BadInput, match="fixed band has a parameter that is not tuned"):
        learn(TASK, settings, 1, CPU)
    with pytest.raises(BadInput, match=r"here: warm_up_from: nothing is named 'luck'; use one of pathwise, .*delta"):
        validated(Settings, {"warm_up_from": "luck"}, "here")

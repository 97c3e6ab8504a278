"""The objectives against closed forms on known laws, brute force, and the road by which learning moves their duals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, optimize, stats
from torch import Tensor

from envs.objective import Objective
from envs.objectives.clipped_mean_std import ClippedMeanStd
from envs.objectives.entropic import Entropic
from envs.objectives.kolm_ritter import KolmRitter
from envs.objectives.mean_shortfall import MeanShortfall
from envs.objectives.mean_std import MeanStd
from envs.objectives.mean_variance import MeanVariance
from envs.seeding import generators

BATCHES, SIZE = 100, 10_000
DUAL_STEP = 0.1  # of the way to each batch's own dual, as in train/pathwise.py
Law = tuple[str, float, float]  # normal: mean, std; exponential: rate, 0; lognormal: of the logarithm
samples = arrays(np.float64, st.integers(1, 40), elements=st.floats(-100, 100)).map(torch.from_numpy)
moderate = arrays(np.float64, st.integers(1, 40), elements=st.floats(-3, 3)).map(torch.from_numpy)
levels = st.floats(0.05, 0.99)
weights = st.floats(0.05, 5)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def drawn(law: Law, seed: int) -> Tensor:
    """(BATCHES, SIZE)."""
    name, a, b = law
    (generator,) = generators(seed, 1)
    normal = torch.randn(BATCHES, SIZE, generator=generator, dtype=torch.float64)
    if name == "exponential":
        return -torch.log(torch.rand(BATCHES, SIZE, generator=generator, dtype=torch.float64)) / a
    return (a + b * normal).exp() if name == "lognormal" else a + b * normal


def frozen(law: Law) -> Any:
    name, a, b = law
    if name == "exponential":
        return stats.expon(scale=1 / a)
    return stats.lognorm(b, scale=math.exp(a)) if name == "lognormal" else stats.norm(a, b)


def clipped(law: Law, weight: float) -> tuple[float, float, float]:
    """Value, v and a by quadrature: where κ·E (C − v)⁺ = ‖(C − v)⁺‖₂."""
    known, steepness = frozen(law), math.hypot(1, weight)

    def moment(v: float, power: int) -> float:
        low, high = max(v, float(known.ppf(1e-15))), float(known.isf(1e-15))
        return float(integrate.quad(lambda c: (c - v) ** power * known.pdf(c), low, high, epsabs=0, epsrel=1e-10)[0])

    start = float(known.mean() - 2 * known.std() / weight)
    gap: Callable[[float], float] = lambda v: steepness * moment(v, 1) - math.sqrt(moment(v, 2))  # noqa: E731
    v = float(optimize.brentq(gap, start, float(known.ppf(0.999)), xtol=1e-12))
    norm = math.sqrt(moment(v, 2))
    return v + steepness * norm, v, weight / steepness * norm


NORMAL, EXPONENTIAL, LOGNORMAL = ("normal", 0.3, 0.7), ("exponential", 2.0, 0.0), ("lognormal", -1.0, 0.4)
LOG_MEAN, LOG_STD = math.exp(-1 + 0.08), math.exp(-1 + 0.08) * math.sqrt(math.expm1(0.16))
Z90 = float(stats.norm.ppf(0.9))
NORMAL_ES, EXPONENTIAL_ES = 0.3 + 0.7 * float(stats.norm.pdf(Z90)) / 0.1, (1 + math.log(10)) / 2
LOG_ES = LOG_MEAN * float(stats.norm.cdf(0.4 - Z90)) / 0.1
CLOSED: list[tuple[Objective, Law, float, tuple[float, ...]]] = [
    (MeanShortfall(weight=1, level=0.9), NORMAL, NORMAL_ES, (0.3 + 0.7 * Z90,)),
    (MeanShortfall(weight=0.4, level=0.9), EXPONENTIAL, 0.6 * 0.5 + 0.4 * EXPONENTIAL_ES, (math.log(10) / 2,)),
    (MeanShortfall(weight=0.5, level=0.9), LOGNORMAL, 0.5 * (LOG_MEAN + LOG_ES), (math.exp(-1 + 0.4 * Z90),)),
    (MeanStd(weight=1.5), NORMAL, 0.3 + 1.05, (0.3, 0.7)),
    (MeanStd(weight=2), EXPONENTIAL, 1.5, (0.5, 0.5)),
    (MeanStd(weight=1), LOGNORMAL, LOG_MEAN + LOG_STD, (LOG_MEAN, LOG_STD)),
    (Entropic(risk_aversion=2), NORMAL, 0.3 + 0.49, (0.79,)),
    (Entropic(risk_aversion=0.5), EXPONENTIAL, -2 * math.log1p(-0.25), (-2 * math.log1p(-0.25),)),
    (MeanVariance(risk_aversion=3), NORMAL, 0.3 + 1.5 * 0.49, (0.3,)),
    (MeanVariance(risk_aversion=3), EXPONENTIAL, 0.5 + 1.5 * 0.25, (0.5,)),
    (KolmRitter(risk_aversion=3), LOGNORMAL, LOG_MEAN + 1.5 * LOG_STD**2, (LOG_MEAN,)),
    (ClippedMeanStd(weight=1.5), NORMAL, *(lambda found: (found[0], found[1:]))(clipped(NORMAL, 1.5))),
    (ClippedMeanStd(weight=1), LOGNORMAL, *(lambda found: (found[0], found[1:]))(clipped(LOGNORMAL, 1))),
    # κ·e^−v = √(2·e^−v) at a rate of 1: v = ln(κ²/2), the value 2 above it, a = 2·weight/κ²; halved at a rate of 2
    (ClippedMeanStd(weight=1.5), EXPONENTIAL, math.log(3.25 / 2) / 2 + 1, (math.log(3.25 / 2) / 2, 1.5 / 3.25)),
]


@pytest.mark.parametrize(("objective", "law", "value", "dual"), CLOSED, ids=lambda part: getattr(part, "kind", ""))
def test_value_and_dual_are_the_laws_own(objective: Objective, law: Law, value: float, dual: tuple[float, ...]) -> None:
    """Mean of 100 batches of 10,000 within k = 4 of its standard errors, measured between the batches.

    A batch's bias is of the order of its variance, 1/10,000, a tenth of that error.
    """
    losses = drawn(law, 701)
    found = torch.cat(
        [objective.value(losses)[:, None], torch.stack([objective.dual(row).view(-1) for row in losses])], 1
    )
    error = found.std(0) / math.sqrt(BATCHES)
    assert ((found.mean(0) - column(value, *dual)).abs() < 4 * error).all()
    assert (error < 3e-3).all()


def test_guess_is_near_the_dual_of_the_normal_law() -> None:
    """To 1 % of the spread, which 999 midpoints leave out of an exponential moment; a start needs no more."""
    mean, spread = torch.tensor(0.3).double(), torch.tensor(0.7).double()
    for objective, law, _, dual in CLOSED:
        if law is NORMAL:
            assert objective.guess(mean, spread).view(-1).tolist() == pytest.approx(dual, abs=0.01 * 0.7)


@pytest.mark.parametrize(
    ("objective", "risk"),
    [
        (MeanShortfall(weight=0.5, level=0.9), 0.5 * float(stats.norm.pdf(Z90)) / 0.1),
        (MeanStd(weight=1.5), 1.5),
        (ClippedMeanStd(weight=1.5), clipped(("normal", 0.0, 1.0), 1.5)[0]),
        (Entropic(risk_aversion=2), None),
        (MeanVariance(risk_aversion=2), None),
    ],
    ids=lambda part: getattr(part, "kind", ""),
)
def test_learning_with_a_dual_that_lags_reaches_the_closed_form(objective: Objective, risk: float | None) -> None:
    """A hedge ratio h against losses (1 − h)·X, X of standard deviation 1, at a cost of h²: gradient steps in h at the
    dual as it stands, the dual a tenth of the way to that of each fresh batch, both from a poor start.

    On normal losses the measure is h² + risk·(1 − h), or h² + (1 − h)² where λ or κ is 2. Late steps swing about
    the best h with a memory of some 80 (the spread of mean–std, the slowest dual), so that 500 are worth 3: k = 4. The
    measure is flat there: it is off by less than 20 times the square, 20 being above half its curvature in h or dual.
    """
    (generator,) = generators(702, 1)
    ratio = torch.tensor(-1.0, dtype=torch.float64)
    dual = 5 * objective.guess(torch.tensor(1.0).double(), torch.tensor(3.0).double())
    late: list[Tensor] = []
    for step in range(1200):
        ratio = ratio.detach().requires_grad_()
        losses = (1 - ratio) * torch.randn(5000, generator=generator, dtype=torch.float64) + ratio.square()
        dual = torch.lerp(dual, objective.dual(losses.detach()), DUAL_STEP)
        (gradient,) = torch.autograd.grad(objective.transform(losses, dual).mean(), ratio)
        ratio = ratio.detach() - 0.05 * gradient.clamp(-1, 1)
        if step >= 700:
            late.append(torch.cat([ratio.view(1), dual.view(-1)]))
    ratio, *duals = torch.stack(late).mean(0)
    swing = float(torch.stack(late)[:, 0].std())
    best = 0.5 if risk is None else 0.5 * risk
    least = best**2 + ((1 - best) ** 2 if risk is None else risk * (1 - best))
    found = objective.prospect(ratio.square(), 1 - ratio, torch.stack(duals).view(dual.shape))
    assert swing < 0.01
    assert abs(float(ratio) - best) < 4 * swing / math.sqrt(3)
    assert abs(float(found) - least) < 20 * (4 * swing / math.sqrt(3)) ** 2


# Properties.


@given(losses=samples, weight=st.floats(0, 1), level=levels)
def test_mean_shortfall_is_least_at_one_of_the_losses(losses: Tensor, weight: float, level: float) -> None:
    """Its mean transform is convex and piecewise linear in q."""
    objective = MeanShortfall(weight=weight, level=level)
    means = torch.stack([objective.transform(losses, q).mean() for q in losses])
    near = {"rel": 1e-9, "abs": 1e-9}
    assert float(objective.value(losses)) == pytest.approx(float(means.min()), **near)
    assert float(objective.transform(losses, objective.dual(losses)).mean()) == pytest.approx(
        float(means.min()), **near
    )


@given(losses=samples, weight=weights)
def test_clipped_mean_std_has_a_density_that_proves_it(losses: Tensor, weight: float) -> None:
    """Z = (C − v)⁺·weight/a of mean 1 and mean square 1 + weight² attains E[Z·C]: mean + weight·std over densities.

    Unless the worst loss is so likely that it is itself the value. Bisection and the sums leave 1e-9 of the range.
    """
    objective = ClippedMeanStd(weight=weight)
    value, (v, a) = float(objective.value(losses)), objective.dual(losses).tolist()
    near = {"rel": 1e-6, "abs": 1e-6}
    worst = float((losses == losses.max()).double().mean())
    if worst * (1 + weight**2) >= 1 - 1e-6 or float(losses.max()) - v < 1e-3:
        assert value == pytest.approx(float(losses.max()), abs=1e-2)
        return
    density = (losses - v).clamp(min=0) * weight / a
    assert float(density.mean()) == pytest.approx(1, **near)
    assert float(density.square().mean()) == pytest.approx(1 + weight**2, **near)
    assert value == pytest.approx(float((density * losses).mean()), **near)


@given(losses=samples, weight=weights)
def test_clipped_mean_std_stands_between_the_mean_and_mean_std(losses: Tensor, weight: float) -> None:
    """And is mean + weight·std where no loss lies under the parabola's vertex."""
    value, plain = float(ClippedMeanStd(weight=weight).value(losses)), float(MeanStd(weight=weight).value(losses))
    assert float(losses.mean()) - 1e-9 <= value <= min(plain, float(losses.max())) + 1e-9
    if float(losses.min()) >= float(losses.mean() - losses.std(correction=0) / weight):
        assert value == pytest.approx(plain, abs=1e-9)


COHERENT: list[Callable[[float], Objective]] = [
    lambda weight: MeanShortfall(weight=weight / 5, level=0.8),
    lambda weight: ClippedMeanStd(weight=weight),
]


@pytest.mark.parametrize("make", COHERENT)
@given(losses=samples, weight=weights, shift=st.floats(-50, 50), factor=st.floats(0.01, 50))
def test_shortfall_and_clipped_mean_std_are_coherent(
    make: Callable[[float], Objective], losses: Tensor, weight: float, shift: float, factor: float
) -> None:
    """They shift and scale with the losses, never fall where those rise, and no sum is worse than its parts."""
    objective = make(weight)
    value = float(objective.value(losses))
    near = {"rel": 1e-9, "abs": 1e-7}
    assert float(objective.value(losses + shift)) == pytest.approx(value + shift, **near)
    assert float(objective.value(losses * factor)) == pytest.approx(value * factor, **near)
    assert float(losses.mean()) - 1e-9 <= value <= float(losses.max()) + 1e-9
    higher = losses + torch.linspace(0, 1, len(losses), dtype=torch.float64)
    assert float(objective.value(higher)) >= value - 1e-9
    other = losses.flip(0) + higher.square() / 50
    assert float(objective.value(losses + other)) <= value + float(objective.value(other)) + 1e-7


@given(losses=moderate, risk_aversion=st.floats(0.1, 30), shift=st.floats(-5, 5))
def test_entropic_is_monotone_shifts_and_grows_with_aversion(
    losses: Tensor, risk_aversion: float, shift: float
) -> None:
    objective = Entropic(risk_aversion=risk_aversion)
    value = float(objective.value(losses))
    assert float(objective.value(losses + shift)) == pytest.approx(value + shift, abs=1e-12)
    assert float(losses.mean()) - 1e-12 <= value <= float(losses.max()) + 1e-12
    assert float(Entropic(risk_aversion=1.5 * risk_aversion).value(losses)) >= value - 1e-12
    higher = losses + torch.linspace(0, 1, len(losses), dtype=torch.float64)
    assert float(objective.value(higher)) >= value - 1e-12
    both = float(objective.value(0.5 * (losses + higher.flip(0))))  # convex
    assert both <= 0.5 * (value + float(objective.value(higher))) + 1e-12


@given(losses=moderate, weight=weights, shift=st.floats(-50, 50), factor=st.floats(0.01, 50))
def test_mean_std_and_mean_variance_shift_and_scale(losses: Tensor, weight: float, shift: float, factor: float) -> None:
    near = {"rel": 1e-9, "abs": 1e-7}
    for objective, power in ((MeanStd(weight=weight), 1), (MeanVariance(risk_aversion=weight), 2)):
        value, mean = float(objective.value(losses)), float(losses.mean())
        assert float(objective.value(losses + shift)) == pytest.approx(value + shift, **near)
        scaled = factor * mean + factor**power * (value - mean)
        assert float(objective.value(losses * factor)) == pytest.approx(scaled, **near)


def test_a_gain_can_raise_mean_std_and_mean_variance_and_not_the_monotone_ones() -> None:
    """One chance in a hundred of a gain of 10, and of none: 1.5 × std is 1.49, the mean a tenth."""
    nothing, gain = torch.zeros(100).double(), torch.cat([column(-10.0), torch.zeros(99).double()])
    for objective in (MeanStd(), MeanVariance(), KolmRitter()):
        assert float(objective.value(gain)) > float(objective.value(nothing)) + 1
    assert float(MeanStd().value(gain)) == pytest.approx(-0.1 + 1.5 * 10 * math.sqrt(0.01 * 0.99))
    for monotone in (MeanShortfall(), Entropic(), ClippedMeanStd()):
        assert float(monotone.value(gain)) <= float(monotone.value(nothing)) + 1e-12

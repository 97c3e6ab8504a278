"""Maximum likelihood of the regime-switching GARCH-t of Haas, Mittnik and Paolella (2004).

The regimes are pairs: calm or turbulent, which last days, in an era of low or of high volatility, which last months
and give returns their long memory. The two chains are independent, and an era multiplies ω alone.

Exact, and fast: a recursion is a linear filter once its capped news is known, and the likelihood is a product of
matrices, taken in √bars steps over √bars stretches at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.signal import lfilter
from scipy.special import expit, gammaln, logit

from envs.calibration import Regimes
from envs.types import BadInput
from envs.volatility.garch import RegimeTensors
from envs.volatility.regimes import joint_variance, spectral_radius, stationary, stationary_variance

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MAX_RADIUS = 0.9995  # hourly: a half-life of variance of at most eight weeks
SCREENING, ROUGH_STEPS, MAX_STEPS = 12, 25, 80
CHAIN = slice(6, 10)  # of a row of STARTS: how the regimes change
RESCALED = 16  # bars between rescalings of the products
STARTS = (  # ω₁/ω₀, era's ω; α₀, α₁; β₀, β₁; stay₀, stay₁, stay in the low era, in the high; degrees of freedom
    (4.0, 3.0, 0.01, 0.06, 0.98, 0.93, 0.977, 0.97, 0.9993, 0.999, 4.0),
    (60.0, 3.0, 0.02, 0.08, 0.95, 0.90, 0.90, 0.80, 0.9993, 0.999, 4.0),
)


@dataclass(frozen=True)
class Sample:
    """Returns as the likelihood takes them, and the variances that the fitted model must have; n bars of `dt` years."""

    news: Array  # (n,) r²/dt, variance per year; 0 where missing
    fell: Mask  # (n,) r < 0
    usable: Mask  # (n,) False: missing, each variance is carried over the bar
    counted: Mask  # (n,) False: the bar's density counts as 1 (missing, or a cascade)
    dt: float
    truncation: float
    gain: float  # mean news over that of ordinary bars: cascades add to it, cut at the truncation
    target: float  # variance per year that ordinary shocks must have in the long run

    @classmethod
    def of(
        cls,
        returns: Array,
        usable: Mask,
        cascades: Mask,
        dt: float,
        truncation: float,
        variance: Array | None = None,
    ) -> Sample:
        """From log `returns` (n,), those `usable` and those that are `cascades`.

        `variance` (n,), per year, is a first idea of each bar's, by which the news is cut to measure the gain; without
        it, the mean of ordinary bars.
        """
        clean = np.where(usable, returns, 0.0)
        news, counted = clean**2 / dt, usable & ~cascades
        ordinary = float(news[counted].mean())
        cut = np.minimum(news[usable], truncation**2 * (ordinary if variance is None else variance[usable]))
        return cls(news, clean < 0, usable, counted, dt, truncation, max(float(cut.mean()) / ordinary, 1.0), ordinary)


@dataclass(frozen=True)
class Fit:
    """A fitted model, its log-likelihood of the counted returns, and the number of its free parameters."""

    regimes: Regimes
    log_likelihood: float
    parameters: int
    point: Array  # where the optimiser ended


def variances(sample: Sample, regimes: Regimes, start: float) -> Array:
    """(K, n + 1) variance per year of each regime before each bar and after the last, from `start` in every regime."""
    news, fell = sample.news[sample.usable], sample.fell[sample.usable].astype(np.float64)
    cap, parameters = (
        regimes.truncation**2,
        zip(regimes.omega, regimes.alpha, regimes.leverage, regimes.beta, strict=True),
    )
    paths = [
        _recursion(news, omega, alpha + leverage * fell, beta, cap, regimes.ceiling, start)
        for omega, alpha, leverage, beta in parameters
    ]
    seen = np.concatenate([[0], np.cumsum(sample.usable)])
    return np.stack(paths)[:, seen]


def log_densities(sample: Sample, regimes: Regimes, variance: Array) -> Array:
    """(K, n) log-density of each bar's return in each regime given `variance` (K, n) per year; 0 where not counted.

    Student-t standardised to unit variance, not truncated.
    """
    freedom = regimes.degrees_of_freedom
    constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - math.log(math.pi * (freedom - 2)) / 2
    body = np.log1p(sample.news / (variance * (freedom - 2)))
    density = constant - np.log(variance * sample.dt) / 2 - (freedom + 1) / 2 * body
    return np.asarray(np.where(sample.counted, density, 0.0))


def hamilton_log_likelihood(log_density: Array, transition: Array, first: Array) -> float:
    """Log of first·D₁·T·D₂·T·…·Dₙ·1, D the diagonal of exp(`log_density`) (K, n): Hamilton's likelihood.

    `first` (K,) are the regime probabilities of the first bar, `transition` (K, K) is [from][to]. Stretches of bars are
    multiplied side by side, and rescaled on the way, so it neither under- nor overflows. Bars that fill up the last
    stretch have density 1, which T·1 = 1 makes harmless.
    """
    regimes, bars = log_density.shape
    length = math.isqrt(bars - 1) + 1
    count = -(-bars // length)
    peaks = log_density.max(axis=0)
    density = np.ones((regimes, count * length))
    density[:, :bars] = np.exp(log_density - peaks)
    steps = np.ascontiguousarray(density.reshape(regimes, count, length).transpose(2, 1, 0))[:, :, None, :]
    product, scale = np.tile(np.eye(regimes), (count, 1, 1)), np.zeros(count)
    for bar, step in enumerate(steps):
        product = (product * step).reshape(-1, regimes) @ transition
        product = product.reshape(count, regimes, regimes)
        if bar % RESCALED == 0:
            largest = product.max(axis=(1, 2), keepdims=True)
            product /= largest
            scale += np.log(largest[:, 0, 0])
    total = float(peaks.sum() + scale.sum())
    for stretch in product:
        first = first @ stretch
        total += math.log(first.sum())
        first = first / first.sum()
    return total


def log_likelihood(sample: Sample, regimes: Regimes) -> float:
    """Of the counted returns; each recursion starts at the target, the regimes at their stationary probabilities."""
    transition = np.array(regimes.transition)
    variance = variances(sample, regimes, sample.target)[:, :-1]
    first = stationary(torch.from_numpy(transition)).numpy()
    return hamilton_log_likelihood(log_densities(sample, regimes, variance), transition, first)


def predicted_variance(sample: Sample, regimes: Regimes) -> Array:
    """(n,) variance per year expected of each bar given those before it: Σ_k p_k·h_k with Hamilton's probabilities."""
    variance = variances(sample, regimes, sample.target)[:, :-1]
    log_density = log_densities(sample, regimes, variance)
    density = np.exp(log_density - log_density.max(axis=0)).T
    transition = np.array(regimes.transition)
    chance = np.empty_like(density)
    now = stationary(torch.from_numpy(transition)).numpy()
    for bar, weight in enumerate(density):
        chance[bar] = now
        joint = now * weight
        now = joint @ transition / joint.sum()
    return np.asarray((chance * variance.T).sum(axis=1))


def fit(sample: Sample, steps: int = MAX_STEPS, like: Regimes | None = None) -> Fit:
    """The model of greatest likelihood, without leverage, whose stationary variance is the sample's.

    ω's scale is set by that variance (targeting, with what cascades feed into the recursion counted), so ratios of ω
    alone are free; the spectral radius stays below MAX_RADIUS. From the best of STARTS after SCREENING steps, by
    `steps` more. With `like`, the regimes change as those do, named as there, and the rest is free.
    """
    screened = [_climb(sample, _point(np.array(start)), SCREENING, like) for start in STARTS]
    return _climb(sample, max(screened, key=lambda found: found.log_likelihood).point, steps, like)


def refine(sample: Sample, near: Fit, like: Regimes | None = None) -> Fit:
    """`fit` from where `near` (without leverage) ended; leverage is kept only if that lowers the Bayesian criterion.

    With leverage, leverage_k is the same share of each regime's α_k + leverage_k/2.
    """
    anew = _regimes(near.point, sample) is None  # cascades' news, counted since, leaves it without a long run
    plain = fit(sample, MAX_STEPS, like) if anew else _climb(sample, near.point, MAX_STEPS, like)
    skewed = _climb(sample, np.append(plain.point, 0.1), MAX_STEPS, like)
    gain = 2 * (skewed.log_likelihood - plain.log_likelihood)
    return skewed if gain > math.log(sample.counted.sum()) else plain


def _recursion(news: Array, omega: float, slope: Array, beta: float, cap: float, ceiling: float, start: float) -> Array:
    """(n + 1,) h' = min(ceiling, ω + slope·min(news, cap·h) + β·h) from h = start.

    Each pass takes its bounds from the path of the pass before, so it is exact up to the first bar that it still
    changes, and the passes end at the one solution.
    """
    path = _linear(omega + slope * news, beta, start)
    while True:
        before = np.minimum(path[:-1], ceiling)
        inputs = np.minimum(omega + slope * np.minimum(news, cap * before), ceiling - beta * before)
        following = _linear(inputs, beta, start)
        if (np.abs(path - following) <= 1e-13 * np.abs(path)).all():
            return following
        path = following


def _linear(inputs: Array, beta: float, start: float) -> Array:
    """(n + 1,) h' = inputs + β·h from h = start."""
    path: Array = lfilter([1.0], [1.0, -beta], np.concatenate([[start], inputs]))
    return path


def _point(values: Array) -> Array:
    """The unbounded coordinates of a row of STARTS."""
    return np.concatenate([np.log(values[:4]), logit(values[4:10]), np.log(values[10:] - 2)])


def _regimes(point: Array, sample: Sample) -> Regimes | None:
    """The model at `point`, its ω scaled to the sample's variance; None where it is not stationary."""
    share = min(max(float(point[11]), 0.0), 2.0) if len(point) > 11 else 0.0
    pace, era = (np.array([[a, 1 - a], [1 - b, b]]) for a, b in expit(point[6:10]).reshape(2, 2))
    slope = torch.from_numpy(np.tile(np.exp(point[2:4]), 2))
    unscaled = RegimeTensors(
        transition=torch.from_numpy(np.kron(era, pace)),
        omega=torch.from_numpy(np.exp(np.add.outer([0.0, point[1]], [0.0, point[0]])).ravel()),
        alpha=slope * (1 - share / 2),
        leverage=slope * share,
        beta=torch.from_numpy(np.tile(expit(point[4:6]), 2)),
        degrees_of_freedom=2 + math.exp(point[10]),
        truncation=sample.truncation,
        ceiling=math.inf,
    )
    if spectral_radius(news := fed(unscaled, sample.gain)) >= MAX_RADIUS:
        return None
    return _plain(replace(unscaled, omega=unscaled.omega * (sample.target / stationary_variance(news))))


def fed(tensors: RegimeTensors, gain: float) -> RegimeTensors:
    """With slopes that count the news of cascades in."""
    return replace(tensors, alpha=gain * tensors.alpha, leverage=gain * tensors.leverage)


def _plain(tensors: RegimeTensors) -> Regimes:
    """The same model as numbers, at the ceiling that `Regimes` has by default."""
    transition, omega, alpha, leverage, beta = (
        getattr(tensors, name).tolist() for name in ("transition", "omega", "alpha", "leverage", "beta")
    )
    return Regimes(
        transition=transition,
        omega=omega,
        alpha=alpha,
        leverage=leverage,
        beta=beta,
        degrees_of_freedom=tensors.degrees_of_freedom,
        truncation=tensors.truncation,
    )


def _climb(sample: Sample, start: Array, steps: int, like: Regimes | None) -> Fit:
    """The local maximum of the likelihood above `start`, by at most `steps` of L-BFGS-B; the chain that of `like`.

    Raises BadInput where no model from `start` on is stationary.
    """
    free, start = np.ones(len(start), bool), start.copy()
    if like is not None:
        free[CHAIN], start[CHAIN] = False, _chain(like)

    def at(values: Array) -> Array:
        point = start.copy()
        point[free] = values
        return point

    def loss(values: Array) -> float:
        regimes = _regimes(at(values), sample)
        return 1e3 if regimes is None else -log_likelihood(sample, regimes) / len(sample.news)

    end = minimize(loss, start[free], method="L-BFGS-B", options={"maxiter": steps, "ftol": 1e-9, "gtol": 1e-7})
    regimes = _regimes(at(end.x), sample)
    if regimes is None:
        raise BadInput(
            f"prices: no stationary model fits these {len(sample.news):,} bars; calibrate on a longer window"
        )
    named = _ordered(regimes) if like is None else regimes
    return Fit(named, -float(end.fun) * len(sample.news), int(free.sum()), at(end.x))


def _chain(regimes: Regimes) -> Array:
    """The coordinates CHAIN of a model of pairs."""
    joint = np.array(regimes.transition).reshape(2, 2, 2, 2)  # [era, pace] from, [era, pace] to
    pace, era = joint.sum(axis=2)[0], joint.sum(axis=3)[:, 0]
    return np.asarray(logit(np.concatenate([pace.diagonal(), era.diagonal()])))


def _ordered(regimes: Regimes) -> Regimes:
    """The same model with the low era first, and in each era the calm regime."""
    tensors = RegimeTensors.of(regimes)
    inside = (joint_variance(tensors).diagonal() / stationary(tensors.transition)).reshape(2, 2)
    eras, paces = inside.sum(1).argsort(), inside.sum(0).argsort()
    order = (2 * eras[:, None] + paces).flatten()
    names = ("omega", "alpha", "leverage", "beta")
    swapped = {name: getattr(tensors, name)[order] for name in names}
    return _plain(replace(tensors, transition=tensors.transition[order][:, order], **swapped))

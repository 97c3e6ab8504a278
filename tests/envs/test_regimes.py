"""Hamilton's filter, stationarity and forecasts against enumeration of every regime path."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from envs.calibration import Regimes
from envs.types import BadInput
from envs.volatility import regimes as filters
from envs.volatility.garch import RegimeTensors, log_density, next_variance

PAIR = Regimes(
    transition=((0.9, 0.1), (0.3, 0.7)),
    omega=(0.01, 0.05),
    alpha=(0.02, 0.10),
    leverage=(0.01, 0.06),
    beta=(0.93, 0.80),
    degrees_of_freedom=5.0,
    truncation=1e6,
)
TENSORS = RegimeTensors.of(PAIR)


def one(alpha: float, leverage: float, beta: float) -> RegimeTensors:
    return RegimeTensors.of(
        Regimes(
            transition=((1.0,),),
            omega=(0.1,),
            alpha=(alpha,),
            leverage=(leverage,),
            beta=(beta,),
            degrees_of_freedom=5.0,
            truncation=10.0,
        )
    )


def test_filter_equals_enumeration_of_all_paths() -> None:
    returns = torch.from_numpy(np.random.default_rng(3).standard_t(4, (8, 1)))
    variance, densities = torch.tensor([[0.3, 1.2]], dtype=torch.float64), []
    predicted = filters.stationary(TENSORS.transition).unsqueeze(0)
    for value in returns:
        densities.append(log_density(TENSORS, variance, value, 1.0))
        filtered, predicted = filters.update(TENSORS, predicted, densities[-1])
        variance = next_variance(TENSORS, variance, value, 1.0)
    weight = torch.zeros(2, dtype=torch.float64)
    for path in product(range(2), repeat=len(returns)):
        chance = filters.stationary(TENSORS.transition)[path[0]] * densities[0][0, path[0]].exp()
        for before, now, density in zip(path, path[1:], densities[1:], strict=False):
            chance = chance * TENSORS.transition[before, now] * density[0, now].exp()
        weight[path[-1]] += chance
    assert filtered[0].tolist() == pytest.approx((weight / weight.sum()).tolist(), rel=1e-12)


def test_filter_survives_a_return_that_no_regime_expects() -> None:
    predicted = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    filtered, following = filters.update(TENSORS, predicted, torch.tensor([[-1e5, -2e5]]).double())
    assert filtered.tolist() == [[1.0, 0.0]]
    assert following[0].tolist() == pytest.approx([0.9, 0.1])


def expected_by_paths(bars: int, chance: list[float], variance: list[float]) -> list[float]:
    """Expected variance of each of the next `bars`, over all regime paths; E[news | path] is the acting regime's h."""
    total = np.zeros(bars)
    transition, slope = np.array(PAIR.transition), np.array(PAIR.alpha) + np.array(PAIR.leverage) / 2
    for path in product(range(2), repeat=bars):
        weight, h = chance[path[0]], np.array(variance)
        weight *= np.prod([transition[a, b] for a, b in pairwise(path)])
        for bar, regime in enumerate(path):
            total[bar] += weight * h[regime]
            h = np.array(PAIR.omega) + slope * h[regime] + np.array(PAIR.beta) * h
    return list(total)


def test_forecast_equals_enumeration_of_all_paths() -> None:
    chance, variance, bars = [0.35, 0.65], [0.2, 1.5], 7
    weights = filters.forecast_weights(TENSORS, bars)
    state = torch.from_numpy(np.concatenate([np.outer(chance, variance).ravel(), chance]))
    exact = expected_by_paths(bars, chance, variance)
    terms = [exact[0], *(np.mean(exact[:m]) for m in range(1, bars + 1))]
    assert (weights @ state).tolist() == pytest.approx(terms, rel=1e-12)


def test_forecast_ends_at_the_stationary_variance() -> None:
    share = filters.stationary(TENSORS.transition)
    state = torch.cat([filters.joint_variance(TENSORS).flatten(), share])
    found = filters.forecast_weights(TENSORS, 300) @ state
    assert found.tolist() == pytest.approx([filters.stationary_variance(TENSORS)] * 301, rel=1e-12)


@pytest.mark.parametrize("horizon", [0, 1, 5])
def test_forecast_table_has_a_row_for_each_horizon_in_the_callers_dtype(horizon: int) -> None:
    table = filters.forecast_weights(RegimeTensors.of(PAIR, torch.float32), horizon)
    assert table.shape == (horizon + 1, 6)
    assert table.dtype == torch.float32


@given(alpha=st.floats(0, 0.5), leverage=st.floats(0, 0.4), beta=st.floats(0, 1))
def test_one_regimes_spectral_radius_is_its_persistence(alpha: float, leverage: float, beta: float) -> None:
    assert filters.spectral_radius(one(alpha, leverage, beta)) == pytest.approx(alpha + leverage / 2 + beta, abs=1e-12)


def test_one_regimes_stationary_variance_is_the_textbooks() -> None:
    assert filters.stationary_variance(one(0.1, 0.1, 0.8)) == pytest.approx(0.1 / (1 - 0.95))


def test_a_variance_that_is_not_stationary_is_refused() -> None:
    with pytest.raises(BadInput, match=r"radius 1\.1"):
        filters.stationary_variance(one(0.2, 0.0, 0.9))


def test_stationary_probabilities() -> None:
    assert filters.stationary(TENSORS.transition).tolist() == pytest.approx([0.75, 0.25])
    with pytest.raises(BadInput, match="cannot be left"):
        filters.stationary(torch.eye(2, dtype=torch.float64))

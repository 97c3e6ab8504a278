"""One regime is arch's GJR-GARCH-t, to the last digits of its recursion and likelihood."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from arch import arch_model

from envs.calibration import Regimes
from envs.volatility.garch import RegimeTensors, columns, log_density, next_variance

PARAMETERS = (0.02, 0.06, 0.04, 0.90, 4.5)  # ω, α, leverage, β, degrees of freedom, with dt = 1


def single(truncation: float = 1e6) -> RegimeTensors:
    omega, alpha, leverage, beta, freedom = PARAMETERS
    return RegimeTensors.of(
        Regimes(
            transition=((1.0,),),
            omega=(omega,),
            alpha=(alpha,),
            leverage=(leverage,),
            beta=(beta,),
            degrees_of_freedom=freedom,
            truncation=truncation,
        )
    )


def test_recursion_and_likelihood_are_those_of_arch() -> None:
    returns = np.random.default_rng(7).standard_t(5, 400)
    model = arch_model(returns, mean="Zero", p=1, o=1, q=1, dist="t", rescale=False)
    judge = model.fix(list(PARAMETERS))
    variance = torch.tensor([[float(judge.conditional_volatility[0]) ** 2]], dtype=torch.float64)
    path, likelihood = [], 0.0
    for value in torch.from_numpy(returns).unsqueeze(-1):
        path.append(float(variance))
        likelihood += float(log_density(single(), variance, value, 1.0))
        variance = next_variance(single(), variance, value, 1.0)
    assert np.sqrt(path) == pytest.approx(judge.conditional_volatility, rel=1e-10)
    assert likelihood == pytest.approx(float(judge.loglikelihood), rel=1e-10)


def test_news_is_capped_in_each_regimes_own_deviations() -> None:
    omega, alpha, leverage, beta, _ = PARAMETERS
    found = next_variance(single(truncation=2.0), torch.tensor([[0.5]]).double(), torch.tensor([-9.0]).double(), 1.0)
    assert float(found) == pytest.approx(omega + (alpha + leverage) * 4 * 0.5 + beta * 0.5)


def test_variance_per_year_does_not_depend_on_the_bar_it_is_seen_through() -> None:
    hour, day = 1 / 8760, 1 / 365
    variance = torch.tensor([[0.5]], dtype=torch.float64)
    shock = torch.tensor([-0.01], dtype=torch.float64)
    by_hour = next_variance(single(), variance, shock, hour)
    by_day = next_variance(single(), variance, shock * 24**0.5, day)
    assert float(by_hour) == pytest.approx(float(by_day), rel=1e-12)


def test_density_integrates_to_one_with_the_given_variance() -> None:
    grid = torch.linspace(-60, 60, 400_001, dtype=torch.float64)
    density = log_density(single(), torch.full((len(grid), 1), 0.7).double(), grid, 0.25)[:, 0].exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1, abs=1e-8)
    assert float(torch.trapezoid(density * grid**2, grid)) == pytest.approx(0.7 * 0.25, rel=2e-4)


def test_no_variance_exceeds_the_ceiling() -> None:
    high = torch.tensor([[399.0]], dtype=torch.float64)
    assert float(next_variance(single(), high, torch.tensor([1e3]).double(), 1.0)) == 400.0


def test_layout_in_memory_changes_no_number() -> None:
    draw = torch.Generator().manual_seed(2)
    variance = torch.rand(50, 3, generator=draw, dtype=torch.float64) + 0.1
    returns = torch.randn(50, generator=draw, dtype=torch.float64)
    model = RegimeTensors(
        transition=torch.full((3, 3), 1 / 3, dtype=torch.float64),
        **{name: torch.rand(3, generator=draw, dtype=torch.float64) for name in ("omega", "alpha", "leverage", "beta")},
        degrees_of_freedom=4.0,
        truncation=3.0,
        ceiling=10.0,
    )
    cap, fell = 9 * variance, (returns < 0).double()[:, None]
    news = torch.minimum((returns**2)[:, None] / 0.5, cap)
    slow = model.omega + (model.alpha + model.leverage * fell) * news + model.beta * variance
    for values in (variance, columns(variance).T):
        found = next_variance(model, values, returns, 0.5)
        torch.testing.assert_close(found, slow.clamp(max=10.0), rtol=1e-14, atol=0)
        torch.testing.assert_close(
            log_density(model, values, returns, 0.5), log_density(model, variance, returns, 0.5), rtol=0, atol=0
        )
        assert columns(found).data_ptr() == found.data_ptr(), "results need no copy in the next bar"


def test_gradients_pass_through_the_recursion() -> None:
    variance = torch.tensor([[0.3], [0.8]], dtype=torch.float64, requires_grad=True)
    returns = torch.tensor([-0.4, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h, r: next_variance(single(), h, r, 0.5), (variance, returns))
    assert torch.autograd.gradcheck(lambda h, r: log_density(single(), h, r, 0.5), (variance, returns))

"""The asymmetric policy: starts at zero, hides the critic's columns from the actor, stays a proper SB3 policy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.policy import MANY_ROWS, BandActorCritic, WideLinear
from envs.types import BadInput

FEATURES, ACTOR, ACTIONS = 7, 5, 3


def make(**kwargs: object) -> BandActorCritic:
    torch.manual_seed(0)
    observed = spaces.Box(-np.inf, np.inf, (FEATURES,), np.float32)
    acted = spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)
    return BandActorCritic(observed, acted, lambda _: 1e-3, **({"actor_features": ACTOR} | kwargs))  # type: ignore[arg-type]


@pytest.fixture
def trained() -> BandActorCritic:
    """A policy whose actor no longer is zero."""
    policy = make()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return policy


def test_before_training_the_deterministic_action_is_exactly_zero() -> None:
    policy, obs = make(), 100.0 * torch.randn(50, FEATURES)
    assert torch.equal(policy(obs, deterministic=True)[0], torch.zeros(50, ACTIONS))
    assert not policy.predict(obs.numpy(), deterministic=True)[0].any()
    assert torch.equal(policy.actor_network()(obs[:, :ACTOR]), torch.zeros(50, ACTIONS))


def test_the_actor_does_not_see_the_critics_columns(trained: BandActorCritic) -> None:
    obs = torch.randn(50, FEATURES)
    other = torch.cat([obs[:, :ACTOR], torch.randn(50, FEATURES - ACTOR)], 1)
    (here, value, _), (there, another, _) = (trained(both, deterministic=True) for both in (obs, other))
    assert torch.equal(here, there)
    assert not torch.isclose(value, another).any()
    assert not torch.isclose(here, trained(obs + 1.0, deterministic=True)[0]).all()


@pytest.mark.parametrize("rows", [1, 50, 2 * MANY_ROWS])
def test_densities_agree_with_torch_distributions(trained: BandActorCritic, rows: int) -> None:
    obs = torch.randn(rows, FEATURES)
    action, value, log_prob = trained(obs)
    distribution = torch.distributions.Normal(trained(obs, deterministic=True)[0], trained.log_std.exp())
    torch.testing.assert_close(log_prob, distribution.log_prob(action).sum(1), rtol=1e-4, atol=1e-5)
    again, evaluated, entropy = trained.evaluate_actions(obs, action)
    torch.testing.assert_close(evaluated, log_prob, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(entropy, distribution.entropy().sum(-1))
    assert torch.equal(again, value)
    assert torch.equal(trained.predict_values(obs), value)
    assert (value.shape, log_prob.shape, entropy.shape) == ((rows, 1), (rows,), (rows,))


def test_exploration_has_the_stated_spread(trained: BandActorCritic) -> None:
    rows = 20_000
    obs = torch.randn(1, FEATURES).expand(rows, -1)
    action, _, _ = trained(obs)
    deviation = trained.log_std.exp()
    mean = trained(obs, deterministic=True)[0][0]
    assert ((action.mean(0) - mean).abs() < 5.0 * deviation / rows**0.5).all()
    assert ((action.std(0) / deviation - 1.0).abs() < 5.0 / (2.0 * rows) ** 0.5).all()


def test_log_std_starts_where_it_is_told() -> None:
    assert torch.equal(make().log_std, torch.full((ACTIONS,), -1.0))
    assert torch.equal(make(log_std_init=-2.5).log_std, torch.full((ACTIONS,), -2.5))


def test_the_actor_network_is_the_deterministic_policy(trained: BandActorCritic) -> None:
    obs = 5.0 * torch.randn(50, FEATURES)
    network = trained.actor_network()
    expected, _ = trained.predict(obs.numpy(), deterministic=True)
    assert (np.abs(expected) == 1.0).any()
    np.testing.assert_allclose(network(obs[:, :ACTOR]).detach().numpy(), expected, atol=1e-6)
    before = network(obs[:, :ACTOR])
    nn.init.ones_(trained.action_net.weight)  # a copy: later training leaves it alone
    assert torch.equal(network(obs[:, :ACTOR]), before)


def test_saved_policy_loads(trained: BandActorCritic, tmp_path: Path) -> None:
    trained.save(str(tmp_path / "policy"))
    loaded = BandActorCritic.load(str(tmp_path / "policy"))
    obs = np.random.default_rng(0).normal(size=(10, FEATURES)).astype(np.float32)
    assert np.array_equal(loaded.predict(obs, deterministic=True)[0], trained.predict(obs, deterministic=True)[0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"activation": "swash"}, "use one of silu"),
        ({"actor_features": 0}, "use 1 to 7"),
        ({"actor_features": FEATURES + 1}, "use 1 to 7"),
        ({"use_sde": True}, "use_sde=False"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        make(**settings)


def gradients(layer: nn.Module, x: Tensor, upstream: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(layer(x), [x, *layer.parameters()], upstream))


@pytest.mark.parametrize("rows", [MANY_ROWS - 1, MANY_ROWS, 3000])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 64), (64, 64), (64, 3)])
def test_wide_linear_is_a_linear_layer(rows: int, inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    wide, plain = WideLinear(inputs, outputs), nn.Linear(inputs, outputs).double()
    plain.load_state_dict(wide.state_dict())
    x = torch.randn(rows, inputs + 2)[:, :inputs].requires_grad_()  # rows apart, as the actor's columns are
    upstream = torch.randn(rows, outputs)
    exact = plain(x.double())
    torch.testing.assert_close(wide(x).double(), exact, rtol=1e-5, atol=1e-5)
    expected = gradients(plain, x.detach().double().requires_grad_(), upstream.double())
    for found, wanted in zip(gradients(wide, x, upstream), expected, strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4 * rows**0.5)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_wide_linear_takes_its_own_road_for_many_float32_rows_only() -> None:
    wide = WideLinear(4, 4)
    assert "Product" in type(wide(torch.randn(MANY_ROWS, 4)).grad_fn).__name__
    assert "Product" not in type(wide(torch.randn(MANY_ROWS - 1, 4)).grad_fn).__name__
    assert "Product" not in type(wide.double()(torch.randn(MANY_ROWS, 4).double()).grad_fn).__name__

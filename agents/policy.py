"""The actor and critic that PPO trains: the critic sees columns that the actor does not."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from agents.network import ACTIVATIONS, ActorNetwork, perceptron
from envs.types import BadInput

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
MANY_ROWS = 1024  # below, calling oneDNN costs more than it saves


class WideLinear(nn.Linear):
    """`nn.Linear`, faster on the CPU for many rows in float32, where it goes to oneDNN in place of MKL."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, outputs) for input (B, inputs)."""
        if len(input) < MANY_ROWS or not _suits_onednn(input):
            return super().forward(input)
        return cast(Tensor, _Product.apply(input, self.weight, self.bias))  # type: ignore[no-untyped-call]


class _Product(torch.autograd.Function):
    """x Wᵀ + b by oneDNN's kernels, which use AVX-512 on every maker's CPU where MKL does on one's only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        by_input = _product(upstream, weight.T, None) if ctx.needs_input_grad[0] else None
        narrow = x.shape[1] < upstream.shape[1]  # a product is fastest with the narrower factor first
        by_weight = (x.T @ upstream).T if narrow else upstream.T @ x
        return by_input, by_weight, upstream.sum(0)


def _suits_onednn(x: Tensor) -> bool:
    return x.is_cpu and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return x Wᵀ + b without a gradient."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


class AsymmetricTowers(nn.Module):
    """Two separate perceptrons: the actor's on the first `actor_features` columns, the critic's on all F."""

    def __init__(
        self, features: int, actor_features: int, hidden: tuple[int, ...], activation: type[nn.Module]
    ) -> None:
        super().__init__()
        self.actor_features = actor_features
        self.policy_net = perceptron((actor_features, *hidden), activation, WideLinear, activate_last=True)
        self.value_net = perceptron((features, *hidden), activation, WideLinear, activate_last=True)
        self.latent_dim_pi = hidden[-1] if hidden else actor_features
        self.latent_dim_vf = hidden[-1] if hidden else features

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the actor's and the critic's latent (B, H) of features (B, F)."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        """Return the actor's latent (B, H) of features (B, F), whose columns past the actor's are not read."""
        latent: Tensor = self.policy_net(features[:, : self.actor_features])
        return latent

    def forward_critic(self, features: Tensor) -> Tensor:
        """Return the critic's latent (B, H) of features (B, F)."""
        latent: Tensor = self.value_net(features)
        return latent


class BandActorCritic(ActorCriticPolicy):
    """Diagonal Gaussian policy whose mean is exactly 0 before training: the action that is the tuned classical hedge.

    The log-probability is that of the sample before it is clipped to the action space; log_std is one for all states.
    """

    mlp_extractor: AsymmetricTowers  # type: ignore[assignment]

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        actor_features: int | None = None,
        hidden: tuple[int, ...] = (64, 64),
        activation: str = "silu",
        log_std_init: float = -1.0,
        use_sde: bool = False,
    ) -> None:
        features = math.prod(observation_space.shape)
        self._actor_features = features if actor_features is None else actor_features
        self._hidden, self._activation = tuple(hidden), activation
        self._refuse(use_sde, features)
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            log_std_init=log_std_init,
            optimizer_kwargs={"eps": 1e-5, "fused": True},
        )

    def _refuse(self, use_sde: bool, features: int) -> None:
        """Raise `BadInput` for settings that this policy does not have."""
        if self._activation not in ACTIVATIONS:
            raise BadInput(f"activation {self._activation!r} is not known: use one of {', '.join(ACTIVATIONS)}")
        if not 1 <= self._actor_features <= features:
            raise BadInput(f"actor_features is {self._actor_features}: use 1 to {features}, the columns observed")
        if use_sde:
            raise BadInput("use_sde=True: this policy explores with state-independent noise, use use_sde=False")

    def _get_constructor_parameters(self) -> dict[str, Any]:
        """Return what `load` hands to the constructor."""
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,
            "actor_features": self._actor_features,
            "hidden": self._hidden,
            "activation": self._activation,
            "log_std_init": self.log_std_init,
        }

    def _build_mlp_extractor(self) -> None:
        """Make the towers."""
        self.mlp_extractor = AsymmetricTowers(
            self.features_dim, self._actor_features, self._hidden, ACTIVATIONS[self._activation]
        )

    def _build(self, lr_schedule: Schedule) -> None:
        """Make the networks and the optimizer; the actor's last layer starts at zero."""
        super()._build(lr_schedule)
        for parameter in self.action_net.parameters():
            nn.init.zeros_(parameter)

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return action (B, A), value (B, 1) and log-probability (B,) for observations (B, F)."""
        mean, value = self._mean_and_value(obs)
        noise = torch.zeros_like(mean) if deterministic else torch.randn_like(mean)
        return mean + self.log_std.exp() * noise, value, self._log_density(noise)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return value (B, 1), log-probability (B,) of the actions (B, A) and entropy (B,) for observations (B, F)."""
        mean, value = self._mean_and_value(obs)
        log_prob = self._log_density((actions - mean) * torch.exp(-self.log_std))
        entropy = (self.log_std + (0.5 + HALF_LOG_TWO_PI)).sum()
        return value, log_prob, entropy.expand_as(log_prob)

    def actor_network(self) -> ActorNetwork:
        """Return a copy of the deterministic actor alone, on the CPU."""
        network = ActorNetwork(
            self._actor_features, self._hidden, self._activation, math.prod(self.action_space.shape or ())
        )
        for target, source in zip(network.parameters(), self._actor_weights(), strict=True):
            target.data.copy_(source.data)
        return network.eval()

    def adopt(self, network: ActorNetwork) -> None:
        """Take over the weights of a deterministic actor of the same shape."""
        for target, source in zip(self._actor_weights(), network.parameters(), strict=True):
            target.data.copy_(source.data)

    def _actor_weights(self) -> list[nn.Parameter]:
        return [*self.mlp_extractor.policy_net.parameters(), *self.action_net.parameters()]

    def _mean_and_value(self, obs: PyTorchObs) -> tuple[Tensor, Tensor]:
        latent_pi, latent_vf = self.mlp_extractor(self.extract_features(obs))
        return self.action_net(latent_pi), self.value_net(latent_vf)

    def _log_density(self, noise: Tensor) -> Tensor:
        """Return the log-density (B,) of mean + std · noise, for noise (B, A)."""
        return -0.5 * noise.square().sum(1) - (self.log_std + HALF_LOG_TWO_PI).sum()

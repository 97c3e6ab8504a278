"""Whether learning has diverged: looked at between updates, before anything is kept."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from agents.base import Diverged

MOST_KL = 1.0  # nats between the policies before and after an update; a sound one moves by hundredths
EXPLODED = 1e3  # times the first update's value loss
REMEDY = "lower learning_rate or epochs"


class Watch(BaseCallback):
    """Stops with Diverged, in one line, where an update has gone wrong."""

    first: float | None = None  # value loss

    def saved(self) -> float | None:
        return self.first

    def restore(self, tree: float | None) -> None:
        self.first = tree

    def _on_rollout_start(self) -> None:
        said = self.logger.name_to_value
        kl, loss = said.get("train/approx_kl", 0.0), said.get("train/value_loss")
        self.first = loss if self.first is None else self.first
        steps = f"after {self.num_timesteps:,} decisions"
        if not all(bool(parameter.isfinite().all()) for parameter in self.model.policy.parameters()):
            raise Diverged(f"{steps} the policy's weights are not finite; {REMEDY}")
        if kl > MOST_KL:
            raise Diverged(f"{steps} an update moved the policy by a KL of {kl:.3g}, above {MOST_KL:g}; {REMEDY}")
        if loss is not None and self.first is not None and loss > EXPLODED * self.first:
            raise Diverged(f"{steps} the value loss is {loss:.3g}, where it began at {self.first:.3g}; {REMEDY}")

    def _on_training_end(self) -> None:
        self._on_rollout_start()

    def _on_step(self) -> bool:
        return True

"""What learning knows of final losses, moved only between rollouts."""

from __future__ import annotations

import torch
from torch import Tensor

from envs.hedging import HedgingWorld
from envs.objective import Objective
from envs.rewards import Outlook

MEMORY = 40_000  # finished episodes that make the outlook


def outlook(objective: Objective, losses: Tensor) -> Outlook:
    """What final `losses` (N,) say."""
    return Outlook(objective.dual(losses), float(losses.mean()), float(losses.std()))


def nearer(old: Outlook, new: Outlook, share: float) -> Outlook:
    """`old`, moved by a share of the way to `new`."""
    drift, spread = (a + share * (b - a) for a, b in ((old.drift, new.drift), (old.spread, new.spread)))
    return Outlook(torch.lerp(old.dual, new.dual, share), drift, spread)


class Late:
    """The losses of a world's late episodes."""

    def __init__(self, world: HedgingWorld) -> None:
        self.world = world
        self.losses: list[Tensor] = []

    def note(self) -> None:
        """Keep the losses of the episodes that the world's last step finished."""
        ended = self.world.last.terminated
        if ended.any():
            self.losses.append(self.world.last.loss[ended])

    def settle(self) -> float | None:
        """Move the world's outlook to the late losses; their measure, None before any."""
        if not self.losses:
            return None
        late = torch.cat(self.losses[::-1])[:MEMORY]
        while sum(map(len, self.losses[1:])) > MEMORY:
            self.losses.pop(0)
        self.world.outlook = outlook(self.world.objective, late)
        return float(self.world.objective.value(late))

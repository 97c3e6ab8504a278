"""All that a world carries from one decision to the next, as tensors and numbers, and the way back."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

from envs.hedging import HedgingWorld
from envs.rewards import Outlook
from envs.types import mapped


def saved(world: HedgingWorld) -> dict[str, Any]:
    """Tensors as they lie in memory, lists and numbers; the generator's state among them."""
    tensors: list[Tensor] = []
    mapped(lambda one: tensors.append(one) or one, (world.state, world.episode))  # type: ignore[func-returns-value]
    return {
        "tensors": tensors,
        "ending": list(world._ending),
        "outlook": vars(world.outlook),
        "generator": world.generator.get_state(),
    }


def restore(world: HedgingWorld, tree: dict[str, Any]) -> None:
    """`world`, reset, goes on exactly from where the one of the same build stood that `saved` gave `tree`."""
    tensors = iter(tree["tensors"])
    like = (world.state, world.episode)
    world.state, world.episode = mapped(lambda one: next(tensors).to(one.device), like)
    world._ending = deque(tree["ending"])
    world.outlook = Outlook(**{**tree["outlook"], "dual": tree["outlook"]["dual"].to(world.device)})
    world.generator.set_state(tree["generator"])
    with torch.no_grad():
        world._observe()

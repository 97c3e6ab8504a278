"""Independent generators from one seed, by NumPy's spawning: never seed + i."""

from __future__ import annotations

import numpy as np
import torch


def generators(seed: int, count: int, device: torch.device | str = "cpu") -> list[torch.Generator]:
    """`count` generators on `device`, independent of each other and of those of any other seed."""
    children = np.random.SeedSequence(seed).spawn(count)
    return [torch.Generator(device).manual_seed(int(c.generate_state(1, np.uint64)[0] >> 1)) for c in children]

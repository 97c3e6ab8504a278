"""Settings that every test shares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # on shared cores two threads spend their time waiting for each other


@pytest.fixture(autouse=True)
def _numerical_errors() -> Iterator[None]:
    """NumPy's divisions by zero, overflows and invalid results are errors; underflow in the tails is not."""
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        yield


@pytest.fixture(scope="module")
def small_market() -> Iterator[None]:
    """For tests that are not about the start of a simulated market."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("envs.markets.garch.BURN_IN", 50)
        patch.setattr("envs.markets.bootstrap.BURN_IN", 50)
        yield

"""The regime that a person is told is the one that the policy sees, by the name of its variance."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from envs.calibration import Regimes
from envs.task import Task
from envs.volatility import garch
from serve.market import Market
from serve.mirror import Mirror
from serve.regimes import chances, regimes_of, worded
from tests.serve.support import ASSETS, CALIBRATION, CONTRACT, LEGS


def market(regimes: Regimes) -> Market:
    calibration = CALIBRATION.model_copy(update={"regimes": regimes})
    made = {"kind": "garch", "settings": {"assets": [calibration]}}
    task = Task.model_validate({"id": "Test", "about": "x", "market": made, "contract": CONTRACT})
    return Market(task, ASSETS, LEGS)


def of(omega: tuple[float, ...]) -> Regimes:
    """Constant variances, each regime left as often as the others."""
    count = len(omega)
    stay, flat = 1 - 0.02 * (count - 1), (0.0,) * count
    rows = tuple(tuple(stay if j == k else 0.02 for k in range(count)) for j in range(count))
    return Regimes(
        transition=rows, omega=omega, alpha=flat, leverage=flat, beta=flat, degrees_of_freedom=5.0, truncation=6.0
    )


@pytest.mark.parametrize(
    ("omega", "names"),
    [
        ((0.3,), ()),
        ((0.1, 0.9), ("calm", "storm")),
        ((0.9, 0.1, 0.4), ("calm", "restless", "storm")),
        ((0.4, 0.9, 0.1, 0.2), ("calm", "restless", "rough", "storm")),
        ((0.4, 0.9, 0.1, 0.2, 0.6), ("calm", "level 2", "level 3", "level 4", "storm")),
    ],
)
def test_regimes_are_named_by_their_variance(omega: tuple[float, ...], names: tuple[str, ...]) -> None:
    """After large moves the wildest is the likeliest, wherever it stands in the calibration."""
    served = market(of(omega))
    assert regimes_of(served, "BTC") == names
    memory = served.filters[0].initial(1)
    large = torch.tensor([2.5 * (max(omega) * served.filters[0].bar) ** 0.5], dtype=torch.float64)
    for sign in (1, -1, 1, -1):
        memory = served.filters[0].update(memory, sign * large)
    found = chances(served, "BTC", memory)
    assert tuple(found) == names
    if names:
        assert sum(found.values()) == pytest.approx(1)
        assert worded(found) == f"storm {100 * found['storm']:.0f} %"
        assert found["storm"] > 0.5
    else:
        assert worded(found) == ""


def test_the_order_is_that_of_the_mean_variance_and_not_of_the_constants() -> None:
    """A regime of small omega that persists is wilder than one of larger omega that does not."""
    regimes = of((0.2, 0.1)).model_copy(update={"beta": (0.0, 0.9)})
    served = market(regimes)
    tensors = garch.RegimeTensors.of(regimes, torch.float64, torch.device("cpu"))
    assert tensors.omega[1] / (1 - tensors.beta[1]) > tensors.omega[0]
    assert list(chances(served, "BTC", served.filters[0].initial(1))) == ["calm", "storm"]
    memory = served.filters[0].initial(1)
    for _ in range(20):
        memory = served.filters[0].update(memory, torch.zeros(1, dtype=torch.float64))
    assert chances(served, "BTC", memory)["calm"] > 0.5, "stillness is the calm regime's"


def test_every_point_of_the_course_has_its_regimes(mirrored: Mirror) -> None:
    """The crash of the day is the bar after which the storm gains most."""
    assert all(sum(point.regimes[0]) == pytest.approx(1) for point in mirrored.curve)
    steps = [(after.regimes[0][1] - before.regimes[0][1], after.time) for before, after in pairwise(mirrored.curve)]
    falls = [(before.spot[0] / after.spot[0], after.time) for before, after in pairwise(mirrored.curve)]
    assert max(steps)[1] == max(falls)[1]
    assert max(steps)[0] > 0.1

"""The filter's own promises: its forecasts, its hazard, and that a market alone sees what it sees in a batch."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from envs.calibration import Calibration
from envs.history import DATA
from envs.seeding import generators
from envs.types import BadInput
from envs.volatility import garch, regimes
from envs.volatility.memory import Filter, Memory

CALIBRATION = Calibration.load(DATA / "btc_2017_2022.toml")
CPU = torch.device("cpu")
FILTER = Filter(CALIBRATION, torch.float64, CPU, 800)


@pytest.mark.parametrize(("name", "value"), [("alpha", 3.0), ("beta", 1.2), ("leverage", 9.0)])
def test_weights_whose_variance_has_no_long_run_are_refused(name: str, value: float) -> None:
    weights = (value, *getattr(CALIBRATION.regimes, name)[1:])
    law = CALIBRATION.model_copy(update={"regimes": CALIBRATION.regimes.model_copy(update={name: weights})})
    with pytest.raises(BadInput, match=r"spectral radius [^\n]* not below 1, the variance explodes; lower"):
        Filter(law, torch.float64, CPU, 10)


def walked(filter: Filter, returns: Tensor) -> Memory:
    """After `returns` (n, P)."""
    memory = filter.initial(returns.shape[1])
    for each in returns:
        memory = filter.update(memory, each)
    return memory


def some(bars: int, paths: int, seed: int = 3) -> Tensor:
    return 0.01 * torch.randn(bars, paths, generator=generators(seed, 1)[0], dtype=torch.float64)


def test_one_regime_forecasts_are_the_geometric_sums_of_garch() -> None:
    """h(m) = v + (h − v)·φ^m with φ = news_gain·α + β; the mean of the next m, times the variance gain."""
    raw = CALIBRATION.regimes.model_dump() | {
        "transition": ((1.0,),),
        "omega": (0.004,),
        "alpha": (0.04,),
        "leverage": (0.0,),
        "beta": (0.95,),
    }
    law = CALIBRATION.regimes.model_validate(raw)
    filter = Filter(CALIBRATION.model_copy(update={"regimes": law}), torch.float64, CPU, 800)
    memory, shocks = walked(filter, some(50, 1)), CALIBRATION.shocks
    kept = shocks.news_gain * 0.04 + 0.95
    level = 0.004 / (1 - kept)
    for bars in (1, 24, 720):
        mean = level + (float(memory.variance) - level) * (1 - kept**bars) / (bars * (1 - kept))
        found = float(filter.term_variance(memory, torch.tensor([bars])))
        assert found == pytest.approx(shocks.variance_gain * mean, rel=1e-10)


def test_implied_variance_is_the_term_variance_of_thirty_days() -> None:
    memory = walked(FILTER, some(60, 5))
    month = torch.full((5,), CALIBRATION.implied_bars)
    torch.testing.assert_close(FILTER.implied_variance(memory), FILTER.term_variance(memory, month), rtol=1e-12, atol=0)


def test_a_matrix_of_terms_is_its_columns() -> None:
    memory, bars = walked(FILTER, some(60, 3)), torch.tensor([[1, 30, 720], [2, 2, 2], [5, 700, 800]])
    found = FILTER.term_variance(memory, bars)
    for column in range(3):
        alone = FILTER.term_variance(memory, bars[:, column])
        torch.testing.assert_close(found[:, column], alone, rtol=1e-13, atol=0)


def test_chance_of_a_cascade_is_the_hazards_formula() -> None:
    memory, law = walked(FILTER, some(60, 4)), CALIBRATION.shocks
    strained = replace(memory, excitement=torch.tensor([0.0, 1.0, 5.0, 20.0], dtype=torch.float64))
    calm = CALIBRATION.reference_volatility**2 / (memory.probability * memory.variance).sum(-1)
    rate = (law.base_rate + law.excitation * strained.excitement) * calm ** (law.leverage / 2)
    expected = 1 - torch.exp(-rate / 8760)
    torch.testing.assert_close(FILTER.cascade_chance(strained), expected, rtol=1e-10, atol=0)


def test_an_update_is_hamiltons_step_and_each_regimes_recursion() -> None:
    memory, seen = walked(FILTER, some(60, 4)), some(1, 4, seed=9)[0]
    after, tensors = FILTER.update(memory, seen), garch.RegimeTensors.of(CALIBRATION.regimes)
    density = garch.log_density(tensors, memory.variance, seen, FILTER.bar)
    torch.testing.assert_close(after.probability, regimes.update(tensors, memory.probability, density)[1])
    torch.testing.assert_close(after.variance, garch.next_variance(tensors, memory.variance, seen, FILTER.bar))
    assert after.bars.tolist() == [61] * 4


def test_a_market_alone_sees_what_it_sees_in_a_batch() -> None:
    returns = some(200, 6)
    together, alone = walked(FILTER, returns), walked(FILTER, returns[:, 2:3])
    for one, many in zip(vars(alone).values(), vars(together).values(), strict=True):
        torch.testing.assert_close(one[0], many[2], rtol=1e-12, atol=1e-300)


def test_large_moves_are_remembered_for_their_half_life() -> None:
    memory = FILTER.initial(1)
    deviation = (FILTER.spot_variance(memory) * FILTER.bar).sqrt()
    struck = FILTER.update(memory, -10 * deviation)
    assert float(struck.excitement) == pytest.approx(7.0)
    later = FILTER.update(struck, torch.zeros(1, dtype=torch.float64))
    assert float(later.excitement) == pytest.approx(7 * math.exp(-math.log(2) / CALIBRATION.shocks.half_life_hours))

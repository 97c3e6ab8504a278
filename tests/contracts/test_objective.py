"""What every objective in envs/objectives/ keeps to; a new file there is picked up by name."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

import envs.objectives
from envs import register
from envs.calibration import Section, validated
from envs.objective import AnyObjective, Objective, parsed
from envs.objectives.mean_shortfall import MeanShortfall
from envs.seeding import generators
from envs.types import BadInput

FOLDER = "envs.objectives"
SPREAD = 0.03  # of a usual hedge's losses, per notional
KINDS = register.kinds(FOLDER)
Check = Callable[[Objective], None]


class Holder(Section):
    objective: AnyObjective = MeanShortfall()


def made(kind: str) -> Objective:
    return parsed({"kind": kind}, "test")


def skewed(n: int = 5000, dtype: torch.dtype = torch.float64) -> Tensor:
    """Losses (n,) of a usual size, their upper tail the longer one."""
    normal = torch.randn(2, n, generator=generators(700, 1)[0], dtype=torch.float64)
    return (SPREAD * (normal[0] + 0.3 * normal[1].square())).to(dtype)


def grid() -> tuple[Tensor, Tensor]:
    """Means (M, 1), and spreads (S,) to go with each."""
    return torch.linspace(-0.2, 0.2, 21).double()[:, None], SPREAD * torch.tensor([0.01, 0.3, 1.0, 3.0]).double()


def a_file_is_named_after_its_kind_and_goes_into_a_file_and_back(objective: Objective) -> None:
    other = {name: 0.9 * value for name, value in objective if name != "kind"}
    holder = Holder(objective=objective.model_copy(update=other))
    assert type(objective).__module__ == f"{FOLDER}.{objective.kind}"
    assert holder.model_dump()["objective"]["kind"] == objective.kind
    assert Holder.model_validate(holder.model_dump()) == holder
    assert Holder.model_validate_json(holder.model_dump_json()) == holder
    assert objective.words
    assert type(objective).__doc__ != Objective.__doc__


def a_wrong_setting_is_refused(objective: Objective) -> None:
    for name in set(type(objective).model_fields) - {"kind"}:
        with pytest.raises(BadInput, match=rf"^here: {name}: [^\n]*$"):
            parsed({"kind": objective.kind, name: -1.0}, "here")


def the_dual_makes_the_mean_transform_least_and_that_is_the_value(objective: Objective) -> None:
    losses = skewed()
    dual, value = objective.dual(losses), objective.value(losses)
    assert dual.dim() <= 1
    assert float(objective.transform(losses, dual).mean()) == pytest.approx(float(value), rel=1e-9)
    for component in range(dual.numel()):
        for off in (-0.1, -1e-3, 1e-3, 0.1):
            moved = dual.clone()
            moved.view(-1)[component] += off * SPREAD
            assert float(objective.transform(losses, moved).mean()) >= float(value) - 1e-12


def a_value_shifts_with_its_losses_and_is_no_less_than_their_mean(objective: Objective) -> None:
    losses = skewed()
    value = float(objective.value(losses))
    assert float(objective.value(losses + 0.7)) == pytest.approx(value + 0.7, abs=1e-12)
    assert float(objective.value(losses[:1])) == pytest.approx(float(losses[0]), abs=1e-12)
    assert value > float(losses.mean())


def a_prospect_is_the_transform_averaged_over_a_normal_law(objective: Objective) -> None:
    """By the trapezium rule over ±12 deviations, a step h of 1/2,000: at a kink where φ′ jumps by J it is off by at
    most J·h²·s/8 times a density under 0.4.

    No φ here jumps by more than 20 in its slope, so that is under 3e-7·s; all else there is rounding.
    """
    mean, spread = grid()
    dual = objective.guess(torch.tensor(0.0).double(), torch.tensor(SPREAD).double())
    z = torch.linspace(-12, 12, 48_001, dtype=torch.float64)
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    seen = objective.transform(mean[..., None] + spread[:, None] * z, dual)
    averaged = torch.trapezoid(seen * density, z, dim=-1)
    assert ((objective.prospect(mean, spread, dual) - averaged).abs() <= 3e-7 * spread + 1e-9 * averaged.abs()).all()


def a_slope_is_the_prospects_derivative_in_the_mean(objective: Objective) -> None:
    """E φ(m + s·Z) changes with m by E φ′."""
    mean, spread = grid()
    dual = objective.guess(torch.tensor(0.0).double(), torch.tensor(SPREAD).double())
    mean = mean.expand(-1, len(spread)).clone().requires_grad_()
    (exact,) = torch.autograd.grad(objective.prospect(mean, spread, dual).sum(), mean)
    slope = objective.slope(mean.detach(), spread, dual)
    assert slope.shape == exact.shape
    assert ((slope - exact).abs() <= 1e-9 * exact.abs().clamp(min=1)).all()


def odds_are_those_of_passing_the_centre(objective: Objective) -> None:
    mean, spread = grid()
    dual = objective.guess(torch.tensor(0.0).double(), torch.tensor(SPREAD).double())
    centre, odds = objective.centre(dual), objective.odds(mean, spread, dual)
    assert centre.dim() == 0
    assert ((odds >= 0) & (odds <= 1)).all()
    assert torch.equal(odds > 0.5, (mean > centre).expand_as(odds))
    assert (odds.diff(dim=0) >= 0).all()


def a_guess_is_the_dual_of_normal_losses(objective: Objective) -> None:
    """No other dual near it has a lower prospect, to what 999 midpoints resolve: 1/999 of the law, 1 % of its spread.

    They leave out a thousandth of the variance, and more of an exponential moment.
    """
    mean, spread = torch.tensor(0.1).double(), torch.tensor(SPREAD).double()
    dual = objective.guess(mean, spread)
    least = float(objective.prospect(mean, spread, dual))
    for component in range(dual.numel()):
        for off in (-0.1, 0.1):
            moved = dual.clone()
            moved.view(-1)[component] += off * SPREAD
            assert float(objective.prospect(mean, spread, moved)) > least - 1e-2 * SPREAD * abs(off)


def rewards_telescope_where_that_is_said(objective: Objective) -> None:
    losses = skewed()
    dual, path = objective.dual(losses), losses[:50]
    earned = objective.reward(path[:-1], path[1:], dual).sum()
    whole = objective.transform(path[0], dual) - objective.transform(path[-1], dual)
    assert (abs(float(earned - whole)) <= 1e-12) is objective.telescopes


def no_loss_earns_and_no_gain_costs_where_the_measure_is_said_to_be_monotone(objective: Objective) -> None:
    dual = objective.dual(skewed())
    low = torch.linspace(-40 * SPREAD, 40 * SPREAD, 81, dtype=torch.float64)[:, None]
    high = low + SPREAD * torch.tensor([1e-3, 1.0, 30.0]).double()
    sound = (objective.reward(low, high, dual) <= 0).all() and (objective.reward(high, low, dual) >= 0).all()
    assert bool(sound) is objective.monotone


def many_samples_are_valued_at_once(objective: Objective) -> None:
    table = skewed(600).view(2, 3, 100)
    each = [[float(objective.value(row)) for row in rows] for rows in table]
    assert (objective.value(table) - torch.tensor(each, dtype=torch.float64)).abs().max() < 1e-12


def single_precision_serves(objective: Objective) -> None:
    """Values keep their dtype, stay finite at a loss of a hundred notionals, and agree to 2⁻²⁴ a few hundred times."""
    double, single = skewed(), skewed(dtype=torch.float32)
    dual = objective.dual(double)
    mean, spread = grid()
    pairs = [
        (objective.dual(single), dual),
        (objective.value(single), objective.value(double)),
        (objective.transform(single, dual.float()), objective.transform(double, dual)),
        (
            objective.prospect(0.3 * mean.float(), spread.float(), dual.float()),
            objective.prospect(0.3 * mean, spread, dual),
        ),
        (objective.slope(0.3 * mean.float(), spread.float(), dual.float()), objective.slope(0.3 * mean, spread, dual)),
    ]
    for found, exact in pairs:
        assert found.dtype == torch.float32
        assert ((found - exact).abs() <= 2e-5 * exact.abs().clamp(min=1)).all()
    far = torch.tensor([-100.0, 100.0])
    for seen in (objective.transform(far, dual.float()), objective.value(far), objective.dual(far)):
        assert seen.isfinite().all()
    assert objective.prospect(far[:, None], torch.tensor([1e-6, 1.0, 30.0]), dual.float()).isfinite().all()
    assert objective.slope(far[:, None], torch.tensor([1e-6, 1.0, 30.0]), dual.float()).isfinite().all()


CHECKS: list[Check] = [
    a_file_is_named_after_its_kind_and_goes_into_a_file_and_back,
    a_wrong_setting_is_refused,
    the_dual_makes_the_mean_transform_least_and_that_is_the_value,
    a_value_shifts_with_its_losses_and_is_no_less_than_their_mean,
    a_prospect_is_the_transform_averaged_over_a_normal_law,
    a_slope_is_the_prospects_derivative_in_the_mean,
    odds_are_those_of_passing_the_centre,
    a_guess_is_the_dual_of_normal_losses,
    rewards_telescope_where_that_is_said,
    no_loss_earns_and_no_gain_costs_where_the_measure_is_said_to_be_monotone,
    many_samples_are_valued_at_once,
    single_precision_serves,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_every_objective(kind: str, check: Check) -> None:
    check(made(kind))


NEWCOMER = '''
from typing import Literal
from envs.objectives.mean_variance import MeanVariance

class Newcomer(MeanVariance):
    """Twice as averse."""
    kind: Literal["newcomer"] = "newcomer"
    risk_aversion: float = 20.0 # and no bound on it

    def slope(self, mean, spread, dual):
        return 1 + 0 * mean * spread
'''


def test_a_file_added_to_the_folder_is_found_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads by its name, and the checks find the two faults it has and no other."""
    (tmp_path / "newcomer.py").write_text(NEWCOMER)
    monkeypatch.setattr(envs.objectives, "__path__", [*envs.objectives.__path__, str(tmp_path)])
    assert register.kinds(FOLDER) == tuple(sorted([*KINDS, "newcomer"]))
    failed = set()
    for check in CHECKS:
        try:
            check(made("newcomer"))
        except (AssertionError, pytest.fail.Exception):
            failed.add(check)
    monkeypatch.delitem(sys.modules, f"{FOLDER}.newcomer")
    assert failed == {a_wrong_setting_is_refused, a_slope_is_the_prospects_derivative_in_the_mean}


def test_objectives_of_this_project_are_in_the_folder() -> None:
    expected = {"clipped_mean_std", "entropic", "kolm_ritter", "mean_shortfall", "mean_std", "mean_variance"}
    assert expected <= set(KINDS)


def test_a_table_without_a_kind_is_the_mean_shortfall_of_older_cards() -> None:
    assert parsed({"weight": 0.25, "level": 0.9}, "card") == MeanShortfall(weight=0.25, level=0.9)
    assert Holder.model_validate({"objective": {"weight": 0.25}}).objective == MeanShortfall(weight=0.25)
    assert Holder().objective == MeanShortfall()


@pytest.mark.parametrize("kind", ["nonesuch", "", "os", "../seeding", 7, ["entropic"]])
def test_an_unknown_kind_is_one_line_that_lists_the_known(kind: Any) -> None:
    words = rf"[^\n]*{', '.join(KINDS)}[^\n]*$"
    with pytest.raises(BadInput, match=f"^recipe.toml: {words}"):
        parsed({"kind": kind}, "recipe.toml")
    with pytest.raises(BadInput, match=f"^recipe.toml: objective: {words}"):
        validated(Holder, {"objective": {"kind": kind}}, "recipe.toml")


def test_a_wrong_field_is_named_where_it_stands() -> None:
    with pytest.raises(BadInput, match=r"^card\.json: objective\.level: [^\n]*less than 1[^\n]*$"):
        validated(Holder, {"objective": {"level": 2}}, "card.json")
    with pytest.raises(BadInput, match=r"^card\.json: objective\.wieght: [^\n]*$"):
        validated(Holder, {"objective": {"kind": "mean_std", "wieght": 2}}, "card.json")
    with pytest.raises(ValidationError):
        Holder.model_validate({"objective": "entropic"})


def test_only_the_kind_that_is_asked_for_is_imported() -> None:
    program = (
        "import sys; from envs.objective import parsed; parsed({'kind': 'entropic'}, 'here');"
        "print(*(name for name in sys.modules if name.startswith('envs.objectives.')))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["envs.objectives.entropic"]

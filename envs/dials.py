"""Turning a task's dials: numbers that one policy sees as inputs of their own, so that it serves all their ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import quasirandom

from envs.contract import Contract
from envs.objective import Objective
from envs.types import BadInput

Turned = tuple[Contract, Objective]


def _averse(contract: Contract, objective: Objective, before: float, value: float) -> Turned:
    """The objective's risk aversion, or the weight of what it fears."""
    name = "risk_aversion" if "risk_aversion" in type(objective).model_fields else "weight"
    return contract, objective.model_copy(update={name: value})


def _dearer(contract: Contract, objective: Objective, before: float, value: float) -> Turned:
    """Every fee, by value over before."""
    hedges = []
    for hedge in contract.hedges:
        tiers = [
            tier.model_copy(update={"maker": tier.maker * value / before, "taker": tier.taker * value / before})
            for tier in hedge.execution.tiers
        ]
        execution = hedge.execution.model_copy(update={"tiers": tuple(tiers)})
        hedges.append(hedge.model_copy(update={"execution": execution}))
    return contract.model_copy(update={"hedges": tuple(hedges)}), objective


def _leaning(contract: Contract, objective: Objective, before: float, value: float) -> Turned:
    """The net delta that the book is steered to."""
    return contract.model_copy(update={"target": contract.target.model_copy(update={"delta": value})}), objective


TURNS: dict[str, Callable[[Contract, Objective, float, float], Turned]] = {
    "aversion": _averse,
    "cost": _dearer,
    "target_delta": _leaning,
}


def turned(contract: Contract, objective: Objective, values: Mapping[str, float]) -> Turned:
    """Both with the dials named in `values` there. Raises BadInput for one that is not the contract's or out of range.

    Observations tell the policy each dial's place in its range.
    """
    for name, value in values.items():
        if name not in contract.dials:
            raise BadInput(f"dial {name!r} is not this task's; it has {', '.join(contract.dials) or 'none'}")
        dial = contract.dials[name]
        if not dial.low <= value <= dial.high:
            raise BadInput(
                f"dial {name} = {value:g} is outside its range {dial.low:g} to {dial.high:g}; move it inside"
            )
        dials = contract.dials | {name: dial.model_copy(update={"value": value})}
        contract, objective = TURNS[name](contract, objective, dial.value, value)
        contract = contract.model_copy(update={"dials": dials})
    return contract, objective


def spread(contract: Contract, count: int) -> list[dict[str, float]]:
    """`count` values of all dials together, Sobol points that fill their ranges from end to end, the same each time."""
    if not contract.dials:
        return [{}] * count
    drawn = quasirandom.SobolEngine(len(contract.dials)).draw(count)  # type: ignore[no-untyped-call]
    places = (
        (2 * drawn - 1 + 1 / count) * count / max(1, count - 1)
    )  # from -1 to 1, where Sobol points leave an end out
    return [
        {name: dial.at(place) for (name, dial), place in zip(contract.dials.items(), row.tolist(), strict=True)}
        for row in places
    ]

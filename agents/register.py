"""The classical hedges: a file of `agents/classical/` each, picked up by being there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agents.base import Classical, with_options
from envs import register
from envs.contract import Contract
from envs.types import BadInput

FOLDER = "agents.classical"

Make = Callable[..., Classical]


def every() -> dict[str, type[Classical]]:
    """By name, in the order of their files."""
    found = [one for kind in register.kinds(FOLDER) for one in register.classes(FOLDER, kind)]
    return {one.name: one for one in found if issubclass(one, Classical)}


def suiting(contract: Contract) -> list[type[Classical]]:
    """Those for the contract's hedging instruments; what waits for another's tuning comes last."""
    known = [one for one in every().values() if with_options(contract) or not one.options]
    return sorted(known, key=lambda one: one.after is not None)


def made(name: str, tuned: Mapping[str, float]) -> Classical:
    """The hedge `name` at its parameter in `tuned`. Raises BadInput for an unknown name and a missing parameter."""
    known = every()
    if name not in known:
        raise BadInput(f"no classical hedge is named {name!r}; use one of {', '.join(known)}")
    if known[name].start is not None and name not in tuned:
        raise BadInput(f"{name} has a parameter that is not tuned here; use one of {', '.join(tuned) or 'the others'}")
    make: Make = known[name]
    return make(*(tuned[key] for key in (known[name].after, name) if key is not None and key in tuned))

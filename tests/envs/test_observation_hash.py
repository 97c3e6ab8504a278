"""The hash of an observer covers all that its features depend on, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from envs.hedging import HedgingWorld
from envs.observation import Observer
from tests.envs.lives import KINDS, lived
from tests.envs.worlds import F64

pytestmark = pytest.mark.usefixtures("small_market")


@pytest.fixture(scope="module", params=list(KINDS))
def made(request: pytest.FixtureRequest, small_market: None) -> HedgingWorld:
    return lived(request.param)


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to the numbers of nested dictionaries and lists."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from leaves(value, (*path, name))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from leaves(value, (*path, index))
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield path


def changed(tree: Any, path: tuple[Any, ...]) -> Any:
    """`tree` with the number at `path` a thousandth larger, an integer by one."""
    if not path:
        return tree + 1 if isinstance(tree, int) else tree * 1.001 + 1e-9
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = changed(tree[path[0]], path[1:])
    return copy


def with_(observer: Observer, **parts: Any) -> Observer:
    given = {"contract": observer.contract, "calibrations": observer.calibrations, **parts}
    return Observer(given["contract"], given["calibrations"], observer.filters, observer.surfaces)


def test_hash_covers_every_number_of_the_calibrations(made: HedgingWorld) -> None:
    """Each alone, whether or not it makes sense: so no field can be forgotten."""
    seen = {made.observer.sha256}
    for a, calibration in enumerate(made.observer.calibrations):
        raw = calibration.model_dump(mode="json")
        paths = [path for path in leaves(raw) if path[0] != "source"]
        assert len(paths) > 40
        for path in paths:
            other = rebuilt(calibration, path)
            rows = list(made.observer.calibrations)
            rows[a] = other
            seen.add(with_(made.observer, calibrations=rows).sha256)
        count = sum(
            1
            for c in made.observer.calibrations[: a + 1]
            for p in leaves(c.model_dump(mode="json"))
            if p[0] != "source"
        )
        assert len(seen) == 1 + count


def rebuilt(model: Any, path: tuple[Any, ...]) -> Any:
    """A section with one number changed, unchecked."""
    if not path:
        return changed(model, ())
    if isinstance(model, tuple):
        return tuple(rebuilt(v, path[1:]) if i == path[0] else v for i, v in enumerate(model))
    return model.model_copy(update={path[0]: rebuilt(getattr(model, path[0]), path[1:])})


def test_hash_covers_every_number_of_the_contract(made: HedgingWorld) -> None:
    """Bars and assets cannot be others than the market's."""
    seen, all_paths = {made.observer.sha256}, leaves(made.contract.model_dump(mode="json"))
    paths = [path for path in all_paths if path[-1] not in ("bar_hours", "asset")]
    for path in paths:
        seen.add(with_(made.observer, contract=rebuilt(made.contract, path)).sha256)
    assert len(seen) == 1 + len(paths)
    assert len(paths) > 15


def test_hash_covers_words_names_and_their_order() -> None:
    made = lived("call", paths=1)
    words = made.contract.claims[0].model_copy(
        update={"instrument": made.contract.claims[0].instrument.model_copy(update={"right": "put"})}
    )
    other = with_(made.observer, contract=made.contract.model_copy(update={"claims": (words,)}))
    assert other.sha256 != made.observer.sha256
    again = with_(made.observer)
    assert again.sha256 == made.observer.sha256
    again.names = again.names[1:] + again.names[:1]
    assert again.sha256 != made.observer.sha256


def test_hash_stands_still_where_nothing_enters_a_feature() -> None:
    """Where the numbers came from, the dtype, the filter's object, and another run are no parameters."""
    one, other = lived("call", torch.float32, 1).observer, lived("call", F64, 1).observer
    source = one.calibrations[0].source.model_copy(update={"asset": "x", "bars": 1, "sha256": "0"})
    relabelled = with_(one, calibrations=(one.calibrations[0].model_copy(update={"source": source}),))
    assert one.sha256 == other.sha256 == relabelled.sha256
    assert len(one.sha256) == 64

"""Models from their folders: checked whole before the core hears of them, beside the loop where one is running."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agents import card
from envs.task import Task
from envs.types import BadInput
from serve.config import ServeConfig
from serve.events import Event, ModelOffered, ModelSwapped, Operator, Started
from serve.holdings import DTYPE
from serve.policy import NetworkPolicies
from serve.setup import trained_text
from serve.state import Models


def load(folder: Path) -> card.Model:
    """Raises BadInput for a model that cannot be loaded or served."""
    model = card.load(folder, DTYPE)
    if model.card.sees_loss:
        raise BadInput(f"{folder}: this policy sees the book's loss so far, which is not served; train without")
    return model


def fitting(folder: Path, task: Task) -> card.Model:
    """Raises BadInput for one of another task too."""
    model = load(folder)
    if model.card.features_sha256 != task.observer(DTYPE).sha256:
        raise BadInput(f"{folder}: this model observes another task than the one served; train it on that one")
    return model


def offered(model: card.Model, folder: Path, role: Literal["candidate", "challenger"], now: int) -> ModelOffered:
    return ModelOffered(now, model.card.weights_sha256, ranges(model.card), role, str(folder))


def ranges(described: card.Card) -> str:
    """What the model was trained on, as `Started` and `ModelOffered` hold it."""
    each = [described.trained_range[name] for name in described.features]
    return trained_text(tuple(low for low, _ in each), tuple(high for _, high in each))


class Loader:
    """Promotions: the model is loaded and checked on a thread of its own, and swapped in by two events together."""

    def __init__(self, task: Task, policies: NetworkPolicies) -> None:
        self._task, self._policies = task, policies
        self._thread = ThreadPoolExecutor(1)
        self._loading: list[tuple[Operator, Future[card.Model]]] = []

    def begin(self, told: Operator) -> None:
        self._loading.append((told, self._thread.submit(fitting, Path(told.subject), self._task)))

    def done(self, now: int) -> tuple[Event, ...]:
        ready = [pair for pair in self._loading if pair[1].done()]
        self._loading = [pair for pair in self._loading if pair not in ready]
        return tuple(event for told, loaded in ready for event in self._swapped(told, loaded, now))

    def _swapped(self, told: Operator, loaded: Future[card.Model], now: int) -> tuple[Event, ...]:
        if (error := loaded.exception()) is not None:  # whatever is in the folder, the hedge goes on
            words = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
            return (replace(told, time=now, fault=words),)
        model = loaded.result()
        name = model.card.weights_sha256
        self._policies.add(name, model.network)
        offer = offered(model, Path(told.subject), "candidate", now)
        return (offer, ModelSwapped(now, name, told.who, told.why, told.command))


def promoted(models: Models, past: Sequence[Event], config: ServeConfig, task: Task) -> dict[str, card.Model]:
    """By hash: of what persons promoted, what decides and what can be rolled back to, while the settings stay.

    Settings that name another model than at the last start say what decides; so they do where a folder is gone.
    """
    last = next(event for event in reversed(past) if isinstance(event, Started))
    if json.loads(last.config)["model"] != config.model:
        return {}
    folders = {event.model: Path(event.folder) for event in past if isinstance(event, ModelOffered) and event.folder}
    found = {}
    for name in {models.active, models.last_good} & folders.keys():
        try:
            model = fitting(folders[name], task)
        except BadInput:
            continue
        if model.card.weights_sha256 == name:
            found[name] = model
    return found

"""A model folder: the actor's weights, and a card that says what they were trained for.

Loading refuses what does not match.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from agents.learned import LOSS
from agents.network import ActorNetwork
from envs.calibration import Section, validated
from envs.observation import Observer
from envs.task import Task
from envs.types import BadInput

CARD, WEIGHTS = "card.json", "weights.safetensors"


class Opponents(Section):
    """Parameters of the classical hedges, tuned for this task on paths of their own."""

    tuned: dict[str, float]  # by the agent's name
    best: str  # name of the one that did best there
    seed: int
    paths: int


class Training(Section):
    seed: int
    steps: int
    seconds: float
    settings: dict[str, JsonValue]


class Card(Section):
    """What a person or a loader needs to know of a trained policy."""

    name: str
    features: tuple[str, ...]  # the actor's inputs: the observer's, and `LOSS` last if it sees its loss so far
    features_sha256: str
    trained_range: dict[str, tuple[float, float]]  # of each feature, over the training paths
    hidden: tuple[int, ...]
    activation: str
    task: Task  # with its opponents' tuned risk aversion in the contract
    opponents: Opponents
    training: Training
    limits: tuple[str, ...]  # of use, in words
    evaluation: dict[str, JsonValue]
    weights_sha256: str

    @property
    def sees_loss(self) -> bool:
        """Whether the actor sees the loss so far, which only simulation keeps."""
        return self.features[-1] == LOSS


@dataclass(frozen=True)
class Model:
    folder: Path
    card: Card
    network: ActorNetwork
    observer: Observer


def save(folder: Path, network: ActorNetwork, card: dict[str, Any]) -> Card:
    """Weights and card into `folder`; `card` is all of `Card` but the weights' hash."""
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / WEIGHTS)
    whole = Card.model_validate({**card, "weights_sha256": _sha256(folder / WEIGHTS)})
    (folder / CARD).write_text(whole.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return whole


def load(folder: Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Model:
    """The model in `folder`. Raises BadInput, one line.

    For a missing or altered file and for features that this code does not make.
    """
    card = read(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise BadInput(f"{weights}: no such file; restore the weights beside the card, or train the model again")
    observer = card.task.observer(dtype, device)
    if card.features_sha256 != observer.sha256:
        raise BadInput(
            f"{folder / CARD}: features_sha256 is {card.features_sha256[:12]}…, this version builds "
            f"{observer.sha256[:12]}…; use the version that trained the model, or train it again"
        )
    raw = weights.read_bytes()  # once: what is hashed is what is loaded
    if (found := hashlib.sha256(raw).hexdigest()) != card.weights_sha256:
        raise BadInput(
            f"{weights}: SHA-256 is {found[:12]}…, the card says {card.weights_sha256[:12]}…; "
            "restore the file or train again"
        )
    if card.features not in (observer.names, (*observer.names, LOSS)):
        raise BadInput(
            f"{folder / CARD}: features are not those that the task observes; restore the card or train again"
        )
    network = ActorNetwork.of(raw, weights, len(card.features), card.hidden, card.activation, card.task.actions)
    return Model(folder, card, network.to(device=device, dtype=dtype), observer)


def read(folder: Path) -> Card:
    """The card alone. Raises BadInput for a missing or wrong one."""
    path = folder / CARD
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; give the folder of a trained model") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not valid JSON ({error}); restore the card or train the model again") from None
    return validated(Card, raw, str(path))


def record(folder: Path, evaluation: dict[str, object]) -> None:
    """Write an evaluation into the card; the rest of it stays as it is."""
    card = Card.model_validate({**read(folder).model_dump(), "evaluation": evaluation})
    (folder / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

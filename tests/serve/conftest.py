from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.config import ServeConfig
from serve.engine import Engine
from serve.state import State
from tests.serve.databases import Server, served
from tests.serve.support import raw_config, save_model, started


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine.opened(started())


@pytest.fixture
def calm_state(engine: Engine) -> State:
    return engine.initial()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def settings(model: Path) -> ServeConfig:
    return ServeConfig.model_validate(raw_config(model=str(model)))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    with served() as server:
        yield server

"""The world. Importing it registers every task of `envs/tasks/` with Gymnasium, as `Rehedge/<id>-v0`."""

import tomllib
from pathlib import Path

import gymnasium

for _file in sorted((Path(__file__).parent / "tasks").glob("*.toml")):
    gymnasium.register(
        id=f"Rehedge/{tomllib.loads(_file.read_text(encoding='utf-8'))['id']}-v0",
        entry_point="envs.gym:HedgingEnv",
        vector_entry_point="envs.gym:HedgingVectorEnv",
        kwargs={"task": _file.stem},
    )

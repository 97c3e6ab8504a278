"""What every task in envs/tasks/ keeps to as an environment of Gymnasium; a new file there is registered by its id."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import envs
from envs.gym import HedgingEnv, HedgingVectorEnv
from envs.hedging import LOSS_FEATURES
from envs.markets import bootstrap
from envs.markets import garch as simulation
from envs.task import FOLDER, MarketChoice, Task
from envs.types import BadInput

NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
CALM = MarketChoice.model_validate({"kind": "gbm", "settings": {"volatility": [0.8, 0.8]}})
UNBOUNDED = "ignore:.*A Box observation space (minimum|maximum) value is -?infinity:UserWarning"
HEADS = (
    "Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End", "Arguments",
    "Version History",
)  # fmt: skip
CHECKS: list[Callable[[Any], None]] = []


@pytest.fixture(autouse=True)
def _small_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about the start or the law of the shocks."""
    for module in (simulation, bootstrap):
        monkeypatch.setattr(module, "BURN_IN", 20)
    monkeypatch.setattr(simulation, "ATOMS", 1 << 12)


def check(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """For every task, by the name of its file."""
    CHECKS.append(function)
    return pytest.mark.parametrize("task", NAMES)(function)


def loaded(task: Any) -> Task:
    return task if isinstance(task, Task) else Task.load(task)


def short(task: Any) -> Task:
    """The task with a life of three decisions; options are cut to it in proportion."""
    whole = loaded(task)
    rules = whole.contract.model_dump(mode="json")
    life = rules["bars"]
    rules["bars"] = 3 * rules["decision_bars"]
    for each in rules["claims"]:
        bars = each["instrument"].get("bars")
        if bars is not None:
            each["instrument"]["bars"] = (
                [max(1, b * rules["bars"] // life) for b in bars] if isinstance(bars, list) else rules["bars"]
            )
    return whole.model_copy(update={"contract": type(whole.contract).model_validate(rules)})


def actions(env: Any, count: int, seed: int = 0) -> list[np.ndarray]:
    shape = env.action_space.shape
    return [a.astype(np.float32) for a in np.random.default_rng(seed).uniform(-1, 1, (count, *shape))]


def trajectory(env: Any, seed: int, steps: int = 4) -> list[np.ndarray]:
    rows = [env.reset(seed=seed)[0]]
    for action in actions(env, steps):
        observation, reward, terminated, *_ = env.step(action)
        rows += [observation, np.asarray(reward), np.asarray(terminated)]
        if np.ndim(terminated) == 0 and terminated:
            break
    return rows


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@check
def test_it_is_registered_under_its_id(task: Any) -> None:
    whole = loaded(task)
    spec = gymnasium.spec(f"Rehedge/{whole.id}-v0")
    assert spec.kwargs == {"task": task}
    assert whole.about
    env = gymnasium.make(spec.id, market=CALM)
    assert env.unwrapped.batch.task.id == whole.id
    assert env.spec is not None
    assert env.spec.max_episode_steps is None


@check
@pytest.mark.filterwarnings(UNBOUNDED)
def test_gymnasium_finds_no_fault(task: Any) -> None:
    whole = short(task)
    env = gymnasium.make(f"Rehedge/{whole.id}-v0", contract=whole.contract, render_mode="rgb_array")
    check_env(env.unwrapped)


@check
def test_observations_are_the_named_features(task: Any) -> None:
    env = HedgingEnv(task=short(task))
    observation, info = env.reset(seed=1)
    names = env.batch.world.observer.names
    assert observation.shape == env.observation_space.shape == (len(names) + LOSS_FEATURES,)
    assert observation in env.observation_space
    assert env.action_space.shape == (2 * len(env.batch.task.contract.hedges),) == (loaded(task).actions,)
    assert info == {}
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert np.isfinite(observation).all()
    assert type(reward) is float
    assert (terminated, truncated) == (False, False)
    assert set(info) == {"loss"}


@check
def test_a_vector_of_markets_keeps_gymnasiums_promises(task: Any) -> None:
    """Shapes, types, spaces and same-step resets of six environments, three paths."""
    env = HedgingVectorEnv(num_envs=6, hedgers=2, task=short(task))
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.observation_space == gymnasium.vector.utils.batch_space(env.single_observation_space, 6)
    assert env.action_space == gymnasium.vector.utils.batch_space(env.single_action_space, 6)
    observation, info = env.reset(seed=1)
    assert observation in env.observation_space
    assert info == {}
    for action in actions(env, 5):
        observation, reward, terminated, truncated, infos = env.step(action)
        assert observation in env.observation_space
        assert (observation.dtype, reward.dtype) == (np.float32, np.float64)
        assert (terminated.dtype, truncated.dtype) == (np.bool_, np.bool_)
        assert observation.shape == (6, *env.single_observation_space.shape)
        assert reward.shape == terminated.shape == truncated.shape == (6,)
        assert np.isfinite(observation).all()
        assert np.isfinite(reward).all()
        assert bool(infos) == terminated.any()


@check
def test_hedgers_of_one_path_are_adjacent_and_share_it(task: Any) -> None:
    env = HedgingVectorEnv(num_envs=6, hedgers=2, task=short(task))
    env.reset(seed=3)
    _, reward, *_ = env.step(np.zeros(env.action_space.shape, dtype=np.float32))
    assert (reward[0::2] == reward[1::2]).all()
    assert len(set(reward.tolist())) == 3


@check
def test_seeds_reproduce_and_differ(task: Any) -> None:
    env = HedgingVectorEnv(num_envs=4, task=short(task))
    one, again, other = (trajectory(env, seed) for seed in (5, 5, 6))
    assert same(one, again)
    assert not same(one, other)
    assert same(one, trajectory(HedgingVectorEnv(num_envs=4, task=short(task)), 5))


@check
def test_autoreset_happens_in_the_step_that_ends_and_hands_over_the_last_observation(task: Any) -> None:
    env = HedgingVectorEnv(num_envs=4, hedgers=2, task=short(task))
    env.reset(seed=4)
    total, names = np.zeros(4), env.world.observer.names
    for number, action in enumerate(actions(env, 3)):
        observation, reward, terminated, truncated, infos = env.step(action)
        total += reward
        assert terminated.tolist() == [number == 2] * 4
        assert truncated.tolist() == [False] * 4
    assert abs(observation[:, -LOSS_FEATURES]).max() < 1e-5  # the next episode's loss so far
    assert env.world.episode.bars_left.tolist() == [env.task.contract.bars] * 2
    assert infos["_final_obs"].tolist() == infos["_final_info"].tolist() == infos["final_info"]["_loss"].tolist()
    assert infos["_final_obs"].all()
    last, loss = np.stack(infos["final_obs"]), infos["final_info"]["loss"]
    assert last.shape == observation.shape
    expiry = [i for i, name in enumerate(names) if name.startswith("last_expiry")]
    assert (last[:, expiry] < observation[:, expiry]).all()
    assert last[:, -LOSS_FEATURES] * env.world.scale == pytest.approx(loss, rel=1e-4, abs=1e-6)
    phi, dual = env.task.objective.transform, env.world.outlook.dual
    expected = phi(torch.zeros(4), dual) - phi(torch.from_numpy(loss), dual)
    assert total * env.world.scale == pytest.approx(expected.numpy(), abs=1e-5)


@check
def test_the_single_environment_is_the_batch_of_one(task: Any) -> None:
    alone, batch = HedgingEnv(task=short(task)), HedgingVectorEnv(num_envs=1, task=short(task))
    assert (alone.reset(seed=9)[0] == batch.reset(seed=9)[0][0]).all()
    for action in actions(alone, 3):
        observation, reward, terminated, truncated, info = alone.step(action)
        rows = batch.step(action[None])
        assert reward == rows[1][0]
        assert (terminated, truncated) == (rows[2][0], rows[3][0])
        last = rows[4]["final_obs"][0] if terminated else rows[0][0]
        assert (observation == last).all()
    assert terminated
    assert info["loss"] == rows[4]["final_info"]["loss"][0]


@check
def test_the_picture_shows_the_episode_so_far(task: Any) -> None:
    env = HedgingEnv(task=short(task), render_mode="rgb_array")
    env.reset(seed=2)
    frames = [env.render()]
    for action in actions(env, 2):
        env.step(action)
        frames.append(env.render())
    for frame in frames:
        assert frame is not None
        assert (frame.shape, frame.dtype) == ((600, 800, 3), np.uint8)
        assert frame.min() < 50 < 250 < frame.max()
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[1], frames[2])
    env.reset(seed=2)
    assert np.array_equal(env.render(), frames[0])
    assert HedgingEnv(task=short(task)).render() is None


@check
def test_its_text_says_what_it_is(task: Any) -> None:
    """The file's own words, and an id that is its name."""
    if isinstance(task, str):
        raw = tomllib.loads((FOLDER / f"{task}.toml").read_text(encoding="utf-8"))
        assert raw["id"].lower() == task.replace("_", "")
        assert len(raw["about"]) > 20


def test_the_tasks_of_this_project_are_in_the_folder() -> None:
    assert {"short_call", "short_straddle", "option_book", "basis_trade", "uniswap_lp", "multi_asset"} <= set(NAMES)
    assert envs.__doc__


def test_importing_the_package_registers_without_torch() -> None:
    """Gymnasium finds the ids at the price of reading six small files."""
    ours = "sum(name.startswith('Rehedge/') for name in gymnasium.registry)"
    program = f"import sys, gymnasium, envs; print({ours}, 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(len(NAMES)), "False"]


def test_the_docstring_has_gymnasiums_heads() -> None:
    text = HedgingVectorEnv.__doc__ or ""
    assert re.findall(r"^ *## (.*)$", text, re.MULTILINE) == list(HEADS)
    assert "HedgingVectorEnv" in (HedgingEnv.__doc__ or "")


# Options by keyword.


def test_settings_reach_the_world() -> None:
    whole = Task.load("short_call")
    objective = whole.objective.model_copy(update={"weight": 0.25})
    rules = short("short_call").contract
    env = gymnasium.make("Rehedge/ShortCall-v0", contract=rules, objective=objective, market=CALM)
    world = env.unwrapped.batch.world
    assert world.contract is rules
    assert world.objective is objective
    assert type(world.market).__name__ == "GbmMarket"
    vector = gymnasium.make_vec("Rehedge/ShortCall-v0", num_envs=6, hedgers=3, contract=rules)
    assert isinstance(vector.unwrapped, HedgingVectorEnv)
    assert (vector.unwrapped.world.paths, vector.unwrapped.world.group_size) == (2, 3)


def test_without_a_seed_every_environment_is_its_own() -> None:
    one, other = (HedgingVectorEnv(num_envs=3, task=short("short_call")).reset()[0] for _ in range(2))
    assert (one != other).any()
    env = HedgingVectorEnv(num_envs=3, task=short("short_call"))
    assert (env.reset(seed=1)[0] != env.reset()[0]).any()


def test_a_vectors_picture_begins_anew_with_the_episode() -> None:
    env = HedgingVectorEnv(num_envs=2, task=short("short_call"), render_mode="rgb_array")
    env.reset(seed=1)
    lengths = []
    for action in actions(env, 4):
        env.step(action)
        lengths.append(len(env.tape.days))
    assert lengths == [2, 3, 1, 2]
    frames = env.render()
    assert frames is not None
    assert [frame.shape for frame in frames] == [(600, 800, 3)]


# Bad arguments.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_envs": 0}, r"num_envs=0 .*give at least one group"),
        ({"num_envs": -4}, r"num_envs=-4 "),
        ({"num_envs": 3, "hedgers": 2}, r"num_envs=3 .*hedgers=2"),
        ({"num_envs": 2, "hedgers": 0}, r"hedgers=0"),
        ({"task": "no_such_task"}, r"task 'no_such_task': unknown; .*basis_trade.*uniswap_lp"),
        ({"task": "no_such.toml"}, r"no_such\.toml: no such file"),
        ({"render_mode": "human"}, r"render_mode='human' is unknown; use one of rgb_array"),
    ],
)
def test_bad_arguments_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        HedgingVectorEnv(**{"num_envs": 2, **settings})
    assert "\n" not in str(caught.value)


@check
def test_an_action_that_is_no_number_never_reaches_a_reward(task: Any) -> None:
    env = HedgingVectorEnv(num_envs=3, task=short(task))
    env.reset(seed=1)
    for wrong in (float("nan"), float("inf"), -float("inf")):
        action = np.zeros(env.action_space.shape, dtype=np.float32)
        action[1, 0] = wrong
        with pytest.raises(BadInput, match=r"^action of environment 1 is [^\n]*; give numbers$"):
            env.step(action)
    single = HedgingEnv(task=short(task))
    single.reset(seed=1)
    with pytest.raises(BadInput, match=r"^action of environment 0 is"):
        single.step(action[1])


def test_an_action_of_the_wrong_shape_is_refused_in_one_line() -> None:
    env = HedgingVectorEnv(num_envs=3, task=short("short_call"))
    env.reset(seed=1)
    for shape in ((3, 3), (2, 2), (3,), (6, 1)):
        with pytest.raises(BadInput, match=r"^actions are of shape [^\n]*$"):
            env.step(np.zeros(shape, dtype=np.float32))


# A file put into a folder.

MINE = """
id = "LongPut"
about = "a long put of two days, hedged with spot in a calm market"

[market]
kind = "gbm"
settings.volatility = [0.5]

[objective]
kind = "mean_std"

[contract]
bars = 48
decision_bars = 16
claims = [{ instrument = { right = "put", bars = 48 }, units = 1.0 }]
hedges = [{ instrument = { kind = "spot" } }]
"""


def test_a_task_of_ones_own_is_loaded_by_its_path_and_passes_the_checks(tmp_path: Path) -> None:
    path = tmp_path / "long_put.toml"
    path.write_text(MINE, encoding="utf-8")
    task = Task.load(path)
    assert task == Task.load(str(path))
    env = gymnasium.make("Rehedge/ShortCall-v0", task=path)
    assert env.unwrapped.batch.task == task
    for each in CHECKS:
        if each is not test_it_is_registered_under_its_id and each.__name__ != "test_gymnasium_finds_no_fault":
            each(task)


def test_a_file_in_the_folder_is_registered_by_its_id(tmp_path: Path) -> None:
    """In a copy of the package's registration: the folder beside it is all that it reads."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "long_put.toml").write_text(MINE, encoding="utf-8")
    source = Path(envs.__file__).read_text(encoding="utf-8")
    try:
        program = compile(source, str(tmp_path / "__init__.py"), "exec")
        exec(program, {"__file__": str(tmp_path / "__init__.py")})  # noqa: S102 (our own file)
        spec = gymnasium.spec("Rehedge/LongPut-v0")
        assert spec.kwargs == {"task": "long_put"}
        assert spec.entry_point == "envs.gym:HedgingEnv"
        assert spec.vector_entry_point == "envs.gym:HedgingVectorEnv"
    finally:
        gymnasium.registry.pop("Rehedge/LongPut-v0", None)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('kind = "gbm"', ""),
        ("bars = 48", "contract"),
        ("settings.volatility = [0.5]", r"market\.settings"),
        ('kind = "mean_std"', "objective"),
    ],
)
def test_a_faulty_task_file_is_one_line_that_names_the_place(tmp_path: Path, line: str, place: str) -> None:
    wrong = {
        'kind = "gbm"': 'kind = "gbn"', "bars = 48": "bars = 50",
        "settings.volatility = [0.5]": "settings.volatility = [-0.5]", 'kind = "mean_std"': 'kind = "mean_sdt"',
    }[line]  # fmt: skip
    path = tmp_path / "wrong.toml"
    path.write_text(MINE.replace(line, wrong, 1), encoding="utf-8")
    with pytest.raises(BadInput, match=rf"wrong\.toml: [^\n]*{place}[^\n]*$") as caught:
        Task.load(path)
    assert "\n" not in str(caught.value)


def test_seed_zero_is_a_seed() -> None:
    env = HedgingEnv(task=short("short_call"))
    assert same(trajectory(env, 0, 2), trajectory(HedgingEnv(task=short("short_call")), 0, 2))

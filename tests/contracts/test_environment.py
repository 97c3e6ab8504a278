"""What every task in envs/tasks/ keeps to as an environment of Gymnasium; a new file there is registered by its id."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
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
from envs.task import FOLDER, MarketChoice, Task
from envs.types import BadInput

NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
CALM = MarketChoice.model_validate({"kind": "gbm", "settings": {"volatility": [0.8, 0.8]}})
UNBOUNDED = "ignore:.*A Box observation space (minimum|maximum) value is -?infinity:UserWarning"
HEADS = (
    "Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End", "Arguments",
    "Version History",
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("small_market")
CHECKS: list[Callable[[Any], None]] = []


def check(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """For every task, by the name of its file."""
    CHECKS.append(function)
    return pytest.mark.parametrize("task", NAMES)(function)


def long_check(function: Callable[[Any], None]) -> Callable[[Any], None]:
    """The same, of the short call by default and of the others among the slow tests."""
    CHECKS.append(function)
    others = [pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name != "short_call"]
    return pytest.mark.parametrize("task", ["short_call", *others])(function)


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


@long_check
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


@long_check
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

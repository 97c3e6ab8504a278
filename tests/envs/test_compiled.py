"""A compiled world goes through the same episodes as the eager one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from envs.compiled import CompiledWorld
from envs.hedging import HedgingWorld
from envs.observation import LEAST_WIDTH
from envs.task import Task

PATHS, STEPS = 64, 6  # in some of those steps an episode ends, in others none
NODES = 5000  # of a step's graph, rounded up
BOUND = STEPS * NODES * torch.finfo(torch.float64).eps / LEAST_WIDTH  # each rounds once; features divide by widths
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def made(task: str, device: str = "cpu", controlled: bool = False) -> HedgingWorld:
    """In float64, where what is rounded otherwise stays far from a lot, a band's edge or a liquidation."""
    generator = torch.Generator(device).manual_seed(3)
    built = Task.load(task).world(PATHS, 2, generator, torch.float64, controlled=controlled)
    built.reset()
    return built


def check_alike(eager: HedgingWorld, compiled: HedgingWorld) -> None:
    """Random actions, new duals on the way; compares steps, and what is left behind."""
    shape = (STEPS, eager.num_envs, *eager.action_space.shape)
    actions = 2 * torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    for number, action in enumerate(actions):
        if number == STEPS // 2:
            for world in (eager, compiled):
                world.outlook = type(world.outlook)(world.outlook.dual + 0.01, 0.02, world.outlook.spread * 2)
        one, other = eager.step(action), compiled.step(action)
        assert torch.equal(one.terminated, other.terminated)
        for expected, found in zip(one, other, strict=True):
            torch.testing.assert_close(found, expected, rtol=BOUND, atol=BOUND)
    scale = eager.contract.notional
    torch.testing.assert_close(compiled.episode.book.cash, eager.episode.book.cash, rtol=BOUND, atol=scale * BOUND)
    torch.testing.assert_close(compiled.observation.features, eager.observation.features, rtol=0, atol=BOUND)


TASKS = ("short_call", "option_book", "multi_asset", "basis_trade", "uniswap_lp")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_traced_step_is_the_step(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph itself, taken apart into rows, run operation by operation."""
    monkeypatch.setattr(torch, "compile", lambda graph, **_: graph)
    check_alike(made(task), CompiledWorld.of(made(task)))


@pytest.mark.slow
def test_controlled_rewards_are_traced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda graph, **_: graph)
    check_alike(made("short_call", controlled=True), CompiledWorld.of(made("short_call", controlled=True)))


@pytest.mark.slow
def test_eager_and_compiled_steps_may_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda graph, **_: graph)
    eager, compiled = made("short_call"), CompiledWorld.of(made("short_call"))
    action = torch.zeros(eager.num_envs, *eager.action_space.shape, dtype=torch.float64)
    for _ in range(2):
        eager.step(action), compiled.step(action)
        expected, found = eager.step(action), HedgingWorld.step(compiled, action)
        torch.testing.assert_close(found.observation, expected.observation, rtol=0, atol=BOUND)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # its own compiler's
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_results_are_those_of_the_eager_step_to_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    check_alike(made("short_call"), CompiledWorld.of(made("short_call")))


@CUDA
@pytest.mark.slow
def test_no_step_waits_for_the_device() -> None:
    world = made("short_call", "cuda")
    action = torch.zeros(world.num_envs, *world.action_space.shape, device="cuda", dtype=torch.float64)
    world.step(action)
    torch.cuda.set_sync_debug_mode("error")
    try:
        world.step(action)
    finally:
        torch.cuda.set_sync_debug_mode("default")

"""A graph taken apart into rows computes what it computed whole, and leaves no row behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from envs import rows

PATHS, REGIMES = 32, 4
TABLE = torch.linspace(0, 1, 3 * REGIMES, dtype=torch.float64).view(3, REGIMES)
MATRIX = torch.linspace(-1, 1, REGIMES**2, dtype=torch.float64).view(REGIMES, REGIMES)

Program = Callable[[Tensor, Tensor], list[Tensor]]  # of (K, P) float64 and (P,) int64


def views(values: Tensor, regime: Tensor) -> list[Tensor]:
    turned = values.T[:, None, 1:].permute(2, 1, 0).expand(3, 2, PATHS).clone()
    joined = torch.stack([values[0], values[-1]], -1) * values.T[:, :1]
    return [turned[1, 0], joined[:, 1], joined.T.view(2, 1, PATHS)[0, 0], values[1:3][1]]


def sums(values: Tensor, regime: Tensor) -> list[Tensor]:
    weight = (values - values.amax(0)).exp()
    kept = values.T / values.T.square().sum(-1, keepdim=True)
    return [weight.sum(0), (values > 0).sum(0), (weight / weight.sum(0))[2], (values.T - 1).sum(-1), kept[:, 1]]


def tables(values: Tensor, regime: Tensor) -> list[Tensor]:
    chosen = values.T.gather(-1, regime[:, None])[:, 0]
    return [chosen, (chosen > TABLE.index_select(1, regime)).sum(0), TABLE[0].index_select(0, regime)]


def matrices(values: Tensor, regime: Tensor) -> list[Tensor]:
    return [*(MATRIX @ values.exp()).unbind(), torch.where(values > 0, values, -values)[1]]


def whole(values: Tensor, regime: Tensor) -> list[Tensor]:
    """What is left over, and the order in memory of what comes out."""
    over = 2 * values.T[:, :, None].sum((1, 2), keepdim=True)
    return [(values * 2 + 1).T, values.cumsum(0)[1], values.T.square() @ MATRIX, over[:, 0, 0]]


@pytest.mark.parametrize("program", [views, sums, tables, matrices, whole])
def test_nothing_is_computed_otherwise(program: Program) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(REGIMES, PATHS, generator=generator, dtype=torch.float64)
    regime = torch.randint(REGIMES, (PATHS,), generator=generator)
    graph = make_fx(program)(values, regime)
    rows.split(graph, PATHS)
    for found, expected in zip(graph(values, regime), program(values, regime), strict=True):
        assert found.dim() == 1 or found.stride() == expected.stride()
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


def test_paths_as_few_as_regimes_are_not_taken_for_them() -> None:
    values, regime = torch.rand(REGIMES, REGIMES, dtype=torch.float64), torch.arange(REGIMES)
    graph = make_fx(tables)(values, regime)
    rows.split(graph, REGIMES)
    for found, expected in zip(graph(values, regime), tables(values, regime), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("program", [views, sums, tables, matrices])
def test_only_rows_are_left(program: Program) -> None:
    values, regime = torch.zeros(REGIMES, PATHS, dtype=torch.float64), torch.zeros(PATHS, dtype=torch.int64)
    graph = make_fx(program)(values, regime)
    rows.split(graph, PATHS)
    for node in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.mul.Tensor):
        assert node.meta["val"].numel() == PATHS
    targets = {node.target for node in graph.graph.nodes}
    aten = torch.ops.aten
    assert not targets & {aten.sum.dim_IntList, aten.amax.default, aten.mm.default, aten.gather.default}

"""The arithmetic of a compiled step's erfc against SciPy's, and that such a step uses it."""

from __future__ import annotations

import torch
from scipy import special
from torch.fx.experimental.proxy_tensor import make_fx

from envs.compiled import DECOMPOSED
from envs.erfc import erfc

ROUNDING = torch.finfo(torch.float32).eps


def test_it_is_right_to_a_few_roundings_in_the_whole_tail() -> None:
    """At the same float32 points; e^(−x²) carries the rounding of its argument."""
    points = torch.linspace(-6, 9, 150001)
    exact = torch.from_numpy(special.erfc(points.double().numpy()))
    found = erfc(points)
    assert isinstance(found, torch.Tensor)
    error = (found.double() / exact - 1).abs()
    assert (error <= ROUNDING * (4 + points.double().clamp(min=0).square())).all()


def test_other_types_keep_torchs_own() -> None:
    x = torch.linspace(-3, 3, 101, dtype=torch.float64)
    targets = {}
    for values in (x, x.float()):
        graph = make_fx(torch.erfc, DECOMPOSED)(values)
        targets[values.dtype] = {node.target for node in graph.graph.nodes}
        torch.testing.assert_close(graph(values), torch.erfc(values))
    assert torch.ops.aten.erfc.default in targets[torch.float64]
    assert torch.ops.aten.erfc.default not in targets[torch.float32]

"""What a market order pays, worked out by hand, and how it grows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from envs import costs
from envs.types import Quote

IMPACT = 2e-4


def quote(mark: float = 50_000.0, half_spread: float = 1e-4, depth: float = 1e6) -> Quote:
    fields = (mark * 0.999, mark, half_spread, depth, 0.1, 0.8)
    return Quote(*(torch.tensor([value], dtype=torch.float64) for value in fields))


def trades(*units: float) -> Tensor:
    return torch.tensor([units], dtype=torch.float64)


def test_an_order_as_large_as_the_depth_slips_by_spread_and_whole_impact() -> None:
    """20 units at 50,000 are the depth of 1e6; a quarter of that slips half the impact."""
    found = costs.slippage(quote(), trades(20.0, -20.0, 5.0), IMPACT)
    assert found[0].tolist() == pytest.approx([3e-4, 3e-4, 2e-4], rel=1e-9)


def test_buyers_pay_above_the_mark_and_sellers_receive_below_it() -> None:
    found = costs.fill_price(quote(), trades(20.0, -20.0, 0.0), IMPACT)
    assert found[0].tolist() == pytest.approx([50_015.0, 49_985.0, 50_000.0], rel=1e-12)


def test_fee_is_a_fraction_of_the_traded_value_on_either_side() -> None:
    assert costs.fee(trades(50_015.0, 49_985.0), trades(2.0, -2.0), 5e-4)[0].tolist() == pytest.approx([50.015, 49.985])


def test_each_path_and_hedger_has_its_own_price() -> None:
    pair = Quote(*(torch.cat([a, b]) for a, b in zip(vars(quote()).values(), vars(quote(100.0)).values(), strict=True)))
    orders = torch.tensor([[1.0, -20.0, 0.0], [-1.0, 3.0, 1e4]], dtype=torch.float64)
    found = costs.fill_price(pair, orders, IMPACT)
    for path, mark in enumerate((50_000.0, 100.0)):
        for hedger in range(3):
            alone = costs.fill_price(quote(mark), orders[path, hedger].view(1, 1), IMPACT)
            assert float(found[path, hedger]) == float(alone)


def test_cost_is_differentiable_where_nothing_is_traded() -> None:
    """The square root's slope at zero would be infinite, and infinite times zero is no number."""
    order = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    paid = costs.fill_price(quote(), order, IMPACT) * order + costs.fee(quote().mark[:, None], order, 5e-4)
    paid.sum().backward()  # type: ignore[no-untyped-call]
    assert order.grad is not None
    assert order.grad.item() == pytest.approx(50_000.0)


@given(units=st.floats(1e-3, 1e4), more=st.floats(1.01, 10.0))
def test_larger_orders_slip_more_and_deeper_books_less(units: float, more: float) -> None:
    base = float(costs.slippage(quote(), trades(units), IMPACT))
    assert float(costs.slippage(quote(), trades(units * more), IMPACT)) > base
    assert float(costs.slippage(quote(depth=1e6 * more), trades(units), IMPACT)) < base
    assert float(costs.slippage(quote(half_spread=1e-4 * more), trades(units), IMPACT)) > base
    assert float(costs.slippage(quote(), trades(-units), IMPACT)) == base
    assert float(costs.slippage(quote(), trades(4 * units), IMPACT)) - 1e-4 == pytest.approx(
        2 * (base - 1e-4), rel=1e-5
    )


@given(units=st.floats(-1e4, 1e4), factor=st.floats(1e-3, 1e3))
def test_slippage_knows_no_currency(units: float, factor: float) -> None:
    one = costs.slippage(quote(), trades(units), IMPACT)
    other = costs.slippage(quote(mark=50_000.0 * factor, depth=1e6 * factor), trades(units), IMPACT)
    assert float(other) == pytest.approx(float(one), rel=1e-10)

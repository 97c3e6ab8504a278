"""A sheet against the shared code that it was recorded from: every result to rounding, whatever changed before it."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from functools import reduce
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from serve.arithmetic import ELEMENTWISE
from serve.clock import HOUR
from serve.config import Stress, Target
from serve.events import Holding
from serve.holdings import Book
from serve.market import Listing, Market, Sight
from serve.sheet import Sheet
from serve.situation import Situation, sheet_of
from serve.smile import Smile
from tests.serve.books import ASSETS, ETH, OPTION_LEGS, PAIR_LEGS, option_task, pair_task
from tests.serve.support import LEGS, SPOT, START, TARGET, quote, task

STRESS = Stress(spot=(-0.3, -0.1, 0.1), volatility=(-0.2, 0.0, 0.5))
SPOTS = {"BTC": SPOT, "ETH": ETH}
MARKETS = {
    "one asset": Market(task(), ASSETS[:1], LEGS, STRESS),
    "two assets": Market(pair_task(), ASSETS, PAIR_LEGS, STRESS),
    "an option to hedge with": Market(option_task(), ASSETS[:1], OPTION_LEGS, STRESS),
}
KINDS = (
    {"kind": "option", "right": "call", "style": "european"},
    {"kind": "option", "right": "put", "style": "european"},
    {"kind": "option", "right": "call", "settlement": "coin"},
    {"kind": "perpetual"},
    {"kind": "liquidity_position", "lower": 0.8, "upper": 1.3, "entry": 1.0},
)


AMERICAN = {"kind": "option", "right": "put", "style": "american"}


def holding(name: str, asset: str, rng: np.random.Generator, kind: dict[str, object]) -> Holding:
    prices = {each: float(kind[each]) * SPOTS[asset] for each in ("lower", "upper", "entry") if each in kind}  # type: ignore[arg-type]
    option = {} if kind["kind"] != "option" else {"strike": SPOTS[asset] * float(rng.uniform(0.8, 1.2))}
    expiry = START + int(rng.integers(1, 90)) * HOUR if option else None
    units = Decimal(repr(round(float(rng.uniform(-3, 3)), 3)))
    return Holding(name, asset, units=units, expiry=expiry, **{**kind, **option, **prices})  # type: ignore[arg-type]


def book(market: Market, rng: np.random.Generator, each: int) -> Book:
    made = [
        holding(f"{asset}-{k}-{n}", asset, rng, kind)
        for asset, (k, kind), n in product(market.assets, enumerate(KINDS), range(each))
    ]
    return reduce(Book.traded, made, Book())


def sight(market: Market, rng: np.random.Generator, holdings: Book, listed: bool = False) -> Sight:
    quotes = tuple(
        quote(START, SPOTS[name] * math.exp(0.1 * rng.standard_normal()), asset=name) for name in market.assets
    )
    memories = tuple(
        market.remembered(a, tuple(np.exp(0.01 * rng.standard_normal(40).cumsum()).tolist()))
        for a in range(len(quotes))
    )
    points = [
        (START + h * HOUR, SPOT * m, 0.4 + 0.2 * abs(m - 1) + h / 2000) for h in (24, 200, 800) for m in (0.9, 1.1)
    ]
    smile = Smile.of(points, market.view(quotes[0], memories[0], None, START), START, market.bar) if listed else None
    legs = len(market.legs)
    option = Listing(SPOT, START + 70 * HOUR) if "BTC-CALL" in market.symbols else None
    return Sight(
        time=START,
        quotes=quotes,
        memories=memories,
        book=holdings,
        positions=tuple(Decimal(repr(round(float(v), 3))) for v in rng.uniform(-2, 2, legs)),
        cash=tuple(Decimal(repr(round(float(v), 2))) for v in rng.uniform(-3e4, 3e4, legs)),
        claims_cash=Decimal("812.5"),
        coins=(Decimal("0.3"),) * len(quotes),
        listings=(option, None)[:legs],
        targets=tuple(Target(**{**TARGET, "hedge_ratio": 0.7, "delta": 0.2, "gamma": 0.1}) for _ in quotes),
        smiles=(smile, *(None,) * (len(quotes) - 1)),
    )


def changed(before: Sight, rng: np.random.Generator) -> Sight:
    """One thing moved."""
    moved = tuple(replace(each, spot=each.spot * math.exp(0.01 * rng.standard_normal())) for each in before.quotes)
    return (
        replace(before, quotes=(moved[0], *before.quotes[1:])),
        replace(before, quotes=(*before.quotes[:-1], moved[-1])),
        replace(before, time=before.time + 5 * HOUR),
        replace(before, positions=tuple(each + 1 for each in before.positions)),
        replace(before, targets=tuple(each.model_copy(update={"delta": -0.4}) for each in before.targets)),
    )[rng.integers(5)]


def assert_alike(market: Market, at: Sight, action: tuple[float, ...], close: float = 1e-10) -> None:
    form = market.form(at.book, at.smiles)
    held, out = tuple(0.5 + float(each) for each in at.positions), (False,) * len(at.positions)
    rows = {**dict(market.figures.whole(at)), "action": (action, held, out)}
    sheet, expected = sheet_of(form), Situation(form, form.tensors(rows)).results()
    for name, row in rows.items():
        sheet.put(name, row)
    for name, tensors in expected.items():
        for found, tensor in zip(sheet.result(name), tensors, strict=True):
            assert found == pytest.approx(tensor.flatten().tolist(), rel=close, abs=close), name


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("name", MARKETS)
def test_a_sheet_computes_what_the_shared_code_does(name: str, each: int, listed: bool) -> None:
    market, rng = MARKETS[name], np.random.default_rng(7)
    at = sight(market, rng, book(market, rng, each), listed)
    for _ in range(8):
        assert_alike(market, at, tuple(rng.uniform(-1.2, 1.2, market.actions).tolist()))
        at = changed(at, rng)


def test_an_american_option_is_alike_as_far_as_the_difference_of_two_trees_goes() -> None:
    """Its vega."""
    market, rng = MARKETS["one asset"], np.random.default_rng(9)
    own = [holding(f"{n}", "BTC", rng, AMERICAN) for n in range(2)]
    at = sight(market, rng, reduce(Book.traded, own, book(market, rng, 1)))
    assert_alike(market, at, (0.1, 0.2), close=1e-6)


def test_a_book_far_from_the_money_at_its_end_is_alike_too() -> None:
    """Where logarithms and quotients meet 0 and infinity."""
    market, rng = MARKETS["one asset"], np.random.default_rng(8)
    at = sight(market, rng, book(market, rng, 1))
    for spot, ahead in product((1e-3, SPOT, 1e9), (0, 89 * HOUR, 1000 * HOUR)):
        quotes = (quote(START, spot, implied_volatility=1e-3),)
        assert_alike(market, replace(at, quotes=quotes, time=START + ahead), (1.0, -1.0))


@pytest.mark.parametrize("name", [str(each) for each in ELEMENTWISE])
def test_no_number_stays_no_number(name: str) -> None:
    """As the breakers on a policy's answer need it; but a comparison has an answer, and a choice may leave it out."""
    if name.rsplit(".", 1)[-1] in ("gt", "ge", "lt", "le", "eq", "ne", "logical_not", "bitwise_and", "bitwise_or"):
        return
    rule = {str(each): both for each, both in ELEMENTWISE.items()}[name].of_numbers
    arguments = {"clamp": (math.nan, 0.0, 1.0), "where": (True, math.nan, 1.0), "masked_fill": (math.nan, False, 1.0)}
    short = name.rsplit(".", 1)[-1]
    two = ("mul", "add", "sub", "rsub", "div", "maximum", "minimum", "pow", "clamp_min")
    given = arguments.get(
        short, (math.nan, 1.0, 0.3) if short == "lerp" else (math.nan, *((1.0,) if short in two else ()))
    )
    assert math.isnan(rule(*given))


def test_code_that_looks_at_a_value_is_refused() -> None:
    def looks(rows: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        (x,) = rows["x"]
        return {"y": [x if float(x) > 0 else -x]}

    with pytest.raises(AssertionError, match="looks at a value"):
        Sheet(looks, {"x": [torch.ones(1)]})  # type: ignore[arg-type]


def test_only_what_an_input_touches_is_computed_again() -> None:
    calls = []

    def code(rows: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        (x,), (y,) = rows["x"], rows["y"]
        return {"own": [x.exp()], "both": [(x + y).exp()]}

    sheet = Sheet(code, {name: [torch.ones(6, dtype=torch.float64)] for name in "xy"})  # type: ignore[arg-type]
    for block in sheet.blocks:
        block.run = lambda *reads, run=block.run, at=block.inputs: calls.append(at) or run(*reads)
    sheet.put("x", (tuple(range(6)),))
    sheet.put("y", ((0.5,) * 6,))
    assert sheet.result("own")[0] == pytest.approx([math.exp(k) for k in range(6)])
    assert sheet.result("both")[0] == pytest.approx([math.exp(k + 0.5) for k in range(6)])
    sheet.put("y", ((1.5,) * 6,))
    assert sheet.result("both")[0] == pytest.approx([math.exp(k + 1.5) for k in range(6)])
    assert (sheet.result("own"), sorted(calls)) == (sheet.result("own"), [1, 3, 3])


@pytest.mark.parametrize("count", [1, 6])
def test_what_was_given_before_leaves_no_trace_not_even_in_the_sign_of_a_zero(count: int) -> None:
    """0 equals -0, and what equals what is there is not put again; a replay begins from another one."""

    def code(rows: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        return {"y": [1 / rows["x"][0]]}

    found = []
    for first in (0.0, -0.0, 1.0):
        sheet = Sheet(code, {"x": [torch.ones(count, dtype=torch.float64)]})  # type: ignore[arg-type]
        for value in (first, -0.0, 0.0):
            sheet.put("x", ((value,) * count,))
            found += sheet.result("y")[0] if value == 0 else []
    assert set(found) == {math.inf}

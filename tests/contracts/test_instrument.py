"""What every instrument in envs/instruments/ keeps to; a new file there is picked up by name.

A file holds one class of settings that all have defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from agents.classical.delta import Delta
from envs import register
from envs.calibration import validated
from envs.contract import Claim, Contract
from envs.instrument import Instrument, Opening, Terms, View
from envs.types import BadInput, Greeks
from tests.envs.worlds import F64, carried, constant_views, contract, free, world

FOLDER = "envs.instruments"
PATHS, COPIES = 9, 3
LIFE, STEP = 720, 8  # bars
MOVES = torch.linspace(0.7, 1.45, PATHS, dtype=F64)  # of the spot since the opening
Check = Callable[[str], None]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return pytest.mark.parametrize("kind", register.kinds(FOLDER))(function)


def made(kind: str, **settings: Any) -> Any:
    return register.parsed(FOLDER, {"kind": kind, **settings}, "option")


def view(spots: Tensor, dtype: torch.dtype = F64, volatility: float = 0.8) -> View:
    (found,) = constant_views([(float(spot),) for spot in spots], volatility)
    cast = [
        type(bundle)(**{n: v.to(dtype) if v.is_floating_point() else v for n, v in vars(bundle).items()})
        for bundle in (found.quote, found.memory)
    ]
    return replace(found, quote=cast[0], memory=cast[1])


def opened(instrument: Any, at: View, left: int = LIFE, copies: int = COPIES) -> Any:
    bars_left = torch.full((len(at.quote.spot),), left)
    return instrument.opened(at, Opening(copies, bars_left, LIFE, STEP, torch.Generator().manual_seed(1)))


def now(instrument: Any, left: int = 300, dtype: torch.dtype = F64) -> tuple[Any, View]:
    """Opened at 100 with `left` bars to go, and the view once the spot has made its MOVES."""
    start = torch.full((PATHS,), 100.0, dtype=F64)
    return opened(instrument, view(start, dtype), left), view(100 * MOVES, dtype)


def moved(at: View, spot: Tensor) -> View:
    return replace(at, quote=replace(at.quote, spot=spot, mark=spot))


def numbers(greeks: Greeks) -> dict[str, Tensor]:
    return {field.name: getattr(greeks, field.name) for field in fields(Greeks)}


def scaled(terms: Any, factor: float) -> Any:
    """Terms in another currency: prices times `factor`; liquidity, in √(base·quote) per base unit, by its root."""
    money = dict.fromkeys(("strike", "lower", "upper"), factor) | {"liquidity": factor**0.5}
    own = {n: v * money[n] for n, v in vars(terms).items() if n in money}
    return replace(terms, **own)


@check
def test_a_file_holds_one_instrument_named_after_it(kind: str) -> None:
    found = register.public_class(FOLDER, kind)
    assert issubclass(found, Instrument)
    assert found.__name__ == kind.title().replace("_", "")
    assert made(kind).kind == kind
    assert type(made(kind).model_copy()) is found
    assert found.__doc__


@check
def test_everything_has_one_row_per_path_and_one_column_per_copy(kind: str) -> None:
    for dtype in (torch.float32, F64):
        terms, at = now(instrument := made(kind), dtype=dtype)
        assert is_dataclass(terms)
        assert isinstance(terms, Terms)
        assert terms.bars_left.dtype == torch.int64
        for name, value in vars(terms).items():
            assert value.shape == (PATHS, COPIES), name
        greeks = instrument.greeks(terms, at)
        results = {
            **numbers(greeks),
            "payoff": instrument.payoff(terms, at.quote, at),
            "half_spread": instrument.half_spread(greeks, at),
            "depth": instrument.depth(greeks, at),
        }
        if (income := instrument.income(terms, at)) is not None:
            results["income"] = income
        for name, value in results.items():
            assert value.shape == (PATHS, COPIES), name
            assert value.dtype == dtype, name
            assert value.isfinite().all(), name
        assert (results["depth"] > 0).all()
        assert ((results["half_spread"] >= 0) & (results["half_spread"] < 1)).all()


@check
def test_single_precision_is_double_precision_rounded(kind: str) -> None:
    one, other = (made(kind).greeks(*now(made(kind), dtype=dtype)) for dtype in (torch.float32, F64))
    for name, value in numbers(other).items():
        size = float(value.abs().max().clamp(min=1e-6))
        assert (numbers(one)[name].double() - value).abs().max() < 1e-4 * size, name


@check
def test_greeks_are_the_slopes_of_the_value(kind: str) -> None:
    """Central differences of the value in spot, volatility and bars; the marks move with the index.

    The bound: a step h errs by h²/6 of the third derivative, which is taken for ten of the greek's own size over S².
    """
    terms, at = now(instrument := made(kind))
    greeks, spot = instrument.greeks(terms, at), at.quote.spot

    def value(shift: Tensor | float = 0.0, volatility: float = 0.0) -> Tensor:
        bent = replace(at.quote, implied_volatility=at.quote.implied_volatility + volatility)
        there: Tensor = instrument.greeks(terms, moved(replace(at, quote=bent), spot + shift)).value
        return there

    h, v = 1e-4 * spot, 1e-4
    up, middle, down = value(h), value(), value(-h)
    near = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(greeks.delta, (up - down) / (2 * h[:, None]), **near)
    torch.testing.assert_close(greeks.gamma, (up - 2 * middle + down) / h[:, None].square(), **near)
    torch.testing.assert_close(greeks.vega, (value(0.0, v) - value(0.0, -v)) / (2 * v), **near)
    later, sooner = (instrument.greeks(replace(terms, bars_left=terms.bars_left + b), at).value for b in (-1, 1))
    torch.testing.assert_close(greeks.theta, (later - sooner) / (2 * at.bar), atol=0.02, rtol=2e-3)


@check
def test_deltas_elsewhere_are_those_of_the_moved_market(kind: str) -> None:
    terms, at = now(instrument := made(kind))
    spots = torch.stack([at.quote.spot * move for move in (0.8, 1.0, 1.3)], -1)
    found = instrument.deltas(terms, at, spots, torch.ones_like(spots))
    assert found.shape == (PATHS, COPIES, 3)
    for case, spot in enumerate(spots.unbind(-1)):
        expected = instrument.greeks(terms, moved(at, spot)).delta
        torch.testing.assert_close(found[..., case], expected, atol=1e-12, rtol=1e-9)


@check
def test_another_currency_rescales_money_alone(kind: str) -> None:
    for factor in (1e-3, 250.0):
        terms, at = now(instrument := made(kind))
        quote = {n: getattr(at.quote, n) * factor for n in ("spot", "low", "high", "mark", "depth")}
        dear = replace(at, quote=replace(at.quote, **quote))
        one, other = instrument.greeks(terms, at), instrument.greeks(scaled(terms, factor), dear)
        powers = {"value": factor, "delta": 1.0, "gamma": 1 / factor, "vega": factor, "theta": factor}
        for name, power in powers.items():
            torch.testing.assert_close(numbers(other)[name], power * numbers(one)[name], atol=1e-12, rtol=1e-9)
        if (income := instrument.income(terms, at)) is not None:
            torch.testing.assert_close(
                instrument.income(scaled(terms, factor), dear), factor * income, atol=1e-12, rtol=1e-9
            )


@check
def test_terms_opened_in_another_currency_are_those_rescaled(kind: str) -> None:
    start = torch.full((PATHS,), 100.0, dtype=F64)
    instrument = made(kind)
    one, other = opened(instrument, view(start)), opened(instrument, view(7 * start))
    for name, value in vars(scaled(one, 7.0)).items():
        torch.testing.assert_close(getattr(other, name), value, rtol=1e-12, atol=0)


@check
def test_what_it_pays_is_what_it_is_worth_when_no_bars_are_left(kind: str) -> None:
    terms, at = now(instrument := made(kind))
    last = replace(terms, bars_left=torch.zeros_like(terms.bars_left))
    payoff, value = instrument.payoff(last, at.quote, at), instrument.greeks(last, at).value
    torch.testing.assert_close(payoff, value, rtol=1e-9, atol=1e-9)


@check
def test_it_ages_by_the_bar_and_stops_at_nothing(kind: str) -> None:
    terms, _ = now(instrument := made(kind))
    aged = instrument.aged(terms, 5)
    assert torch.equal(aged.bars_left, terms.bars_left - 5)
    assert (instrument.aged(terms, 10**6).bars_left == 0).all()
    for name, value in vars(terms).items():
        assert name == "bars_left" or torch.equal(getattr(aged, name), value), name


@check
def test_it_ends_no_later_than_the_book_when_its_longest_life_is_within_it(kind: str) -> None:
    instrument = made(kind)
    if instrument.longest > LIFE:
        return
    start = view(torch.full((PATHS,), 100.0, dtype=F64))
    for left in (STEP, 304, LIFE):
        bars = opened(instrument, start, left).bars_left
        assert ((bars > 0) & (bars <= left)).all()
        assert (bars % STEP == 0).all()


@check
def test_a_path_alone_is_priced_as_in_the_batch(kind: str) -> None:
    terms, at = now(instrument := made(kind))
    whole = numbers(instrument.greeks(terms, at))
    for path in (0, PATHS - 1):
        row = slice(path, path + 1)
        single = view(at.quote.spot[row])
        own = replace(terms, **{n: v[row] for n, v in vars(terms).items()})
        for name, value in numbers(instrument.greeks(own, single)).items():
            torch.testing.assert_close(value, whole[name][row], rtol=1e-12, atol=1e-12)


@check
def test_settings_survive_their_own_table(kind: str) -> None:
    claim = Claim(instrument=made(kind))
    assert Claim.model_validate(claim.model_dump(mode="json")) == claim


@check
def test_bad_settings_are_errors_of_one_line_that_name_the_place(kind: str) -> None:
    for wrong in ({"no_such_setting": 1}, {"asset": -1}, {"asset": "btc"}):
        raw = {"claims": [{"instrument": {"kind": kind, **wrong}}]}
        with pytest.raises(BadInput, match=rf"^book\.toml: claims\.0\.instrument[^\n]*{next(iter(wrong))}[^\n]*$"):
            validated(Contract, raw, "book.toml")


@check
def test_a_world_hedges_it(kind: str) -> None:
    """Sold, and hedged in delta: rewards are finite, and the loss varies less than that of the claim alone."""
    claim = {"instrument": {"kind": kind, **({"bars": 48} if kind == "option" else {})}, "units": -1.0}
    loss = carried(world(1, 400, contract(decision_bars=2, claims=[claim])), Delta())[1]
    bare = carried(world(1, 400, contract(decision_bars=2, claims=[claim], hedges=[free()])), Still())[1]
    assert loss.isfinite().all()
    assert float(loss.std()) < 0.5 * float(bare.std())


class Still:
    """Never trades."""

    name = "still"

    def band(self, observation: Any) -> Any:
        return type(Delta().band(observation))(observation.hedge, observation.hedge)


def test_instruments_of_this_project_are_in_the_folder() -> None:
    assert {"option", "spot", "perpetual", "future", "liquidity_position"} <= set(register.kinds(FOLDER))

"""What every market in envs/markets/ keeps to; a new file there is picked up by name.

A file holds one class with `initial`, `step` and `quote`, and its `Settings`: fields that `OFFERED` does not name have
defaults.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import envs.markets
from envs import recording
from envs.calibration import Calibration, validated
from envs.history import DATA, load_bars
from envs.seeding import generators
from envs.types import BadInput, Quote, taken
from envs.volatility.memory import Memory

BTC, ETH = (Calibration.load(DATA / name) for name in ("btc_2017_2022.toml", "eth_2022_2024.toml"))
OFFERED = {"assets": (BTC,), "first": "2023-01-01", "last": "2023-02-05"}
PATHS, BARS = 12, 30
HORIZON = 720  # bars
SHORT_BURN_IN = 50  # bars: what is promised holds from any start
CPU = torch.device("cpu")
Check = Callable[[Any], None]
Row = tuple[Any, tuple[Memory, ...], tuple[Quote, ...]]


def is_market(kind: type) -> bool:
    return all(callable(getattr(kind, method, None)) for method in ("initial", "step", "quote"))


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(envs.markets.__path__):
        yield importlib.import_module(f"envs.markets.{found.name}")


def kinds() -> list[Any]:
    return [
        kind
        for module in modules()
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and is_market(kind)
    ]


def offered(kind: Any, **changed: Any) -> dict[str, Any]:
    """What of OFFERED, `changed`, the market's Settings have."""
    return {name: value for name, value in {**OFFERED, **changed}.items() if name in kind.Settings.model_fields}


def made(kind: Any, seed: int, dtype: torch.dtype = torch.float64, device: torch.device = CPU, **changed: Any) -> Any:
    (generator,) = generators(seed, 1, device)
    return kind(kind.Settings(**offered(kind, **changed)), HORIZON, generator, dtype, device)


def is_recorded(kind: Any) -> bool:
    """A record can be entered at a row, and promises no fair price."""
    return hasattr(kind, "at")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short burn-ins, and a history read once."""
    monkeypatch.setattr(recording, "load_bars", functools.cache(load_bars))
    for module in modules():
        if hasattr(module, "BURN_IN"):
            monkeypatch.setattr(module, "BURN_IN", SHORT_BURN_IN)


CHECKS: list[Check] = []


def of_each_market(check: Check) -> Check:
    CHECKS.append(check)
    return pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)(check)


def walked(market: Any, paths: int = PATHS, bars: int = BARS) -> list[Row]:
    """States, memories and quotes from the start on, `bars` steps."""
    state, memories = market.initial(paths)
    rows = [(state, memories, market.quote(state, memories))]
    for _ in range(bars):
        rows.append(market.step(*rows[-1][:2]))
    return rows


def tensors(bundle: Any) -> Iterator[tuple[str, Tensor]]:
    """All in a dataclass, or in dataclasses and tuples within, by the names of their fields."""
    if is_dataclass(bundle):
        for name, value in vars(bundle).items():
            yield from ((inner or name, tensor) for inner, tensor in tensors(value))
    elif isinstance(bundle, tuple):
        for value in bundle:
            yield from tensors(value)
    else:
        yield "", bundle


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for (_, a), (_, b) in zip(tensors(one), tensors(other), strict=True))


def test_every_file_holds_one_market_named_after_it() -> None:
    files = [found.name for found in pkgutil.iter_modules(envs.markets.__path__)]
    assert {"garch", "gbm", "heston", "sabr", "replay", "bootstrap"} <= set(files)
    assert [kind.__name__ for kind in kinds()] == [f"{name.capitalize()}Market" for name in files]


@of_each_market
def test_each_asset_has_its_filter_its_surface_its_memory_and_its_quote(kind: Any) -> None:
    market = made(kind, 1)
    _, memories, quotes = walked(market, bars=2)[-1]
    sides = (market.calibrations, market.filters, market.surfaces, memories, quotes)
    assert {len(side) for side in sides} == {1}
    assert {type(side) for side in sides} == {tuple}


@of_each_market
def test_quotes_are_finite_and_one_per_path(kind: Any) -> None:
    for dtype in (torch.float32, torch.float64):
        for _, _, (quote,) in walked(made(kind, 1, dtype)):
            assert type(quote) is Quote
            for field in fields(Quote):
                value = getattr(quote, field.name)
                assert value.shape == (PATHS,), field.name
                assert value.dtype == dtype, field.name
                assert value.isfinite().all(), field.name
            for name in ("spot", "low", "high", "mark", "depth", "implied_volatility"):
                assert (getattr(quote, name) > 0).all(), name
            for name in ("half_spread", "congestion", "deleveraged"):
                assert (getattr(quote, name) >= 0).all(), name
                assert (getattr(quote, name) < 1).all(), name
            assert ((quote.mark / quote.spot - 1).abs() < 0.1).all()


@of_each_market
def test_lows_and_highs_hold_both_ends_of_the_bar(kind: Any) -> None:
    for dtype in (torch.float32, torch.float64):
        rows = walked(made(kind, 2, dtype), paths=500)
        for (_, _, (before,)), (_, _, (after,)) in pairwise(rows):
            assert (after.low <= torch.minimum(before.spot, after.spot)).all()
            assert (after.high >= torch.maximum(before.spot, after.spot)).all()
        inside = [torch.minimum(b.spot, a.spot) > a.low for (_, _, (b,)), (_, _, (a,)) in pairwise(rows)]
        assert torch.stack(inside).double().mean() > 0.5  # bars do go beyond their ends


@of_each_market
def test_prices_move(kind: Any) -> None:
    rows = walked(made(kind, 1))
    assert (rows[-1][2][0].spot != rows[0][2][0].spot).all()


@of_each_market
def test_the_same_seed_repeats_every_quote_and_another_does_not(kind: Any) -> None:
    one, other, different = (walked(made(kind, seed)) for seed in (7, 7, 8))
    assert all(same(a[2], b[2]) for a, b in zip(one, other, strict=True))
    assert (one[-1][2][0].spot != different[-1][2][0].spot).any()


@of_each_market
def test_a_step_quotes_what_quote_says_of_the_state_it_returns(kind: Any) -> None:
    market = made(kind, 2)
    for state, memories, quotes in walked(market):
        assert same(quotes, market.quote(state, memories))


@of_each_market
def test_memory_is_the_filter_run_on_past_quotes_and_nothing_else(kind: Any) -> None:
    """So that a desk, which has the quotes alone, remembers the same."""
    market = made(kind, 3)
    rows = walked(market)
    own = rows[0][1][0]
    for (_, (memory,), (quote,)), (_, _, (before,)) in zip(rows[1:], rows[:-1], strict=True):
        own = market.filters[0].update(own, torch.log(quote.spot / before.spot))
        assert type(memory) is Memory
        for name, value in tensors(own):
            found = getattr(memory, name).double()
            assert (found - value.double()).abs().max() <= 1e-9 * value.double().abs().max().clamp(min=1), name


@of_each_market
def test_what_is_hidden_is_in_no_quote_and_in_no_memory(kind: Any) -> None:
    """Neither a tensor of the state nor its values, but for what a quote has by the same name."""
    state, memories, quotes = walked(made(kind, 4))[-1]
    public = [tensor for _, tensor in (*tensors(memories), *tensors(quotes))]
    for name, hidden in tensors(state):
        if name in {field.name for field in fields(Quote)} or not hidden.is_floating_point():
            continue
        column = hidden.reshape(PATHS, -1)[:, 0]
        assert hidden.untyped_storage().data_ptr() not in {seen.untyped_storage().data_ptr() for seen in public}, name
        assert not any(seen.shape == column.shape and torch.equal(seen, column) for seen in public), name


@of_each_market
def test_a_path_alone_is_quoted_and_priced_as_in_the_batch(kind: Any) -> None:
    """To k = 100 roundings: vectorised functions differ in the last bits with the batch."""
    market = made(kind, 5)
    state, memories, (quote,) = walked(market)[-1]
    strike, bars = quote.spot[:, None] * torch.tensor([[0.9, 1.0, 1.2]]), torch.tensor([[1, 100, 720]] * PATHS)
    surface = market.surfaces[0].volatility(quote, memories[0], strike, bars)
    for path in (0, PATHS // 2, PATHS - 1):
        row = slice(path, path + 1)
        (alone,) = market.quote(taken(state, row), taken(memories, row))
        for name, value in tensors(quote):
            assert getattr(alone, name).tolist() == pytest.approx(value[row].tolist(), rel=3e-14), name
        single = market.surfaces[0].volatility(alone, taken(memories[0], row), strike[row], bars[row])
        assert single[0].tolist() == pytest.approx(surface[path].tolist(), rel=3e-14)


@of_each_market
def test_one_path_is_a_market(kind: Any) -> None:
    state, memories, (quote,) = walked(made(kind, 6), paths=1)[-1]
    assert {len(tensor) for _, tensor in (*tensors(state), *tensors(memories), *tensors(quote))} == {1}
    assert float(memories[0].probability.sum()) == pytest.approx(1)


@of_each_market
def test_every_option_has_a_volatility_and_a_spread(kind: Any) -> None:
    """Of any strike and life to the horizon, expired ones too; at the money and 30 days it is the quoted one.

    Within 2 %: the quoted one is of 30 days, the nearest whole bars need not be.
    """
    for dtype in (torch.float32, torch.float64):
        market = made(kind, 9, dtype)
        _, (memory,), (quote,) = walked(market)[-1]
        month = market.calibrations[0].implied_bars
        strike = quote.spot[:, None] * torch.tensor([[0.3, 0.8, 1.0, 1.3, 3.0]], dtype=dtype)
        for bars in (0, 1, 24, month, HORIZON):
            left = torch.full(strike.shape, bars)
            volatility = market.surfaces[0].volatility(quote, memory, strike, left)
            assert volatility.shape == strike.shape
            assert volatility.dtype == dtype
            assert ((volatility > 0.01) & (volatility < 20)).all()
            if bars == month:
                assert (volatility[:, 2] / quote.implied_volatility - 1).abs().max() < 0.02
        delta = torch.linspace(-1, 1, 20, dtype=dtype).view(4, 5)
        spread = market.surfaces[0].half_spread(delta)
        assert spread.shape == delta.shape
        assert ((spread >= 0) & (spread < 1)).all()


@of_each_market
def test_settings_with_a_stranger_among_them_are_refused_in_one_line(kind: Any) -> None:
    with pytest.raises(BadInput, match="no_such_setting") as raised:
        validated(kind.Settings, {**offered(kind), "no_such_setting": 1}, "market")
    assert len(str(raised.value).splitlines()) == 1


@of_each_market
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_it_runs_on_an_accelerator(kind: Any) -> None:
    device = torch.device("cuda")
    for _, tensor in tensors(walked(made(kind, 10, torch.float32, device))[-1]):
        assert tensor.device.type == "cuda"
        assert tensor.isfinite().all()


def judged_fair(kind: Any, paths: int, hours: int, k: float) -> None:
    """E[S_T] is the forward, 1 or e^(drift·T): within k standard errors, of paths walked in blocks, in float32."""
    market = made(kind, 11, torch.float32, drift=0.1, bar_hours=4.0)
    length, block, ratios = market.calibrations[0].source.bar_hours, 50_000, []
    drift = 0.1 if "drift" in kind.Settings.model_fields else 0.0
    for _ in range(paths // block):
        state, memories = market.initial(block)
        start = market.quote(state, memories)[0].spot
        for _ in range(round(hours / length)):
            state, memories, quotes = market.step(state, memories)
        ratios.append((quotes[0].spot.double() / start.double()) * math.exp(-drift * hours / 8760))
    ratio = torch.cat(ratios)
    assert abs(float(ratio.mean()) - 1) < k * float(ratio.std()) / math.sqrt(len(ratio))


SIMULATED = pytest.mark.parametrize("kind", [k for k in kinds() if not is_recorded(k)], ids=lambda kind: kind.__name__)


@SIMULATED
def test_the_price_is_fair_over_two_days(kind: Any) -> None:
    """10⁵ paths, k = 3."""
    judged_fair(kind, 100_000, 48, 3)


@pytest.mark.slow
@SIMULATED
def test_the_price_is_fair_over_weeks(kind: Any) -> None:
    """10⁶ paths of 30 days where a bar may have four hours, else of 10 days; k = 3."""
    judged_fair(kind, 1_000_000, 720 if "bar_hours" in kind.Settings.model_fields else 240, 3)

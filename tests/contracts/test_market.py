"""What every market in envs/markets/ keeps to; a new file there is picked up by name.

Then the simulated market's own promises: a fair price, bounded shocks of unit variance, a state that stays hidden.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

import envs.markets
from envs import marks
from envs.calibration import Calibration
from envs.hedging import Market
from envs.markets import garch as simulation
from envs.markets.garch import GarchMarket, State, shock_atoms
from envs.seeding import generators
from envs.simulated import SHIPPED_CALIBRATION
from envs.types import Quote, taken
from envs.volatility import garch
from envs.volatility.memory import Filter, Memory

CALIBRATION = Calibration.load(SHIPPED_CALIBRATION)
PATHS, BARS = 12, 30
SHORT_BURN_IN = 100  # bars: the promises below hold from any start
MANY, FEW = simulation.ATOMS, 1 << 12  # values of the shock, fewer where their law is not what is judged
Build = Callable[[int], Market]


def is_market(kind: type) -> bool:
    return all(callable(getattr(kind, method, None)) for method in ("initial", "step", "quote"))


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(envs.markets.__path__):
        yield importlib.import_module(f"envs.markets.{found.name}")


KINDS = [
    kind
    for module in modules()
    for kind in vars(module).values()
    if inspect.isclass(kind) and kind.__module__ == module.__name__ and is_market(kind)
]


@pytest.fixture(autouse=True)
def _short_burn_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "BURN_IN", SHORT_BURN_IN)
    monkeypatch.setattr(simulation, "ATOMS", FEW)


@pytest.fixture(scope="module")
def filter() -> Filter:
    return Filter(CALIBRATION, torch.float64, torch.device("cpu"), marks.implied_horizon(CALIBRATION))


@pytest.fixture
def build(request: pytest.FixtureRequest, filter: Filter) -> Build:
    """A maker of the market by seed: its constructor gets, by the names of its parameters, what they ask for."""

    def made(seed: int) -> Market:
        (generator,) = generators(seed, 1)
        returns = 0.01 * torch.randn(200, generator=generators(500, 1)[0], dtype=torch.float64)
        offered: dict[str, Any] = {
            "calibration": CALIBRATION,
            "filter": filter,
            "generator": generator,
            "dtype": torch.float64,
            "device": torch.device("cpu"),
            "spot": 40_000 * returns.cumsum(0).exp(),
            "usable": torch.arange(200) > 0,
            "funding_rate": torch.linspace(-0.2, 0.2, 200, dtype=torch.float64),
        }
        wanted = inspect.signature(request.param).parameters
        unknown = set(wanted) - set(offered)
        assert not unknown, f"{request.param.__name__} asks for {unknown}; offer it above"
        market: Market = request.param(**{name: offered[name] for name in wanted})
        return market

    return made


each_market = pytest.mark.parametrize("build", KINDS, indirect=True, ids=lambda kind: kind.__name__)


def walked(market: Market, paths: int = PATHS, bars: int = BARS) -> list[tuple[Any, Memory, Quote]]:
    """States, memories and quotes from the start on, `bars` steps."""
    state, memory = market.initial(paths)
    rows = [(state, memory, market.quote(state, memory))]
    for _ in range(bars):
        rows.append(market.step(*rows[-1][:2]))
    return rows


def test_every_file_holds_one_market() -> None:
    assert [kind.__name__ for kind in KINDS if kind in (GarchMarket,)] == ["GarchMarket"]
    assert len({kind.__module__ for kind in KINDS}) == len(KINDS) == len(list(modules()))


@each_market
def test_quotes_are_finite_positive_and_one_per_path(build: Build) -> None:
    for _, _, quote in walked(build(1)):
        assert type(quote) is Quote
        for field in fields(Quote):
            value = getattr(quote, field.name)
            assert value.shape == (PATHS,), field.name
            assert value.dtype == torch.float64, field.name
            assert value.isfinite().all(), field.name
        for name in ("spot", "mark", "half_spread", "depth", "implied_volatility"):
            assert (getattr(quote, name) > 0).all(), name
        assert ((quote.mark / quote.spot - 1).abs() < 0.1).all()
        assert (quote.half_spread < 0.1).all()


@each_market
def test_prices_move(build: Build) -> None:
    rows = walked(build(1))
    assert (rows[-1][2].spot != rows[0][2].spot).all()
    assert (rows[-1][2].implied_volatility != rows[0][2].implied_volatility).all()


@each_market
def test_the_same_seed_repeats_every_quote(build: Build) -> None:
    one, other = walked(build(7)), walked(build(7))
    for (_, _, a), (_, _, b) in zip(one, other, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


@each_market
def test_a_step_quotes_what_quote_says_of_the_state_it_returns(build: Build) -> None:
    market = build(2)
    for state, memory, quote in walked(market):
        again = market.quote(state, memory)
        assert all(torch.equal(x, y) for x, y in zip(vars(quote).values(), vars(again).values(), strict=True))


@each_market
def test_memory_is_the_filter_run_on_past_quotes_and_nothing_else(build: Build, filter: Filter) -> None:
    """So that a desk, which has the quotes alone, remembers the same."""
    rows = walked(build(3))
    own = rows[0][1]
    for (_, memory, quote), (_, _, before) in zip(rows[1:], rows[:-1], strict=True):
        own = filter.update(own, torch.log(quote.spot / before.spot))
        assert type(memory) is Memory
        for field in fields(Memory):
            one, other = getattr(memory, field.name).double(), getattr(own, field.name).double()
            assert (one - other).abs().max() <= 1e-9 * other.abs().max().clamp(min=1), field.name


@each_market
def test_a_path_alone_is_quoted_as_in_the_batch(build: Build) -> None:
    """Implied volatility to single precision: the forecast's clock is (see tests/envs/test_observation.py)."""
    market = build(4)
    state, memory, quote = walked(market)[-1]
    for path in (0, PATHS // 2, PATHS - 1):
        row = slice(path, path + 1)
        alone = market.quote(taken(state, row), taken(memory, row))
        for field in fields(Quote):
            one, other = getattr(alone, field.name), getattr(quote, field.name)[row]
            assert one.tolist() == pytest.approx(other.tolist(), rel=1e-7), field.name


@each_market
def test_starting_many_paths_gives_each_its_own_memory(build: Build) -> None:
    state, memory = build(5).initial(PATHS)
    for bundle in (state, memory):
        for name, value in vars(bundle).items():
            assert len(value) == PATHS, name
    assert memory.probability.sum(-1).tolist() == pytest.approx([1.0] * PATHS)


# The simulated market.


def simulated_market(
    seed: int, dtype: torch.dtype = torch.float64, calibration: Calibration = CALIBRATION
) -> GarchMarket:
    device = torch.device("cpu")
    (generator,) = generators(seed, 1)
    filter = Filter(calibration, dtype, device, marks.implied_horizon(calibration))
    return GarchMarket(calibration, filter, generator, dtype, device)


def calm(**regimes: Any) -> Calibration:
    """One regime of constant variance, no cascades."""
    variance = CALIBRATION.reference_volatility**2
    constant = {
        "transition": ((1.0,),), "omega": (0.1 * variance,), "alpha": (0.0,), "leverage": (0.0,), "beta": (0.9,)
    }  # fmt: skip
    still = CALIBRATION.shocks.model_copy(update={"base_rate": 0.0, "excitation": 0.0})
    law = CALIBRATION.regimes.model_copy(update={**constant, **regimes})
    return CALIBRATION.model_copy(update={"regimes": law, "shocks": still})


def at_variance(variance: float, paths: int) -> State:
    """Of `calm` markets at a price of 1."""
    one = torch.ones(paths, dtype=torch.float64)
    return State(spot=one, regime=one.long() * 0, variance=one[:, None] * variance, premium=one * 0)


def test_the_price_is_fair_over_a_day_a_week_and_a_month() -> None:
    """E[S_T] = S_0: within k = 4 standard errors, n = 20,000 paths, from states of their own.

    Without the drift the month's mean would stand 17 standard errors off, without that of cascades more than 20.
    """
    n = 20_000
    market = simulated_market(601, torch.float32)
    state, memory = market.initial(n)
    start, judged = state.spot, {24, 168, 720}
    for bar in range(1, 721):
        state, memory, _ = market.step(state, memory)
        if bar in judged:
            ratio = (state.spot / start).double()
            assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(n), bar


@pytest.mark.parametrize("variance", [1e-3, 0.7, 55.0, 400.0])
def test_the_price_is_fair_over_every_shock_of_a_bar(monkeypatch: pytest.MonkeyPatch, variance: float) -> None:
    """The mean over all equally likely shocks, up to the ceiling, where e^σz is far from quadratic."""
    market = simulated_market(602, calibration=calm())

    def each_once(high: int, shape: tuple[int, ...], **_: Any) -> Tensor:
        assert (high,) == tuple(shape) == (FEW,)
        return torch.arange(high)

    monkeypatch.setattr(torch, "randint", each_once)
    ratio = market.step(at_variance(variance, FEW), market.filter.initial(FEW))[0].spot
    assert float(ratio.log().std(correction=0)) == pytest.approx(math.sqrt(variance / 8760), rel=1e-9)
    assert float(ratio.mean()) == pytest.approx(1, abs=1e-7)


def test_cascades_come_at_their_rate_and_are_paid_for() -> None:
    """At an excited hazard; 2 % falls stand apart from diffusion at a volatility of 1 % a year.

    k = 4 standard errors, n = 400,000: binomial for the count, of the mean for the fair price.
    """
    n = 400_000
    quiet = calm(omega=(1e-5,)).model_copy(update={"shocks": CALIBRATION.shocks.model_copy(update={"mean_size": 0.1})})
    market = simulated_market(603, calibration=quiet)
    memory = replace(market.filter.initial(n), excitement=torch.full((n,), 400.0, dtype=torch.float64))
    spot = market.step(at_variance(1e-4, n), memory)[0].spot
    law = quiet.shocks
    chance = -math.expm1(-(law.base_rate + 400) / 8760)
    beyond = (math.exp(-0.02 / 0.1) - math.exp(-law.max_size / 0.1)) / -math.expm1(-law.max_size / 0.1)
    drift = -math.log1p(chance * (market.fall_factor - 1))
    fell = float((spot.log() - drift < -0.02).double().mean())
    expected = chance * beyond
    assert abs(fell - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    assert abs(float(spot.mean()) - 1) < 4 * float(spot.std()) / math.sqrt(n)
    assert float(spot.log().min()) >= -law.max_size - 1e-3


def test_shocks_have_zero_mean_unit_variance_and_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is the truncation over the cut law's own standard deviation, by quadrature."""
    monkeypatch.setattr(simulation, "ATOMS", MANY)
    freedom, cut = CALIBRATION.regimes.degrees_of_freedom, CALIBRATION.regimes.truncation
    atoms = shock_atoms(freedom, cut)
    law = stats.t(freedom, scale=math.sqrt((freedom - 2) / freedom))
    inside = law.cdf(cut) - law.cdf(-cut)
    square, _ = integrate.quad(lambda z: z * z * law.pdf(z) / inside, -cut, cut, epsabs=0, epsrel=1e-10, limit=200)
    assert float(atoms.mean()) == pytest.approx(0, abs=1e-12)
    assert float(atoms.square().mean()) == pytest.approx(1, rel=1e-12)
    assert torch.equal(atoms, -atoms.flip(0))
    assert 0.85 * cut < float(atoms.max()) <= cut / math.sqrt(square) * 1.01


def test_shocks_follow_the_truncated_t(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its distribution function at the atoms, put back to the cut law's scale, is uniform."""
    monkeypatch.setattr(simulation, "ATOMS", MANY)
    atoms = shock_atoms(5.0, 6.0)
    law = stats.t(5.0, scale=math.sqrt(3 / 5))
    square, _ = integrate.quad(lambda z: z * z * law.pdf(z), -6, 6, epsabs=0, epsrel=1e-10)
    inside = law.cdf(6.0) - law.cdf(-6.0)
    place = (law.cdf(atoms.numpy() * math.sqrt(square / inside)) - law.cdf(-6.0)) / inside
    assert np.abs(place - (np.arange(len(atoms)) + 0.5) / len(atoms)).max() < 1e-4


def test_returns_are_bounded() -> None:
    """With one constant variance and no cascades: by the largest atom, less a drift of about half the variance."""
    market = simulated_market(604, calibration=calm())
    deviation = CALIBRATION.reference_volatility * math.sqrt(1 / 8760)
    rows = walked(market, paths=4000, bars=20)
    returns = torch.stack([(b.spot / a.spot).log() for (_, _, a), (_, _, b) in pairwise(rows)])
    bound = deviation * float(market.atoms.max())
    assert returns.abs().max() <= bound + deviation**2
    assert returns.abs().max() > 0.3 * bound
    n = returns.numel()
    error = float(returns.square().std()) / math.sqrt(n)
    assert abs(float(returns.square().mean()) - deviation**2) < 4 * error + deviation**4


def test_regimes_switch_with_the_calibrated_probabilities() -> None:
    """k = 4 binomial standard errors, about n = 20,000 x 50 bars."""
    market = simulated_market(605, torch.float32)
    state, memory = market.initial(20_000)
    left = torch.zeros(2, 2, dtype=torch.float64)
    for _ in range(50):
        after, memory, _ = market.step(state, memory)
        for k in range(2):
            left[k] += torch.bincount(after.regime[state.regime == k], minlength=2)
        state = after
    transition = torch.tensor(CALIBRATION.regimes.transition, dtype=torch.float64)
    n = left.sum(-1, keepdim=True)
    error = (transition * (1 - transition) / n).sqrt()
    assert (n > 10_000).all()
    assert ((left / n - transition).abs() < 4 * error).all()


def test_the_hidden_state_is_seen_in_no_quote() -> None:
    """Another true regime and another true variance leave the quote as it is, to the last bit."""
    market = simulated_market(606)
    state, memory = market.initial(PATHS)
    other = replace(state, regime=1 - state.regime, variance=state.variance.flip(0) * 9)
    one, two = market.quote(state, memory), market.quote(other, memory)
    assert all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(two).values(), strict=True))
    hidden = {state.regime.data_ptr(), state.variance.data_ptr(), state.premium.data_ptr()}
    public: list[Tensor] = [*vars(one).values(), *vars(memory).values()]
    assert not hidden & {tensor.data_ptr() for tensor in public}


def test_hidden_variance_follows_the_returns_that_it_made() -> None:
    market = simulated_market(611)
    state, memory = market.initial(PATHS)
    for _ in range(10):
        after, memory, _ = market.step(state, memory)
        move = torch.log(after.spot / state.spot)
        expected = garch.next_variance(market.regimes, state.variance, move, market.bar)
        assert (after.variance / expected - 1).abs().max() < 1e-9
        state = after


def test_hidden_variance_drives_the_price_that_memory_only_filters() -> None:
    """Nine times the variance moves prices about three times as far from the same memory."""
    market = simulated_market(607)
    state, memory = market.initial(2000)
    wild = replace(state, variance=state.variance * 9)
    quiet = simulated_market(608).step(state, memory)[0].spot / state.spot
    loud = simulated_market(608).step(wild, memory)[0].spot / state.spot
    assert float(loud.log().abs().median() / quiet.log().abs().median()) == pytest.approx(3, rel=0.1)


def test_different_seeds_are_different_markets() -> None:
    one, other = (walked(simulated_market(seed))[-1][2].spot for seed in (608, 609))
    assert (one != other).all()


def test_paths_beyond_the_chains_start_from_whole_drawn_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """State and memory of one chain stay together."""
    monkeypatch.setattr(simulation, "CHAINS", 8)
    market = simulated_market(610)
    state, memory = market.initial(100)
    chains = {float(spot): row for row, spot in enumerate(state.spot)}
    assert 2 <= len(chains) <= 8
    for row, spot in enumerate(state.spot.tolist()):
        first = chains[spot]
        assert memory.variance[row].tolist() == memory.variance[first].tolist()
        assert state.variance[row].tolist() == state.variance[first].tolist()
        assert memory.excitement[row] == memory.excitement[first]
    after, _, _ = market.step(state, memory)
    assert len(set((after.spot / state.spot).tolist())) > 50  # and go their own ways from there

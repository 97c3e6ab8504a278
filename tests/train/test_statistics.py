"""The statistics of losses by hand, and bootstrap intervals that cover what they should."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from envs.objective import expected_shortfall
from envs.objectives.mean_shortfall import MeanShortfall
from envs.seeding import generators
from train import statistics
from train.statistics import CONFIDENCE, Interval, Resampled


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generators(seed, 1)[0], dtype=torch.float64)


def resampled(losses: Tensor, seed: int = 0, blocks: Tensor | None = None) -> Resampled:
    return Resampled(losses, generators(seed, 1)[0], blocks)


def test_summary_of_a_hundred_losses() -> None:
    """0 to 99 in any order: of the worst five, 95 to 99, the mean is 97."""
    losses = torch.arange(100, dtype=torch.float64)[torch.randperm(100, generator=generators(1001, 1)[0])]
    found = statistics.summary(losses)
    std = math.sqrt((100**2 - 1) / 12 * 100 / 99)
    expected = {
        "mean": 49.5, "std": std, "y": 49.5 + 1.5 * std, "worst": 99.0,
        "var95": 95.0, "cvar95": 97.0, "var99": 99.0, "cvar99": 99.0,
    }  # fmt: skip
    assert found == pytest.approx(expected)


def test_summary_of_few_losses_stays_inside_them() -> None:
    found = statistics.summary(torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64))
    assert found["var95"] == found["var99"] == found["cvar99"] == found["worst"] == 3.0


def test_interval_is_that_of_the_percentiles() -> None:
    replicates = torch.arange(1001, dtype=torch.float64)[torch.randperm(1001, generator=generators(1002, 1)[0])]
    found = statistics.interval(torch.tensor(480.0), replicates)
    assert (found.diff, found.low, found.high) == pytest.approx((480.0, 25.0, 975.0))


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False)]
)
def test_an_interval_excludes_zero_only_from_one_side(low: float, high: float, excludes: bool) -> None:
    assert Interval(0.0, low, high).excludes_zero is excludes


def test_intervals_of_the_mean_cover_it() -> None:
    """200 samples of n = 40 normal losses, 150 replicates each.

    A percentile interval of a mean covers P(|t₃₉| < 1.96·√(39/40)) = 94.0 %; k = 4 binomial standard errors.
    """
    repetitions, n = 200, 40
    samples = normal(1003, repetitions, n)
    covered = 0
    for number, sample in enumerate(samples):
        means, _, _ = resampled(sample[:, None], number).replicates(0.9, 150)
        found = statistics.interval(sample.mean(), means[:, 0])
        covered += found.low <= 0 <= found.high
    z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    expected = 1 - 2 * float(stats.t(n - 1).sf(z * math.sqrt((n - 1) / n)))
    assert abs(covered / repetitions - expected) < 4 * math.sqrt(expected * (1 - expected) / repetitions)


def test_replicates_have_the_moments_that_theory_gives() -> None:
    """n = 2,000 normal losses of deviation 3, R = 400: spreads of the mean, 3/√n, of the deviation, 3/√(2n), and of

    the shortfall, √(var of the excess)/(1 − level)/√n. Each within 25 %: k = 4 times 1/√(2R) = 3.5 % for R, and 10 %
    for the sample's own tail of 200.
    """
    n, level, losses = 2000, 0.9, 3 * normal(1004, 2000, 1)
    means, deviations, shortfalls = resampled(losses).replicates(level, 400)
    excess = (losses - losses.quantile(level)).clamp(min=0)
    for replicates, centre, spread in (
        (means, float(losses.mean()), 3 / math.sqrt(n)),
        (deviations, float(losses.std()), 3 / math.sqrt(2 * n)),
        (shortfalls, float(expected_shortfall(losses[:, 0], level)), float(excess.std()) / 0.1 / math.sqrt(n)),
    ):
        assert replicates.shape == (400, 1)
        assert float(replicates.std()) == pytest.approx(spread, rel=0.25)
        assert abs(float(replicates.mean()) - centre) < 0.3 * spread


def weighted(losses: Tensor, weight: Tensor, level: float) -> list[float]:
    """The shortfall of each column (N, G) with every row written out as often as it was drawn."""
    return [float(expected_shortfall(column.repeat_interleave(weight.long()), level)) for column in losses.T]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(
    weight=st.lists(st.integers(0, 4), min_size=3, max_size=30).filter(any),
    level=st.floats(0.05, 0.99),
    seed=st.integers(0, 1000),
)
def test_a_shortfall_replicate_is_that_of_the_drawn_losses(weight: list[int], level: float, seed: int) -> None:
    counts, losses = torch.tensor(weight, dtype=torch.float64), normal(seed, len(weight), 2)
    found = resampled(losses)._shortfall(counts, counts.sum(), level)
    assert found.tolist() == pytest.approx(weighted(losses, counts, level), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_a_shortfall_replicate_of_a_long_sample_looks_far_enough_into_the_tail(level: float) -> None:
    """Where only part of the sorted losses is read."""
    losses, sample = normal(1005, 3000, 3), generators(1006, 1)[0]
    made = resampled(losses)
    for _ in range(20):
        counts = torch.bincount(torch.randint(3000, (3000,), generator=sample), minlength=3000).double()
        found = made._shortfall(counts, counts.sum(), level)
        assert found.tolist() == pytest.approx(weighted(losses, counts, level), rel=1e-9)


def test_replicates_weigh_whole_blocks_and_treat_all_agents_alike() -> None:
    """Losses that differ by block alone: each replicate's mean is one of whole blocks, equal for equal columns."""
    blocks = torch.tensor([0, 0, 1, 1, 1, 2])
    losses = torch.tensor([1.0, 1.0, 10.0, 10.0, 10.0, 100.0], dtype=torch.float64)[:, None].expand(-1, 2)
    means, deviations, shortfalls = resampled(losses, 3, blocks).replicates(0.9, 200)
    sizes, values = torch.tensor([2, 3, 1]), torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    draws = torch.cartesian_prod(*[torch.arange(3)] * 3)
    possible = {round(float((sizes[d] * values[d]).sum() / sizes[d].sum()), 9) for d in draws}
    assert {round(mean, 9) for mean in means[:, 0].tolist()} <= possible
    assert len(set(means[:, 0].tolist())) > 3
    for replicates in (means, deviations, shortfalls):
        assert torch.equal(replicates[:, 0], replicates[:, 1])
    drawn_once = means[:, 0] == 100
    assert (deviations[drawn_once] == 0).all()
    assert (shortfalls[drawn_once] == 100).all()


@pytest.mark.parametrize("blocks", [None, torch.arange(60) // 7])
def test_any_measure_is_replicated_on_the_drawn_losses(blocks: Tensor | None) -> None:
    """The same draws as the fast way's: mean and shortfall are those; the largest loss is one of the sample."""
    losses = normal(1021, 60, 2)
    means, _, shortfalls = resampled(losses, 5, blocks).replicates(0.9, 20)
    torch.testing.assert_close(resampled(losses, 5, blocks).of(lambda drawn: drawn.mean(-1), 20), means)
    found = resampled(losses, 5, blocks).of(lambda drawn: expected_shortfall(drawn, 0.9), 20)
    torch.testing.assert_close(found, shortfalls)
    largest = resampled(losses, 5, blocks).of(lambda drawn: drawn.amax(-1), 20)
    assert torch.isin(largest[:, 0], losses[:, 0]).all()
    assert len(set(largest[:, 0].tolist())) > 1


def test_paired_differences_are_tighter_than_the_losses() -> None:
    """One agent is the other and a little noise: a joint bootstrap knows."""
    common = normal(1007, 500)
    losses = torch.stack([common, common + 0.05 * normal(1008, 500)], dim=-1)
    means, _, _ = resampled(losses).replicates(0.9, 200)
    assert float((means[:, 1] - means[:, 0]).std()) < 0.1 * float(means[:, 0].std())


def test_resampling_blocks_widens_intervals_of_correlated_losses() -> None:
    """40 blocks of 25 losses that share half their variance: the mean's spread is √(1 + 24/2) = 3.6 times as wide.

    Within k = 4 standard errors of a deviation estimated from 40 blocks, 1/√80 each.
    """
    blocks = torch.arange(1000) // 25
    losses = (normal(1009, 40)[blocks] + normal(1010, 1000))[:, None]
    by_block, _, _ = resampled(losses, 1, blocks).replicates(0.9, 400)
    by_row, _, _ = resampled(losses, 1).replicates(0.9, 400)
    assert float(by_block.std() / by_row.std()) == pytest.approx(math.sqrt(13), rel=4 / math.sqrt(80))


def test_independent_losses_are_worth_their_number() -> None:
    """k = 4 standard errors of a variance over R = 1,000 replicates, √(2/R)."""
    losses = normal(1011, 800, 2)
    means, _, _ = resampled(losses).replicates(0.9, 1000)
    found = statistics.effective_sample(losses, means)
    assert found.shape == (2,)
    assert ((found / 800 - 1).abs() < 4 * math.sqrt(2 / 1000)).all()


def test_losses_that_repeat_are_worth_their_blocks() -> None:
    """30 distinct values, ten times each: 30 independent losses, within k = 4 times √(2/R), R = 1,000."""
    blocks = torch.arange(300) // 10
    losses = normal(1012, 30)[blocks][:, None]
    means, _, _ = resampled(losses, 2, blocks).replicates(0.9, 1000)
    assert float(statistics.effective_sample(losses, means)) == pytest.approx(30, rel=4 * math.sqrt(2 / 1000))


def test_the_generator_alone_decides() -> None:
    losses = normal(1013, 50, 1)
    one, again, other = (resampled(losses, seed).replicates(0.9, 5)[0].tolist() for seed in (4, 4, 5))
    assert one == again
    assert one != other


def test_linear_replicates_of_the_mean_spread_as_theory_says() -> None:
    """Of 20,000 normal losses: standard error σ/√N, off by 1/√(2·1000) of itself, and about the observed value."""
    losses = normal(1021, 20_000, 2) * torch.tensor([1.0, 3.0])
    observed = losses.mean(0)
    found = resampled(losses).linear(observed, lambda each: each)
    error = losses.std(0) / 20_000**0.5
    assert found.shape == (statistics.REPLICATES, 2)
    assert ((found.mean(0) - observed).abs() < 4 * error / 1000**0.5).all()
    assert ((found.std(0) / error - 1).abs() < 4 * (1 / 2000 + 1 / (2 * statistics.GROUPS)) ** 0.5).all()


def test_linear_replicates_are_paired() -> None:
    """Losses that differ by a constant give replicates that do; the shortfall's spread is that of drawn replicates."""
    losses = normal(1022, 4000, 1)
    pair = torch.cat([losses, losses + 0.5], 1)
    found = resampled(pair).linear(pair.mean(0), lambda each: each)
    assert float((found[:, 1] - found[:, 0] - 0.5).abs().max()) < 1e-9
    tail = MeanShortfall(level=0.9, weight=1.0)
    shortfall = expected_shortfall(losses.T, 0.9)
    linear = resampled(losses).linear(shortfall, lambda each: tail.transform(each, tail.dual(each)))
    _, _, drawn = resampled(losses).replicates(0.9)
    assert float(linear.std() / drawn.std()) == pytest.approx(1, abs=4 * (2 / 2000) ** 0.5)


def test_a_tail_is_worth_as_many_losses_as_share_it() -> None:
    """Ten equal excesses count as ten; where one is a hundred times the rest, as little more than one; correlated
    losses in proportion."""
    equal = torch.cat([torch.zeros(90), torch.ones(10)]).double()
    assert statistics.tail_sample(equal, 0.9, 100.0) == pytest.approx(10)
    assert statistics.tail_sample(equal, 0.9, 50.0) == pytest.approx(5)
    uneven = equal.clone()
    uneven[-1] = 100.0
    assert statistics.tail_sample(uneven, 0.9, 100.0) == pytest.approx(109**2 / (9 + 100**2))
    assert statistics.tail_sample(torch.zeros(100).double(), 0.9, 100.0) == pytest.approx(10)  # nothing stands out

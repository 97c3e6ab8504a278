"""The words of `noise` behave as fair coins: bit by bit, path by path, row by row, bar by bar, seed by seed."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor

from envs import noise
from envs.seeding import generators

PATHS = 1 << 18
ERRORS = 4.5  # standard errors: one test in 150,000 fails by chance
KOLMOGOROV = 2.2  # √n·D: as rare


def drawn(seed: int = 5, count: int = 4, bars: int = 1) -> Tensor:
    """(bars, count, P)."""
    generator = generators(seed, 1)[0]
    return torch.stack([noise.words(count, PATHS, generator) for _ in range(bars)])


def correlation(one: Tensor, other: Tensor) -> float:
    """In standard errors of independence."""
    pair = torch.stack([noise.uniform(each.flatten(), torch.float64) for each in (one, other)])
    return float(torch.corrcoef(pair)[0, 1]) * math.sqrt(pair.shape[1])


def test_every_bit_is_a_fair_coin() -> None:
    words = drawn().flatten()
    error = 0.5 / math.sqrt(len(words))
    for bit in range(32):
        assert abs(float(((words >> bit) & 1).double().mean()) - 0.5) < ERRORS * error


def test_uniforms_are_uniform_and_never_0_or_1() -> None:
    values = noise.uniform(drawn().flatten(), torch.float32).double().sort().values
    places = (torch.arange(len(values), dtype=torch.float64) + 0.5) / len(values)
    assert float((values - places).abs().max()) * math.sqrt(len(values)) < KOLMOGOROV
    ends = noise.uniform(torch.tensor([0, -1], dtype=torch.int32), torch.float32)
    assert ends.tolist() == [2.0**-24, 1 - 2.0**-24]


def test_ranks_are_equally_likely() -> None:
    counts = torch.bincount(noise.ranks(drawn().flatten(), 8), minlength=256)
    assert len(counts) == 256
    assert stats.chisquare(counts.numpy()).pvalue > 1e-5


def test_normals_are_normal_and_independent() -> None:
    one, other = noise.normal_pair(*noise.uniform(drawn(count=2)[0], torch.float64))
    for values in (one, other):
        assert stats.kstest(values.numpy(), "norm").pvalue > 1e-5
        assert abs(float(values.square().mean()) - 1) < ERRORS * math.sqrt(2 / PATHS)
    for change in (lambda x: x, torch.square):
        assert abs(float(torch.corrcoef(torch.stack([change(one), change(other)]))[0, 1])) < ERRORS / math.sqrt(PATHS)


@pytest.mark.parametrize("shift", [1, 2, 16, 1024])
def test_paths_have_nothing_to_do_with_each_other(shift: int) -> None:
    words = drawn()
    assert abs(correlation(words[..., shift:], words[..., :-shift])) < ERRORS


@pytest.mark.parametrize(("bar", "row"), [(0, 1), (0, 3), (1, 0), (1, 2)])
def test_rows_and_bars_have_nothing_to_do_with_each_other(bar: int, row: int) -> None:
    words = drawn(bars=2)
    assert abs(correlation(words[bar, row], words[0, 0])) < ERRORS


@pytest.mark.parametrize("bits", [(31, 31), (31, 0), (9, 9), (0, 0)])
def test_pairs_of_neighbours_fill_the_square(bits: tuple[int, int]) -> None:
    """Four bits each, of paths side by side and of rows one after the other."""
    words = drawn()[0]
    for one, other in ((words[:, 1:], words[:, :-1]), (words[1:], words[:-1])):
        high, low = ((each >> max(bit - 3, 0)) & 15 for each, bit in zip((one, other), bits, strict=True))
        counts = torch.bincount((16 * high + low).flatten(), minlength=256)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-5


def test_each_bit_of_the_place_moves_every_bit_of_the_word() -> None:
    places = torch.arange(1 << 14, dtype=torch.int32)
    base = noise._mixed(noise._mixed(places))
    for bit in range(32):
        flip = (1 << bit) - ((1 << 32) if bit == 31 else 0)
        changed = base ^ noise._mixed(noise._mixed(places ^ flip))
        share = torch.stack([((changed >> each) & 1).double().mean() for each in range(32)])
        assert float((share - 0.5).abs().max()) < 0.5 / math.sqrt(len(places)) * (ERRORS + 1)


def test_a_seed_says_it_all_and_how_many_words_does_not() -> None:
    first, again = generators(7, 2), generators(7, 2)
    words = [noise.words(3, 64, each) for each in first]
    assert torch.equal(words[0], noise.words(3, 64, again[0]))
    assert not torch.equal(words[0], words[1])
    noise.words(5, 8, again[1])
    assert torch.equal(first[1].get_state(), again[1].get_state())


def test_spawned_generators_have_nothing_to_do_with_each_other() -> None:
    one, other = (noise.words(4, PATHS, each) for each in generators(11, 2))
    assert abs(correlation(one, other)) < ERRORS
    assert int((one == other).sum()) <= 4 * PATHS / 2**32 + 3


def test_a_batch_begins_as_a_larger_one() -> None:
    small, large = (noise.words(2, paths, Generator().manual_seed(1)) for paths in (10, 1000))
    assert torch.equal(small, large[:, :10])

"""Random numbers made by integer arithmetic from a key and a place: the same eagerly and inside a compiled step.

A key of two words comes from the generator for each bar; path i and row j get the word mix(mix(i ^ key₀) + key₁ + j·φ),
with φ = 2³²/golden ratio as in SplitMix (Steele, Lea and Flood 2014, OOPSLA) and `_mixed` for its finaliser.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

GOLDEN = 0x9E3779B9 - (1 << 32)
KEYS = 1 << 31  # a key is any int32
BITS = 23  # of a uniform draw: the middles of so many equal parts are exact in float32


def words(count: int, paths: int, generator: Generator) -> Tensor:
    """(count, P) int32, every bit a fair coin; takes two draws of the generator whatever the count."""
    device = generator.device
    first, second = torch.randint(-KEYS, KEYS, (2,), generator=generator, device=device).to(torch.int32).unbind()
    base = _mixed(torch.arange(paths, dtype=torch.int32, device=device) ^ first)
    rows = torch.arange(count, dtype=torch.int32, device=device)[:, None] * GOLDEN
    return _mixed((base + second) + rows)


def uniform(words: Tensor, dtype: torch.dtype) -> Tensor:
    """In (0, 1), symmetric about one half, of the shape of `words`."""
    return (_shifted(words, 32 - BITS).to(dtype) + 0.5) * 2.0**-BITS


def ranks(words: Tensor, bits: int) -> Tensor:
    """In [0, 2^bits), int32, of the shape of `words`."""
    return _shifted(words, 32 - bits)


def normal_pair(radius: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent standard normals of two independent uniforms: Box and Muller (1958)."""
    length, turn = (-2 * torch.log(radius)).sqrt(), 2 * math.pi * angle
    return length * torch.cos(turn), length * torch.sin(turn)


def _mixed(word: Tensor) -> Tensor:
    """A bijection of int32 in which every bit of the input moves every bit of the output.

    Constants: C. Wellons, "Prospecting for Hash Functions" (2018), `lowbias32`.
    """
    word = (word ^ _shifted(word, 16)) * 0x7FEB352D
    word = (word ^ _shifted(word, 15)) * (0x846CA68B - (1 << 32))
    return word ^ _shifted(word, 16)


def _shifted(word: Tensor, bits: int) -> Tensor:
    """To the right, zeros coming in."""
    return (word >> bits) & ((1 << (32 - bits)) - 1)

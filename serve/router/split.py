"""The cheapest way to fill an order of whole lots from several offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple


class Run(NamedTuple):
    """Lots that cost the same."""

    cost: float  # of one lot, beyond what it is worth; quote currency
    lots: int


@dataclass(frozen=True)
class Offer:
    """What one venue asks for lots. The runs' costs never fall: the book's best price goes first."""

    venue: str
    runs: tuple[Run, ...]
    fixed: float = 0.0  # quote currency, once, if any lot is taken

    @property
    def lots(self) -> int:
        return sum(run.lots for run in self.runs)


@dataclass(frozen=True)
class Split:
    lots: Mapping[str, int]  # by venue; none that gets nothing
    cost: float  # of all, beyond what the lots are worth; quote currency

    @property
    def filled(self) -> int:
        return sum(self.lots.values())


def split(offers: Sequence[Offer], lots: int) -> Split:
    """As many of the `lots` as all offers have together, at the least cost; of equals, over the fewest venues.

    Exact: within a given set of venues costs rise lot by lot, so the cheapest lots first is optimal; what is paid
    once per venue is settled by going through every set of the venues that ask for it, 2ⁿ of n.
    """
    wanted = min(lots, sum(offer.lots for offer in offers))
    steps = sorted((run.cost, number, run.lots) for number, offer in enumerate(offers) for run in offer.runs)
    tried = (_taken(offers, steps, chosen, wanted) for chosen in _sets(offers))
    whole = (each for each in tried if each.filled == wanted)
    return min(whole, key=lambda each: (each.cost, len(each.lots)))


def _sets(offers: Sequence[Offer]) -> Iterator[frozenset[int]]:
    """All the free venues, with each set of those that cost something by themselves."""
    free = {number for number, offer in enumerate(offers) if offer.fixed <= 0}
    paid = [number for number in range(len(offers)) if number not in free]
    for size in range(len(paid) + 1):
        for some in combinations(paid, size):
            yield frozenset(free.union(some))


def _taken(
    offers: Sequence[Offer], steps: Sequence[tuple[float, int, int]], chosen: frozenset[int], wanted: int
) -> Split:
    """The cheapest lots of the chosen offers; fewer than `wanted` where they have no more."""
    taken: dict[str, int] = {}
    cost, left = 0.0, wanted
    for each, number, lots in steps:
        if left == 0:
            break
        if number in chosen:
            count, offer = min(left, lots), offers[number]
            cost += count * each + (offer.fixed if offer.venue not in taken else 0.0)
            taken[offer.venue] = taken.get(offer.venue, 0) + count
            left -= count
    return Split(taken, cost)

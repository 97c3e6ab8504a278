"""Random actions in every registered environment: no NaN, no negative price, and no money made or lost on the way.

Beside each world runs an account in float64 of the audit's own: what each order costs by its formula, what every bar's
quotes pay, what claims bring at their payoffs. Only what a liquidation costs is read from the books. The greatest gap
between that account and the world's loss, over the notional, is the conservation error; the world works in float32.

Prints progress, and one JSON object as its last line: per environment steps, seconds, conservation_error, least_price,
not_finite and liquidations. Exits with 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from envs import decision, portfolio, scene
from envs.book import Book
from envs.costs import Execution
from envs.decision import Band
from envs.hedging import Episode, HedgingWorld
from envs.instrument import View
from envs.seeding import generators
from envs.task import FOLDER, Task
from envs.types import BadInput, Quote

WORTHLESS = 1e-300  # a mark that an option may fall below: to 0 in float32
ROUNDING = 180 * 6e-8 * 4  # of the notional: 180 decisions, each up to four roundings of float32 in an account


@dataclass
class Recorded:
    """A market that keeps the bars since the last look."""

    market: Any
    bars: list[tuple[Any, Any]] = field(default_factory=list)  # memories and quotes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.market, name)

    def step(self, state: Any, memories: Any) -> Any:
        found = self.market.step(state, memories)
        self.bars.append(found[1:])
        return found


class Audit:
    """The account of P paths' hedgers, all (P, G) in float64."""

    def __init__(self, world: HedgingWorld) -> None:
        self.world, self.contract = world, world.contract
        self._check()
        self.market: Recorded = world.market  # type: ignore[assignment]
        self.money = torch.zeros(world.paths, world.group_size, dtype=torch.float64, device=world.device)
        self.coins = [torch.zeros_like(self.money) for _ in world.episode.quotes]
        self.opened(torch.ones(world.paths, dtype=torch.bool, device=world.device))

    def opened(self, new: Tensor) -> None:
        """Claims sold at their marks on the paths where `new` (P,)."""
        views = self._views(self.world.episode.memories, self.world.episode.quotes)
        self.money = torch.where(new[:, None], 0.0, self.money)
        self.coins = [torch.where(new[:, None], 0.0, held) for held in self.coins]
        for claim, units, terms in self._claims(self.world.episode):
            value = claim.greeks(terms, views[claim.asset]).value.double()
            self._received(claim, torch.where(new, -(units.double() * value).sum(-1), 0.0), views)

    def advanced(self, band: Band) -> tuple[Tensor, Tensor, float]:
        """One decision of the world and of the account: reward (P, G), ended (P,), and their gap over the notional."""
        before, now = self.world.episode, self.world.observation.scene
        order = decision.orders(band, now, self.world.lots(), before.book.liquidated)
        mark, paid = self._bought(now.traded, order)
        held = before.book.units.double() + order.double()
        self.market.bars.clear()
        reward, ended, loss = self.world.advance(band)
        after = self.world.episode
        quotes = [before.quotes, *(quotes for _, quotes in self.market.bars)]
        memories = [before.memories, *(memories for memories, _ in self.market.bars)]
        for bar in range(self.contract.decision_bars):
            self._carried(before, held, self._views(memories[bar], quotes[bar]))
        views = self._views(after.memories, after.quotes)
        at_end = scene.traded(self.contract, after.terms, views)
        self._sold(before.book, after.book, held, order.double() * mark, paid, at_end)
        self._settled(before, after, quotes[-2], views)
        worth = self._worth(after, at_end.mark, views)
        gap = (worth + loss.double() * self.contract.notional).abs().amax() / self.contract.notional
        return reward, ended, gap.item()

    def _bought(self, traded: scene.Traded, order: Tensor) -> tuple[Tensor, Tensor]:
        """The marks (P, 1, K), and what `order` costs over them (P, G, K)."""
        mark = traded.mark.double()[:, None]
        cost = self._cost(traded, order.double())
        self.money -= (order.double() * mark + cost).sum(-1)
        return mark, cost

    def _cost(self, traded: scene.Traded, units: Tensor) -> Tensor:
        """(P, G, K): half-spread, root impact, and the taker's fee on what is paid."""
        mark, spread, depth = (each.double()[:, None] for each in (traded.mark, traded.half_spread, traded.depth))
        rules = [hedge.execution for hedge in self.contract.hedges]
        impact, fee = (mark.new_tensor(row) for row in zip(*((r.impact, r.tiers[0].taker) for r in rules), strict=True))
        notional = units.abs() * mark
        slip = spread + impact * (notional / depth).sqrt()
        return notional * (slip + fee * (1 + units.sign() * slip))

    def _check(self) -> None:
        """Raises BadInput for executions whose cost the audit has no formula for."""
        for hedge in self.contract.hedges:
            plain = Execution(tiers=hedge.execution.tiers[:1], impact=hedge.execution.impact)
            if hedge.execution != plain:
                raise BadInput(f"soak audits one fee tier and root impact, not {hedge.execution}; extend its _cost")

    def _carried(self, start: Episode, held: Tensor, views: tuple[View, ...]) -> None:
        """A bar's funding on the hedges and income of the claims."""
        for k, (hedge, terms) in enumerate(zip(self.contract.hedges, start.terms, strict=True)):
            income = hedge.instrument.income(terms, views[hedge.instrument.asset])
            if income is not None:
                self.money += held[..., k] * income.double() * self.contract.bar
        for claim, units, terms in self._claims(start):
            income = claim.income(terms, views[claim.asset])
            if income is not None:
                self.money += (units.double() * income.double()).sum(-1, keepdim=True) * self.contract.bar

    def _sold(
        self, before: Book, after: Book, held: Tensor, bought: Tensor, paid: Tensor, traded: scene.Traded
    ) -> None:
        """What went at the end: by the market where the books count a trade, else at the mark; liquidations' cost."""
        mark = traded.mark.double()[:, None]
        gone = held - after.units.double()
        trades = (after.traded - before.traded).double() - bought.abs()
        sale = -gone.sign() * trades.clamp(min=0) / mark.clamp(min=WORTHLESS)
        out = (after.liquidated & ~before.liquidated).any(-1)
        ledger = ((after.fees + after.slippage) - (before.fees + before.slippage)).double()
        sales = self._cost(traded, sale).sum(-1)
        penalty = torch.where(out, ledger - paid.sum(-1) - sales, 0.0)
        self.money += (gone * mark).sum(-1) - sales - penalty

    def _settled(self, before: Episode, after: Episode, openings: tuple[Quote, ...], views: tuple[View, ...]) -> None:
        aged = portfolio.aged(self.contract, before.portfolio, self.contract.decision_bars)
        for (claim, units, _), terms in zip(self._claims(before), aged.terms, strict=True):
            payoff = claim.payoff(terms, openings[claim.asset], views[claim.asset]).double()
            due = torch.where(terms.bars_left <= 0, units.double() * payoff, 0.0)
            self._received(claim, due.sum(-1), views)

    def _received(self, claim: Any, amount: Tensor, views: tuple[View, ...]) -> None:
        """`amount` (P,), in coin where the claim is settled so."""
        if getattr(claim, "settlement", "cash") == "coin":
            self.coins[claim.asset] += (amount / views[claim.asset].quote.spot.double())[:, None]
        else:
            self.money += amount[:, None]

    def _worth(self, now: Episode, mark: Tensor, views: tuple[View, ...]) -> Tensor:
        total = self.money + (now.book.units.double() * mark.double()[:, None]).sum(-1)
        for claim, units, terms in self._claims(now):
            value = claim.greeks(terms, views[claim.asset]).value.double()
            total = total + (units.double() * value).sum(-1, keepdim=True)
        for held, view in zip(self.coins, views, strict=True):
            total = total + held * view.quote.spot.double()[:, None]
        return total

    def _claims(self, episode: Episode) -> Iterator[tuple[Any, Tensor, Any]]:
        each = zip(self.contract.claims, episode.portfolio.units, episode.portfolio.terms, strict=True)
        return ((claim.instrument, units, terms) for claim, units, terms in each)

    def _views(self, memories: Any, quotes: Any) -> tuple[View, ...]:
        return self.world.observer.views(quotes, memories)


def soaked(task: Task, steps: int, paths: int, seed: int) -> dict[str, float]:
    """At least `steps` decisions at random in `task`, `paths` markets at once."""
    (generator,) = generators(seed, 1)
    market = Recorded(task.market_for(generator))
    world = HedgingWorld(market, task.contract, task.objective, paths, 1, generator)
    world.reset(staggered=True)
    audit = Audit(world)
    begun, found = time.perf_counter(), {"conservation_error": 0.0, "least_price": math.inf, "not_finite": 0}
    liquidations, rounds = 0, math.ceil(steps / paths)
    for _ in range(rounds):
        liquidations += _decided(world, audit, market, generator, found)
    seconds = time.perf_counter() - begun
    return {"steps": rounds * paths, "seconds": round(seconds, 2), **found, "liquidations": liquidations}


def _decided(world: HedgingWorld, audit: Audit, market: Recorded, generator: Generator, found: dict[str, float]) -> int:
    """One decision everywhere; what it shows goes to `found`. Returns how many were liquidated."""
    action = 2 * torch.rand(world.paths, 1, world.action_space.shape[0], generator=generator) - 1
    before = world.episode.book.liquidated
    reward, ended, gap = audit.advanced(decision.read(action, world.observation))
    now = world.episode
    liquidations = int((now.book.liquidated & ~before).any(-1).sum())
    found["conservation_error"] = max(found["conservation_error"], gap if math.isfinite(gap) else math.inf)
    prices = [each for _, quotes in market.bars for q in quotes for each in (q.spot, q.low, q.high, q.mark)]
    found["least_price"] = min(found["least_price"], min(float(price.amin()) for price in prices))
    if ended.any():
        world.restart(ended)
        audit.opened(ended)
    numbers = (reward, world.features(), now.loss, *prices)
    found["not_finite"] += sum(int((~each.isfinite()).sum()) for each in numbers)
    return liquidations


def sound(found: dict[str, float]) -> bool:
    return found["not_finite"] == 0 and found["least_price"] > 0 and found["conservation_error"] < ROUNDING


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=float, default=1e8, help="decisions in all, shared by the environments")
    parser.add_argument("--paths", type=int, default=4096, help="markets at once")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    report, steps = {}, round(given.steps / len(names))
    for name, child in zip(names, generators(given.seed, len(names)), strict=True):
        task = Task.load(name)
        report[f"Rehedge/{task.id}-v0"] = found = soaked(task, steps, given.paths, child.initial_seed())
        print(f"{task.id}: {found}", flush=True)
    print(json.dumps(report))
    sys.exit(0 if all(sound(found) for found in report.values()) else 1)


if __name__ == "__main__":
    main()

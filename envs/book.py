"""The one place where cash and positions change: premium, fills, funding, liquidation, expiry."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from envs.costs import Fill


@dataclass(frozen=True)
class Book:
    """G hedgers' accounts on each of P paths, with K hedging instruments. Quote currency but for `units`."""

    claims: Tensor  # (P, G) cash from the claims: premiums, payoffs, income
    cash: Tensor  # (P, G, K) of each instrument's account, which starts at 0
    units: Tensor  # (P, G, K) held, base units
    fees: Tensor  # (P, G) paid so far: fees and gas
    slippage: Tensor  # (P, G) lost so far to spread and impact
    funding: Tensor  # (P, G) paid so far for holding the instruments
    traded: Tensor  # (P, G, K) notional so far
    trades: Tensor  # (P, G) fills so far
    liquidated: Tensor  # (P, G, K) bool: out of that market until the episode ends


def opened(premium: Tensor, hedgers: int, instruments: int) -> Book:
    """Books holding nothing but the claims' `premium` (P,)."""
    flat = premium.new_zeros(len(premium), hedgers)
    each = premium.new_zeros(len(premium), hedgers, instruments)
    out = torch.zeros_like(each, dtype=torch.bool)
    return Book(premium[:, None] + flat, each, each, flat, flat, flat, each, flat, out)


def filled(book: Book, fill: Fill, mark: Tensor) -> Book:
    """The books after `fill`, which broadcasts to (P, G, K); `mark` (P, K)."""
    paid = fill.fee + fill.gas
    return replace(
        book,
        cash=book.cash - fill.units * fill.price - paid,
        units=book.units + fill.units,
        fees=book.fees + paid.sum(-1),
        slippage=book.slippage + fill.slippage.sum(-1),
        traded=book.traded + fill.units.abs() * mark[:, None],
        trades=book.trades + (fill.units != 0).sum(-1),
    )


def carried(book: Book, income: Tensor) -> Book:
    """The books after each held unit has earned `income` (P, K); funding paid is negative income."""
    earned = book.units * income[:, None]
    return replace(book, cash=book.cash + earned, funding=book.funding - earned.sum(-1))


def credited(book: Book, cash: Tensor) -> Book:
    """The books after the claims brought `cash` (P,)."""
    return replace(book, claims=book.claims + cash[:, None])


def closed(book: Book, share: Tensor, price: Tensor) -> Book:
    """The books after a `share` of every position, which broadcasts to (P, G, K), went at `price` (likewise), free."""
    gone = book.units * share
    return replace(book, cash=book.cash + gone * price, units=book.units - gone)


def paid(book: Book, place: int, cash: Tensor) -> Book:
    """The books after the instrument at `place` brought `cash` (P, G)."""
    columns = list(book.cash.unbind(-1))
    columns[place] = columns[place] + cash
    return replace(book, cash=torch.stack(columns, -1))


def moved_out(book: Book, place: int, due: Tensor) -> Book:
    """The books without the units at `place` where `due` (P, 1): they are kept elsewhere, their cash stays."""
    columns = list(book.units.unbind(-1))
    columns[place] = torch.where(due, 0.0, columns[place])
    return replace(book, units=torch.stack(columns, -1))


def earned(book: Book, mark: Tensor) -> Tensor:
    """(P, G, K): profit of each instrument since the opening, at `mark` (P, K)."""
    return book.cash + book.units * mark[:, None]


def wealth(book: Book, mark: Tensor, claims: Tensor) -> Tensor:
    """(P, G): cash and hedges at `mark` (P, K), with all else that is held worth `claims` (P, G or 1)."""
    return book.claims + earned(book, mark).sum(-1) + claims

"""The one place where cash and positions change: premium, fills, funding, expiry."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from envs import costs
from envs.contract import Contract
from envs.types import Quote


@dataclass(frozen=True)
class Book:
    """G hedgers' accounts on each of P paths. Every field (P, G), quote currency but for `units`."""

    cash: Tensor
    units: Tensor  # of the perpetual, base units
    fees: Tensor  # paid so far: fee, spread and impact
    funding: Tensor  # paid so far
    traded: Tensor  # notional traded so far
    trades: Tensor  # number of trades so far


def opened(premium: Tensor, hedgers: int) -> Book:
    """Books holding nothing but the option's `premium` (P,)."""
    zero = torch.zeros(len(premium), hedgers, dtype=premium.dtype, device=premium.device)
    return Book(premium[:, None] + zero, zero, zero, zero, zero, zero)


def filled(book: Book, quote: Quote, trade: Tensor, contract: Contract) -> Book:
    """The books after market orders of `trade` (P, G) base units."""
    price = costs.fill_price(quote, trade, contract.impact)
    fee = costs.fee(price, trade, contract.fee_rate)
    notional = trade.abs() * quote.mark[:, None]
    return replace(
        book,
        cash=book.cash - trade * price - fee,
        units=book.units + trade,
        fees=book.fees + fee + trade.abs() * (price - quote.mark[:, None]).abs(),
        traded=book.traded + notional,
        trades=book.trades + (trade != 0),
    )


def funded(book: Book, quote: Quote, years: float) -> Book:
    """The books after the perpetual's funding over `years`: longs pay a positive rate."""
    paid = book.units * (quote.mark * quote.funding_rate)[:, None] * years
    return replace(book, cash=book.cash - paid, funding=book.funding + paid)


def settled(book: Book, payoff: Tensor) -> Book:
    """The books after paying the option's `payoff` (P,)."""
    return replace(book, cash=book.cash - payoff[:, None])


def wealth(book: Book, quote: Quote, liability: Tensor) -> Tensor:
    """Cash and perpetual at the mark, less the option's value `liability` (P,); (P, G)."""
    return book.cash + book.units * quote.mark[:, None] - liability[:, None]


def where(mask: Tensor, one: Book, other: Book) -> Book:
    """Book by book: `one` on the paths where `mask` (P,) holds, else `other`."""
    chosen = mask[:, None]
    return Book(*(torch.where(chosen, a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True)))

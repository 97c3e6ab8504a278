"""What is done with the hedgers' books: orders filled, carry earned, positions closed when an episode ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from envs import book as books
from envs import costs, portfolio
from envs.book import Book
from envs.contract import Contract
from envs.instrument import View
from envs.portfolio import Portfolio
from envs.scene import Traded
from envs.types import where


class Broker:
    """Serves G hedgers on each of P paths, by the rules of their contract."""

    def __init__(self, contract: Contract, generator: Generator, dtype: torch.dtype) -> None:
        self.contract, self.generator, self.dtype = contract, generator, dtype
        self.instruments = tuple(hedge.instrument for hedge in contract.hedges)
        self.schedule = costs.Schedule.of([h.execution for h in contract.hedges], dtype, generator.device)
        free = contract.closing == "mark"
        self.expire = torch.tensor([free or each.expires for each in self.instruments], device=generator.device)

    def sent(self, book: Book, traded: Traded, order: Tensor) -> tuple[Book, Tensor | None]:
        """The books after what fills at once of `order` (P, G, K), and what fills a bar later, if anything may."""
        schedule = self.schedule
        if not (schedule.rejects or schedule.delays):
            return self.filled(book, traded, order), None
        device = self.generator.device
        uniform = torch.rand(traded.mark.shape, generator=self.generator, device=device, dtype=self.dtype)
        lost = costs.rejected(schedule, traded.congestion, uniform)
        late = costs.late(schedule, traded.congestion, uniform)
        now = self.filled(book, traded, torch.where((lost | late)[:, None], 0.0, order))
        return now, torch.where(late[:, None], order, 0.0) if schedule.delays else None

    def filled(self, book: Book, traded: Traded, order: Tensor) -> Book:
        return books.filled(book, costs.fills(self.schedule, traded, order, book.traded), traded.mark)

    def carried(self, book: Book, claims: Portfolio, terms: Sequence[Any], views: Sequence[View]) -> Book:
        """The books after a bar's funding and income; `terms` of the hedging instruments."""
        rows = [each.income(own, views[each.asset]) for each, own in zip(self.instruments, terms, strict=True)]
        if any(row is not None for row in rows):
            zero = torch.zeros_like(views[0].quote.spot)[:, None]
            income = [zero if row is None else row for row in rows]
            book = books.carried(book, torch.cat(income, -1) * self.contract.bar)
        earned = portfolio.income(self.contract, claims, views)
        return book if earned is None else books.credited(book, earned * self.contract.bar)

    def closed(self, book: Book, traded: Traded, ended: Tensor) -> Book:
        """Where the episode `ended` (P,): what expires with it settled, the other hedges sold whole."""
        settled = books.closed(book, self.expire.to(self.dtype), traded.mark[:, None])
        whole = costs.fills(replace(self.schedule, partial=False), traded, -settled.units, settled.traded)
        return where(ended, books.filled(settled, whole, traded.mark), book)

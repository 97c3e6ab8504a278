"""Calls that may hang, on a thread of their own, waited for no longer than is said."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Bounded:
    """One call after the other. A call that hangs is left behind, and those after it wait for it in vain."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self.ended = seconds, False
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        Thread(target=self._work, daemon=True).start()

    def call(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Raises TimeoutError."""
        future: Future[T] = Future()
        self._calls.put((work, future))
        return future.result(self._seconds)

    def end(self) -> None:
        """The thread ends after what it was given; no call may follow."""
        self.ended = True
        self._calls.put(None)

    def _work(self) -> None:
        while (given := self._calls.get()) is not None:
            work, future = given
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

"""A thread with an event loop, on which everything that talks to an exchange runs beside the decision loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
LOG = logging.getLogger(__name__)
TURNS = 20  # of the loop, in which what has arrived is handed over


class Lanes:
    """Requests go out in the order in which they are sent; nothing here waits for an answer but `ask` and `settle`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_told)
        self._loop.set_debug(False)  # it logs slow callbacks with what they were called with
        self._thread = threading.Thread(target=self._loop.run_forever, name="venue", daemon=True)
        self._open = set[Future[Any]]()
        self._thread.start()

    def send(self, work: Coroutine[Any, Any, None]) -> None:
        """Begun soon, and finished some time; it must not raise."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._open.add(future)
        future.add_done_callback(self._open.discard)

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs until `close`."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result. Raises what it raises."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def settle(self, seconds: float) -> None:
        """Returns when nothing that was sent is open and what arrived is handed over, or so long after."""
        wait(tuple(self._open), seconds)
        self.ask(_turns())

    def close(self) -> None:
        """What is open is given up."""
        self.ask(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ended(self) -> None:
        others = [task for task in asyncio.all_tasks(self._loop) if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _told(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Of an error that nobody awaits, its type and its place alone.

    asyncio's own handler prints what it says and what the callback was called with: a message of the exchange, in
    which a secret may be echoed.
    """
    error = context.get("exception")
    if error is None:
        LOG.error("%s", context["message"])  # asyncio's or aiohttp's own words
        return
    frames = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f", {Path(each.filename).name}:{each.lineno}" for each in frames)
    LOG.error("an error that nobody awaits: %s%s", type(error).__name__, place)


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)

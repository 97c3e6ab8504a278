"""Two hundred dashboards at once: what they cost the decisions of the hedger that they watch.

A hedger of 50 options in two assets decides twenty times a second, journal on disk, and the API runs beside it as the
process that it is in service. In blocks that take turns nobody watches, or every stream is open and read to the end;
those who read would sit on other machines, so they go last on this one. A decision is timed as in `decision_latency`.

Prints one JSON object as its last line: streams, events that they got, the median over blocks of the 99th percentile
alone and with the streams, and their ratio. Exits with 1 where the ratio is over the goal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from benchmarks.decision_latency import ROOT, WARM_UP, Session, quotes, settings
from serve.events import QuoteEvent
from serve.journal import Journal

GOAL = 1.2
PACE = 0.05  # seconds from one decision to the next
REQUEST = b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def _read(port: int, streams: int, orders: Connection) -> None:
    """Opens and closes the streams as it is told; answers with the events that came."""
    while (order := await asyncio.to_thread(orders.recv)) == "open":
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(streams)]
        for _, writer in opened:
            writer.write(REQUEST)
        counts = [asyncio.create_task(_count(reader)) for reader, _ in opened]
        orders.send(len(opened))
        await asyncio.to_thread(orders.recv)
        for _, writer in opened:
            writer.close()
        orders.send(sum(await asyncio.gather(*counts)))
    assert order == "end", "there is no other word"


async def _count(reader: asyncio.StreamReader) -> int:
    found = 0
    while data := await reader.read(1 << 16):
        found += data.count(b"\ndata: ")
    return found


def watchers(port: int, streams: int, orders: Connection) -> None:
    os.nice(19)
    asyncio.run(_read(port, streams, orders))


@contextmanager
def api(journal: Path, port: int) -> Iterator[None]:
    command = [sys.executable, str(ROOT / "rehedge.py"), "dashboard", str(journal), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        while not _listens(port):
            assert process.poll() is None, "the API ended"
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def block(session: Session, coming: Iterator[QuoteEvent], decisions: int) -> float:
    """The 99th percentile of so many decisions, milliseconds."""
    seconds = list[float]()
    for _ in range(decisions):
        began = time.perf_counter()
        seconds.append(session.decided(next(coming)))
        session.settle()
        time.sleep(max(0.0, PACE - (time.perf_counter() - began)))
    return 1e3 * float(np.percentile(seconds, 99))


def compared(streams: int, blocks: int, decisions: int, folder: Path) -> dict[str, float]:
    port, alone, watched, events = _free(), list[float](), list[float](), 0
    ours, theirs = get_context("spawn").Pipe()
    with closing(Journal(str(folder / "journal.db"))) as journal:
        session = Session(settings(), journal)
        coming = iter(quotes(session, 2 * blocks * decisions + WARM_UP))
        with api(folder / "journal.db", port):
            clients = get_context("spawn").Process(target=watchers, args=(port, streams, theirs))
            clients.start()
            block(session, coming, WARM_UP)
            for _ in range(blocks):
                alone.append(block(session, coming, decisions))
                ours.send("open")
                assert ours.recv() == streams
                watched.append(block(session, coming, decisions))
                ours.send("close")
                events += ours.recv()
            ours.send("end")
            clients.join()
    p99, with_streams = float(np.median(alone)), float(np.median(watched))
    return {
        "streams": streams, "events": events, "p99_ms_alone": round(p99, 3), "p99_ms_streams": round(with_streams, 3),
        "ratio": round(with_streams / p99, 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--decisions", type=int, default=100, help="in each block")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = compared(given.streams, given.blocks, given.decisions, Path(folder))
    print(json.dumps(found))
    sys.exit(0 if found["ratio"] <= GOAL else 1)


if __name__ == "__main__":
    main()

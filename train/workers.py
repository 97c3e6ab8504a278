"""A sweep on one machine: a process per trial, started again where it is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Event, Lock
from typing import Any

from train.checkpoint import atomic
from train.sweep import Job, Queue
from train.trial import JOB, RESULT

WORKER = (sys.executable, "-m", "train.trial")
LOG = "log.txt"


def run(queue: Queue, workers: int, retries: int) -> None:
    """Every trial of `queue`, `workers` at a time, each with a core; one that dies is tried again `retries` times."""
    lock, stopped = Lock(), Event()

    def serve() -> None:
        while not stopped.is_set():
            with lock:
                job = queue.next()
            if job is None:
                return
            result = _carried(job, retries, stopped)
            if result is not None:
                with lock:
                    queue.tell(job.number, result)

    with ThreadPoolExecutor(workers) as pool:
        try:
            for each in [pool.submit(serve) for _ in range(workers)]:
                each.result()
        finally:
            stopped.set()


def _carried(job: Job, retries: int, stopped: Event) -> dict[str, Any] | None:
    """The result that the job's process left, or why there is none; None where the sweep is stopped."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    atomic(folder / JOB, json.dumps(asdict(job)).encode())
    deaths: list[int] = []
    while not (folder / RESULT).is_file():
        if stopped.is_set():
            return None
        if len(deaths) > retries:
            return {"failed": f"its process ended {len(deaths)} times, last with code {deaths[-1]}; see {folder / LOG}"}
        with (folder / LOG).open("ab") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run([*WORKER, str(folder)], stdout=log, stderr=log, env=environment)
        deaths.append(done.returncode)
    found: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    return {**found, "retries": max(0, len(deaths) - 1)}

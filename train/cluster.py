"""A sweep on a cluster: Ray Tune carries out the study's trials on whatever nodes there are."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from train import trial
from train.sweep import Job, Queue


class Asking(Searcher):
    """Tune's side of a queue: the study stays the memory, so that there is nothing to save."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(metric="value", mode="min")
        self.queue = queue
        self.jobs: dict[str, Job] = {}

    def suggest(self, trial_id: str) -> Any:
        job = self.queue.next()
        if job is None:
            return Searcher.FINISHED
        self.jobs[trial_id] = job
        return {"job": asdict(job)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job = self.jobs.pop(trial_id)
        lost = {"failed": f"its process died too often; see Ray's logs of {trial_id}"}
        self.queue.tell(job.number, lost if error or result is None else json.loads(result["found"]))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes its searcher down for a restore of its own, which is never asked for."""
        return {}

    def save(self, checkpoint_path: str) -> None: ...

    def restore(self, checkpoint_path: str) -> None: ...


def run(queue: Queue, address: str, retries: int) -> None:
    """Every trial of `queue` on the cluster at `address`; one whose worker or node dies starts again, `retries` times.

    The queue's folder is one that all nodes see: there a trial finds its checkpoints again.
    """
    ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
    needs = {"cpu": 1.0, "gpu": float(queue.device == "cuda")}
    tune.Tuner(
        tune.with_resources(_trial, needs),
        tune_config=tune.TuneConfig(search_alg=Asking(queue), num_samples=queue.count),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(queue.out.absolute()),
            failure_config=tune.FailureConfig(max_failures=retries),
            verbose=0,
        ),
    ).fit()


def _trial(config: dict[str, Any]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    found = {**trial.carried(config["job"]), "node": ray.get_runtime_context().get_node_id()}
    tune.report({"value": found.get("value", 0.0), "found": json.dumps(found)})

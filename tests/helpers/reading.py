"""What a worker says of itself: its readiness and its metrics."""

from __future__ import annotations

import json

from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess


def reasons(worker: WorkerProcess) -> str:
    """Why the worker is not ready; "" while it is."""
    return "; ".join(json.loads(worker.get("/readyz")[1])["reasons"])


def says(worker: WorkerProcess, text: str, seconds: float = 20) -> None:
    """Wait until the worker gives a reason with this text."""
    until(lambda: text in reasons(worker), f"not ready: {text}", seconds)


def ready(worker: WorkerProcess, seconds: float = 40) -> None:
    """Wait until the worker is ready."""
    until(lambda: not reasons(worker), "ready again", seconds)


def metric(worker: WorkerProcess, series: str) -> float:
    """The value of a series, for instance `penstock_amqp_blocked{connection="publish"}`."""
    for line in worker.get("/metrics")[1].splitlines():
        name, _, value = line.rpartition(" ")
        if name == series:
            return float(value)
    raise AssertionError(f"no series {series}")

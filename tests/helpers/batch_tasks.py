"""Tasks that run several jobs in one call, on the lanes that can."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from penstock import Batch, Processes, Queue, Retry, Serial

SIZE = 8
#: So long a job waits for others: longer than a test takes to publish them, so it is their number that counts.
WAIT_S = 1.0
TIMEOUT_S = 1.0

batches = Queue("batches", lane=Processes(2))
serial_batches = Queue("serial_batches", lane=Serial())


def of(number: int, action: str = "", data: bytes = b"") -> Any:
    """The prototype: what the task is for one job."""


def act(jobs: list[dict[str, Any]]) -> list[Any]:
    """Each job does what its action says, most of them to the whole call."""
    numbers = [job["number"] for job in jobs]
    for job in jobs:
        if job["action"] == "fail":
            raise ValueError(f"job {job['number']} is no good")
        if job["action"] == "crash" or (job["action"] == "crowd" and len(jobs) > 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if job["action"] == "hang":
            if job["data"]:
                Path(os.fsdecode(job["data"])).touch()
            time.sleep(60)
    if any(job["action"] == "short" for job in jobs):
        return numbers[1:]
    return [
        KeyError(job["number"])
        if job["action"] == "refuse"
        else {"number": job["number"], "call": numbers, "data": job["data"], "pid": os.getpid()}
        for job in jobs
    ]


for queue in (batches, serial_batches):
    queue.task(name="act", batch=Batch(size=SIZE, wait=WAIT_S, of=of))(act)
    queue.task(name="limited", batch=Batch(size=SIZE, wait=WAIT_S, of=of), timeout=TIMEOUT_S)(act)
    queue.task(name="crashing", batch=Batch(size=SIZE, wait=WAIT_S, of=of), retry=Retry(crashes=2, base=0))(act)
    queue.task(name="soon", batch=Batch(size=SIZE, wait=0, of=of), raises={"UNKNOWN": KeyError})(act)


@batches.task
def single(number: int) -> int:
    """A task of the same queue that has a call for each job."""
    return number

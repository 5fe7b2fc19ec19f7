"""What unit tests are made of: deliveries, specs and job bodies with sensible values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock.domain.batch import Batch
from penstock.domain.delivery import Delivery
from penstock.domain.lane import Processes
from penstock.domain.retry import NO_RETRY, Retry
from penstock.domain.spent import NOTHING
from penstock.domain.task import QueueSpec, TaskSpec
from penstock.wire.job import Job, encode_job
from penstock.wire.registry import ResultMode

#: A UUIDv7 made at 2024-11-04T03:33:20.234 UTC.
JOB_ID = "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6"

_DELIVERY = Delivery(
    task="stats.norm",
    queue="stats",
    job_id=JOB_ID,
    type="job.v1",
    attempt=1,
    returns=0,
    fence=10_000,
    again=False,
    spent=NOTHING,
    repeat=0,
    replays=0,
    version=None,
    deadline_ms=None,
    not_before_ms=None,
    mode=ResultMode.NONE,
    reply_to=None,
    user=None,
    priority=None,
    kept={},
    body=b"sealed",
    tag=1,
    channel=None,
)


def job_id(number: int) -> str:
    """A valid job id; each number has its own."""
    return f"{JOB_ID[:24]}{number:012x}"


def make_delivery(**changes: Any) -> Delivery:
    """A delivery of `stats.norm` that nobody awaits, but for the changes."""
    return replace(_DELIVERY, **changes)


def make_task(
    name: str = "stats.norm",
    *,
    version: int = 1,
    timeout_s: float | None = None,
    retry: Retry = NO_RETRY,
    batch: Batch | None = None,
) -> TaskSpec:
    """A task without limits or retries."""
    return TaskSpec(name=name, version=version, timeout_s=timeout_s, retry=retry, batch=batch)


def make_queue(*tasks: TaskSpec, name: str = "stats", slots: int = 1, target: str = "app:stats") -> QueueSpec:
    """A queue of these tasks, or of `stats.norm` alone."""
    known: dict[str, dict[int, TaskSpec]] = {}
    for task in tasks or (make_task(),):
        known.setdefault(task.name, {})[task.version] = task
    return QueueSpec(name=name, target=target, lane=Processes(slots), tasks=known)


def job_body(**changes: Any) -> bytes:
    """job.v1 bytes of a call of `stats.norm` without arguments, but for the changes."""
    fields: dict[str, Any] = {
        "id": JOB_ID,
        "task": "stats.norm",
        "tv": 1,
        "args": {},
        "created_at": 1_730_000_000_000,
    }
    return encode_job(Job(**{**fields, **changes}))

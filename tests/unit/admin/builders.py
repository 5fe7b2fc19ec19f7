"""Messages of a dead queue, as pika hands them over."""

from __future__ import annotations

from typing import Any

from pika import BasicProperties

from penstock.admin.dead_job import DeadJob, read
from penstock.broker.dead_queue import Held
from tests.unit.builders import JOB_ID, job_body

FAILED_AT = 1_760_000_000_000


def held(*, key: str = "stats.norm", exchange: str = "penstock.dead", body: bytes | None = None, **given: Any) -> Held:
    """A message with these properties and, in `headers`, headers."""
    properties = {"message_id": JOB_ID, "type": "job.v1", **given}
    return Held(
        tag=1,
        exchange=exchange,
        routing_key=key,
        deliveries=0,
        properties=BasicProperties(**properties),
        body=job_body() if body is None else body,
    )


def dead(headers: dict[str, Any] | None = None, **given: Any) -> DeadJob:
    """The job of a message that a worker gave up with `TASK_ERROR`, but for the changes."""
    said = {
        "x-error-code": "TASK_ERROR",
        "x-error-message": "ValueError: no",
        "x-failed-at": FAILED_AT,
        "x-attempt": 3,
        **(headers or {}),
    }
    said = {name: value for name, value in said.items() if value is not None}
    return read(held(headers=said, **given), queue="stats", return_exchange="penstock.return")

"""Routing key and headers of the messages that stand in for a dead one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from penstock.admin.dead_job import DeadJob
from penstock.wire.registry import (
    HEADER_ATTEMPT,
    HEADER_BLOB,
    HEADER_BLOB_SIZE,
    HEADER_CONTRACT,
    HEADER_DEADLINE,
    HEADER_EDITED_AT,
    HEADER_ERROR_CODE,
    HEADER_ERROR_MESSAGE,
    HEADER_FAILED_AT,
    HEADER_MAX_RESULT,
    HEADER_REPLAYS,
    HEADER_RESULT_MODE,
    HEADER_TASK_VERSION,
    HEADER_TRACEPARENT,
    HEADER_TRACESTATE,
    HEADER_USER,
    ResultMode,
)

#: What the broker writes into the headers. RabbitMQ 3.10 drops a message whose target it finds in a copied x-death.
_BROKERS: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count", "CC", "BCC")
#: What a replayed job still has of its first life.
_REPLAYED: Final = (
    HEADER_TRACEPARENT,
    HEADER_TRACESTATE,
    HEADER_CONTRACT,
    HEADER_TASK_VERSION,
    HEADER_DEADLINE,
    HEADER_BLOB,
    HEADER_BLOB_SIZE,
    HEADER_MAX_RESULT,
)
#: A replay reports to the operator, and in Redis to whoever knows the id.
_REPLAY_MODES: Final = {
    ResultMode.NONE: ResultMode.REPLY,
    ResultMode.REPLY: ResultMode.REPLY,
    ResultMode.STORED: ResultMode.REPLY_AND_STORED,
    ResultMode.REPLY_AND_STORED: ResultMode.REPLY_AND_STORED,
}


def stored(job: DeadJob) -> bool:
    """Whether the job's result is kept in Redis."""
    return job.mode in (ResultMode.STORED, ResultMode.REPLY_AND_STORED)


def renewed(job: DeadJob, headers: Mapping[str, Any], *, queue: str) -> tuple[str, dict[str, Any]]:
    """A fresh copy for the dead queue: the same job, of which the broker has counted nothing yet.

    What it wrote about a job that it gave up itself is kept in the headers that a worker would have written.
    """
    said = {
        HEADER_ERROR_CODE: job.code,
        HEADER_ERROR_MESSAGE: job.message,
        HEADER_FAILED_AT: job.failed_at_ms,
        HEADER_ATTEMPT: job.attempt or None,
        HEADER_USER: job.user,
        HEADER_RESULT_MODE: str(job.mode),
    }
    kept = {name: value for name, value in headers.items() if not name.startswith(_BROKERS)}
    return job.task or queue, {**{name: value for name, value in said.items() if value is not None}, **kept}


def edited(
    job: DeadJob, headers: Mapping[str, Any], *, queue: str, deadline_ms: int | None, now_ms: int
) -> tuple[str, dict[str, Any]]:
    """The copy for the dead queue whose body was changed; its deadline is that of the body."""
    key, made = renewed(job, headers, queue=queue)
    made.pop(HEADER_DEADLINE, None)
    if deadline_ms is not None:
        made[HEADER_DEADLINE] = deadline_ms
    made[HEADER_EDITED_AT] = now_ms
    return key, made


def replayed(job: DeadJob, headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers of the job's new life: no attempts, budgets or errors, and one replay more."""
    kept = {name: headers[name] for name in _REPLAYED if name in headers}
    return {**kept, HEADER_RESULT_MODE: str(_REPLAY_MODES[job.mode]), HEADER_REPLAYS: job.replays + 1}

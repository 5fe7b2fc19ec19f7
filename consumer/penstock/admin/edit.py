"""Changing a dead job: arguments and deadline, checked as far as that is possible without running anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from penstock.admin.dead_job import DeadJob
from penstock.domain.binding import misfit
from penstock.domain.task import QueueSpec
from penstock.errors import DataError
from penstock.wire.codec import decode
from penstock.wire.compression import inflated
from penstock.wire.failure import WireError
from penstock.wire.job import Job, decode_job, encode_job
from penstock.wire.registry import HARD_MAX_BODY_BYTES, MAX_BODY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A job that is being changed.

    Attributes:
        job: What its body says.
        dropped: Fields of its body that this version of penstock does not know and cannot keep.
        body: Its body, inflated.
    """

    job: Job
    dropped: tuple[str, ...]
    body: bytes


def draft(dead: DeadJob, body: bytes) -> Draft:
    """The job of a body.

    Raises:
        DataError: It cannot be read, or is the body of another job: nothing good would come of changing it.
    """
    if dead.blob is not None:
        raise DataError(f"job {dead.name} cannot be edited: its body of {dead.size} bytes lies in Redis; discard it")
    try:
        body = bytes(inflated(body, max_bytes=max(len(body), HARD_MAX_BODY_BYTES)))
        job = decode_job(body, max_bytes=max(len(body), HARD_MAX_BODY_BYTES))
    except WireError as error:
        raise DataError(f"job {dead.name} cannot be edited: {error.code}: {error}; export or discard it") from error
    if (job.id, job.task) != (dead.job_id, dead.task):
        raise DataError(
            f"job {dead.name} cannot be edited: its message is of {dead.job_id or 'no id'}, {dead.task or 'no task'}, "
            f"its body of {job.id}, {job.task}; export or discard it"
        )
    fields = decode(body, max_bytes=max(len(body), HARD_MAX_BODY_BYTES))
    known = {"v", "kind", *Job.__dataclass_fields__}
    return Draft(job=job, dropped=tuple(sorted(fields.keys() - known)), body=body)


def changed(of: Draft, *, args: Mapping[str, Any] | None = None, deadline_ms: int | None) -> tuple[Job, bytes]:
    """The job with other arguments and deadline, and its body.

    Args:
        of: The job as it is.
        args: The arguments; None: as they are.
        deadline_ms: The deadline, Unix ms; None: no deadline.

    Raises:
        DataError: The arguments cannot travel; the message names the part.
    """
    job = replace(of.job, args=of.job.args if args is None else args, deadline=deadline_ms)
    try:
        return job, encode_job(job, max_bytes=max(len(of.body), MAX_BODY_BYTES))
    except WireError as error:
        raise DataError(f"job {job.id} stays as it was: {error.code}: {error}") from error


def check(job: Job, spec: QueueSpec) -> None:
    """Hold a job against its task.

    Args:
        job: The job.
        spec: The queue that serves it.

    Raises:
        DataError: The queue does not serve the task in this version, or the arguments do not fit its parameters.
    """
    if job.task not in spec.tasks:
        raise DataError(f"{spec.target} has no task {job.task} (it has: {', '.join(sorted(spec.tasks))})")
    if (task := spec.find(job.task, job.tv)) is None:
        served = ", ".join(map(str, sorted(spec.tasks[job.task])))
        raise DataError(f"{job.task}: the job is for version {job.tv}, {spec.target} serves version {served}")
    if task.takes is None:
        return
    complaint = misfit(job.task, job.args.keys(), takes=task.takes, requires=task.requires)
    if complaint is not None:
        raise DataError(f"job {job.id} stays as it was: {complaint}")

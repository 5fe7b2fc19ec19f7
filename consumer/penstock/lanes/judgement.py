"""Outcomes: what a child reports, and what the parent says for a child that cannot speak any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from penstock.domain.delivery import Delivery
from penstock.domain.outcome import Evidence, Outcome, OutcomeKind
from penstock.domain.task import QueueSpec, TaskSpec
from penstock.errors import CatalogError, PenstockError, WorkerError
from penstock.lanes.child import describe_exit
from penstock.lanes.frames import Frame
from penstock.memory_file import MemoryFile
from penstock.wire.blob import Blob
from penstock.wire.failure import Failure
from penstock.wire.registry import ErrorCode, Exit

_KINDS: Final = {kind.value: kind for kind in OutcomeKind}


def outcome_of(frame: Frame) -> Outcome:
    """An OUTCOME frame as the parent judges it."""
    kind, run_us, *more = frame.meta
    if not more:
        return Outcome(_KINDS[kind], frame.body, run_s=run_us / 1e6)
    if len(more) == 1:
        return _in_file(_KINDS[kind], more[0], frame.fd, run_s=run_us / 1e6)
    code, message, retryable, exc_type, delay_s, trace, tries, details = more
    failure = Failure(code=code, message=message, retryable=retryable, exc_type=exc_type, details=details)
    return Outcome(_KINDS[kind], failure=failure, delay_s=delay_s, run_s=run_us / 1e6, trace=trace, tries=tries)


def _in_file(kind: OutcomeKind, sha256: str, fd: int | None, *, run_s: float) -> Outcome:
    """A success whose result came as a file."""
    if fd is None:
        text = "the worker has no file descriptor left to receive the result"
        failure = Failure(code=ErrorCode.INTERNAL, message=text, retryable=True)
        return Outcome(OutcomeKind.RAISED, failure=failure, run_s=run_s)
    file = MemoryFile(fd)
    return Outcome(kind, b"", run_s=run_s, blob=Blob(sha256, file.size), file=file)


def child_lost(delivery: Delivery, evidence: Evidence, *, run_s: float) -> Outcome:
    """The child died while it ran the job."""
    message = f"the child process died ({evidence.exit}) while it ran {delivery.task}"
    failure = Failure(code=ErrorCode.CHILD_LOST, message=message, retryable=True)
    return Outcome(OutcomeKind.CHILD_LOST, failure=failure, run_s=run_s, evidence=evidence)


def above_memory(delivery: Delivery, evidence: Evidence, *, run_s: float, limit: int) -> Outcome:
    """The child was killed because it had more than `limit` bytes in memory."""
    how = f"{evidence.exit}: above the memory limit of {round(limit / 2**20, 1):g} MiB"
    return child_lost(delivery, replace(evidence, exit=how), run_s=run_s)


def timed_out(task: TaskSpec, evidence: Evidence, *, run_s: float) -> Outcome:
    """The child was killed because the job ran too long."""
    message = f"{task.name} ran longer than its timeout of {task.timeout_s:g} s; its child was killed"
    failure = Failure(code=ErrorCode.TIMEOUT, message=message, retryable=True)
    return Outcome(OutcomeKind.TIMED_OUT, failure=failure, run_s=run_s, evidence=evidence)


def boot_error(spec: QueueSpec, said: str | None, status: int) -> PenstockError:
    """Why a worker cannot start: a child of the queue ended before it was ready."""
    if said is not None and status in (Exit.CONFIG, Exit.TEMPFAIL):
        return CatalogError(
            f"{said}\n\na child of queue {spec.name} ({spec.target}) could not start: mend the error above"
        )
    return WorkerError(f"a child of queue {spec.name} {said or f'died before it was ready ({describe_exit(status)})'}")

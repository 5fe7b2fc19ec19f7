"""One attempt: decode, compare with the headers, bind, call, encode."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from penstock.domain.binding import InvalidArgs
from penstock.domain.context import CurrentJob, running
from penstock.domain.outcome import OutcomeKind
from penstock.queue import Queue, Task
from penstock.wire.failure import Failure, WireError
from penstock.wire.job import Job, decode_job
from penstock.wire.registry import ErrorCode
from penstock.wire.result import Result, encode_result

_TRACEBACK_BYTES: Final = 8192


class Mirrors(NamedTuple):
    """The meta of a JOB frame: what AMQP says of the job. None: the header was absent."""

    task: str
    job_id: str
    attempt: int
    version: int | None
    deadline: int | None
    fence: int


@dataclass(slots=True)
class _Ended:
    """How the attempt ended, before it is encoded."""

    kind: OutcomeKind
    value: Any = None
    failure: Failure | None = None
    delay_s: float | None = None
    trace: str | None = None
    version: int | None = None


class _Refused(Exception):  # noqa: N818 -- control flow inside this file
    """The job cannot be turned into a call."""

    def __init__(self, code: ErrorCode, message: str, kind: OutcomeKind = OutcomeKind.UNDECODABLE) -> None:
        super().__init__(message)
        self.ended = _Ended(kind, failure=Failure(code=code, message=message, retryable=False))


class Executor:
    """Runs the jobs of one queue.

    Args:
        queue: The queue with its code.
        worker: The worker's name, written into results.
        max_body_bytes: Longest body that is read or written.
    """

    def __init__(self, queue: Queue, *, worker: str, max_body_bytes: int) -> None:
        self._tasks = queue.tasks
        self._worker = worker
        self._max_body_bytes = max_body_bytes

    def run(self, meta: list[Any], body: bytes) -> tuple[list[Any], bytes]:
        """One attempt; returns the meta and the body of its OUTCOME frame.

        What user code raises is an outcome, never an exception here.
        """
        mirrors = Mirrors(*meta)
        started_at, clock = time.time(), time.perf_counter()
        ended = self._attempt(mirrors, body)
        run_s = time.perf_counter() - clock
        result = self._encode(mirrors, ended, started_at, run_s)
        answer: list[Any] = [ended.kind.value, int(run_s * 1e6)]
        if failure := ended.failure:
            answer += [str(failure.code), failure.message, failure.retryable, ended.delay_s, ended.trace]
        return answer, result

    def _attempt(self, mirrors: Mirrors, body: bytes) -> _Ended:
        try:
            task = self._task(mirrors)
            job = self._job(mirrors, task, body)
            positional, keywords = _bind(task, job)
        except _Refused as refused:
            return refused.ended
        token = running.set(_context(job, mirrors.attempt))
        try:
            ended = _Ended(OutcomeKind.SUCCEEDED, task.function(*positional, **keywords))
        except BaseException as error:  # noqa: BLE001 -- user code may raise anything, SystemExit and a Rust panic included
            ended = _raised(error, task, mirrors)
        finally:
            running.reset(token)
        ended.version = job.tv
        return ended

    def _task(self, mirrors: Mirrors) -> Task:
        task = self._tasks.get(mirrors.task)
        if task is None:
            known = ", ".join(self._tasks)
            raise _Refused(ErrorCode.UNSUPPORTED_TASK, f"{mirrors.task}: no such task (known: {known})")
        return task

    def _job(self, mirrors: Mirrors, task: Task, body: bytes) -> Job:
        """The body, held against what AMQP said of it, against the task and the clock."""
        try:
            job = decode_job(body, max_bytes=self._max_body_bytes)
        except WireError as error:
            raise _Refused(error.code, str(error)) from None
        for said, written, where in (
            (mirrors.task, job.task, "routing key and task"),
            (mirrors.job_id, job.id, "message_id and id"),
            (mirrors.version, job.tv, "x-task-version and tv"),
            (mirrors.deadline, job.deadline, "x-deadline and deadline"),
        ):
            if said is not None and said != written:
                text = f"{where} disagree: AMQP says {said!r}, the body {written!r}"
                raise _Refused(ErrorCode.ENVELOPE_MISMATCH, text)
        if job.tv != task.spec.version:
            text = f"{job.task}: version {job.tv} was asked for, this worker serves version {task.spec.version}"
            raise _Refused(ErrorCode.UNSUPPORTED_TASK_VERSION, text)
        if job.deadline is not None and time.time() * 1000 >= job.deadline:
            text = f"{job.task}: the deadline passed before the job started"
            raise _Refused(ErrorCode.EXPIRED, text, OutcomeKind.EXPIRED)
        return job

    def _encode(self, mirrors: Mirrors, ended: _Ended, started_at: float, run_s: float) -> bytes:
        """The result.v1; a value that cannot travel turns a success into a failure."""
        tried = ended.kind in (OutcomeKind.SUCCEEDED, OutcomeKind.RAISED)
        result = Result(
            job_id=mirrors.job_id,
            task=mirrors.task,
            tv=ended.version or mirrors.version or 1,
            attempt=mirrors.attempt if tried else 0,
            started_at=int(started_at * 1000) if tried else None,
            finished_at=int((started_at + run_s) * 1000),
            worker=self._worker,
            value=ended.value,
            error=ended.failure,
        )
        try:
            return encode_result(result, max_bytes=self._max_body_bytes)
        except BaseException as error:
            if ended.failure is not None:
                raise
            ended.kind, ended.value = OutcomeKind.RAISED, None
            ended.failure = _unfit(error)
            return self._encode(mirrors, ended, started_at, run_s)


def _unfit(error: BaseException) -> Failure:
    """Why a value cannot be the result."""
    if isinstance(error, WireError) and error.code is ErrorCode.TOO_LARGE:
        return Failure(code=ErrorCode.RESULT_TOO_LARGE, message=str(error), retryable=False)
    text = str(error) if isinstance(error, WireError) else f"reading the result failed: {_text(error)}"
    return Failure(code=ErrorCode.RESULT_INVALID, message=text, retryable=False)


def _bind(task: Task, job: Job) -> tuple[list[Any], dict[str, Any]]:
    try:
        return task.binding.bind(job.args)
    except InvalidArgs as error:
        raise _Refused(ErrorCode.INVALID_ARGS, str(error)) from None


def _context(job: Job, attempt: int) -> CurrentJob:
    return CurrentJob(id=job.id, task=job.task, attempt=attempt, deadline_ms=job.deadline, meta=job.meta)


def _raised(error: BaseException, task: Task, mirrors: Mirrors) -> _Ended:
    """An exception as the caller may see it (type and text) and as the log needs it (the traceback)."""
    policy = task.retry
    retryable = policy.attempts > 1 and policy.retries(error)
    failure = Failure(
        code=ErrorCode.TASK_ERROR,
        message=_text(error),
        retryable=retryable,
        exc_type=type(error).__name__,
    )
    delay_s = policy.delay(mirrors.attempt, mirrors.job_id) if retryable else None
    return _Ended(OutcomeKind.RAISED, failure=failure, delay_s=delay_s, trace=_trace(error))


def _text(error: BaseException) -> str:
    """`ValueError: what it says`; an exception that cannot say anything is named at least."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 -- an exception's __str__ is user code, too
        text = ""
    return f"{kind}: {text}" if text else kind


def _trace(error: BaseException) -> str:
    """The traceback from the task's own frame on."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames)]
    return "".join([*lines, *traceback.format_exception_only(error)])[-_TRACEBACK_BYTES:].rstrip()

"""One attempt: decode, compare with the headers, bind, call, encode."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from penstock.domain.binding import InvalidArgs
from penstock.domain.context import CurrentJob, running
from penstock.domain.outcome import OutcomeKind
from penstock.domain.retry import Reject
from penstock.domain.task import other_version
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
    failures: int


@dataclass(slots=True)
class _Ended:
    """How the attempt ended, before it is encoded."""

    kind: OutcomeKind
    value: Any = None
    failure: Failure | None = None
    delay_s: float | None = None
    trace: str | None = None
    version: int | None = None
    #: Attempts that were made in the slot, the last one included.
    tries: int = 1


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
            said = (str(failure.code), failure.message, failure.retryable, failure.exc_type)
            answer += [*said, ended.delay_s, ended.trace, ended.tries]
        return answer, result

    def _attempt(self, mirrors: Mirrors, body: bytes) -> _Ended:
        try:
            job = self._job(mirrors, body)
            task = self._task(job)
            self._in_time(job)
            positional, keywords = _bind(task, job)
        except _Refused as refused:
            return refused.ended
        tries = 0

        def call() -> Any:
            nonlocal tries
            token = running.set(_context(job, mirrors, tries))
            tries += 1
            try:
                return task.function(*positional, **keywords)
            finally:
                running.reset(token)

        try:
            ended = _Ended(OutcomeKind.SUCCEEDED, _in_slot(task, mirrors)(call) if task.retry.in_slot else call())
        except BaseException as error:  # noqa: BLE001 -- user code may raise anything, SystemExit and a Rust panic included
            ended = _raised(error, task, mirrors, tries)
        ended.version = job.tv
        ended.tries = tries
        return ended

    def _task(self, job: Job) -> Task:
        versions = self._tasks.get(job.task)
        if versions is None:
            known = ", ".join(self._tasks)
            raise _Refused(ErrorCode.UNSUPPORTED_TASK, f"{job.task}: no such task (known: {known})")
        if (task := versions.get(job.tv)) is None:
            raise _Refused(ErrorCode.UNSUPPORTED_TASK_VERSION, other_version(job.task, job.tv, versions))
        return task

    def _job(self, mirrors: Mirrors, body: bytes) -> Job:
        """The body, held against what AMQP said of it."""
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
        return job

    @staticmethod
    def _in_time(job: Job) -> None:
        if job.deadline is not None and time.time() * 1000 >= job.deadline:
            text = f"{job.task}: the deadline passed before the job started"
            raise _Refused(ErrorCode.EXPIRED, text, OutcomeKind.EXPIRED)

    def _encode(self, mirrors: Mirrors, ended: _Ended, started_at: float, run_s: float) -> bytes:
        """The result.v1 of a success; nothing for a failure, whose result the parent writes.

        A value that cannot travel turns a success into a failure.
        """
        if ended.failure is not None:
            return b""
        result = Result(
            job_id=mirrors.job_id,
            task=mirrors.task,
            tv=ended.version or mirrors.version or 1,
            attempt=mirrors.attempt + ended.tries - 1,
            started_at=int(started_at * 1000),
            finished_at=int((started_at + run_s) * 1000),
            worker=self._worker,
            value=ended.value,
        )
        try:
            return encode_result(result, max_bytes=self._max_body_bytes)
        except BaseException as error:  # noqa: BLE001 -- reading a value may run user code
            ended.kind, ended.failure = OutcomeKind.RAISED, _unfit(error)
            return b""


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


def _in_slot(task: Task, mirrors: Mirrors) -> Any:
    return task.retry.in_slot_retrying(
        attempt=mirrors.attempt,
        failures=mirrors.failures,
        seed=mirrors.job_id,
        deadline_ms=mirrors.deadline,
    )


def _context(job: Job, mirrors: Mirrors, tries: int) -> CurrentJob:
    return CurrentJob(
        id=job.id,
        task=job.task,
        attempt=mirrors.attempt + tries,
        fence=mirrors.fence,
        deadline_ms=job.deadline,
        meta=job.meta,
    )


def _raised(error: BaseException, task: Task, mirrors: Mirrors, tries: int) -> _Ended:
    """An exception as the caller may see it (type and text) and as the log needs it (the traceback)."""
    policy = task.retry
    retryable = policy.retries(error)
    failure = Failure(
        code=ErrorCode.REJECTED if isinstance(error, Reject) else ErrorCode.TASK_ERROR,
        message=_text(error),
        retryable=retryable,
        exc_type=type(error).__name__,
    )
    delay_s = policy.wait_after(error, mirrors.attempt + tries - 1, mirrors.job_id) if retryable else None
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
    frames = traceback.extract_tb(error.__traceback__)
    # Tries within the slot go through tenacity: what lies before the call of the task is ours.
    called = max((i for i, frame in enumerate(frames) if frame.filename == __file__), default=-1)
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames[called + 1 :])]
    return "".join([*lines, *traceback.format_exception_only(error)])[-_TRACEBACK_BYTES:].rstrip()

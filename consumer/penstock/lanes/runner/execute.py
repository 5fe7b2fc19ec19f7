"""One attempt: decode, compare with the headers, bind, call, encode."""

from __future__ import annotations

import inspect
import time
import traceback
from collections.abc import Mapping
from functools import partial
from typing import Any

from penstock.domain.binding import InvalidArgs
from penstock.domain.lane import Commands
from penstock.domain.outcome import OutcomeKind
from penstock.domain.task import other_version
from penstock.lanes.runner.answers import Answer, Answers
from penstock.lanes.runner.attempt import Attempt, Ended, Mirrors
from penstock.lanes.runner.items import Items
from penstock.lanes.runner.outlet import Outlet
from penstock.lanes.runner.stop import Flag, Stop
from penstock.memory_file import MemoryFile
from penstock.queue import Queue, Task
from penstock.schema.binding import bound
from penstock.schema.library import Library
from penstock.schema.misfit import Misfit
from penstock.wire.blob import Blob
from penstock.wire.codec import Body
from penstock.wire.compression import is_compressed
from penstock.wire.failure import Failure, WireError
from penstock.wire.job import Job, decode_job
from penstock.wire.registry import ErrorCode


class _Refused(Exception):  # noqa: N818 -- control flow inside this file
    """The job cannot be turned into a call."""

    def __init__(self, code: ErrorCode, message: str, kind: OutcomeKind = OutcomeKind.UNDECODABLE) -> None:
        super().__init__(message)
        self.ended = Ended(kind, failure=Failure(code=code, message=message, retryable=False))


class Executor:
    """Runs the jobs of one queue.

    Args:
        queue: The queue with its code.
        library: Where the contracts of its tasks are.
        worker: The worker's name, written into results.
        max_body_bytes: Longest body that comes and goes in a frame.
        max_blob_bytes: Longest body that comes and goes as a file. Defaults to that of a frame.
        width: How many jobs the child runs at once. Defaults to 1.
        outlet: Where jobs tell how far they are, and send what they yield. Defaults to None: no job yields, and what
            it tells is for nobody.
    """

    def __init__(
        self,
        queue: Queue,
        library: Library,
        *,
        worker: str,
        max_body_bytes: int,
        max_blob_bytes: int = 0,
        width: int = 1,
        outlet: Outlet | None = None,
    ) -> None:
        self._tasks = queue.tasks
        self._shutdown_hooks = queue.shutdown_hooks[::-1]
        self._bindings = {
            (task.spec.name, task.spec.version): bound(task, library) or task.binding
            for versions in queue.tasks.values()
            for task in versions.values()
        }
        #: Whether a task of the queue runs several jobs in one call.
        self.batches = any(task.batch for versions in queue.tasks.values() for task in versions.values())
        #: Whether its tasks are programs.
        self.programs = isinstance(queue.lane, Commands)
        #: How many jobs the child runs at once.
        self.width = width
        self._answers = Answers(worker, max_body_bytes)
        self._max_body_bytes = max_body_bytes
        self._max_blob_bytes = max_blob_bytes or max_body_bytes
        self._outlet = outlet

    def shut_down(self) -> None:
        """There are no more jobs: call what the queue wants to be called then."""
        for hook in self._shutdown_hooks:
            try:
                hook()
            except Exception:  # noqa: BLE001 -- the next hook is to be called all the same
                traceback.print_exc()

    async def shut_down_coroutines(self) -> None:
        """As `shut_down`, for hooks that may be coroutine functions."""
        for hook in self._shutdown_hooks:
            try:
                if inspect.isawaitable(waiting := hook()):
                    await waiting
            except Exception:  # noqa: BLE001 -- as above
                traceback.print_exc()

    def run(
        self, meta: list[Any], body: bytes, fd: int | None = None, stop: Stop | None = None, number: int = 0
    ) -> Answer:
        """One attempt; returns the meta, the body and the file of its OUTCOME frame.

        What user code raises is an outcome, never an exception here.

        Args:
            meta: That of its JOB frame.
            body: That of its JOB frame.
            fd: What came with it, owned from now on.
            stop: Says whether the job is to end. Defaults to None: it is not.
            number: That of its JOB frame. Defaults to 0.
        """
        return self.finish(self.begin(meta, body, fd, stop, number))

    def finish(self, attempt: Attempt) -> Answer:
        """Call the task of an attempt that has begun, and tell the parent; what user code raises is an outcome."""
        if attempt.ended is None:
            try:
                value = attempt.retrying()(attempt.call) if attempt.task.retry.in_slot else attempt.call()
                attempt.ended = Ended(OutcomeKind.SUCCEEDED, value)
            except BaseException as error:  # noqa: BLE001 -- user code may raise anything, SystemExit and a Rust panic included
                attempt.ended = attempt.raised(error)
        return self.end(attempt)

    async def run_coroutine(
        self, meta: list[Any], body: bytes, fd: int | None = None, stop: Stop | None = None, number: int = 0
    ) -> Answer:
        """As `run`, for a task that is a coroutine function or an async generator."""
        attempt = self.begin(meta, body, fd, stop, number)
        if attempt.ended is None:
            try:
                call = attempt.call_coroutine
                if attempt.task.retry.in_slot:
                    value = await attempt.retrying(coroutine=True)(call)
                else:
                    value = await call()
                attempt.ended = Ended(OutcomeKind.SUCCEEDED, value)
            except BaseException as error:  # noqa: BLE001 -- as in `run`
                attempt.ended = attempt.raised(error)
        return self.end(attempt)

    def begin(self, meta: list[Any], body: bytes, fd: int | None, stop: Stop | None = None, number: int = 0) -> Attempt:
        """The attempt, ready to be called, or ended already."""
        mirrors = Mirrors(*meta)
        longest = self._max_result_bytes(mirrors)
        stop = stop or Flag()
        attempt = Attempt(mirrors, time.time(), time.perf_counter(), longest, stop, number, self._outlet)
        try:
            read, max_bytes = (
                (body, self._max_body_bytes)
                if mirrors.blob is None
                else (_claimed(mirrors.blob, fd), self._max_blob_bytes)
            )
            attempt.compressed = is_compressed(read)
            attempt.job = self._job(mirrors, read, max_bytes)
            attempt.task = self._task(attempt.job)
            self._in_time(attempt.job)
            attempt.binding = self._bindings[attempt.job.task, attempt.job.tv]
            attempt.positional, attempt.keywords = attempt.binding.bind(attempt.job.args)
            if attempt.task.spec.streams:
                attempt.items = self._items(attempt)
        except _Refused as refused:
            attempt.ended = refused.ended
        except InvalidArgs as error:
            attempt.ended = _invalid(str(error))
        except Misfit as misfit:
            attempt.ended = _invalid(f"{attempt.job.task}: {misfit.text()}", misfit.details())
        except Exception as error:  # noqa: BLE001 -- the arguments' classes are user code
            attempt.ended = attempt.raised(error)
        return attempt

    def _items(self, attempt: Attempt) -> Items:
        assert self._outlet is not None
        most = self._max_blob_bytes if attempt.mirrors.stores else None
        encoded = partial(self._answers.item, attempt.binding)
        return Items(self._outlet, attempt.number, encoded, attempt.stop, attempt.unbroken, most)

    def _max_result_bytes(self, mirrors: Mirrors) -> int:
        """Longest result that both sides take; a requester that has not said takes what fits into a message."""
        return min(mirrors.max_result or self._max_body_bytes, self._max_blob_bytes)

    def end(self, attempt: Attempt) -> Answer:
        """The answer to the parent."""
        if attempt.tells and self._outlet is not None:
            self._outlet.ends(attempt.number)
        return self._answers.of(attempt)

    def _task(self, job: Job) -> Task:
        versions = self._tasks.get(job.task)
        if versions is None:
            known = ", ".join(self._tasks)
            raise _Refused(ErrorCode.UNSUPPORTED_TASK, f"{job.task}: no such task (known: {known})")
        if (task := versions.get(job.tv)) is None:
            raise _Refused(ErrorCode.UNSUPPORTED_TASK_VERSION, other_version(job.task, job.tv, versions))
        return task

    @staticmethod
    def _job(mirrors: Mirrors, body: Body, max_bytes: int) -> Job:
        """The body, held against what AMQP said of it."""
        try:
            job = decode_job(body, max_bytes=max_bytes)
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


def _claimed(sha256: str, fd: int | None) -> Body:
    """The body that came as a file, once it is the one that was announced."""
    if fd is None:
        raise _Refused(ErrorCode.BLOB_UNAVAILABLE, "this child has no file descriptor left to receive the body")
    file = MemoryFile(fd)
    body = file.view()
    file.close()
    if Blob.of(body).sha256 != sha256:
        raise _Refused(ErrorCode.BLOB_UNAVAILABLE, f"the stored body is not the one with the SHA-256 {sha256}")
    return body


def _invalid(message: str, details: Mapping[str, str] | None = None) -> Ended:
    failure = Failure(code=ErrorCode.INVALID_ARGS, message=message, retryable=False, details=details or {})
    return Ended(OutcomeKind.UNDECODABLE, failure=failure)

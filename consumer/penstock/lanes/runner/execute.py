"""One attempt: decode, compare with the headers, bind, call, encode."""

from __future__ import annotations

import inspect
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from penstock.domain.binding import Binding, InvalidArgs
from penstock.domain.command import Command
from penstock.domain.context import Cancelled, CurrentJob, SoftTimeoutError, running
from penstock.domain.outcome import OutcomeKind
from penstock.domain.retry import Reject
from penstock.domain.task import other_version
from penstock.lanes.runner import command
from penstock.lanes.runner.items import Items, UnfitItemError
from penstock.lanes.runner.outlet import Outlet
from penstock.lanes.runner.softlimit import SoftLimit, soft_limited
from penstock.lanes.runner.stop import Flag, Stop
from penstock.memory_file import MemoryFile
from penstock.queue import Queue, Task
from penstock.schema.binding import ContractBinding, bound
from penstock.schema.library import Library
from penstock.schema.misfit import Misfit
from penstock.wire.blob import Blob
from penstock.wire.codec import Body, pack
from penstock.wire.compression import compressed, is_compressed
from penstock.wire.failure import Failure, WireError
from penstock.wire.items import HEAD_BYTES, LEVEL, NODES
from penstock.wire.job import Job, decode_job
from penstock.wire.plain import plain
from penstock.wire.registry import ErrorCode
from penstock.wire.result import Result, encode_result

_TRACEBACK_BYTES: Final = 8192
#: Where tasks are called from.
_CALLERS: Final = frozenset({__file__, *(str(Path(__file__).with_name(name)) for name in ("together.py", "items.py"))})


#: Meta, body and file of an OUTCOME frame.
Answer: TypeAlias = tuple[list[Any], bytes, MemoryFile | None]


class Mirrors(NamedTuple):
    """The meta of a JOB frame: what AMQP says of the job. None: the header was absent."""

    task: str
    job_id: str
    attempt: int
    version: int | None
    deadline: int | None
    fence: int
    failures: int
    #: Longest result that the requester takes, in bytes; 0: it has not said.
    max_result: int = 0
    #: SHA-256 of the body that came as a file; None: it came with the frame.
    blob: str | None = None
    #: Whether the items are stored, too.
    stores: bool = False


@dataclass(slots=True)
class Ended:
    """How the attempt ended, before it is encoded."""

    kind: OutcomeKind
    value: Any = None
    failure: Failure | None = None
    delay_s: float | None = None
    trace: str | None = None


@dataclass(slots=True)
class Attempt:
    """A call that is to be made, is made, or has been made.

    Attributes:
        mirrors: What AMQP said of the job.
        started_at: Unix time.
        clock: The same moment by the clock that measures.
        max_bytes: Longest body of a result.
        stop: Says whether the job is to end.
        tries: Calls that were made in the slot.
        compressed: Whether the body came compressed.
        ended: How it ended; None: it has not yet.
        number: The job's frame number.
        outlet: Where the job tells how far it is; None: nowhere.
        tells: Whether it has.
        items: What it yields; None: it yields nothing.
    """

    mirrors: Mirrors
    started_at: float
    clock: float
    max_bytes: int
    stop: Stop
    number: int = 0
    outlet: Outlet | None = None
    tries: int = 0
    ended: Ended | None = None
    compressed: bool = False
    tells: bool = False
    items: Items | None = None
    # Of the call that runs; None: it has none, or is a coroutine.
    soft: SoftLimit | None = None
    # Known once the body is read.
    job: Job = field(init=False)
    task: Task = field(init=False)
    binding: Binding | ContractBinding = field(init=False)
    positional: list[Any] = field(init=False)
    keywords: dict[str, Any] = field(init=False)

    def call(self) -> Any:
        """Call the task once."""
        token = running.set(self._next_try())
        function = self.task.function
        soft = self.soft = SoftLimit(self.task.soft_timeout_s)
        try:
            with self.stop, soft:
                if isinstance(function, Command):
                    return command.run(function, self.keywords, max_bytes=self.max_bytes)
                returned = function(*self.positional, **self.keywords)
                return returned if self.items is None else self.items.drain(returned)
        finally:
            running.reset(token)

    async def call_coroutine(self) -> Any:
        """Call a task once that is a coroutine function."""
        token = running.set(self._next_try())
        try:
            with self.stop:
                called = self.task.function(*self.positional, **self.keywords)
                if self.items is not None:
                    called = self.items.drain_async(called)
                return await soft_limited(called, self.task.soft_timeout_s)
        finally:
            running.reset(token)

    def _next_try(self) -> CurrentJob:
        mirrors = self.mirrors
        job = CurrentJob(
            id=self.job.id,
            task=self.job.task,
            attempt=mirrors.attempt + self.tries,
            fence=mirrors.fence,
            deadline_ms=self.job.deadline,
            meta=self.job.meta,
            of=self,
        )
        self.tries += 1
        return job

    def stop_asked(self) -> bool:
        """See domain/context."""
        return self.stop.asked

    def tell(self, fraction: float, text: str) -> None:
        """See domain/context; what a thread says that outlives its job is for nobody."""
        outlet = self.outlet
        if outlet is not None and self.ended is None:
            self.tells = True
            self.unbroken(lambda: outlet.progress(self.number, fraction, text))

    def unbroken(self, call: Callable[[], Any]) -> None:
        """Do something while the task's code runs that no signal may cut off; what came meanwhile is raised then."""
        if threading.current_thread() is not threading.main_thread():
            call()  # signals are raised in the main thread only
            return
        soft = self.soft
        try:
            self.stop.hold()
            if soft is not None:
                soft.hold()
            call()
        finally:
            try:
                if soft is not None:
                    soft.release()
            finally:
                self.stop.release()

    def retrying(self, *, coroutine: bool = False) -> Any:
        """What calls again within the slot."""
        return self.task.retry.in_slot_retrying(
            attempt=self.mirrors.attempt,
            failures=self.mirrors.failures,
            seed=self.mirrors.job_id,
            deadline_ms=self.mirrors.deadline,
            coroutine=coroutine,
        )

    def _code(self, error: BaseException) -> str:
        """The code of an exception: the task's own if it names the class, the closest one if several do."""
        if isinstance(error, Reject):
            return ErrorCode.REJECTED
        if isinstance(error, SoftTimeoutError):
            return ErrorCode.TIMEOUT
        own = {kind: code for code, kind in self.task.raises.items()}
        return next((own[kind] for kind in type(error).__mro__ if kind in own), ErrorCode.TASK_ERROR)

    def raised(self, error: BaseException) -> Ended:
        """An exception as the caller may see it (type and text) and as the log needs it (the traceback)."""
        if isinstance(error, UnfitItemError):
            return Ended(OutcomeKind.RAISED, failure=error.failure)
        policy = self.task.retry
        retryable = policy.retries(error)
        failure = Failure(
            code=self._code(error),
            message=_text(error),
            retryable=retryable,
            exc_type=type(error).__name__,
        )
        attempt = self.mirrors.attempt + self.tries - 1
        delay_s = policy.wait_after(error, attempt, self.mirrors.job_id) if retryable else None
        return Ended(OutcomeKind.RAISED, failure=failure, delay_s=delay_s, trace=_trace(error))


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
        #: How many jobs the child runs at once.
        self.width = width
        self._worker = worker
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
        encoded = partial(self._item, attempt.binding)
        return Items(self._outlet, attempt.number, encoded, attempt.stop, attempt.unbroken, most)

    def _item(self, binding: Binding | ContractBinding, value: Any, seq: int) -> bytes:
        """The bytes of an item. What interrupts the task is raised here, too, and has nothing to do with the item."""
        try:
            most, bulk = self._max_body_bytes - HEAD_BYTES, None
            if isinstance(binding, ContractBinding):
                made, bulk = binding.item(value, LEVEL, NODES)
            else:
                made = plain(value, max_bytes=most, level=LEVEL, nodes=NODES)
            return pack(made, max_bytes=most, bulk=bulk)
        except (Cancelled, SoftTimeoutError):
            raise
        except BaseException as error:  # noqa: BLE001 -- reading a value may run user code
            failure = _unfit(error, "item")
            raise UnfitItemError(replace(failure, message=f"item {seq}: {failure.message}")) from None

    def _max_result_bytes(self, mirrors: Mirrors) -> int:
        """Longest result that both sides take; a requester that has not said takes what fits into a message."""
        return min(mirrors.max_result or self._max_body_bytes, self._max_blob_bytes)

    def end(self, attempt: Attempt) -> Answer:
        """The answer to the parent."""
        ended = attempt.ended
        assert ended is not None
        if attempt.tells and self._outlet is not None:
            self._outlet.ends(attempt.number)
        run_s = time.perf_counter() - attempt.clock
        result = self._encode(attempt, ended, run_s)
        # Its own length decides, not the compressed one: of a message nobody inflates more than a message may hold.
        in_file = len(result) > self._max_body_bytes
        if attempt.compressed:
            # Who sends a compressed body can read one.
            result = compressed(result)
        file = _filed(ended, result) if in_file else None
        answer: list[Any] = [ended.kind.value, int(run_s * 1e6)]
        if failure := ended.failure:
            said = (str(failure.code), failure.message, failure.retryable, failure.exc_type)
            answer += [*said, ended.delay_s, ended.trace, attempt.tries, dict(failure.details)]
            return answer, b"", None
        if file is None:
            return answer, result, None
        return [*answer, Blob.of(result).sha256], b"", file

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

    def _encode(self, attempt: Attempt, ended: Ended, run_s: float) -> bytes:
        """The result.v1 of a success; nothing for a failure, whose result the parent writes.

        A value that cannot travel turns a success into a failure.
        """
        if ended.failure is not None:
            return b""
        mirrors = attempt.mirrors
        result = Result(
            job_id=mirrors.job_id,
            task=mirrors.task,
            tv=attempt.job.tv,
            attempt=mirrors.attempt + attempt.tries - 1,
            started_at=int(attempt.started_at * 1000),
            finished_at=int((attempt.started_at + run_s) * 1000),
            worker=self._worker,
            value=ended.value,
            items=None if attempt.items is None else attempt.items.count,
        )
        binding = attempt.binding
        try:
            convert = binding.result if isinstance(binding, ContractBinding) else None
            return encode_result(result, max_bytes=attempt.max_bytes, convert=convert)
        except BaseException as error:  # noqa: BLE001 -- reading a value may run user code
            ended.kind, ended.failure = OutcomeKind.RAISED, _unfit(error)
            return b""


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


def _filed(ended: Ended, result: bytes) -> MemoryFile | None:
    """A file with a result too long for a frame; None: there is no room, and that is how the attempt ended."""
    try:
        return MemoryFile.holding(result)
    except OSError as error:
        failure = Failure(code=ErrorCode.INTERNAL, message=f"the result cannot be handed over: {error}", retryable=True)
        ended.kind, ended.failure = OutcomeKind.RAISED, failure
        return None


def _unfit(error: BaseException, what: str = "result") -> Failure:
    """Why a value cannot be the result, or an item."""
    if isinstance(error, Misfit):
        text = error.text(what)
        return Failure(code=ErrorCode.RESULT_INVALID, message=text, retryable=False, details=error.details(what))
    if isinstance(error, WireError) and error.code is ErrorCode.TOO_LARGE:
        return Failure(code=ErrorCode.RESULT_TOO_LARGE, message=str(error), retryable=False)
    text = str(error) if isinstance(error, WireError) else f"reading the {what} failed: {_text(error)}"
    return Failure(code=ErrorCode.RESULT_INVALID, message=text, retryable=False)


def _invalid(message: str, details: Mapping[str, str] | None = None) -> Ended:
    failure = Failure(code=ErrorCode.INVALID_ARGS, message=message, retryable=False, details=details or {})
    return Ended(OutcomeKind.UNDECODABLE, failure=failure)


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
    called = max((i for i, frame in enumerate(frames) if frame.filename in _CALLERS), default=-1)
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames[called + 1 :])]
    return "".join([*lines, *traceback.format_exception_only(error)])[-_TRACEBACK_BYTES:].rstrip()

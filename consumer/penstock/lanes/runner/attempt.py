"""One attempt at a job, from its call to how it ended; what surrounds it is in execute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from penstock.domain.binding import Binding
from penstock.domain.command import Command
from penstock.domain.context import CurrentJob, SoftTimeoutError, running
from penstock.domain.outcome import OutcomeKind
from penstock.domain.retry import Reject
from penstock.lanes.runner import command
from penstock.lanes.runner.failing import text, trace
from penstock.lanes.runner.items import Items, UnfitItemError
from penstock.lanes.runner.outlet import Outlet
from penstock.lanes.runner.softlimit import SoftLimit, soft_limited
from penstock.lanes.runner.stop import Stop
from penstock.queue import Task
from penstock.schema.binding import ContractBinding
from penstock.wire.failure import Failure
from penstock.wire.job import Job
from penstock.wire.registry import ErrorCode


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
    # Of the call that runs, and its thread; None: there is none, or it is a coroutine.
    soft: SoftLimit | None = None
    thread: int | None = None
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
        soft = self.soft = self.stop.limit(self.task.soft_timeout_s)
        self.thread = threading.get_ident()
        try:
            with self.stop, soft:
                if isinstance(function, Command):
                    return command.run(function, self.keywords, max_bytes=self.max_bytes, unbroken=self.unbroken)
                returned = function(*self.positional, **self.keywords)
                return returned if self.items is None else self.items.drain(returned)
        finally:
            try:
                self.stop.close()
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
        """Do something while the task's code runs that nothing may cut off; what came meanwhile is raised then."""
        soft = self.soft
        if soft is None or self.thread != threading.get_ident():
            call()  # nothing is raised in a coroutine, or in a thread that the task has started
            return
        try:
            self.stop.hold()
            soft.hold()
            call()
        finally:
            try:
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
            message=text(error),
            retryable=retryable,
            exc_type=type(error).__name__,
        )
        attempt = self.mirrors.attempt + self.tries - 1
        delay_s = policy.wait_after(error, attempt, self.mirrors.job_id) if retryable else None
        return Ended(OutcomeKind.RAISED, failure=failure, delay_s=delay_s, trace=trace(error))

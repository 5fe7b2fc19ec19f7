"""A whole worker for a test of tasks: real children, and a broker and a store in memory."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self, TypeVar

from penstock.broker import messages
from penstock.broker.ports import Confirm
from penstock.domain.topology import Topology
from penstock.errors import UnavailableError
from penstock.lanes.catalog import describe
from penstock.settings import DEFAULT_CONTRACTS, WorkerSettings
from penstock.testing.broker import MemoryBroker
from penstock.testing.messages import Message, Properties
from penstock.testing.server import GUEST
from penstock.testing.store import MemoryStore
from penstock.testing.told import Told, hear
from penstock.wire.blob import Blob
from penstock.wire.codec import decode
from penstock.wire.failure import Failure
from penstock.wire.job import Job, encode_job
from penstock.wire.registry import (
    CONTENT_TYPE,
    HEADER_DEADLINE,
    HEADER_ERROR_CODE,
    HEADER_ERROR_MESSAGE,
    HEADER_MAX_RESULT,
    HEADER_RESULT_MODE,
    STREAM_WINDOW,
    TYPE_ITEM,
    TYPE_JOB,
    TYPE_PROGRESS,
    ResultMode,
)
from penstock.wire.result import Result, decode_result
from penstock.worker.worker import Worker

T = TypeVar("T")

#: Seconds for the worker to start, and to end.
_START_S: Final = 60.0
_STOP_S: Final = 30.0


#: After how many items that were taken a job is given credit for more.
_CREDIT_EVERY: Final = 16


class JobFailedError(Exception):
    """A job ended with an error: the task's, not penstock's.

    Attributes:
        failure: The error as its caller sees it: code, message, details.
    """

    def __init__(self, job_id: str, failure: Failure) -> None:
        super().__init__(f"job {job_id}: {failure.code}: {failure.message}")
        self.failure = failure


class JobRestartedError(Exception):
    """A job has begun anew, and yields its items from the first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadJob:
    """A job that ended dead.

    Attributes:
        job_id: Its id.
        code: What went wrong, a code of the catalogue.
        message: The same in words.
        headers: All headers, with the evidence.
    """

    job_id: str
    code: str
    message: str
    headers: Mapping[str, Any]


class Harness:
    """Runs the tasks of one or more queues as production would, for as long as the `with` lasts.

        with Harness("myproject.tasks:stats") as harness:
            assert harness.call("stats.norm", {"x": [3, 4]}) == 5.0

    The children are real processes: what a task imports, how it crashes and how long it takes are put to the test,
    too. So are its retries, the waits between them included: a policy of a test is best a short one.

    Args:
        targets: The queues, each `MODULE:QUEUE`, importable from the working directory.
        timeout_s: Longest wait for a result, in seconds. Defaults to 30.
        contracts: The directory of contracts. Defaults to `contracts/tasks` below the working directory.

    Raises:
        PenstockError: When it is entered: the worker cannot start. When it is left: the worker could not go on.
    """

    def __init__(self, *targets: str, timeout_s: float = 30.0, contracts: str = DEFAULT_CONTRACTS) -> None:
        self.broker = MemoryBroker()
        self.store = MemoryStore()
        self._settings = WorkerSettings(
            targets=targets, amqp_url="amqp://memory", http_port=None, drain_s=_STOP_S / 2, contracts=contracts
        )
        self._topology = Topology(self._settings.namespace)
        self._reply_to = f"{GUEST}.test-{secrets.token_hex(4)}"
        self._timeout_s = timeout_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="penstock-harness", daemon=True)
        self._worker: Worker | None = None
        self._queues: list[str] = []
        self._results: dict[str, Result] = {}
        self._told: dict[str, Told] = {}
        self.store.on_told = self._stored
        self._arrived = threading.Condition()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._wait(self._start(), _START_S)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    # ── for tests ───────────────────────────────────────────────────────────────────────────────

    def call(self, task: str, args: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Run a job and return its value; options as for `enqueue`.

        Raises:
            JobFailedError: It ended with an error.
            TimeoutError: There is no result in time.
        """
        job_id = self.enqueue(task, args, **options)
        result = self.result(job_id)
        if result.error is not None:
            raise JobFailedError(job_id, result.error)
        return result.value

    def enqueue(
        self,
        task: str,
        args: Mapping[str, Any] | None = None,
        *,
        deadline_s: float | None = None,
        meta: Mapping[str, str] | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish a job; returns its id.

        Args:
            task: `<queue>.<function>`.
            args: Its arguments by name.
            deadline_s: Seconds from now after which it is not started any more. Defaults to None: there is no deadline.
            meta: The caller's own notes.
            headers: More headers.

        Raises:
            UnavailableError: The worker serves no such queue.
        """
        now_ms = int(time.time() * 1000)
        deadline = None if deadline_s is None else now_ms + int(deadline_s * 1000)
        job_id = _new_id(now_ms)
        job = Job(id=job_id, task=task, tv=1, args=args or {}, created_at=now_ms, deadline=deadline, meta=meta or {})
        own: dict[str, Any] = {
            HEADER_RESULT_MODE: str(ResultMode.REPLY_AND_STORED),
            HEADER_MAX_RESULT: self._settings.max_blob_bytes,
        }
        if deadline is not None:
            own[HEADER_DEADLINE] = deadline
        properties = Properties(
            content_type=CONTENT_TYPE,
            type=TYPE_JOB,
            message_id=job_id,
            correlation_id=job_id,
            reply_to=self._reply_to,
            user_id=GUEST,
            delivery_mode=2,
            headers={**own, **(headers or {})},
        )
        body = encode_job(job, max_bytes=self._settings.max_blob_bytes)
        confirm = self.on_loop(lambda: self._publish(task, properties, body))
        if confirm is not Confirm.ACKED:
            raise UnavailableError(f"{task}: the job was {confirm.value}; this harness serves {self._queues}")
        return job_id

    def cancel(self, job_id: str) -> None:
        """Tell the worker to cancel a job; its `result` tells what became of it."""
        properties = messages.cancel(job_id, user=GUEST)
        self.on_loop(lambda: self.broker.server.publish(self._topology.name("control"), "", properties))

    def result(self, job_id: str) -> Result:
        """Await the result of a job.

        Raises:
            TimeoutError: There is none in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: job_id in self._results, self._timeout_s):
                raise TimeoutError(f"no result of job {job_id} within {self._timeout_s:g} s")
            return self._results[job_id]

    def items(self, job_id: str) -> Iterator[Any]:
        """What a job yields, as it does so; ends when the job has ended.

        The result of a job is stored by default, and so are its items: nothing holds the task back. With the headers
        `{"x-result": "reply"}` it yields at most STREAM_WINDOW (64) items more than were taken here.

        Raises:
            JobRestartedError: The job has begun anew after items were taken; what the new start yields, another call
                gives from the first item on.
            JobFailedError: It ended with an error.
            TimeoutError: There is no next item in time, and no result.
        """
        taken, fence = 0, None
        while (told := self._next_told(job_id, taken, fence)) is not None:
            if fence is not None and told.fence != fence:
                raise JobRestartedError(f"job {job_id} began anew after {taken} items")
            fence = told.fence
            for body in told.items[taken:]:
                yield decode(body, max_bytes=self._settings.max_body_bytes)
                taken += 1
                if taken % _CREDIT_EVERY == 0:
                    self._give_credit(job_id, told, taken + STREAM_WINDOW)
        if (error := self.result(job_id).error) is not None:
            raise JobFailedError(job_id, error)

    def progress(self, job_id: str) -> tuple[float, str] | None:
        """How far a job has said that it is, and what it does; None: it has said nothing yet."""
        with self._arrived:
            told = self._told_of(job_id)
            return told.progress if told is not None else None

    def dead(self) -> list[DeadJob]:
        """The jobs that ended dead, in the order of their ends."""
        return self.on_loop(lambda: [job for queue in self._queues for job in self._dead_of(queue)])

    def on_loop(self, call: Callable[[], T]) -> T:
        """Call something where the worker lives, and return what it returns.

        The broker and the store in memory belong there: `harness.on_loop(harness.broker.lose)`.
        """

        async def run() -> T:
            return call()

        return self._wait(run(), self._timeout_s)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    async def _start(self) -> None:
        specs = await describe(self._settings.targets, self._settings.contracts)
        self._queues = [spec.name for spec in specs]
        self._worker = Worker(self._settings, specs, self.broker, self.store)
        await self._worker.start()
        server, queue = self.broker.server, self._topology.name(f"reply.{self._reply_to}")
        server.declare_queue(queue, {}, [(self._topology.name("replies"), self._reply_to)])
        server.listen(queue, self._replied)

    def _publish(self, task: str, properties: Properties, body: bytes) -> Confirm:
        """Publish a job, as a blob if it is too long for a message."""
        job_id = properties.message_id
        assert job_id is not None
        if len(body) > self._settings.max_body_bytes:
            blob = Blob.of(body)
            self.store.blobs.bodies[job_id, blob.sha256] = body
            properties, body = replace(properties, headers={**(properties.headers or {}), **blob.headers()}), b""
        return self.broker.server.publish(self._topology.name("jobs"), task, properties, body)

    def _next_told(self, job_id: str, taken: int, fence: int | None) -> Told | None:
        """Await the next item of a job: what it has told with it; None: there is none, the job has ended."""

        def ready() -> bool:
            told = self._told_of(job_id)
            return job_id in self._results or (
                told is not None and (len(told.items) > taken or fence not in (None, told.fence))
            )

        with self._arrived:
            if not self._arrived.wait_for(ready, self._timeout_s):
                raise TimeoutError(f"no item of job {job_id} within {self._timeout_s:g} s")
            told = self._told_of(job_id)
            if told is None or (len(told.items) <= taken and fence in (None, told.fence)):
                return None
            return told

    def _told_of(self, job_id: str) -> Told | None:
        """What the newest start of a job has told, by messages or in the store."""
        if (replied := self._told.get(job_id)) is not None:
            return replied
        return Told.stored(self.store.items.logs.get(job_id), self.store.items.newest.get(job_id))

    def _give_credit(self, job_id: str, told: Told, upto: int) -> None:
        if told.worker is not None:
            properties = messages.credit(job_id, worker=told.worker, fence=told.fence, upto=upto, user=GUEST)
            self.on_loop(lambda: self.broker.server.publish(self._topology.name("control"), "", properties))

    def _stored(self, _: str) -> None:
        with self._arrived:
            self._arrived.notify_all()

    def _replied(self, message: Message) -> None:
        if message.properties.type in (TYPE_ITEM, TYPE_PROGRESS):
            with self._arrived:
                hear(self._told, message)
                self._arrived.notify_all()
            return
        body = message.body
        if blob := Blob.named_by(message.headers):
            body = self.store.blobs.bodies[message.properties.correlation_id or "", blob.sha256]
        with self._arrived:
            result = decode_result(body, max_bytes=self._settings.max_blob_bytes)
            self._results.setdefault(result.job_id, result)
            self._arrived.notify_all()

    def _dead_of(self, queue: str) -> list[DeadJob]:
        dead = self.broker.server.queues[self._topology.dead_queue(queue)]
        return [
            DeadJob(
                job_id=message.properties.message_id or "",
                code=message.headers.get(HEADER_ERROR_CODE, ""),
                message=message.headers.get(HEADER_ERROR_MESSAGE, ""),
                headers=message.headers,
            )
            for message in dead.ready
        ]

    async def _stop(self, worker: Worker) -> None:
        worker.shutdown.request()
        try:
            await worker.drain()
        finally:
            await worker.close()

    def _close(self) -> None:
        worker, self._worker = self._worker, None
        try:
            if worker is not None:
                self._wait(self._stop(worker), _STOP_S)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_S)
            if not self._thread.is_alive():
                self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)


def _new_id(now_ms: int) -> str:
    """A UUIDv7 (RFC 9562, section 5.7)."""
    number = now_ms << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=number))

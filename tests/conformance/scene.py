"""A whole worker, with real children, on a broker and a store in memory or real ones; and a producer beside it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from penstock.broker.ports import Broker, Confirm
from penstock.domain.task import QueueSpec
from penstock.settings import WorkerSettings
from penstock.wire.job import Job, encode_job
from penstock.wire.result import Result, decode_result
from penstock.worker.worker import Worker
from tests.conformance.stage import QUEUE, Rig, Taken
from tests.conformance.store_rigs import Store, StoreRig
from tests.helpers.producer import new_id

T = TypeVar("T")

#: Seconds that one condition, and a whole scene, may take: children are started, on a machine that may be busy.
CONDITION_S = 40.0
SCENE_S = 120.0


@dataclass
class Running:
    """A worker that runs, and the task in which it does."""

    worker: Worker
    broker: Broker
    ends: asyncio.Task[Any]


class Scene:
    """A namespace with a producer; workers are started in it."""

    def __init__(self, rig: Rig, stores: StoreRig, specs: list[QueueSpec]) -> None:
        self.rig = rig
        self.stores = stores
        self.user = "guest"
        self.reply_to = f"{self.user}.web-1"
        self._specs = specs
        self._results: list[Result] = []
        self._running: list[Running] = []
        self._replies = ""

    async def set(self) -> None:
        """Declare what there is to be before a worker comes."""
        broker = await self.rig.connect()
        await broker.see_to(self.rig.topology, [QUEUE], strict=False)
        self._replies = self.rig.reply_queue(self.reply_to)

    # ── workers ─────────────────────────────────────────────────────────────────────────────────

    async def work(self) -> Running:
        """Start a worker and wait until it is ready."""
        settings = WorkerSettings(
            targets=("tests.helpers.tasks:t",),
            amqp_url="amqp://scene",
            namespace=self.rig.topology.namespace,
            http_port=None,
        )
        broker = self.rig.make()
        worker = Worker(settings, [replace(spec) for spec in self._specs], broker, self.stores.make())
        running = Running(worker, broker, asyncio.create_task(worker.run()))
        self._running.append(running)
        await until(lambda: running.ends.done() or not worker.not_ready())
        assert not running.ends.done(), running.ends.result()
        return running

    async def stop(self, running: Running) -> Any:
        """Stop a worker in peace; returns its exit status."""
        running.worker.shutdown.request()
        return await asyncio.wait_for(running.ends, CONDITION_S)

    async def end(self) -> None:
        """Take every worker down."""
        for running in self._running:
            running.worker.shutdown.request()
            running.worker.shutdown.request()
            with suppress(Exception):
                await asyncio.wait_for(running.ends, CONDITION_S)
        await self.rig.disconnect()
        # Children that were killed are gone only when their loop has heard of it.
        await until(lambda: not any(one.name.startswith("penstock-child-") for one in threading.enumerate()))

    # ── the producer ────────────────────────────────────────────────────────────────────────────

    def enqueue(self, task: str, args: dict[str, Any] | None = None, **given: Any) -> str:
        """Publish a job whose result is to be replied and stored; returns its id.

        `deadline` (Unix ms), `headers`, and properties of the message by their names.
        """
        now = int(time.time() * 1000)
        deadline = given.pop("deadline", None)
        job_id = given.pop("message_id", None) or new_id()
        body = encode_job(Job(id=job_id, task=task, tv=1, args=args or {}, created_at=now, deadline=deadline))
        headers = {"x-result": "reply+stored", **given.pop("headers", {})}
        if deadline is not None:
            headers["x-deadline"] = deadline
        properties = {
            "type": "job.v1",
            "content_type": "application/vnd.msgpack",
            "message_id": job_id,
            "correlation_id": job_id,
            "reply_to": self.reply_to,
            "user_id": self.user,
            "delivery_mode": 2,
            "headers": headers,
        }
        confirm = self.rig.publish(self.rig.topology.name("jobs"), task, body, **{**properties, **given})
        assert confirm is Confirm.ACKED
        return str(job_id)

    async def result(self, job_id: str) -> Result:
        """Await the reply to a job."""
        return await awaited(lambda: next(iter(self.replies(job_id)), None))

    def replies(self, job_id: str) -> list[Result]:
        """All replies to a job that have come so far."""
        while taken := self.rig.take(self._replies):
            self._results.append(decode_result(taken.body))
        return [result for result in self._results if result.job_id == job_id]

    async def stored(self, job_id: str) -> bytes | None:
        """The stored result of a job."""
        async with _opened(self.stores.make()) as store:
            return await store.get(job_id)

    async def dead(self) -> Taken:
        """Await a dead job."""
        return await awaited(lambda: self.rig.take(self.rig.topology.dead_queue(QUEUE)))

    async def quiet(self) -> None:
        """Stop every worker, then see that no job is left anywhere."""
        for running in self._running:
            if not running.ends.done():
                await self.stop(running)
        for queue in self.rig.topology.queues([QUEUE]):
            assert self.rig.ready(queue.name) == 0, queue.name


class _opened:  # noqa: N801 -- reads as a verb
    """A store that is open for a moment."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __aenter__(self) -> Store:
        await self._store.open()
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    await awaited(lambda: condition() or None)


async def awaited(find: Callable[[], T | None]) -> T:
    """Poll until something is found; returns it."""
    async with asyncio.timeout(CONDITION_S):
        while (found := find()) is None:  # noqa: ASYNC110 -- processes set no event
            await asyncio.sleep(0.005)
    return found


def play_scene(scene: Coroutine[Any, Any, None]) -> None:
    """Play a scene within its time."""

    async def run() -> None:
        await asyncio.wait_for(scene, SCENE_S)

    asyncio.run(run())

"""ServedQueue: what a drain gives back as unstarted and what as begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.domain.batch import Batch
from penstock.domain.delivery import Delivery
from penstock.domain.task import QueueSpec
from penstock.domain.topology import Topology
from penstock.settings import WorkerSettings
from penstock.worker.cancels import Cancels
from penstock.worker.drain import Tally
from penstock.worker.served import ServedQueue
from penstock.worker.shutdown import Shutdown
from tests.unit.builders import job_id, make_queue, make_task
from tests.unit.worker.fakes import Desk


class CuttingLane:
    """A lane in which one job waits, and one runs with two behind it in its child until the drain cuts it off."""

    def __init__(self, jobs: list[Delivery]) -> None:
        self._cut_off, *self._ahead = jobs[:3]
        self._waiting = jobs[3:]

    def take_waiting(self) -> list[Delivery]:
        taken, self._waiting = self._waiting, []
        return taken

    async def stop(self, _drain_s: float) -> list[Delivery]:
        self._waiting = self._ahead
        return [self._cut_off]


@pytest.mark.parametrize(("slots", "size", "prefetch"), [(3, None, 6), (3, 64, 3 * 128), (64, 1024, 65_535)])
def test_a_worker_asks_for_as_many_jobs_as_run_and_as_many_again(slots: int, size: int | None, prefetch: int) -> None:
    # Given a queue, with or without a task that runs several jobs in one call
    asked: list[int] = []
    batch = size and Batch(size=size)
    queue = make_queue(make_task("stats.a"), make_task("stats.b", batch=batch or None), slots=slots)

    # When it is served
    serve(queue, Desk(Topology("penstock")), lambda *_, prefetch, **__: asked.append(prefetch))

    # Then that many are asked for
    assert asked == [prefetch]


def serve(queue: QueueSpec, desk: Desk, consumer: Callable[..., Any]) -> ServedQueue:
    """A queue whose lane is not started."""
    return ServedQueue(
        queue,
        WorkerSettings(targets=("app:stats",), amqp_url="amqp://127.0.0.1"),
        worker="shop.worker-1",
        broker=cast("Any", SimpleNamespace(consumer=consumer, publisher=desk.publisher)),
        settlement=desk.settlement,
        store=None,
        claims=None,
        in_hand=desk.in_hand,
        cancels=Cancels(),
        metrics=desk.metrics,
        shutdown=Shutdown(),
    )


def test_a_drain_counts_a_hand_out_against_the_job_that_ran_and_against_no_other() -> None:
    async def test() -> None:
        # Given a queue on a broker that counts every hand-out, with four jobs
        desk = Desk(Topology("penstock"))
        consumer = SimpleNamespace(stop=lambda: None)
        served = serve(make_queue(), desk, lambda *_, **__: consumer)
        jobs = [desk.delivery(job_id=job_id(number), tag=number) for number in (1, 2, 3, 4)]
        served.lane = cast("Any", CuttingLane(jobs))

        # When it is drained, and the first is cut off
        tally = Tally()
        await served.drain(1.0, tally)

        # Then copies of all four wait, and only the first has spent something
        copies = {copy.properties.message_id: copy.headers.get("x-deliveries", 0) for copy in desk.publisher.messages}
        assert copies == {job_id(1): 1, job_id(2): 0, job_id(3): 0, job_id(4): 0}
        assert (tally.handed_back, tally.given_back) == (1, 3)

    asyncio.run(test())

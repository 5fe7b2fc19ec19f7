"""What becomes of a job in a whole worker, on the broker and the store in memory and on the real ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.dev.private import Redis
from penstock.domain.task import QueueSpec
from penstock.lanes.catalog import describe
from penstock.testing.clock import LoopClock
from penstock.wire.registry import Exit
from penstock.wire.result import Result, decode_result, encode_result
from tests.conformance.rigs import NAMES, new_rig
from tests.conformance.scene import Scene, play_scene, until
from tests.conformance.store_rigs import MemoryStoreRig, RedisRig
from tests.helpers.producer import new_id

Play = Callable[[Callable[[Scene], Coroutine[Any, Any, None]]], None]


@pytest.fixture(scope="module")
def specs() -> list[QueueSpec]:
    return asyncio.run(describe(["tests.helpers.tasks:t"], "contracts/tasks"))


@pytest.fixture(params=NAMES)
def play(request: pytest.FixtureRequest, specs: list[QueueSpec], redis_server: Callable[[], Redis]) -> Iterator[Play]:
    """Runs a test in a scene where no worker is yet."""
    rig = new_rig(request.param, LoopClock())
    stores = RedisRig(redis_server()) if request.param == "RabbitMQ" else MemoryStoreRig()

    async def run(test: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
        scene = Scene(rig, stores, specs)
        try:
            await scene.set()
            await test(scene)
        finally:
            await scene.end()

    yield lambda test: play_scene(run(test))
    stores.close()
    rig.close()


def test_a_job_has_one_result_and_leaves_nothing_behind(play: Play) -> None:
    async def test(scene: Scene) -> None:
        await scene.work()
        job = scene.enqueue("t.add", {"a": 1, "b": 2})
        assert ((await scene.result(job)).value, len(scene.replies(job))) == (3, 1)
        stored = await scene.stored(job)
        assert stored is not None
        assert decode_result(stored).value == 3
        await scene.quiet()

    play(test)


def test_a_job_that_fails_goes_down_the_ladder_and_succeeds(play: Play) -> None:
    async def test(scene: Scene) -> None:
        await scene.work()
        began = time.monotonic()
        result = await scene.result(scene.enqueue("t.flaky", {"succeed_at": 2}))
        assert (result.value, result.attempt) == (2, 2)
        assert time.monotonic() - began >= 1.0, "the shortest level is a second"
        await scene.quiet()

    play(test)


def test_a_job_that_fails_for_good_is_with_the_dead_and_answered(play: Play) -> None:
    async def test(scene: Scene) -> None:
        await scene.work()
        job = scene.enqueue("t.never")
        result = await scene.result(job)
        assert result.error is not None
        assert result.error.code == "TASK_ERROR"
        dead = await scene.dead()
        assert (dead.routing_key, dead.properties.message_id) == ("t.never", job)
        assert (dead.headers["x-error-code"], dead.headers["x-attempt"]) == ("TASK_ERROR", 1)
        await scene.quiet()

    play(test)


def test_a_job_that_kills_its_child_is_tried_again_alone(play: Play, tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        await scene.work()
        crashing = scene.enqueue("t.crash_once", {"path": str(tmp_path / "pid")})
        neighbours = [scene.enqueue("t.add", {"a": number}) for number in range(10)]
        result = await scene.result(crashing)
        assert (result.attempt, result.value["attempt"]) == (2, 2)
        assert {(await scene.result(job)).attempt for job in neighbours} == {1}
        await scene.quiet()

    play(test)


def test_a_job_whose_deadline_has_passed_is_not_started(play: Play, tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        await scene.work()
        path = tmp_path / "ran"
        job = scene.enqueue("t.count", {"path": str(path)}, deadline=int(time.time() * 1000) - 1)
        result = await scene.result(job)
        assert result.error is not None
        assert (result.error.code, result.attempt) == ("EXPIRED", 0)
        await scene.quiet()
        assert not path.exists()

    play(test)


def test_a_job_that_is_not_due_waits_in_the_broker(play: Play) -> None:
    async def test(scene: Scene) -> None:
        await scene.work()
        due_ms = int(time.time() * 1000) + 1500
        result = await scene.result(scene.enqueue("t.whoami", headers={"x-not-before": due_ms}))
        assert result.value["attempt"] == 1
        assert result.started_at is not None
        assert result.started_at >= due_ms - 1000
        await scene.quiet()

    play(test)


def test_a_job_that_runs_while_the_connection_is_lost_runs_once(play: Play, tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        # Given a job that has begun
        running = await scene.work()
        path = tmp_path / "held"
        job = scene.enqueue("t.hold", {"path": str(path), "seconds": 1.0})
        await until(path.exists)

        # When the connection is lost and found, and the broker hands the job out again
        scene.rig.lose()
        await until(lambda: bool(running.broker.troubles()))
        scene.rig.restore()

        # Then its one attempt is its result
        result = await scene.result(job)
        assert (result.value, result.attempt) == (1.0, 1)
        await scene.quiet()
        assert path.read_text().split() == [job]
        assert len(scene.replies(job)) == 1

    play(test)


def test_a_job_that_is_redelivered_and_has_a_result_is_answered_without_running(play: Play, tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        # Given a job whose first worker stored its result and died before the ack
        path, job = tmp_path / "ran", new_id()
        scene.enqueue("t.count", {"path": str(path)}, message_id=job)
        first = encode_result(
            Result(job_id=job, task="t.count", tv=1, attempt=1, finished_at=1, worker="guest.first", value=7)
        )
        await _die_with_it(scene)
        store = scene.stores.make()
        await store.open()
        kept: list[bool] = []
        store.put(job, first, None, kept.append)
        await until(lambda: kept == [True])
        await store.close()

        # When another worker gets it
        await scene.work()

        # Then the requester has the first one's answer
        result = await scene.result(job)
        assert (result.value, result.worker) == (7, "guest.first")
        await scene.quiet()
        assert not path.exists()
        assert await scene.stored(job) == first

    play(test)


def test_a_job_that_is_redelivered_without_a_result_runs(play: Play, tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        job = scene.enqueue("t.count", {"path": str(tmp_path / "ran")})
        await _die_with_it(scene)
        await scene.work()
        assert (await scene.result(job)).value == 1
        await scene.quiet()

    play(test)


async def _die_with_it(scene: Scene) -> None:
    """A worker takes the job and is gone."""
    taken: list[object] = []
    broker = await scene.rig.connect()
    broker.consumer(scene.rig.topology.work_queue("t"), prefetch=1, on_message=lambda *given: taken.append(given))
    broker.consume()
    await until(lambda: bool(taken))
    await broker.close()


def test_a_result_whose_requester_is_gone_is_kept_and_the_job_is_over(play: Play) -> None:
    async def test(scene: Scene) -> None:
        await scene.work()
        job = scene.enqueue("t.add", {"a": 1}, reply_to="guest.gone")
        last = scene.enqueue("t.add", {"a": 2})
        await scene.result(last)
        await scene.quiet()
        stored = await scene.stored(job)
        assert stored is not None
        assert decode_result(stored).value == 11

    play(test)


def test_while_the_store_is_away_results_wait_and_no_job_is_taken(play: Play, tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        # Given a worker whose store goes while a job runs
        running = await scene.work()
        path = tmp_path / "ran"
        await scene.result(scene.enqueue("t.noop"))
        scene.stores.lose()
        first = scene.enqueue("t.count", {"path": str(path)})
        await until(path.exists)
        await until(lambda: any("does not take results" in reason for reason in running.worker.not_ready()))
        await until(lambda: not running.worker.queues[0].consumer.consuming)

        # When more jobs come, they are left alone as soon as the broker has heard of the pause
        more: list[str] = []

        def left_alone() -> bool:
            more.append(scene.enqueue("t.add", {"a": 1}))
            return scene.rig.ready(scene.rig.topology.work_queue("t")) > 0

        await until(left_alone)
        assert scene.replies(first) == []

        # Then all of them end when the store is back, and none ran twice
        scene.stores.restore()
        assert (await scene.result(first)).value == 1
        assert {(await scene.result(job)).value for job in more} == {11}
        await until(lambda: running.worker.not_ready() == [])
        await scene.quiet()

    play(test)


def test_a_worker_that_stops_loses_and_spends_nothing(play: Play, tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        # Given a worker whose slots are taken, with more jobs in hand
        first = await scene.work()
        held = [
            scene.enqueue("t.hold", {"path": str(tmp_path / f"held-{number}"), "seconds": 0.5}) for number in range(2)
        ]
        await until(lambda: len(list(tmp_path.iterdir())) == 2)
        waiting = [scene.enqueue("t.add", {"a": number}) for number in range(8)]

        # When it is told to stop
        assert await scene.stop(first) == Exit.OK

        # Then what ran is answered, and the rest is the next one's, as its first attempt
        assert [(await scene.result(job)).attempt for job in held] == [1, 1]
        await scene.work()
        results = [await scene.result(job) for job in waiting]
        assert [(result.value, result.attempt) for result in results] == [(number + 10, 1) for number in range(8)]
        await scene.quiet()

    play(test)

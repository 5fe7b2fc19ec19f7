"""Worker: what can be said of it before it has reached anybody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.broker.rabbitmq import RabbitMQ
from penstock.domain.task import QueueSpec
from penstock.errors import UnavailableError, UsageError
from penstock.results.redis import RedisResults
from penstock.settings import WorkerSettings
from penstock.worker import worker as module
from penstock.worker.worker import Worker, connect, run
from tests.unit.builders import make_queue
from tests.unit.waiting import until

SETTINGS = WorkerSettings(
    targets=("app:stats",),
    amqp_url="amqp://shop:hunter2@127.0.0.1:1/",
    instance="w-1",
    http_port=None,
    connect_timeout_s=0.0,
)


def made(settings: WorkerSettings = SETTINGS) -> Worker:
    return Worker(settings, [make_queue()], *connect(settings))


async def described(*_: Any) -> list[QueueSpec]:
    return [make_queue()]


def test_a_worker_is_named_after_its_user_and_its_instance() -> None:
    async def test() -> None:
        assert made().name == "shop.w-1"

    asyncio.run(test())


def test_before_it_has_started_and_when_it_stops_a_worker_is_not_ready() -> None:
    async def test() -> None:
        worker = made()
        assert worker.not_ready() == ["starting"]
        worker.shutdown.request()
        assert worker.not_ready() == ["draining"]

    asyncio.run(test())


def test_a_url_with_a_mistake_is_refused_before_anything_is_started() -> None:
    with pytest.raises(UsageError, match="does not begin with amqp://"):
        connect(WorkerSettings(targets=("app:stats",), amqp_url="amqp//rabbit"))


def test_a_worker_has_a_store_when_it_is_told_where() -> None:
    async def test() -> None:
        broker, store = connect(SETTINGS)
        assert isinstance(broker, RabbitMQ)
        assert store is None
        settings = WorkerSettings(targets=("app:stats",), amqp_url="amqp://rabbit", redis_url="redis://127.0.0.1:1/0")
        _, store = connect(settings)
        assert isinstance(store, RedisResults)
        await store.close()

    asyncio.run(test())


def test_a_worker_that_reaches_no_broker_says_so_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "describe", described)

    async def test() -> None:
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await run(SETTINGS)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(test())


def test_a_signal_ends_a_worker_that_is_still_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warming up may take minutes; nobody should have to kill -9 a worker that was started by mistake."""
    # Given a worker whose start takes for ever
    workers: list[Worker] = []

    async def start(worker: Worker) -> None:
        workers.append(worker)
        await asyncio.Event().wait()

    monkeypatch.setattr(Worker, "start", start)
    monkeypatch.setattr(module, "describe", described)

    async def test() -> None:
        running = asyncio.create_task(run(SETTINGS))
        await until(lambda: bool(workers))

        # When it is asked to stop
        workers[0].shutdown.request()
        done, _ = await asyncio.wait([running], timeout=2)
        ended = running in done
        running.cancel()
        await asyncio.wait([running])

        # Then it stops
        assert ended

    asyncio.run(test())

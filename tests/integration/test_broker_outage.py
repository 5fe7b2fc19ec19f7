"""The broker stops, is killed, freezes or refuses messages: its workers wait, say why, and lose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from ops.dev.private import Broker
from penstock.domain.topology import Topology
from penstock.wire.codec import decode
from penstock.wire.items import items_of
from tests.helpers.private import private_broker
from tests.helpers.producer import Producer
from tests.helpers.reading import metric, ready, says
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess

StartWorker = Callable[..., WorkerProcess]
STORED = {"x-result": "stored"}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with private_broker() as made:
        yield made


@pytest.fixture
def amqp_url(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the other fixtures take for the broker."""
    broker.start()
    for name, value in broker.environment().items():
        monkeypatch.setenv(name, value)
    return broker.url


@pytest.mark.parametrize("ends", ["stopped", "killed"])
def test_no_job_is_lost_when_the_broker_goes_and_comes_back(
    ends: str, broker: Broker, amqp_url: str, topology: Topology, start_worker: StartWorker, redis_url: str
) -> None:
    # Given a worker in the middle of its jobs, some of which wait for another attempt
    worker = start_worker()
    with Producer(amqp_url, topology) as producer:
        jobs = [producer.enqueue("t.flaky", {"succeed_at": 1 + a % 2}, headers=STORED) for a in range(400)]

    # When the broker ends, for a while
    try:
        (broker.stop if ends == "stopped" else broker.kill)()
        says(worker, "no connection to RabbitMQ (consume)")
    finally:
        broker.start()

    # Then every job that was accepted ends in a result
    with redis.Redis.from_url(redis_url) as store:
        keys = [f"{topology.namespace}:result:{{{job_id}}}" for job_id in jobs]
        until(lambda: store.exists(*keys) == len(keys), "every job has a result", 90)
        store.delete(*keys)
    ready(worker)
    with Producer(amqp_url, topology) as producer:
        until(lambda: producer.depth("q.t") == 0, "the queue is empty")
        assert producer.depth("dead.t") == producer.depth("lost") == 0


@pytest.mark.parametrize("ends", ["stopped", "killed"])
def test_a_job_that_yields_goes_on_without_the_broker_and_its_stored_items_are_whole(
    ends: str,
    broker: Broker,
    amqp_url: str,
    topology: Topology,
    start_worker: StartWorker,
    redis_url: str,
    tmp_path: Path,
) -> None:
    # Given a job in the middle of its items
    path = tmp_path / "notes"
    worker = start_worker(target="tests.helpers.stream_tasks:t")
    with Producer(amqp_url, topology) as producer:
        job_id = producer.enqueue("t.paced", {"path": str(path), "n": 200}, headers=STORED)
    until(lambda: path.exists() and len(path.read_text().splitlines()) == 10, "the tenth item")

    # When the broker ends for a while, in which the job yields the others
    try:
        (broker.stop if ends == "stopped" else broker.kill)()
        says(worker, "no connection to RabbitMQ (consume)")
        (tmp_path / "notes.go").touch()
        until(lambda: len(path.read_text().splitlines()) == 200, "all items")
    finally:
        broker.start()

    # Then the job is settled once, and its items are those of one start
    with redis.Redis.from_url(redis_url) as store:
        key, log = (f"{topology.namespace}:{what}:{{{job_id}}}" for what in ("result", "items"))
        until(lambda: store.exists(key), "the result is stored", 60)
        items = [decode(item) for item in items_of(store.get(log) or b"")]
        store.delete(key, log)
    assert [number for _, number in items] == list(range(200))
    assert len({fence for fence, _ in items}) == 1
    ready(worker)
    assert len(path.read_text().splitlines()) == 200


def test_a_broker_that_freezes_is_noticed(
    broker: Broker, amqp_url: str, topology: Topology, start_worker: StartWorker
) -> None:
    # Given a worker and a broker that stands still
    worker = start_worker("--amqp-url", f"{amqp_url}?heartbeat=2")
    with Producer(amqp_url, topology) as producer:
        assert producer.call("t.add", {"a": 1}).value == 11
    broker.pause()
    try:
        # When nothing comes from it any more, then the worker gives it up
        says(worker, "no connection to RabbitMQ (consume)")
    finally:
        broker.resume()

    # And it comes back when the broker does
    ready(worker, 60)
    with Producer(amqp_url, topology) as producer:
        assert producer.call("t.add", {"a": 1}).value == 11


def test_while_the_broker_takes_no_messages_replies_wait_and_no_more_jobs_are_taken(
    broker: Broker, amqp_url: str, topology: Topology, producer: Producer, start_worker: StartWorker, tmp_path: Path
) -> None:
    # Given jobs that came in before the broker ran out of memory
    start_worker().stop()
    jobs = [producer.enqueue("t.hold", {"path": str(tmp_path / "begun"), "seconds": 0.3}) for _ in range(60)]
    broker.control("set_vm_memory_high_watermark", "absolute", "1")
    try:
        # When a worker runs them
        worker = start_worker()

        # Then it says that their replies cannot leave, and takes no more
        says(worker, "RabbitMQ takes no messages")
        assert metric(worker, 'penstock_amqp_blocked{connection="publish"}') == 1
        assert metric(worker, 'penstock_amqp_blocked{connection="consume"}') == 0
        until(lambda: metric(worker, 'penstock_intake_paused{queue="t"}') == 1, "intake is paused")
        until(lambda: metric(worker, 'penstock_jobs_in_progress{queue="t"}') == 0, "what it had has run")
        assert producer.depth("q.t") > 30
    finally:
        broker.control("set_vm_memory_high_watermark", "0.5")

    # And when the broker has memory again, every reply comes, over the same connections
    assert [producer.result(job_id, 60).value for job_id in jobs] == [0.3] * 60
    ready(worker)
    assert len((tmp_path / "begun").read_text().splitlines()) == 60
    for connection in ("consume", "publish"):
        assert metric(worker, f'penstock_amqp_reconnects_total{{connection="{connection}"}}') == 0
    assert [len(worker.records(f"amqp.{what}")) for what in ("blocked", "unblocked")] == [1, 1]


def test_a_worker_can_stop_while_the_broker_takes_no_messages(
    broker: Broker, producer: Producer, start_worker: StartWorker
) -> None:
    # Given a worker whose reply cannot leave
    start_worker().stop()
    job_id = producer.enqueue("t.add", {"a": 1})
    broker.control("set_vm_memory_high_watermark", "absolute", "1")
    try:
        worker = start_worker("--drain", "2")
        says(worker, "RabbitMQ takes no messages")

        # When it is told to stop
        began = time.monotonic()
        worker.process.terminate()

        # Then it stops in time and says what is left
        assert worker.wait() == 75
        assert time.monotonic() - began < 15
        assert worker.records("worker.stopped")[0]["unsettled"] == 1
    finally:
        broker.control("set_vm_memory_high_watermark", "0.5")

    # And the job is done by another worker
    start_worker()
    assert producer.result(job_id).value == 11

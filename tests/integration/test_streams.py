"""Items and progress on their way: as the specification says, through faults, and to nobody."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from penstock.wire.codec import decode
from penstock.wire.items import items_of
from penstock.wire.registry import STREAM_WINDOW
from tests.helpers.forwarder import Forwarder
from tests.helpers.producer import Producer
from tests.helpers.reading import metric, ready
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess

Start = Callable[..., WorkerProcess]
TASKS = "tests.helpers.stream_tasks:t"
REPLY = {"x-result": "reply"}
STORED = {"x-result": "stored"}
SENT = 'penstock_items_sent_total{{queue="t",task="{}"}}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where tasks note what they have done."""
    return tmp_path / "notes"


@pytest.fixture
def store(redis_url: str) -> Iterator[Any]:
    client: Any = redis.Redis.from_url(redis_url)
    yield client
    client.close()


def notes(path: Path) -> int:
    """How many items a task has noted."""
    return len(path.read_text().splitlines()) if path.exists() else 0


def go_on(path: Path) -> None:
    """Let a paced task go beyond its tenth item."""
    Path(f"{path}.go").touch()


def seqs(told: list[tuple[Any, bytes]]) -> list[int]:
    return [properties.headers["x-seq"] for properties, _ in told if properties.type == "item.v1"]


def test_items_are_messages_before_the_result_and_credit_lets_them_go_on(
    producer: Producer, start_worker: Start, path: Path
) -> None:
    # Given a job that yields twice as much as may be on its way
    worker = start_worker(target=TASKS)
    count = 2 * STREAM_WINDOW
    job_id = producer.enqueue("t.count", {"n": count, "path": str(path)}, headers=REPLY)

    # When a reader gets the first of it, and gives no credit
    told = producer.told(job_id, STREAM_WINDOW)
    assert seqs(told) == list(range(STREAM_WINDOW))
    until(lambda: notes(path) == STREAM_WINDOW + 1, "the task waits")
    producer.call("t.count", {"n": 0})
    assert len(producer.told(job_id)) == STREAM_WINDOW

    # Then the rest comes once it has, and the result after it
    producer.credit(job_id, count)
    result = producer.result(job_id)
    assert (result.value, result.items) == (count, count)
    told = producer.told(job_id, count + 1)
    assert seqs(told) == list(range(count))
    assert [decode(body) for _, body in told[:-1]] == list(range(count))
    assert told[-1][0].type == "result.v1"

    # And each says which start it is of, the result too, and the items who sent them
    name = worker.records("worker.ready")[0]["worker"]
    fences = {properties.headers["x-fence"] for properties, _ in told}
    assert {properties.headers["x-worker"] for properties, _ in told[:-1]} == {name}
    assert len(fences) == 1
    assert metric(worker, SENT.format("t.count")) == count


def test_a_requester_that_is_gone_holds_no_task_back(
    amqp_url: str, producer: Producer, start_worker: Start, path: Path
) -> None:
    # Given a job that waits for its reader
    worker = start_worker(target=TASKS)
    with Producer(amqp_url, producer.topology) as gone:
        gone.told(gone.enqueue("t.count", {"n": 500, "path": str(path)}, headers=REPLY), STREAM_WINDOW)
        until(lambda: notes(path) == STREAM_WINDOW + 1, "the task waits")

    # When that goes away without a word, then the task goes on, and is settled
    until(lambda: notes(path) == 501, "the task has yielded all, and ended")
    until(lambda: metric(worker, 'penstock_replies_unroutable_total{queue="t"}') == 1, "the reply found nobody")
    assert metric(worker, SENT.format("t.count")) == STREAM_WINDOW
    assert worker.stop() == 0
    assert producer.depth("q.t") == 0


def test_a_reader_who_has_enough_holds_no_task_back(producer: Producer, start_worker: Start, path: Path) -> None:
    start_worker(target=TASKS)
    job_id = producer.enqueue("t.count", {"n": 500, "path": str(path)}, headers=REPLY)
    producer.told(job_id, STREAM_WINDOW)
    producer.credit(job_id, -1)
    assert producer.result(job_id).items == 500
    assert seqs(producer.told(job_id)) == list(range(STREAM_WINDOW))


def test_stored_items_lie_in_redis_as_the_specification_says(
    producer: Producer, start_worker: Start, store: Any, path: Path
) -> None:
    # Given a job whose result is stored
    start_worker(target=TASKS)
    namespace = producer.topology.namespace
    job_id = producer.enqueue("t.count", {"n": 300}, headers=STORED)
    result = f"{namespace}:result:{{{job_id}}}"
    until(lambda: store.exists(result), "the result is stored")

    # Then its items are there, all of them, and live as long
    log = store.get(f"{namespace}:items:{{{job_id}}}")
    assert log[:8] == (10_000).to_bytes(8, "big")
    assert log[8:22] == bytes.fromhex("0000000100 0000000101 00000001")
    assert [decode(item) for item in items_of(log)] == list(range(300))
    assert abs(store.pttl(f"{namespace}:items:{{{job_id}}}") - store.pttl(result)) < 10_000

    # And so is the newest progress of another
    other = producer.enqueue("t.tell", {"path": str(path), "times": 1000}, headers=STORED)
    key = f"{namespace}:progress:{{{other}}}"
    until(lambda: (store.get(key) or b"").endswith(b"step 1000"), "the newest progress")
    path.touch()
    assert decode(store.get(key)[8:]) == {"fraction": 0.5, "text": "step 1000"}
    until(lambda: store.exists(f"{namespace}:result:{{{other}}}"), "the other result is stored")
    for key in store.scan_iter(f"{namespace}:*"):
        store.delete(key)


@pytest.mark.parametrize("mode", ["reply", "stored"])
def test_the_next_start_after_a_killed_worker_yields_everything_anew(
    producer: Producer, start_worker: Start, store: Any, path: Path, mode: str
) -> None:
    # Given a job in the middle of its items
    worker = start_worker(target=TASKS)
    job_id = producer.enqueue("t.paced", {"path": str(path), "n": 40}, headers={"x-result": mode})
    until(lambda: notes(path) == 10, "the tenth item")
    key = f"{producer.topology.namespace}:items:{{{job_id}}}"
    if mode == "stored":
        until(lambda: len(list(items_of(store.get(key) or b""))) == 10, "ten items are stored")
    else:
        producer.told(job_id, 10)

    # When its worker is killed, and another one comes
    worker.signal(signal.SIGKILL)
    worker.wait()
    go_on(path)
    start_worker(target=TASKS)

    # Then that one yields from the first item on, with a larger fence
    if mode == "stored":
        result_key = f"{producer.topology.namespace}:result:{{{job_id}}}"
        until(lambda: store.exists(result_key), "the result is stored", 60)
        items = [decode(item) for item in items_of(store.get(key))]
        first = 10_000
        store.delete(key, result_key)
    else:
        producer.result(job_id, 60)
        told = [(p.headers, decode(body)) for p, body in producer.told(job_id) if p.type == "item.v1"]
        first = told[0][0]["x-fence"]
        assert [item for _, item in told[:10]] == [[first, number] for number in range(10)]
        items = [item for _, item in told[10:]]
        assert [headers["x-seq"] for headers, _ in told[10:]] == list(range(40))
    assert [number for _, number in items] == list(range(40))
    (fence,) = {fence for fence, _ in items}
    assert fence > first


def test_a_connection_that_is_cut_costs_no_item(
    producer: Producer, start_worker: Start, amqp_url: str, path: Path
) -> None:
    with Forwarder(amqp_url) as forwarder:
        # Given a job in the middle of its items
        worker = start_worker("--amqp-url", forwarder.url, target=TASKS)
        job_id = producer.enqueue("t.paced", {"path": str(path), "n": 40}, headers=REPLY)
        producer.told(job_id, 10)

        # When its worker loses its connections, and the job yields meanwhile
        forwarder.refuse()
        forwarder.cut()
        go_on(path)
        until(lambda: notes(path) == 40, "the task has yielded all")
        forwarder.refuse(False)
        ready(worker)

        # Then all come once there is a connection again, in order, and the result after them
        assert producer.result(job_id, 60).items == 40
        arrived = seqs(producer.told(job_id))
        assert sorted(set(arrived)) == list(range(40))
        assert list(dict.fromkeys(arrived)) == list(range(40))
        assert worker.stop() == 0

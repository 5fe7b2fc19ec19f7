"""Whatever happens to its connections, a worker loses no job, says why it does not work, and goes on afterwards."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from ops.dev.private import Redis
from penstock.domain.topology import Topology
from penstock.wire.result import decode_result
from tests.helpers import management
from tests.helpers.forwarder import Direction, Forwarder
from tests.helpers.private import private_redis
from tests.helpers.producer import Producer
from tests.helpers.reading import metric, ready, reasons, says
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess

StartWorker = Callable[..., WorkerProcess]

#: Heartbeat of workers that are to notice a dead peer soon, in seconds.
HEARTBEAT = "?heartbeat=2"


@pytest.fixture
def forwarder(amqp_url: str) -> Iterator[Forwarder]:
    """Stands between the worker and the broker; the producer goes straight to it."""
    with Forwarder(amqp_url) as made:
        yield made


def starts(path: Path) -> int:
    """How often a job of `t.hold` was started."""
    return len(path.read_text().splitlines()) if path.exists() else 0


def holding(producer: Producer, path: Path, seconds: float, **given: object) -> str:
    """A job that runs for some seconds; returns its id when it has begun."""
    job_id = producer.enqueue("t.hold", {"path": str(path), "seconds": seconds}, **given)
    until(path.exists, "the job runs")
    return job_id


# ── connections that end ────────────────────────────────────────────────────────────────────────────


def test_a_job_that_runs_while_its_connections_are_closed_is_not_started_again(
    producer: Producer, worker: WorkerProcess, tmp_path: Path
) -> None:
    # Given a running job
    instance = worker.records("worker.ready")[0]["worker"].partition(".")[2]
    begun = tmp_path / "begun"
    until(lambda: management.close_connections(instance) == 2, "the broker lists and closes both connections", 30)
    ready(worker)
    job_id = holding(producer, begun, 8.0)

    # When the broker closes both connections of the worker
    until(lambda: management.close_connections(instance) == 2, "the broker lists and closes both connections", 30)

    # Then the broker hands the job out again, and the worker settles the one that runs
    assert producer.result(job_id).value == 8.0
    assert starts(begun) == 1
    assert metric(worker, 'penstock_deliveries_adopted_total{queue="t"}') == 1
    ready(worker)
    assert producer.call("t.add", {"a": 1}).value == 11
    assert len(producer.replies(job_id)) == 1
    for connection in ("consume", "publish"):
        assert metric(worker, f'penstock_amqp_reconnects_total{{connection="{connection}"}}') == 2


def test_no_job_is_lost_when_connections_are_cut_again_and_again(
    producer: Producer, start_worker: StartWorker, forwarder: Forwarder
) -> None:
    # Given a worker under load
    worker = start_worker("--amqp-url", forwarder.url)
    jobs: list[tuple[str, int]] = []

    # When its connections are cut, both and one of them
    for cut in (forwarder.cut, forwarder.cut_oldest, forwarder.cut):
        jobs += [(producer.enqueue("t.add", {"a": a}), a) for a in range(len(jobs), len(jobs) + 200)]
        cut()
        jobs += [(producer.enqueue("t.add", {"a": a}), a) for a in range(len(jobs), len(jobs) + 200)]
        ready(worker)

    # Then every job has its result
    assert all(producer.result(job_id).value == a + 10 for job_id, a in jobs)
    until(lambda: producer.depth("q.t") == 0, "the queue is empty")
    assert producer.depth("dead.t") == producer.depth("lost") == 0


def test_a_worker_that_cannot_reach_the_broker_says_so_and_comes_back(
    producer: Producer, start_worker: StartWorker, forwarder: Forwarder
) -> None:
    # Given a worker whose broker is out of reach
    worker = start_worker("--amqp-url", forwarder.url)
    forwarder.refuse()
    forwarder.cut()

    # When a job comes, then it waits, and the worker says why
    says(worker, "no connection to RabbitMQ (consume)")
    says(worker, "no connection to RabbitMQ (publish)")
    job_id = producer.enqueue("t.add", {"a": 1})
    assert metric(worker, 'penstock_amqp_connection_up{connection="consume"}') == 0
    assert worker.get("/livez")[0] == 200

    # And when the broker is there again, it is done
    forwarder.refuse(False)
    assert producer.result(job_id, 60).value == 11
    ready(worker)


@pytest.mark.parametrize(
    "directions",
    [list(Direction), [Direction.TO_SERVER], [Direction.TO_CLIENT]],
    ids=["both ways", "to the server", "to the client"],
)
def test_a_peer_that_falls_silent_is_noticed_and_left(
    producer: Producer,
    start_worker: StartWorker,
    forwarder: Forwarder,
    directions: list[Direction],
    tmp_path: Path,
) -> None:
    # Given a worker with a running job
    worker = start_worker("--amqp-url", forwarder.url + HEARTBEAT)
    begun = tmp_path / "begun"
    running = holding(producer, begun, 2.0)

    # When its network swallows everything, and nobody closes a connection
    forwarder.stall(directions)
    waiting = [producer.enqueue("t.add", {"a": a}) for a in range(20)]

    # Then it notices by itself
    says(worker, "no connection to RabbitMQ")

    # And when the network is back, everything is done
    forwarder.flow()
    assert producer.result(running, 60).value == 2.0
    assert [producer.result(job_id, 60).value for job_id in waiting] == [a + 10 for a in range(20)]
    ready(worker)


def test_a_connection_that_is_half_closed_is_made_anew(
    producer: Producer, start_worker: StartWorker, forwarder: Forwarder
) -> None:
    worker = start_worker("--amqp-url", forwarder.url + HEARTBEAT)
    for direction in Direction:
        forwarder.half_close(direction)
        until(lambda: len(worker.records("amqp.disconnected")) >= 2, "both connections are lost")
        assert producer.result(producer.enqueue("t.add", {"a": 1}), 60).value == 11
        ready(worker)


def test_a_handshake_that_stalls_is_given_up(
    producer: Producer, start_worker: StartWorker, forwarder: Forwarder
) -> None:
    # Given a worker that connects again while nothing passes
    worker = start_worker("--amqp-url", forwarder.url + "?stack_timeout=2")
    forwarder.stall()
    forwarder.cut()
    made = forwarder.made

    # When the handshake does not get on, then another one is tried
    until(lambda: forwarder.made >= made + 3, "more connections than the two that stall")
    says(worker, "no connection to RabbitMQ (consume)")

    forwarder.flow()
    assert producer.result(producer.enqueue("t.add", {"a": 1}), 60).value == 11


# ── the broker's objections ─────────────────────────────────────────────────────────────────────────


def test_a_refused_password_is_said_and_tried_again(
    producer: Producer, start_worker: StartWorker, amqp_url: str, tmp_path: Path
) -> None:
    # Given a worker of a user of its own
    name, password = f"t-{secrets.token_hex(4)}", secrets.token_hex(8)
    address = urlsplit(amqp_url).netloc.rpartition("@")[2]
    with management.user(name, password):
        worker = start_worker("--amqp-url", f"amqp://{name}:{password}@{address}/%2F", "--name", name)
        assert producer.call("t.add", {"a": 1}).value == 11

        # When its password is changed and its connections are lost
        management.set_password(name, secrets.token_hex(8))
        until(lambda: management.close_connections(name) == 2, "the broker lists and closes both connections", 30)

        # Then it says so, without the password, and goes on trying
        says(worker, "refuses the user or the password")
        assert password not in reasons(worker) + worker.log
        job_id = producer.enqueue("t.add", {"a": 2})

        # And when the password is its own again, it works
        management.set_password(name, password)
        assert producer.result(job_id, 60).value == 12
        ready(worker)
        worker.stop()


def test_a_message_that_the_broker_will_not_have_holds_up_no_other(
    producer: Producer, start_worker: StartWorker, amqp_url: str
) -> None:
    """The broker closes the channel for it, and does not say which one it was."""
    # Given a worker that may not write to the dead queues
    name, password = f"t-{secrets.token_hex(4)}", secrets.token_hex(8)
    address = urlsplit(amqp_url).netloc.rpartition("@")[2]
    start_worker().stop()  # declares what is needed
    with management.user(name, password, write=r".*\.(retry|replies)$"):
        worker = start_worker("--amqp-url", f"amqp://{name}:{password}@{address}/%2F", "--name", name, "--strict")

        # When a job is to be dead-lettered, among others
        before = [producer.enqueue("t.add", {"a": a}) for a in range(50)]
        poison = producer.enqueue("t.never")
        after = [producer.enqueue("t.add", {"a": a}) for a in range(50)]

        # Then all others are done
        for jobs in (before, after):
            assert [producer.result(job_id, 60).value for job_id in jobs] == [a + 10 for a in range(50)]
        assert producer.replies(poison) == []
        refused = until(lambda: worker.records("job.settlement_deferred"), "the settlement is deferred")
        assert "refused" in refused[0]["message"]

        # And the job is still there when the permission is given
        management.call("PUT", f"/api/permissions/%2F/{name}", {"configure": "", "write": ".*", "read": ".*"})
        until(lambda: producer.replies(poison), "the job is settled", 60)
        assert producer.depth("dead.t") == 1
        worker.stop()


def test_a_job_that_is_held_too_long_is_adopted_when_it_comes_again(
    producer: Producer, start_worker: StartWorker, tmp_path: Path
) -> None:
    """RabbitMQ 4.3 cancels the consumer; acking by the old tag would revive it."""
    worker = start_worker("--consumer-timeout", "2")
    if worker.records("worker.ready")[0]["broker"] < "4.3":
        pytest.skip("older brokers look once in a minute, at a setting of their own")

    # Given a job that takes longer than the broker likes, beside others
    begun = tmp_path / "begun"
    slow = holding(producer, begun, 5.0)
    quick = [producer.enqueue("t.add", {"a": a}) for a in range(20)]

    # When the broker takes it back
    until(lambda: worker.records("amqp.consumer_cancelled"), "the broker cancels the consumer")

    # Then it is done once, and so are those that come later
    assert producer.result(slow).value == 5.0
    assert [producer.result(job_id).value for job_id in quick] == [a + 10 for a in range(20)]
    assert producer.call("t.add", {"a": 1}).value == 11
    assert starts(begun) == 1
    assert len(producer.replies(slow)) == 1
    assert metric(worker, 'penstock_deliveries_adopted_total{queue="t"}') >= 1
    ready(worker)


# ── what somebody deletes ───────────────────────────────────────────────────────────────────────────


def test_a_queue_that_is_deleted_is_declared_again(producer: Producer, worker: WorkerProcess) -> None:
    # Given a worker that declared its queue
    # When somebody deletes it
    producer.channel.queue_delete(producer.topology.work_queue("t"))
    until(lambda: worker.records("amqp.consumer_cancelled"), "the worker notices")

    # Then it is there again, and consumed
    ready(worker)
    assert producer.call("t.add", {"a": 1}).value == 11


def test_in_production_a_missing_queue_is_named_until_it_is_there(
    producer: Producer, start_worker: StartWorker, topology: Topology
) -> None:
    # Given a worker that must not declare anything
    start_worker().stop()
    worker = start_worker("--strict")

    # When its queue is deleted
    name = topology.work_queue("t")
    producer.channel.queue_delete(name)

    # Then it says so and stays
    says(worker, "queue t: the queue does not exist")
    assert worker.get("/livez")[0] == 200

    # And when the queue is declared by whoever may, it consumes
    for queue in topology.queues(["t"]):
        producer.channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        for exchange, key in queue.bindings:
            producer.channel.queue_bind(queue.name, exchange, key)
    ready(worker)
    assert producer.call("t.add", {"a": 1}).value == 11


def test_an_exchange_that_is_deleted_is_declared_again_and_no_reply_is_lost(
    producer: Producer, worker: WorkerProcess, topology: Topology
) -> None:
    # Given a requester and a worker
    assert producer.call("t.add", {"a": 1}).value == 11

    # When the exchange of replies is gone, and a job ends that is to be tried again and one that is to be answered
    producer.channel.exchange_delete(topology.name("retry"))
    job_id = producer.enqueue("t.flaky", {"succeed_at": 2})

    # Then the copy waits for the exchange
    assert producer.result(job_id, 60).value == 2
    ready(worker)


# ── Redis ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def store() -> Iterator[Redis]:
    with private_redis(durable=True) as server:
        yield server


def stored(server: Redis, topology: Topology, job_id: str) -> object:
    with redis.Redis.from_url(server.url) as client:
        body = client.get(f"{topology.namespace}:result:{{{job_id}}}")
    assert isinstance(body, bytes), f"no result of {job_id}"
    return decode_result(body).value


def test_while_redis_is_away_results_wait_and_no_more_jobs_are_taken(
    producer: Producer, start_worker: StartWorker, store: Redis, topology: Topology, tmp_path: Path
) -> None:
    # Given a running job whose result is to be stored
    worker = start_worker("--redis-url", store.url)
    begun, later = tmp_path / "begun", tmp_path / "later"
    running = holding(producer, begun, 0.5, headers={"x-result": "stored"})

    # When Redis dies
    store.kill()

    # Then the worker says so and takes no more jobs
    says(worker, "Redis does not take results")
    until(lambda: metric(worker, 'penstock_intake_paused{queue="t"}') == 1, "intake is paused")
    arguments = {"path": str(later), "seconds": 0.0}
    waiting = [producer.enqueue("t.hold", arguments, headers={"x-result": "stored"}) for _ in range(50)]
    until(lambda: producer.depth("q.t") == 50, "they wait in the broker")

    # And when Redis is back, every job has its result and none ran twice
    store.start()
    until(lambda: worker.records("intake.resumed"), "intake goes on")
    until(lambda: starts(later) == 50 and not metric(worker, 'penstock_jobs_in_progress{queue="t"}'), "all have run")
    until(lambda: producer.depth("q.t") == 0, "the queue is empty")
    ready(worker)
    assert stored(store, topology, running) == 0.5
    assert [stored(store, topology, job_id) for job_id in waiting] == [0.0] * 50
    assert (starts(begun), starts(later)) == (1, 50)


# ── stopping ────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_that_stops_without_a_connection_says_what_it_could_not_settle(
    producer: Producer, start_worker: StartWorker, forwarder: Forwarder, tmp_path: Path
) -> None:
    # Given a running job and no connection
    worker = start_worker("--amqp-url", forwarder.url, "--drain", "3")
    begun = tmp_path / "begun"
    job_id = holding(producer, begun, 1.5)
    forwarder.refuse()
    forwarder.cut()
    says(worker, "no connection to RabbitMQ (publish)")

    # When it is told to stop
    worker.signal(signal.SIGTERM)

    # Then it waits for the connection as long as it may, and says that the job will be handed out again
    assert worker.wait() == 75
    (stopped,) = worker.records("worker.stopped")
    assert (stopped["finished"], stopped["handed_back"], stopped["unsettled"]) == (1, 0, 1)
    assert "1 could not be settled" in stopped["message"]

    # And it is
    start_worker()
    assert producer.result(job_id, 60).value == 1.5


def test_a_connection_that_comes_back_during_the_drain_is_used(
    producer: Producer, start_worker: StartWorker, forwarder: Forwarder, tmp_path: Path
) -> None:
    # Given a worker that stops while its broker is out of reach
    worker = start_worker("--amqp-url", forwarder.url, "--drain", "20")
    begun = tmp_path / "begun"
    job_id = holding(producer, begun, 1.0)
    forwarder.refuse()
    forwarder.cut()
    says(worker, "no connection to RabbitMQ (publish)")
    worker.signal(signal.SIGTERM)
    until(lambda: worker.records("worker.draining"), "draining")

    # When the broker can be reached again
    forwarder.refuse(False)

    # Then the reply leaves, once; that its ack had no channel left is said
    assert producer.result(job_id).value == 1.0
    assert worker.wait() == 75
    (stopped,) = worker.records("worker.stopped")
    assert (stopped["finished"], stopped["handed_back"], stopped["unsettled"]) == (1, 0, 1)


def test_the_last_line_counts_what_was_finished_and_what_was_given_back(
    producer: Producer, start_worker: StartWorker, tmp_path: Path
) -> None:
    # Given one job that runs and others that wait for their turn
    worker = start_worker(target="tests.helpers.tasks:solo")
    begun = tmp_path / "begun"
    running = producer.enqueue("solo.hold", {"path": str(begun), "seconds": 1.0})
    until(begun.exists, "the job runs")
    waiting = [producer.enqueue("solo.pid") for _ in range(5)]
    until(lambda: metric(worker, 'penstock_jobs_in_progress{queue="solo"}') > 1, "a job waits in the worker")

    # When the worker is told to stop
    worker.signal(signal.SIGTERM)

    # Then it says so, and nothing is spent of the jobs that waited
    assert worker.wait() == 0
    (stopped,) = worker.records("worker.stopped")
    assert stopped["finished"] + stopped["given_back"] >= 2
    assert (stopped["handed_back"], stopped["unsettled"]) == (0, 0)
    assert producer.result(running).value == 1.0
    start_worker(target="tests.helpers.tasks:solo")
    assert all(producer.result(job_id).attempt == 1 for job_id in waiting)

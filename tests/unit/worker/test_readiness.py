"""Readiness: a worker that would not run a job says why, every time."""

from __future__ import annotations

from collections import Counter

from penstock.worker.readiness import Readiness
from penstock.worker.shutdown import Shutdown
from tests.unit.worker.parts import FakeBroker, FakeQueue, FakeStore, cast_any


class Looking:
    """A worker that is well, until the test harms it."""

    def __init__(self, *, stores: bool = True) -> None:
        self.queues = [FakeQueue("stats"), FakeQueue("img")]
        self.broker, self.store, self.shutdown = FakeBroker(), FakeStore(), Shutdown()
        self.readiness = Readiness(
            cast_any(self.queues), cast_any(self.broker), cast_any(self.store if stores else None), self.shutdown
        )
        self.readiness.started = True

    @property
    def reasons(self) -> list[str]:
        return self.readiness.not_ready()


def test_a_worker_that_is_well_is_ready() -> None:
    looking = Looking()
    assert looking.reasons == looking.readiness.unsettleable() == []


def test_before_it_has_started_and_when_it_stops_a_worker_is_not_ready() -> None:
    looking = Looking()
    looking.readiness.started = False
    assert looking.reasons == ["starting"]
    looking.shutdown.request()
    assert looking.reasons == ["draining"]


def test_every_trouble_of_the_broker_and_of_the_store_is_said() -> None:
    looking = Looking()
    looking.broker.found = ["no connection to RabbitMQ (publish): refused"]
    looking.store.trouble = "connection refused"
    assert looking.reasons == [
        "no connection to RabbitMQ (publish): refused",
        "Redis does not take results: connection refused",
    ]
    assert looking.readiness.unsettleable() == looking.reasons


def test_a_worker_without_a_store_does_not_miss_it() -> None:
    looking = Looking(stores=False)
    looking.store.trouble = "connection refused"
    assert looking.reasons == []


def test_a_queue_that_is_not_consumed_or_has_no_child_is_named() -> None:
    looking = Looking()
    looking.queues[0].consumer.trouble = "the queue does not exist"
    looking.queues[1].lane.counts = Counter({"restarting": 2})
    assert looking.reasons == ["queue stats: the queue does not exist", "queue img: no child is ready"]
    assert looking.readiness.unsettleable() == []


def test_a_child_that_is_busy_is_one_that_is_ready() -> None:
    looking = Looking()
    looking.queues[0].lane.counts = Counter({"busy": 1, "broken": 1})
    assert looking.reasons == []


def test_a_queue_most_of_whose_children_are_broken_says_so_once() -> None:
    looking = Looking()
    looking.queues[0].lane.counts = Counter({"broken": 2})
    looking.queues[0].lane.trouble = "queue stats: 2 of 2 children are broken"
    looking.queues[0].paused, looking.queues[0].consumer.trouble = True, "paused"
    assert looking.reasons == ["queue stats: 2 of 2 children are broken"]
    assert looking.readiness.unsettleable() == []


def test_the_cause_of_a_pause_is_said_once_and_the_pause_until_it_is_over() -> None:
    # Given a pause
    looking = Looking()
    looking.store.trouble = "connection refused"
    for queue in looking.queues:
        queue.paused, queue.consumer.trouble = True, "paused: Redis does not take results"
    assert looking.reasons == ["Redis does not take results: connection refused"]

    # When its cause is gone but the consumers are not back, then that is said
    looking.store.trouble = None
    assert looking.reasons[0] == "queue stats: paused: Redis does not take results"

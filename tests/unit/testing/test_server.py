"""MemoryServer: what it does that the suite of tests/conformance cannot ask of a real broker in a moment."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.broker.ports import Confirm
from penstock.domain.topology import Topology
from penstock.errors import TopologyError
from penstock.testing import FakeClock, MemoryServer, Properties
from penstock.testing.messages import Message
from penstock.testing.server import matches

NAMES = Topology("acme")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(clock: FakeClock) -> MemoryServer:
    made = MemoryServer(clock=clock)
    made.declare(NAMES, ["t"])
    return made


def bodies(server: MemoryServer, queue: str) -> list[bytes]:
    return [message.body for message in server.queues[NAMES.name(queue)].ready]


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("t.#", {"t": True, "t.a": True, "t.a.b": True, "tt.a": False, "": False}),
        ("*.t.#", {"1s.t": True, "1s.t.a": True, "t.a": False, "a.b.t": False}),
        ("#", {"": True, "a.b": True}),
        ("#.a", {"a": True, "b.a": True, "a.b": False}),
        ("shop.web-1", {"shop.web-1": True, "shop.web-2": False, "shop": False}),
        ("*", {"a": True, "a.b": False}),
    ],
)
def test_a_pattern_matches_words(pattern: str, keys: dict[str, bool]) -> None:
    assert {key: matches(pattern, key) for key in keys} == keys


def test_waits_of_all_lengths_end_in_their_time(server: MemoryServer, clock: FakeClock) -> None:
    # Given jobs on every level
    for level in ("1h", "1s", "30m", "8s"):
        assert server.publish(NAMES.name("retry"), f"{level}.t.{level}") is Confirm.ACKED

    # Then each comes back in its time
    def keys() -> list[str]:
        return [message.routing_key for message in server.queues[NAMES.work_queue("t")].ready]

    clock.advance(0.999)
    assert keys() == []
    clock.advance(8)
    assert keys() == ["1s.t.1s", "8s.t.8s"]
    clock.advance(3591)
    assert keys() == ["1s.t.1s", "8s.t.8s", "30m.t.30m"]
    clock.advance(1)
    assert keys()[3:] == ["1h.t.1h"]


def test_a_short_wait_stands_behind_a_longer_one(server: MemoryServer, clock: FakeClock) -> None:
    """As in RabbitMQ, which looks at the head of the queue alone."""
    retry = NAMES.name("retry")
    server.publish(retry, "4s.t.a", None, b"long")
    server.publish(retry, "4s.t.a", Properties(expiration="500"), b"short")
    clock.advance(3.9)
    assert bodies(server, "q.t") == []
    clock.advance(0.1)
    assert bodies(server, "q.t") == [b"long", b"short"]
    assert server.queues[NAMES.work_queue("t")].ready[1].properties.expiration is None


def test_a_dead_message_that_finds_no_room_is_kept_and_offered_again(server: MemoryServer, clock: FakeClock) -> None:
    # Given a work queue that is full when a job comes back
    server.queues[NAMES.work_queue("t")].max_length = 0
    server.publish(NAMES.name("retry"), "1s.t.a", None, b"sealed")
    clock.advance(1)
    assert bodies(server, "q.t") == []

    # Then it comes back once there is room, with the broker's patience
    server.queues[NAMES.work_queue("t")].max_length = None
    clock.advance(180)
    assert bodies(server, "q.t") == [b"sealed"]


def test_deaths_are_counted_by_queue_and_reason(server: MemoryServer, clock: FakeClock) -> None:
    # Given a message that goes round twice with all its headers, as it must not
    headers: Any = {"mine": 1}
    for _ in range(2):
        server.publish(NAMES.name("retry"), "1s.t.a", Properties(headers=headers))
        clock.advance(1)
        message = server.queues[NAMES.work_queue("t")].take()
        assert message is not None
        headers = message.headers

    # Then there is one death, counted twice
    assert [(death["queue"], death["count"]) for death in headers["x-death"]] == [(NAMES.name("wait.1s"), 2)]
    assert headers["x-first-death-reason"] == "expired"
    assert headers["mine"] == 1


def test_what_is_published_is_sealed(server: MemoryServer) -> None:
    properties = Properties(headers={"x-attempt": 1})
    server.publish(NAMES.name("jobs"), "t.a", properties)
    assert properties.headers is not None
    properties.headers["x-attempt"] = 2
    taken = server.queues[NAMES.work_queue("t")].take()
    assert taken is not None
    assert taken.headers == {"x-attempt": 1}


def test_a_listener_gets_what_is_there_and_what_comes_until_it_stops(server: MemoryServer) -> None:
    heard: list[Message] = []
    jobs = NAMES.name("jobs")
    for number in range(2000):
        server.publish(jobs, "t.a", None, b"%d" % number)
    stop = server.listen(NAMES.work_queue("t"), heard.append)
    server.publish(jobs, "t.a", None, b"more")
    stop()
    server.publish(jobs, "t.a", None, b"late")
    assert len(heard) == 2001
    assert bodies(server, "q.t") == [b"late"]


def test_a_queue_that_is_purged_or_deleted_has_nothing(server: MemoryServer) -> None:
    jobs, name = NAMES.name("jobs"), NAMES.work_queue("t")
    server.publish(jobs, "t.a")
    server.queues[name].purge()
    assert bodies(server, "q.t") == []
    server.delete_queue(name)
    server.delete_queue(name)
    assert server.publish(jobs, "t.a") is Confirm.RETURNED
    assert server.publish("", name) is Confirm.RETURNED


def test_the_default_exchange_knows_every_queue_by_its_name(server: MemoryServer) -> None:
    assert server.publish("", NAMES.work_queue("t"), None, b"direct") is Confirm.ACKED
    assert bodies(server, "q.t") == [b"direct"]


def test_a_queue_cannot_be_declared_with_other_arguments(server: MemoryServer) -> None:
    with pytest.raises(TopologyError, match="other arguments"):
        server.declare_queue(NAMES.work_queue("t"), {"x-queue-type": "classic"})

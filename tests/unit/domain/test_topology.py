"""Topology: names, the objects of a namespace, and where a waiting message goes."""

from __future__ import annotations

import pytest

from penstock.domain.topology import Topology, level_for, retry_key, task_of_returned
from penstock.wire.registry import EXCHANGES, LADDER

TOPOLOGY = Topology("acme")


def test_the_default_namespace_is_penstock() -> None:
    assert Topology().name("jobs") == "penstock.jobs"


def test_every_name_begins_with_the_namespace() -> None:
    # Given a namespace of its own
    names = [
        TOPOLOGY.name("jobs"),
        TOPOLOGY.work_queue("stats"),
        TOPOLOGY.dead_queue("stats"),
        *(exchange.name for exchange in TOPOLOGY.exchanges()),
        *(queue.name for queue in TOPOLOGY.queues(["stats"])),
        *(source for queue in TOPOLOGY.queues(["stats"]) for source, _ in queue.bindings),
    ]

    # When, then
    assert [name for name in names if not name.startswith("acme.")] == []
    assert TOPOLOGY.work_queue("stats") == "acme.q.stats"
    assert TOPOLOGY.dead_queue("stats") == "acme.dead.stats"


def test_an_exchange_is_declared_after_the_one_that_it_names_as_alternate() -> None:
    # Given the exchanges in the order of declaration
    seen: set[str] = set()

    # When each is declared, then its alternate is there already
    for exchange in TOPOLOGY.exchanges():
        alternate = exchange.arguments.get("alternate-exchange")
        assert alternate is None or alternate in seen
        seen.add(exchange.name)
    assert seen == {f"acme.{row.name}" for row in EXCHANGES}


def test_exchanges_are_as_the_registry_says() -> None:
    exchanges = {exchange.name: exchange for exchange in TOPOLOGY.exchanges()}
    for row in EXCHANGES:
        made = exchanges[f"acme.{row.name}"]
        alternate = {"alternate-exchange": f"acme.{row.alternate}"} if row.alternate else {}
        assert (made.type, made.internal, made.arguments) == (row.type, row.internal, alternate)


def test_only_the_broker_writes_to_the_return_exchange() -> None:
    """Workers believe the headers of what comes from there."""
    exchanges = {exchange.name: exchange for exchange in TOPOLOGY.exchanges()}
    assert exchanges["acme.return"].internal


def test_a_work_queue_takes_new_and_returned_jobs_of_its_queue() -> None:
    # Given the topology of one queue
    queues = {queue.name: queue for queue in TOPOLOGY.queues(["stats"])}

    # When its work queue is looked at
    work = queues["acme.q.stats"]

    # Then it is bound for jobs and for returning ones, and dies into the dead queue
    assert work.bindings == (("acme.jobs", "stats.#"), ("acme.return", "*.stats.#"))
    assert work.arguments["x-queue-type"] == "quorum"
    assert work.arguments["x-dead-letter-exchange"] == "acme.dead"
    assert work.arguments["x-dead-letter-routing-key"] == "stats"
    assert queues["acme.dead.stats"].bindings == (("acme.dead", "stats.#"),)


def test_a_placeholder_that_stands_alone_keeps_the_type_of_its_value() -> None:
    """RabbitMQ refuses a time to live that is text."""
    queues = {queue.name: queue for queue in TOPOLOGY.queues([])}
    for level in LADDER:
        wait = queues[f"acme.wait.{level.level}"]
        assert wait.arguments["x-message-ttl"] == level.ttl_ms
        assert type(wait.arguments["x-message-ttl"]) is int
        assert wait.bindings == (("acme.retry", f"{level.level}.#"),)


def test_nothing_of_a_placeholder_is_left() -> None:
    text = repr([list(TOPOLOGY.exchanges()), list(TOPOLOGY.queues(["stats", "images"]))])
    assert "{namespace}" not in text
    assert "{queue}" not in text
    assert "{level}" not in text
    assert "{ttl_ms}" not in text


def test_shared_queues_are_there_once_however_many_queues_there_are() -> None:
    # Given no, one and two queues
    none, one, two = ([queue.name for queue in TOPOLOGY.queues(names)] for names in ([], ["a"], ["a", "b"]))

    # When, then: the ladder and the lost queue are always there, the others per queue
    assert len(none) == len(LADDER) + 1
    assert set(one) - set(none) == {"acme.q.a", "acme.dead.a"}
    assert set(two) - set(one) == {"acme.q.b", "acme.dead.b"}
    assert len(set(two)) == len(two)


def test_the_queues_may_come_from_an_iterator() -> None:
    assert list(TOPOLOGY.queues(iter(["a", "b"]))) == list(TOPOLOGY.queues(["a", "b"]))


@pytest.mark.parametrize("index", range(len(LADDER)))
def test_a_wait_goes_to_the_longest_level_that_fits(index: int) -> None:
    # Given a level and its neighbours
    level, shorter = LADDER[index], LADDER[max(0, index - 1)]

    # When a wait is just shorter, equal and just longer
    below, equal, above = (level_for(level.ttl_ms + change) for change in (-1, 0, 1))

    # Then it never waits longer than asked, but for the shortest level
    assert (below, equal, above) == (shorter.level, level.level, level.level)


@pytest.mark.parametrize("remaining_ms", [-(2**62), -1, 0, 1, 999])
def test_a_wait_that_is_shorter_than_every_level_goes_to_the_shortest(remaining_ms: int) -> None:
    assert level_for(remaining_ms) == LADDER[0].level


def test_a_wait_that_is_longer_than_every_level_goes_to_the_longest() -> None:
    assert level_for(2**62) == LADDER[-1].level


@pytest.mark.parametrize("level", [row.level for row in LADDER])
@pytest.mark.parametrize("task", ["stats.norm", "stats.linalg.norm", "a-b_c.D"])
def test_the_task_is_found_again_in_the_key_of_a_returned_job(level: str, task: str) -> None:
    assert task_of_returned(retry_key(level, task)) == task


def test_a_returned_key_without_a_level_names_no_task() -> None:
    assert task_of_returned("stats") == ""


def test_looking_at_dead_and_lost_messages_never_uses_up_their_deliveries() -> None:
    """A quorum queue without a dead-letter exchange drops a message at its limit, which is 20 on RabbitMQ 4."""
    queues = {queue.name: queue for queue in TOPOLOGY.queues(["stats"])}
    for name in ("acme.dead.stats", "acme.lost"):
        assert queues[name].arguments == {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}

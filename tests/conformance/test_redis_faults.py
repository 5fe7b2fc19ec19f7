"""What only a real Redis can do to its callers: settlement waits through all of it, and nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import redis

from ops.dev.private import Redis
from penstock.results.redis import RedisResults
from penstock.wire.blob import Blob
from tests.conformance.store_rigs import Caller, RedisRig
from tests.helpers.forwarder import Direction, Forwarder
from tests.unit.builders import job_id
from tests.unit.waiting import until, within_deadline

A, B = job_id(1), job_id(2)

Test = Callable[[Caller], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def rig(redis_server: Callable[[], Redis]) -> Iterator[RedisRig]:
    made = RedisRig(redis_server())
    yield made
    made.close()


@pytest.fixture
def operator(rig: RedisRig) -> Iterator[Any]:
    """Whoever configures Redis; it is empty."""
    with redis.Redis.from_url(rig.server.url, decode_responses=True) as client:
        client.flushall()
        yield client


def on(store: RedisResults, test: Test) -> None:
    async def run() -> None:
        await store.open()
        try:
            await test(Caller(store))
        finally:
            await store.close()

    within_deadline(run())


#: How Redis is brought to refuse a write, and to take it again.
REFUSALS: dict[str, tuple[list[tuple[str, ...]], list[tuple[str, ...]]]] = {
    "full": ([("CONFIG", "SET", "maxmemory", "1")], [("CONFIG", "SET", "maxmemory", "0")]),
    "a replica": ([("REPLICAOF", "127.0.0.1", "1")], [("REPLICAOF", "NO", "ONE")]),
    "without permission": ([("ACL", "SETUSER", "default", "-set")], [("ACL", "SETUSER", "default", "+set")]),
    "without replicas": (
        [("CONFIG", "SET", "min-replicas-to-write", "1")],
        [("CONFIG", "SET", "min-replicas-to-write", "0")],
    ),
}


@pytest.mark.parametrize("state", REFUSALS)
def test_a_write_that_redis_refuses_waits_until_it_is_taken(rig: RedisRig, operator: Any, state: str) -> None:
    refuse, take = REFUSALS[state]

    async def test(caller: Caller) -> None:
        # Given a Redis that takes no writes
        caller.put(A, b"first")
        await caller.answers(1)
        for command in refuse:
            operator.execute_command(*command)
        try:
            # When results are put
            caller.put(B, b"second", "shop.web-1")
            await until(lambda: not caller.store.up)
            assert caller.store.pending == 1
            assert len(caller.told) == 1
        finally:
            for command in take:
                operator.execute_command(*command)

        # Then they are kept when it takes writes again
        assert await caller.answers(2) == [True, True]
        assert caller.store.up
        assert await caller.store.get(B) == b"second"

    on(rig.make(), test)


def test_a_password_that_changes_is_an_outage_until_it_is_right_again(rig: RedisRig, operator: Any) -> None:
    async def test(caller: Caller) -> None:
        # Given a Redis whose password is another one, so that nobody comes in any more
        operator.config_set("requirepass", "rotated")
        operator.client_kill_filter(_type="normal", skipme=True)
        try:
            caller.put(A, b"first")
            await until(lambda: not caller.store.up)
            assert "rotated" not in str(caller.store.trouble)
            assert caller.told == []
        finally:
            operator.config_set("requirepass", "")

        # Then the result is kept when the old one is right again
        assert await caller.answers(1) == [True]

    on(rig.make(), test)


def test_a_script_that_redis_has_forgotten_is_loaded_again(rig: RedisRig, operator: Any) -> None:
    async def test(caller: Caller) -> None:
        caller.put(A, b"first")
        await caller.answers(1)
        operator.script_flush()
        caller.put(A, b"second")
        caller.put(B, b"third")
        assert await caller.answers(3) == [True, False, True]
        assert caller.store.up

    on(rig.make(), test)


def test_a_write_whose_answer_is_lost_is_no_duplicate_of_itself(rig: RedisRig, operator: Any) -> None:
    with Forwarder(rig.server.url) as forwarder:

        async def test(caller: Caller) -> None:
            # Given a connection over which no answer comes
            forwarder.stall([Direction.TO_CLIENT])
            caller.put(A, b"first", "shop.web-1")
            await until(lambda: operator.keys("*") != [])

            # When it is cut
            forwarder.cut()
            await until(lambda: not caller.store.up)
            forwarder.flow()

            # Then the second try finds the result of the first one, and takes it for its own
            assert await caller.answers(1) == [True]
            assert await caller.store.get(A) == b"first"

        on(rig.make(forwarder.url), test)


def test_a_key_that_is_no_result_holds_up_nobody(rig: RedisRig, operator: Any) -> None:
    async def test(caller: Caller) -> None:
        # Given a key of ours in which somebody keeps something else
        operator.lpush(f"{rig.namespace}:result:{{{A}}}", "a list")

        # When results are put and looked up
        caller.put(A, b"first")
        caller.find(A)
        caller.put(B, b"second")

        # Then only that one is not kept
        assert await caller.answers(3) == [False, None, True]
        assert caller.store.up

    on(rig.make(), test)


def test_a_result_has_a_lifetime(rig: RedisRig, operator: Any) -> None:
    async def test(caller: Caller) -> None:
        caller.put(A, b"first")
        await caller.answers(1)
        left_ms = int(operator.pttl(f"{rig.namespace}:result:{{{A}}}"))
        assert 50_000 < left_ms <= 60_000

    on(rig.make(), test)


def test_a_blob_that_was_cut_off_is_completed_by_the_next_who_keeps_it(rig: RedisRig, operator: Any) -> None:
    """A worker that dies while it writes leaves the first chunks, for a while."""
    long = bytes(range(256)) * 10_000
    key = Blob.of(long).key(rig.namespace, A)

    async def test(caller: Caller) -> None:
        operator.set(key, long[: 1024 * 1024])
        assert not await caller.has(A, long)
        caller.keep(A, long)
        assert (await caller.answers(2))[-1] == "kept"
        assert await caller.has(A, long)

    on(rig.make(), test)


def test_no_part_of_a_blob_is_kept_for_ever(rig: RedisRig, operator: Any) -> None:
    async def test(caller: Caller) -> None:
        caller.keep(A, bytes(3_000_000), ttl_ms=50_000)
        await until(lambda: operator.keys(f"{rig.namespace}:blob:*"))
        assert 0 < operator.pttl(Blob.of(bytes(3_000_000)).key(rig.namespace, A)) <= 50_000
        await caller.answers(1)

    on(rig.make(), test)

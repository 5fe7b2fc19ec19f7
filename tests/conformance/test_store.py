"""What every place for results does: the first result stays, and nobody is told what is not certain."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from ops.dev.private import Redis
from tests.conformance.store_rigs import Caller, MemoryStoreRig, RedisRig, StoreRig
from tests.unit.builders import job_id
from tests.unit.waiting import until, within_deadline

A, B, C = job_id(1), job_id(2), job_id(3)

Test = Callable[[Caller, StoreRig], Coroutine[Any, Any, None]]
Play = Callable[[Test], None]


@pytest.fixture(params=["memory", "Redis"])
def rig(request: pytest.FixtureRequest, redis_server: Callable[[], Redis]) -> Iterator[StoreRig]:
    made = MemoryStoreRig() if request.param == "memory" else RedisRig(redis_server())
    yield made
    made.close()


@pytest.fixture
def play(rig: StoreRig) -> Play:
    """Runs a test on a store that is open."""

    async def run(test: Test) -> None:
        store = rig.make()
        await store.open()
        try:
            await test(Caller(store), rig)
        finally:
            await store.close()

    return lambda test: within_deadline(run(test))


def test_the_first_result_of_a_job_stays(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        # When two results of one job are put, by one worker or by two
        caller.put(A, b"first")
        caller.put(A, b"second")
        caller.put(B, b"other")
        other = Caller(rig.make())
        await other.store.open()
        assert await caller.answers(3) == [True, False, True]
        other.put(A, b"third")
        assert await other.answers(1) == [False]
        await other.store.close()

        # Then the first one is found
        assert await caller.store.get(A) == b"first"

    play(test)


def test_our_own_result_that_is_there_already_is_no_duplicate(play: Play) -> None:
    """The answer of a call may get lost while what it asked for is done."""

    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.put(A, b"ours")
        caller.put(A, b"ours")
        assert await caller.answers(2) == [True, True]

    play(test)


def test_a_result_is_found_by_its_job(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.put(A, bytes(range(256)))
        await caller.answers(1)
        caller.find(A)
        caller.find(B)
        assert await caller.answers(3) == [True, bytes(range(256)), None]
        assert await caller.store.get(B) is None

    play(test)


def test_calls_end_in_their_order_and_a_look_up_sees_what_was_put_before_it(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        # Given many calls in one turn
        jobs = [job_id(number) for number in range(600)]
        for job in jobs:
            caller.find(job)
            caller.put(job, job.encode())
            caller.find(job)
        assert caller.store.pending == 1800

        # Then each was told in its turn
        await caller.answers(1800)
        assert caller.told == [(job, answer) for job in jobs for answer in (None, True, job.encode())]
        assert caller.store.pending == 0

    play(test)


def test_the_requester_is_told_of_every_result_once_it_is_there(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.put(A, b"1", "shop.web-1")
        caller.put(B, b"2")
        caller.put(C, b"3", "shop.web-2")
        await caller.answers(3)
        await until(lambda: len(rig.told()) == 2)
        assert rig.told() == [("shop.web-1", A), ("shop.web-2", C)]

    play(test)


def test_while_the_store_is_away_nobody_is_told_anything(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        # Given a store that holds a result and is gone
        caller.put(A, b"first")
        await caller.answers(1)
        assert caller.store.up
        assert caller.store.trouble is None
        rig.lose()

        # When results are put and looked up
        caller.put(A, b"second")
        caller.put(B, b"other")
        caller.find(A)
        caller.find(C)
        await until(lambda: not caller.store.up)
        assert caller.store.trouble
        assert caller.store.pending == 4
        assert len(caller.told) == 1

        # Then they are told the truth when it is back
        rig.restore()
        assert (await caller.answers(5))[1:] == [False, True, b"first", None]
        await until(lambda: caller.store.up)
        assert caller.store.trouble is None
        assert caller.store.pending == 0

    play(test)


def test_a_result_that_is_forgotten_makes_room_for_another(play: Play) -> None:
    """Whoever replays a dead job awaits its new result."""

    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.put(A, b"first")
        await caller.answers(1)
        assert await caller.store.forget(A) is True
        assert await caller.store.forget(A) is False
        assert await caller.store.get(A) is None
        caller.put(A, b"second")
        assert await caller.answers(2) == [True, True]
        assert await caller.store.get(A) == b"second"

    play(test)


def test_what_was_not_told_when_the_store_is_closed_is_never_told(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        rig.lose()
        caller.put(A, b"first")
        await until(lambda: not caller.store.up)
        await caller.store.close()
        await caller.store.close()
        rig.restore()

        # Then another worker's result of the job is the first one
        other = Caller(rig.make())
        await other.store.open()
        other.put(A, b"second")
        assert await other.answers(1) == [True]
        await other.store.close()
        assert caller.told == []

    play(test)

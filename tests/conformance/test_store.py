"""What every place for results does: the first result stays, and nobody is told what is not certain."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from ops.dev.private import Redis
from penstock.wire.blob import Blob
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
        caller.put(A, bytes(bytearray(b"ours")))
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


# ── long bodies ─────────────────────────────────────────────────────────────────────────────────────

#: Several chunks, and a part of one.
LONG = random.Random(4).randbytes(5 * 1024 * 1024 + 17)
SHORT = b"short"


def test_a_blob_comes_back_as_it_was_kept(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.keep(A, LONG)
        caller.keep(A, SHORT)
        assert await caller.answers(2) == ["kept", "kept"]
        assert await caller.has(A, LONG)
        assert await caller.has(A, SHORT)

    play(test)


def test_a_blob_is_found_under_its_own_job_hash_and_size_only(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.keep(A, LONG)
        await caller.answers(1)
        for job, blob in (
            (B, Blob.of(LONG)),
            (A, Blob.of(SHORT)),
            (A, Blob(Blob.of(LONG).sha256, len(LONG) - 1)),
            (A, Blob(Blob.of(LONG).sha256, len(LONG) + 1)),
        ):
            count = len(caller.told)
            caller.fetch(job, blob)
            assert (await caller.answers(count + 1))[-1] is False

    play(test)


def test_a_blob_that_is_kept_again_is_the_same_and_lives_as_long_as_was_said_last(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.keep(A, SHORT, ttl_ms=10_000)
        await caller.answers(1)
        assert rig.lives_ms(A, Blob.of(SHORT)) == pytest.approx(10_000, abs=5000)
        caller.keep(A, SHORT, ttl_ms=90_000)
        await caller.answers(2)
        assert rig.lives_ms(A, Blob.of(SHORT)) == pytest.approx(90_000, abs=5000)
        assert await caller.has(A, SHORT)

        # When its end is put off, or brought forward
        for ttl_ms in (200_000, 30_000):
            caller.store.blobs.expire(A, Blob.of(SHORT), ttl_ms)
            await until(lambda: not caller.store.pending)
            assert rig.lives_ms(A, Blob.of(SHORT)) == pytest.approx(ttl_ms, abs=5000)

    play(test)


def test_no_end_can_be_set_to_what_is_not_there(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        caller.store.blobs.expire(A, Blob.of(SHORT), 1000)
        await until(lambda: not caller.store.pending)
        assert not await caller.has(A, SHORT)

    play(test)


@pytest.mark.parametrize("as_blob", [True, False])
def test_a_long_result_is_kept_like_a_short_one(play: Play, as_blob: bool) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        # Given a long result, and another of the same job
        caller.put_file(A, LONG, "shop.web-1", as_blob=as_blob)
        await caller.answers(1)
        caller.put_file(A, LONG[:-1], as_blob=as_blob)
        assert await caller.answers(2) == [True, False]

        # Then the first stays, its requester has been told, and a blob it is only if it was to be one
        assert await caller.store.get(A) == LONG
        await until(lambda: len(rig.told()) == 1)
        assert rig.told() == [("shop.web-1", A)]
        assert await caller.has(A, LONG) is as_blob

    play(test)


@pytest.mark.parametrize("as_blob", [True, False])
def test_a_long_result_that_is_there_already_is_no_duplicate(play: Play, as_blob: bool) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        for _ in range(2):
            count = len(caller.told)
            caller.put_file(A, LONG, as_blob=as_blob)
            assert (await caller.answers(count + 1))[-1] is True

    play(test)


def test_long_bodies_wait_while_the_store_is_away(play: Play) -> None:
    async def test(caller: Caller, rig: StoreRig) -> None:
        # Given a store that has a blob and is gone
        caller.keep(A, LONG)
        await caller.answers(1)
        rig.lose()

        # When calls are made
        caller.fetch(A, Blob.of(LONG))
        caller.keep(B, LONG)
        caller.put_file(C, LONG)
        await until(lambda: not caller.store.up)
        assert caller.store.pending >= 3
        assert len(caller.told) == 1

        # Then they end when it is back
        rig.restore()
        await caller.answers(4)
        assert dict(caller.told) == {A: LONG, B: "kept", C: True}
        await until(lambda: caller.store.up)
        assert await caller.has(B, LONG)

    play(test)

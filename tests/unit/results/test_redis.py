"""RedisResults: a call is told of when it is certain, however long Redis is away. Redis is played by hand.

What the script does is tested against a real Redis in tests/conformance.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
from redis import exceptions

from penstock.errors import UsageError
from penstock.results import patience, redis
from penstock.results.redis import RedisResults
from tests.unit.builders import job_id
from tests.unit.waiting import until

#: What one call of the script keeps: the key, the lifetime, the result, the channel, the job.
Kept = tuple[str, int, bytes, str, str]


def batched_by_three(items: list[Any]) -> list[tuple[bytes, str, str]]:
    return list(zip(items[0::3], items[1::3], items[2::3], strict=True))


class FakeRedis:
    """Answers the calls of the script: it keeps the first result of each key, or fails while it is away."""

    def __init__(self, store: RedisResults) -> None:
        self.calls: list[list[Kept]] = []
        self.away: BaseException | None = None
        self.kept: dict[str, bytes] = {}
        store._script = cast("Any", self)

    async def __call__(self, keys: list[str], arguments: list[Any]) -> list[Any]:
        ttl_ms, *rest = arguments
        rows = batched_by_three(rest)
        self.calls.append([(key, ttl_ms, *row) for key, row in zip(keys, rows, strict=True)])
        await asyncio.sleep(0)
        if self.away is not None:
            raise self.away
        return [self._answer(key, body) for key, (body, _, _) in zip(keys, rows, strict=True)]

    def _answer(self, key: str, body: bytes) -> Any:
        if not body:
            return self.kept.get(key)
        return int(self.kept.setdefault(key, body) == body)


class Stage:
    """A store, its Redis, and what became of the calls."""

    def __init__(self) -> None:
        self.store = RedisResults("redis://127.0.0.1:1", namespace="acme", ttl_ms=60_000)
        self.redis = FakeRedis(self.store)
        self.told: list[tuple[int, bool]] = []
        self.found: list[tuple[int, bytes | None]] = []

    def put(self, *numbers: int, body: bytes = b"result", reply_to: str | None = None) -> None:
        for number in numbers:
            self.store.put(job_id(number), body, reply_to, self._noting(number))

    def find(self, *numbers: int) -> None:
        for number in numbers:
            self.store.find(job_id(number), self._finding(number))

    def _finding(self, number: int) -> Callable[[bytes | None], None]:
        return lambda body: self.found.append((number, body))

    def _noting(self, number: int) -> Callable[[bool], None]:
        return lambda first: self.told.append((number, first))

    async def until_told(self, count: int) -> None:
        await until(lambda: len(self.told) >= count)

    async def until_found(self, count: int) -> None:
        await until(lambda: len(self.found) >= count)


def staged(test: Callable[[Stage], Coroutine[Any, Any, None]]) -> Stage:
    """Run a test on a store that is open."""

    async def run() -> Stage:
        stage = Stage()
        stage.store._patience.trouble = None
        stage.store._task = asyncio.create_task(stage.store._run())
        try:
            await test(stage)
        finally:
            await stage.store.close()
        return stage

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_BACKOFF_CAP_S", 0.0)


def test_a_result_is_kept_under_its_job_and_its_requester_is_told() -> None:
    # Given a store
    async def test(stage: Stage) -> None:
        # When a result is put
        stage.put(1, reply_to="shop.web-1")
        assert stage.store.pending == 1
        await stage.until_told(1)

    stage = staged(test)

    # Then Redis has been asked to keep it, for its lifetime, under the key of PROFILE.md
    key = f"acme:result:{{{job_id(1)}}}"
    assert stage.redis.calls == [[(key, 60_000, b"result", "acme:results:shop.web-1", job_id(1))]]
    assert stage.told == [(1, True)]
    assert stage.store.pending == 0


def test_without_a_requester_nobody_is_told() -> None:
    async def test(stage: Stage) -> None:
        stage.put(1)
        await stage.until_told(1)

    assert staged(test).redis.calls[0][0][3] == ""


def test_the_first_result_of_a_job_stays_and_a_later_one_is_told_so() -> None:
    async def test(stage: Stage) -> None:
        stage.put(1, 2)
        await stage.until_told(2)
        stage.put(1, body=b"another run's")
        await stage.until_told(3)

    assert staged(test).told == [(1, True), (2, True), (1, False)]


def test_the_writes_of_one_turn_leave_in_one_call() -> None:
    async def test(stage: Stage) -> None:
        stage.put(*range(100))
        await stage.until_told(100)

    stage = staged(test)
    assert [len(call) for call in stage.redis.calls] == [100]
    assert stage.told == [(number, True) for number in range(100)]


def test_a_call_is_bounded_in_number_and_in_bytes() -> None:
    """A single call of many megabytes would hold up everybody else's."""

    async def test(stage: Stage) -> None:
        # Given more small results than one call may have, and large ones
        stage.put(*range(2000))
        stage.put(*range(2000, 2008), body=bytes(1024 * 1024))
        await stage.until_told(2008)

    # When all are kept
    stage = staged(test)

    # Then no call was too large, and the order is that of the puts
    for call in stage.redis.calls:
        assert len(call) <= 512
        assert len(call) == 1 or sum(len(kept[2]) for kept in call) <= 4 * 1024 * 1024
    assert [number for number, _ in stage.told] == list(range(2008))


@pytest.mark.parametrize(
    "failure",
    [
        exceptions.ConnectionError("gone"),
        exceptions.TimeoutError("slow"),
        exceptions.ReadOnlyError("a replica"),
        exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
        exceptions.AuthenticationError("invalid username-password pair or user is disabled."),
        exceptions.NoPermissionError("this user has no permissions to run the 'publish' command"),
        AttributeError("a defect of the client's"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_while_redis_is_away_nothing_is_told_and_the_write_is_tried_again(
    failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a Redis that is away for some time
    async def test(stage: Stage) -> None:
        stage.redis.away = failure
        stage.put(1)
        await until(lambda: len(stage.redis.calls) >= 3)
        assert stage.told == []
        assert stage.store.pending == 1

        # When it answers again
        stage.redis.away = None
        await stage.until_told(1)
        assert stage.store.up

    with caplog.at_level(logging.INFO):
        stage = staged(test)

    # Then the write is certain, once, and the log has told of both
    assert stage.told == [(1, True)]
    events = [vars(record).get("event") for record in caplog.records]
    assert events == ["redis.unavailable", "redis.available"]


def test_a_store_that_cannot_write_says_so() -> None:
    async def test(stage: Stage) -> None:
        stage.redis.away = exceptions.ConnectionError("gone")
        stage.put(1)
        await until(lambda: not stage.store.up)
        assert stage.store.trouble == "gone"
        assert stage.store.pending == 1

    assert staged(test).told == []


def test_one_listener_that_fails_does_not_silence_the_others() -> None:
    """The task that writes must not end unseen: every later job would wait for ever."""

    # Given a listener with a defect
    def broken(_: bool) -> None:
        raise RuntimeError("a defect elsewhere")

    async def test(stage: Stage) -> None:
        # When results are put for it and for others, before and after
        stage.put(1)
        stage.store.put(job_id(2), b"result", None, broken)
        stage.put(3)
        await stage.until_told(2)
        stage.put(4)
        await stage.until_told(3)

    # Then the others hear of theirs
    assert staged(test).told == [(1, True), (3, True), (4, True)]


def test_what_is_put_while_a_call_is_under_way_goes_with_the_next() -> None:
    async def test(stage: Stage) -> None:
        stage.put(1)
        await until(lambda: bool(stage.redis.calls))
        stage.put(2)
        await stage.until_told(2)

    assert [len(call) for call in staged(test).redis.calls] == [1, 1]


def test_a_look_up_finds_what_is_kept_and_nothing_else() -> None:
    async def test(stage: Stage) -> None:
        stage.put(1)
        await stage.until_told(1)
        stage.find(1, 2)
        assert stage.store.pending == 2
        await stage.until_found(2)
        assert stage.store.pending == 0

    assert staged(test).found == [(1, b"result"), (2, None)]


def test_a_look_up_goes_with_the_writes_of_its_turn_and_sees_those_before_it() -> None:
    async def test(stage: Stage) -> None:
        # Given more writes than one call may have, then a look-up of the last of them
        stage.put(*range(300))
        stage.find(299)
        await stage.until_found(1)

    # Then it has not overtaken them
    stage = staged(test)
    assert stage.found == [(299, b"result")]
    assert [len(call) for call in stage.redis.calls] == [256, 45]


def test_a_look_up_is_bounded_like_the_longest_results() -> None:
    """Each may bring a result of many kilobytes."""

    async def test(stage: Stage) -> None:
        stage.find(*range(100))
        await stage.until_found(100)

    assert max(len(call) for call in staged(test).redis.calls) <= 16


def test_a_look_up_waits_while_redis_is_away() -> None:
    """Taking silence for 'there is none' would run a job that has ended."""

    async def test(stage: Stage) -> None:
        # Given a Redis that holds a result and goes away
        stage.put(1)
        await stage.until_told(1)
        stage.redis.away = exceptions.ConnectionError("gone")

        # When it is looked up
        stage.find(1)
        await until(lambda: len(stage.redis.calls) >= 4)

        # Then nobody is told until it is back
        assert stage.found == []
        assert not stage.store.up
        stage.redis.away = None
        await stage.until_found(1)
        assert stage.store.up

    assert staged(test).found == [(1, b"result")]


def test_an_outage_is_seen_while_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "_IDLE_S", 0.005)

    async def test(stage: Stage) -> None:
        stage.redis.away = exceptions.ConnectionError("gone")
        await until(lambda: not stage.store.up)
        stage.redis.away = None
        await until(lambda: stage.store.up)

    assert staged(test).told == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "http://:hunter2@store",
        "redis://:hunter2@store:port",
        "redis://:hunter2/x@store",
        "redis://:hunter2#x@store",
        "redis://shop:hunter2?x@store",
        "redis://:hunter2@store?db=first",
    ],
)
def test_a_malformed_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match="Redis URL") as refusal:
        RedisResults(url, namespace="acme", ttl_ms=1000)
    assert "hunter2" not in str(refusal.value)

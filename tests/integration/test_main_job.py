"""A job goes in, its result comes out."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest
import redis

from penstock.wire.result import decode_result
from tests.helpers.producer import Producer, new_id
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess


def test_a_result_comes_back_over_the_reply_queue(running: Producer) -> None:
    result = running.call("t.add", {"a": 1, "b": 2})
    assert (result.value, result.error, result.attempt) == (3, None, 1)
    assert result.worker.startswith(f"{running.user}.")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(2**63),
        2**63 - 1,
        1.5,
        "é𝄞",
        b"\x00\xff",
        [1, [2, []]],
        {"b": 1, "a": {}},
        datetime(2024, 1, 2, tzinfo=UTC),
    ],
)
def test_every_kind_of_value_survives_the_round_trip(running: Producer, value: object) -> None:
    assert running.call("t.echo", {"value": value}).value == value


def test_a_library_call_is_exposed_without_a_wrapper(running: Producer) -> None:
    assert running.call("t.sqrt", {"x": 9.0}).value == 3.0


def test_a_start_up_hook_has_run_once_in_the_child(running: Producer) -> None:
    assert running.call("t.warmed").value is True


def test_a_task_knows_its_job(running: Producer) -> None:
    deadline = int(time.time() * 1000) + 60_000
    job_id = running.enqueue("t.whoami", deadline=deadline)
    seen = running.result(job_id).value
    assert (seen["id"], seen["task"], seen["attempt"]) == (job_id, "t.whoami", 1)
    assert 50 < seen["remaining"] <= 60


def test_a_stored_result_is_kept_under_its_key_and_announced(running: Producer, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as store, store.pubsub() as subscription:
        namespace = running.topology.namespace
        subscription.subscribe(f"{namespace}:results:{running.reply_to}")
        until(lambda: subscription.get_message(timeout=0.1), "subscription")

        job_id = running.enqueue("t.add", {"a": 1}, headers={"x-result": "stored"})

        key = f"{namespace}:result:{{{job_id}}}"
        hint = until(lambda: subscription.get_message(ignore_subscribe_messages=True, timeout=0.1), "the hint")
        assert hint["data"] == job_id.encode()
        body = store.get(key)
        assert isinstance(body, bytes)
        assert decode_result(body).value == 11
        assert 0 < store.pttl(key) <= 86_400_000
        assert running.replies(job_id) == []


def test_the_first_stored_result_stays(running: Producer, redis_url: str) -> None:
    job_id = new_id()
    for a in (1, 2):
        running.enqueue("t.add", {"a": a}, message_id=job_id, headers={"x-result": "reply+stored"})
        until(partial(_has_replies, running, job_id, a), "the reply")
    with redis.Redis.from_url(redis_url) as store:
        body = store.get(f"{running.topology.namespace}:result:{{{job_id}}}")
        assert isinstance(body, bytes)
        assert decode_result(body).value == 11


def test_a_delayed_job_waits_in_the_broker(running: Producer) -> None:
    begun = time.time()
    due = int(begun * 1000) + 2_300
    result = running.call("t.noop", headers={"x-not-before": due})
    assert result.error is None
    assert result.started_at is not None
    assert result.started_at >= due - 1_000
    assert result.attempt == 1


def test_a_job_waits_for_a_worker_that_is_not_there_yet(
    producer: Producer, start_worker: Callable[..., WorkerProcess]
) -> None:
    start_worker().stop()
    job_id = producer.enqueue("t.add", {"a": 5})
    start_worker()
    assert producer.result(job_id).value == 15


def test_a_megabyte_goes_both_ways(running: Producer) -> None:
    value = bytes(1_000_000)
    assert running.call("t.echo", {"value": value}).value == value


def _has_replies(producer: Producer, job_id: str, count: int) -> bool:
    return len(producer.replies(job_id)) == count

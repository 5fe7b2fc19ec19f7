"""Failures, crashes and hangs have budgets of their own; deadlines hold; nothing is run twice that has a result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from penstock.domain.topology import Topology
from penstock.wire.result import Result, decode_result
from tests.helpers.producer import Producer, new_id
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess


def failed(result: Result) -> tuple[str, int]:
    """Its code and the attempt that ended it."""
    assert result.error is not None, result
    return result.error.code, result.attempt


def dead(producer: Producer) -> dict[str, Any]:
    """The headers of the dead job."""
    return dict(until(lambda: producer.take("dead.t"), "the dead job")[1].headers)


# ── crashes ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_kills_its_child_three_times_is_kept_with_the_evidence(running: Producer) -> None:
    # When a job segfaults each time, between neighbours
    before = [running.enqueue("t.add", {"a": n}) for n in range(30)]
    crashing = running.enqueue("t.crash")
    after = [running.enqueue("t.add", {"a": n}) for n in range(30)]

    # Then its neighbours lose no attempt
    assert {running.result(job).attempt for job in before + after} == {1}

    # And it ends dead at the third crash, with all that is known of it
    assert failed(running.result(crashing)) == ("CHILD_LOST", 3)
    headers = dead(running)
    assert (headers["x-error-code"], headers["x-attempt"], headers["x-crashes"]) == ("CHILD_LOST", 3, 3)
    assert headers["x-exit"] == "SIGSEGV"
    assert headers["x-peak-rss"] > 5_000_000
    assert "in crash" in headers["x-trace"]
    assert headers["x-first-at"] <= headers["x-failed-at"]


def test_after_a_crash_a_job_runs_alone_in_a_fresh_child(running: Producer, tmp_path: Path) -> None:
    first = tmp_path / "pid"
    result = running.call("t.crash_once", {"path": str(first)})
    assert (result.value["attempt"], result.value["warm"]) == (2, True)
    assert result.value["pid"] != int(first.read_text())
    until(partial(_gone, result.value["pid"]), "the end of the quarantine child")


def _gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


# ── hangs ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_hangs_is_tried_again_and_kept_with_its_last_stack(running: Producer) -> None:
    assert failed(running.call("t.hang_twice")) == ("TIMEOUT", 2)
    headers = dead(running)
    assert (headers["x-hangs"], headers.get("x-crashes", 0)) == (2, 0)
    assert "in hang_twice" in headers["x-trace"]


# ── failures ────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_says_itself_when_it_is_to_be_tried_again(running: Producer) -> None:
    begun = time.time()
    value = running.call("t.not_yet", {"seconds": 2.5}).value
    assert value["attempt"] == 2
    assert value["at"] >= begun + 2.5 - 1.0  # never early by more than a second


def test_a_task_that_rejects_a_job_is_not_asked_again(running: Producer) -> None:
    assert failed(running.call("t.hopeless")) == ("REJECTED", 1)
    assert dead(running)["x-error-type"] == "Reject"


def test_short_waits_are_spent_in_the_slot(running: Producer) -> None:
    # Given three failures with 50 ms between them, far below the ladder's shortest level
    result = running.call("t.quick", {"succeed_at": 4})
    assert (result.value, result.attempt) == (4, 4)
    # And a job that fails each time counts all its tries
    assert failed(running.call("t.quick", {"succeed_at": 9})) == ("TASK_ERROR", 4)
    assert dead(running)["x-attempt"] == 4


def test_no_attempt_starts_later_than_the_policy_allows(running: Producer) -> None:
    # Given waits of 2 s and 3 s in all, counted from the first failure
    assert failed(running.call("t.impatient")) == ("TASK_ERROR", 2)


# ── deadlines ───────────────────────────────────────────────────────────────────────────────────────


def test_a_retry_is_never_scheduled_past_the_deadline_and_the_error_says_where_the_time_went(running: Producer) -> None:
    deadline = int(time.time() * 1000) + 3_000
    result = running.call("t.slow_to_heal", deadline=deadline)
    assert failed(result)[0] == "TASK_ERROR"
    assert result.finished_at <= deadline + 500
    assert result.error is not None
    assert "the deadline leaves no time for another attempt" in result.error.message
    times = result.error.details
    assert times["attempts"] == result.attempt
    assert 0 <= int(times["queue_ms"]) + int(times["run_ms"]) + int(times["backoff_ms"]) <= 4_000


def test_an_expired_job_says_how_long_it_waited(running: Producer, tmp_path: Path) -> None:
    late = int(time.time() * 1000) - 1
    result = running.call("t.count", {"path": str(tmp_path / "n")}, message_id=new_id(late - 5_000), deadline=late)
    assert failed(result) == ("EXPIRED", 0)
    assert result.error is not None
    assert int(result.error.details["queue_ms"]) >= 5_000


# ── one visible result ──────────────────────────────────────────────────────────────────────────────


def test_a_job_that_has_a_stored_result_is_settled_without_running(
    running: Producer, redis_url: str, tmp_path: Path
) -> None:
    # Given a job that has ended, with its result stored
    runs = tmp_path / "runs"
    job_id = new_id()
    running.enqueue("t.count", {"path": str(runs)}, message_id=job_id, headers={"x-result": "reply+stored"})
    until(partial(_replies, running, job_id, 1), "the first reply")

    # When its producer, who knows nothing of that, publishes it again
    headers = {"x-result": "reply+stored", "x-repeat": 1}
    running.enqueue("t.count", {"path": str(runs)}, message_id=job_id, headers=headers)

    # Then it is answered with the same result and has run once
    until(partial(_replies, running, job_id, 2), "the second reply")
    first, second = running.replies(job_id)
    assert first == second
    assert runs.read_text() == "x"
    with redis.Redis.from_url(redis_url) as store:
        body = store.get(f"{running.topology.namespace}:result:{{{job_id}}}")
        assert isinstance(body, bytes)
        assert decode_result(body) == first


def test_the_fence_grows_with_every_start(running: Producer, tmp_path: Path) -> None:
    fences = running.call("t.fences", {"path": str(tmp_path / "fences")}).value
    assert len(fences) == 2
    assert fences == sorted(set(fences))


def _replies(producer: Producer, job_id: str, count: int) -> bool:
    return len(producer.replies(job_id)) == count


# ── stopping ────────────────────────────────────────────────────────────────────────────────────────


def test_a_stop_spends_nothing_of_what_has_not_started(
    producer: Producer, topology: Topology, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    # Given a worker with one slot that is busy, and jobs in its hands that have not started
    worker = start_worker(target="tests.helpers.tasks:solo")
    begun = tmp_path / "begun"
    running = producer.enqueue("solo.hold", {"path": str(begun), "seconds": 1.0})
    until(begun.exists, "the job has begun")
    waiting = [producer.enqueue("solo.pid") for _ in range(3)]

    # When it is stopped
    worker.process.terminate()
    assert worker.process.wait(30) == os.EX_OK

    # Then what ran has ended, and the others wait as if nobody had ever touched them
    assert producer.result(running).value == 1.0
    for _ in waiting:
        _, properties, _ = until(partial(producer.take, "q.solo"), "a job that was given back")
        headers = properties.headers or {}
        assert headers.get("x-delivery-count", 0) == 0
        assert headers.get("x-deliveries", 0) == 0
        assert headers.get("x-attempt", 1) == 1


@pytest.mark.parametrize("wait_s", [1.2, 3.4])
def test_a_scheduled_job_is_never_early_by_more_than_a_second(running: Producer, wait_s: float) -> None:
    due_ms = int((time.time() + wait_s) * 1000)
    result = running.call("t.noop", headers={"x-not-before": due_ms})
    assert result.started_at is not None
    assert result.started_at >= due_ms - 1_000


def test_a_job_that_was_handed_out_too_often_is_kept_and_answered(running: Producer) -> None:
    """Its workers died with it each time, which its copies say; from a producer the header means nothing."""
    deliveries = {"x-deliveries": 50, "x-attempt": 1, "x-result": "reply"}
    assert running.call("t.noop", headers=deliveries).error is None

    job_id = running.enqueue("t.noop", headers=deliveries, exchange="retry", key="1s.t.noop")

    assert failed(running.result(job_id)) == ("DELIVERY_LIMIT", 0)
    assert dead(running)["x-error-code"] == "DELIVERY_LIMIT"

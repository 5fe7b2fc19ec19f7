"""What fails is tried again, refused or kept, and the caller is told."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.wire.job import Job, encode_job
from penstock.wire.result import Result
from tests.helpers.producer import Producer, new_id
from tests.helpers.wait import until
from tests.helpers.worker import WorkerProcess


def code(result: Result) -> str:
    assert result.error is not None, result
    return result.error.code


def test_a_failing_job_comes_back_and_succeeds_at_the_third_attempt(running: Producer) -> None:
    result = running.call("t.flaky", {"succeed_at": 3})
    assert (result.value, result.attempt) == (3, 3)


def test_a_job_whose_attempts_are_used_up_ends_dead_with_its_error(running: Producer) -> None:
    job_id = running.enqueue(
        "t.flaky", {"succeed_at": 9}, headers={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    )
    result = running.result(job_id)
    assert (code(result), result.attempt) == ("TASK_ERROR", 3)
    assert result.error is not None
    assert result.error.message == "RuntimeError: attempt 3 fails"

    dead = until(lambda: running.take("dead.t"), "the dead job")
    _, properties, body = dead
    assert properties.message_id == job_id
    assert properties.headers["x-error-code"] == "TASK_ERROR"
    assert properties.headers["x-attempt"] == 3
    assert properties.headers["traceparent"].startswith("00-aaaa")
    assert "x-death" not in properties.headers
    assert b"succeed_at" in body


def test_the_body_is_the_same_bytes_in_the_dead_queue(running: Producer) -> None:
    job_id = new_id()
    # Not canonical and with a field of the future: a worker that decoded and encoded it again would show.
    body = encode_job(Job(id=job_id, task="t.flaky", tv=1, args={"succeed_at": 9}, created_at=1))
    body = bytes([body[0] + 1]) + body[1:] + b"\xa6future\xcd\x00\x01"
    running.enqueue("t.flaky", body=body, message_id=job_id)
    running.result(job_id)
    assert until(lambda: running.take("dead.t"), "the dead job")[2] == body


def test_an_exception_that_is_never_retried_ends_at_the_first_attempt(running: Producer) -> None:
    result = running.call("t.never")
    assert (code(result), result.attempt) == ("TASK_ERROR", 1)


@pytest.mark.parametrize(
    ("args", "said"),
    [({"b": 1}, "missing a"), ({"a": 1, "c": 2}, "unknown c"), ({"c": 1}, "missing a; unknown c")],
)
def test_wrong_arguments_are_refused_by_name_and_not_kept(running: Producer, args: dict[str, Any], said: str) -> None:
    result = running.call("t.add", args)
    assert (code(result), result.attempt) == ("INVALID_ARGS", 0)
    assert result.error is not None
    assert said in result.error.message
    assert running.depth("dead.t") == 0


def test_wrong_arguments_that_nobody_would_hear_of_are_kept(running: Producer) -> None:
    running.enqueue("t.add", {"c": 1}, headers={"x-result": "none"})
    _, properties, _ = until(lambda: running.take("dead.t"), "the dead job")
    assert properties.headers["x-error-code"] == "INVALID_ARGS"


def other_task() -> bytes:
    return encode_job(Job(id=new_id(), task="t.noop", tv=1, args={}, created_at=1))


@pytest.mark.parametrize(
    ("task", "given", "expected"),
    [
        ("t.nothing", {}, "UNSUPPORTED_TASK"),
        ("t.add", {"body": b"this is no msgpack"}, "BAD_ENVELOPE"),
        ("t.add", {"body": b"\xdd\xff\xff\xff\xff"}, "BAD_ENVELOPE"),
        ("t.add", {"body": b"\x91" * 100_000}, "BAD_ENVELOPE"),
        ("t.add", {"type": "job.v2"}, "UNSUPPORTED_ENVELOPE"),
        ("t.add", {"body": other_task()}, "ENVELOPE_MISMATCH"),
        ("t.add", {"headers": {"x-task-version": 2}}, "UNSUPPORTED_TASK_VERSION"),
        ("t.add", {"body": bytes(1024 * 1024 + 1)}, "TOO_LARGE"),
        ("t.unfit", {}, "RESULT_INVALID"),
    ],
)
def test_what_cannot_run_is_answered_with_a_code_and_kept(
    running: Producer, task: str, given: dict[str, Any], expected: str
) -> None:
    assert code(running.call(task, **given)) == expected
    _, properties, _ = until(lambda: running.take("dead.t"), "the dead job")
    assert properties.headers["x-error-code"] == expected


def test_a_message_without_a_proper_id_is_kept(running: Producer) -> None:
    running.enqueue("t.add", {"a": 1}, message_id=new_id(), correlation_id="x", body=b"\x80", type="job.v1", app_id="a")
    until(lambda: running.take("dead.t"), "the dead job")
    running.channel.basic_publish(running.topology.name("jobs"), "t.add", b"\x80", mandatory=True)
    _, properties, _ = until(lambda: running.take("dead.t"), "the dead job")
    assert properties.headers["x-error-code"] == "UNSUPPORTED_ENVELOPE"


def test_expired_work_is_not_started(running: Producer, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    result = running.call("t.hold", {"path": str(begun), "seconds": 0.0}, deadline=int(time.time() * 1000) - 1)
    assert (code(result), result.attempt) == ("EXPIRED", 0)
    assert not begun.exists()


def test_a_job_that_runs_too_long_is_killed_and_its_neighbours_go_on(running: Producer) -> None:
    hanging = running.enqueue("t.hang")
    others = [running.enqueue("t.add", {"a": n}) for n in range(20)]
    assert [running.result(job).value for job in others] == [n + 10 for n in range(20)]
    result = running.result(hanging)
    assert (code(result), result.attempt) == ("TIMEOUT", 1)
    assert running.call("t.add", {"a": 1}).value == 11


def test_a_child_that_dies_costs_its_one_running_job(producer: Producer, worker: WorkerProcess) -> None:
    before = [producer.enqueue("t.add", {"a": n}) for n in range(50)]
    crashing = producer.enqueue("t.crash")
    after = [producer.enqueue("t.add", {"a": n}) for n in range(50)]

    assert [producer.result(job).value for job in before + after] == [n + 10 for n in range(50)] * 2
    assert all(producer.result(job).attempt == 1 for job in before + after)

    result = producer.result(crashing)
    assert code(result) == "CHILD_LOST"
    assert result.error is not None
    assert "SIGSEGV" in result.error.message
    until(lambda: len(worker.children()) == 2, "both children are back")


def test_a_child_that_was_killed_from_outside_is_replaced(
    producer: Producer, start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker(target="tests.helpers.tasks:solo")
    first = producer.call("solo.pid").value
    os.kill(first, 9)
    second = producer.call("solo.pid").value
    assert second != first
    assert worker.records("child.lost")

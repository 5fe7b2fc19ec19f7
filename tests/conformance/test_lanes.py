"""Every kind of lane means the same by a result, an error, a retry, a timeout and a crash."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.testing import Harness
from penstock.wire.failure import Failure
from penstock.wire.registry import MAX_BODY_BYTES
from penstock.wire.result import Result
from tests.helpers.lane_tasks import SLOTS
from tests.helpers.wait import until
from tests.unit.waiting import alive

LANES = ("processes", "preloaded", "threads", "serial", "asynchronous", "commands")


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[name for name in LANES if name != "serial"])
def wide_lane(request: pytest.FixtureRequest) -> str:
    """A lane with several slots."""
    return str(request.param)


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    with Harness(*(f"tests.helpers.lane_tasks:{name}" for name in LANES), timeout_s=60) as made:
        yield made


def start(harness: Harness, lane: str, action: str, path: Path | str = "", task: str = "run") -> str:
    return harness.enqueue(f"{lane}.{task}", {"action": action, "path": str(path)})


def ended(harness: Harness, lane: str, action: str, path: Path | str = "", task: str = "run") -> Result:
    return harness.result(start(harness, lane, action, path, task))


def failed(result: Result) -> Failure:
    assert result.error is not None
    return result.error


def test_every_job_is_answered_once_with_its_own_result(harness: Harness, lane: str) -> None:
    # Given more jobs than slots
    jobs = [start(harness, lane, "go") for _ in range(5 * SLOTS)]

    # When all have ended
    results = [harness.result(job) for job in jobs]

    # Then each has its own answer
    assert [result.job_id for result in results] == jobs
    assert all(result.error is None for result in results)
    if lane != "commands":
        assert [result.value["job"] for result in results] == jobs


def test_a_body_too_long_for_a_message_goes_both_ways_without_being_read_on_its_way(
    harness: Harness, lane: str
) -> None:
    # Given more jobs than slots, each with 3 MiB, and short ones between them
    long = [random.Random(number).randbytes(3 * MAX_BODY_BYTES) for number in range(2 * SLOTS)]
    jobs = []
    for data in long:
        jobs.append(harness.enqueue(f"{lane}.echo", {"data": data}))
        jobs.append(harness.enqueue(f"{lane}.echo", {"data": data[:3]}))

    # When they are answered
    results = [harness.result(job) for job in jobs]

    # Then each has its own, whole
    assert [result.error for result in results] == [None] * len(jobs)
    assert [result.value for result in results[::2]] == long
    assert [result.value for result in results[1::2]] == [data[:3] for data in long]


def test_as_many_jobs_run_at_once_as_there_are_slots(harness: Harness, wide_lane: str, tmp_path: Path) -> None:
    jobs = [start(harness, wide_lane, "meet", tmp_path) for _ in range(SLOTS)]
    assert [harness.result(job).error for job in jobs] == [None] * SLOTS


def test_a_serial_lane_runs_one_job_at_a_time(harness: Harness, tmp_path: Path) -> None:
    # Given a job that waits for others to run beside it
    first = start(harness, "serial", "meet", tmp_path, task="limited")
    until(lambda: list(tmp_path.iterdir()), "the first job")

    # When another comes
    second = start(harness, "serial", "go")

    # Then the first waits in vain until its time is over, and the second is next
    assert failed(harness.result(first)).code == "TIMEOUT"
    assert harness.result(second).error is None
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_is_answered_with_its_text_and_costs_no_child(harness: Harness, lane: str) -> None:
    # Given a job that fails
    result = ended(harness, lane, "fail")

    # Then the caller learns what it said, after one attempt
    failure = failed(result)
    assert (failure.code, failure.retryable, result.attempt) == ("TASK_ERROR", False, 1)
    assert "no good" in failure.message


def test_an_error_is_tried_again_as_the_policy_says(harness: Harness, lane: str, tmp_path: Path) -> None:
    result = ended(harness, lane, "flaky", tmp_path / "seen", task="again")
    assert (result.error, result.attempt) == (None, 2)


@pytest.mark.parametrize("action", ["hang", "deaf"])
def test_a_job_that_takes_too_long_is_ended_whatever_it_does(harness: Harness, lane: str, action: str) -> None:
    # Given a job that would run for ever
    result = ended(harness, lane, action, task="limited")

    # Then its caller is told, and the next job finds a slot
    assert (failed(result).code, result.attempt) == ("TIMEOUT", 1)
    assert ended(harness, lane, "go").error is None


def test_a_job_whose_soft_limit_is_over_ends_with_its_child_alive(harness: Harness, lane: str) -> None:
    # Given a job that would run for ever, and lets its soft limit pass
    result = ended(harness, lane, "hang", task="soft")

    # Then its caller is told, after one attempt
    failure = failed(result)
    assert (failure.code, failure.exc_type, result.attempt) == ("TIMEOUT", "SoftTimeoutError", 1)
    assert "the soft limit of 0.3 s is over" in failure.message


def test_a_job_whose_soft_limit_is_over_may_return_what_there_is(harness: Harness, lane: str) -> None:
    result = ended(harness, lane, "tidy", task="soft")
    assert (result.error, result.attempt) == (None, 1)
    assert result.value["tidied"] is True


def test_the_neighbours_of_a_job_whose_soft_limit_is_over_are_not_interrupted(
    harness: Harness, wide_lane: str, tmp_path: Path
) -> None:
    # Given a job without an end, and others that wait for as many as there are slots to come
    late = start(harness, wide_lane, "hang", task="soft")
    others = [start(harness, wide_lane, "meet", tmp_path) for _ in range(SLOTS - 1)]

    # When its time is over, and the slot is free for the last of them
    assert failed(harness.result(late)).code == "TIMEOUT"
    others.append(start(harness, wide_lane, "meet", tmp_path))

    # Then all of them succeed
    assert [harness.result(job).error for job in others] == [None] * SLOTS


def test_the_neighbours_of_a_job_that_takes_too_long_lose_nothing(
    harness: Harness, wide_lane: str, tmp_path: Path
) -> None:
    # Given a job without an end, and others that wait for as many as there are slots to come
    late = start(harness, wide_lane, "hang", task="limited")
    others = [start(harness, wide_lane, "meet", tmp_path) for _ in range(SLOTS - 1)]
    until(lambda: len(list(tmp_path.iterdir())) == SLOTS - 1, "the neighbours")

    # When its time is over and the slot is free for the last of them
    assert failed(harness.result(late)).code == "TIMEOUT"
    others.append(start(harness, wide_lane, "meet", tmp_path))

    # Then all of them succeed, in their first attempt
    results = [harness.result(job) for job in others]
    assert [(result.error, result.attempt) for result in results] == [(None, 1)] * SLOTS


def test_a_child_that_dies_costs_what_it_ran_and_nothing_else(harness: Harness, lane: str) -> None:
    # Given a job that kills its child each time
    job = start(harness, lane, "crash")

    # Then it is given up in the end, and the lane goes on meanwhile
    assert ended(harness, lane, "go").error is None
    result = harness.result(job)
    assert (failed(result).code, result.attempt) == ("CHILD_LOST", 3)
    assert ended(harness, lane, "go").error is None


def test_a_program_ends_with_its_child(harness: Harness, tmp_path: Path) -> None:
    """What hangs is not left behind when its job has timed out."""
    job = start(harness, "commands", "meet", tmp_path, task="limited")
    (mark,) = until(lambda: list(tmp_path.iterdir()), "the program")
    assert failed(harness.result(job)).code == "TIMEOUT"
    until(lambda: not alive(int(mark.name)), "the program's end")

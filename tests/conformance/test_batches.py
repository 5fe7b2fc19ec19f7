"""Jobs that are run in one call mean the same to their callers as jobs that have one each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.testing import Harness
from penstock.wire.registry import MAX_BODY_BYTES
from penstock.wire.result import Result
from tests.helpers.batch_tasks import SIZE
from tests.helpers.wait import until

QUEUES = ("batches", "serial_batches")


@pytest.fixture(params=QUEUES)
def queue(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    with Harness(*(f"tests.helpers.batch_tasks:{name}" for name in QUEUES), timeout_s=60) as made:
        yield made


def ended(harness: Harness, task: str, *actions: str) -> list[Result]:
    """The results of jobs that do what these actions say."""
    jobs = [harness.enqueue(task, {"number": n, "action": action}) for n, action in enumerate(actions)]
    results = [harness.result(job) for job in jobs]
    assert [result.job_id for result in results] == jobs
    return results


def full(*actions: str) -> list[str]:
    """These actions first, and jobs that do nothing, as many as run in one call."""
    return [*actions, *["go"] * (SIZE - len(actions))]


def numbers(results: list[Result]) -> list[Any]:
    return [result.value["number"] if result.error is None else result.error.code for result in results]


def calls(results: list[Result]) -> list[int]:
    """How many jobs were in the call of each that has succeeded."""
    return [len(result.value["call"]) for result in results if result.error is None]


def test_jobs_of_one_task_are_run_in_one_call_and_each_has_its_own_result(harness: Harness, queue: str) -> None:
    results = ended(harness, f"{queue}.act", *full())
    assert numbers(results) == list(range(SIZE))
    assert calls(results) == [SIZE] * SIZE
    assert [result.attempt for result in results] == [1] * SIZE


def test_a_batch_that_stays_small_runs_when_its_time_is_up(harness: Harness, queue: str) -> None:
    results = ended(harness, f"{queue}.act", "go", "go", "go")
    assert (numbers(results), calls(results)) == ([0, 1, 2], [3, 3, 3])


def test_an_exception_among_the_results_is_the_error_of_its_job_alone(harness: Harness, queue: str) -> None:
    # Given a batch in which one job is refused
    results = ended(harness, f"{queue}.act", *full("go", "refuse"))

    # Then the call has been made once, and everyone has what is his
    assert numbers(results) == [0, "TASK_ERROR", *range(2, SIZE)]
    assert calls(results) == [SIZE] * (SIZE - 1)
    assert results[1].error is not None
    assert results[1].error.message == "KeyError: 1"


def test_a_batch_that_fails_is_bisected_until_the_job_that_fails_stands_alone(harness: Harness, queue: str) -> None:
    # Given a batch of eight with a job that lets the whole call fail
    results = ended(harness, f"{queue}.act", *full("go", "go", "fail"))

    # Then it alone has failed, and the others have their results from the parts without it
    assert numbers(results) == [0, 1, "TASK_ERROR", *range(3, SIZE)]
    assert calls(results) == [2, 2, 1, 4, 4, 4, 4]
    assert [result.attempt for result in results] == [1] * SIZE


def test_a_batch_with_too_few_results_is_bisected_too(harness: Harness, queue: str) -> None:
    results = ended(harness, f"{queue}.act", *full("short"))
    assert numbers(results) == ["RESULT_INVALID", *range(1, SIZE)]


def test_a_job_that_hangs_costs_the_others_of_its_call_nothing(harness: Harness, queue: str) -> None:
    # Given a batch in which one job never ends
    results = ended(harness, f"{queue}.limited", *full("go", "hang"))

    # Then it is ended, and the others, in calls of their own, have succeeded in their first attempt
    assert numbers(results) == [0, "TIMEOUT", *range(2, SIZE)]
    assert [result.attempt for result in results] == [1] * SIZE
    assert calls(results) == [1] * (SIZE - 1)


def test_a_job_that_ends_the_child_costs_the_others_of_its_call_nothing(harness: Harness, queue: str) -> None:
    # Given a batch in which one job kills the child each time
    results = ended(harness, f"{queue}.crashing", *full("go", "crash"))

    # Then it is given up when its budget is spent, and the others, in calls of their own, have lost no attempt
    assert numbers(results) == [0, "CHILD_LOST", *range(2, SIZE)]
    assert [result.attempt for result in results] == [1, 2, *[1] * (SIZE - 2)]
    assert calls(results) == [1] * (SIZE - 1)


def test_jobs_that_end_the_child_only_together_have_lost_nothing(harness: Harness, queue: str) -> None:
    # Given jobs of which no one does harm by itself
    results = ended(harness, f"{queue}.crashing", *["crowd"] * SIZE)

    # Then the call with all of them has ended the child, and each has succeeded in its first attempt
    assert numbers(results) == list(range(SIZE))
    assert [result.attempt for result in results] == [1] * SIZE


def test_each_job_of_a_batch_has_its_own_arguments_checked_and_its_own_deadline(harness: Harness, queue: str) -> None:
    # Given a batch with a job whose arguments are wrong
    wrong = harness.enqueue(f"{queue}.act", {"nummer": 1})
    right = [harness.enqueue(f"{queue}.act", {"number": n}) for n in range(SIZE - 1)]

    # Then the others do not notice
    assert numbers([harness.result(wrong)]) == ["INVALID_ARGS"]
    assert numbers([harness.result(job) for job in right]) == list(range(SIZE - 1))


def test_bodies_too_long_for_a_message_go_both_ways(harness: Harness, queue: str) -> None:
    # Given a batch in which some jobs have 2 MiB, and others a few bytes
    long = [bytes([n]) * (2 * MAX_BODY_BYTES if n % 2 else 3) for n in range(SIZE)]
    jobs = [harness.enqueue(f"{queue}.act", {"number": n, "data": data}) for n, data in enumerate(long)]

    # Then each has its own back
    assert [harness.result(job).value["data"] for job in jobs] == long


def test_an_error_of_one_job_is_told_by_its_own_code(harness: Harness, queue: str) -> None:
    (result,) = ended(harness, f"{queue}.soon", "refuse")
    assert numbers([result]) == ["UNKNOWN"]


def test_a_task_without_a_batch_has_its_turn_in_the_same_queue(harness: Harness) -> None:
    jobs = [
        (harness.enqueue("batches.soon", {"number": n}), harness.enqueue("batches.single", {"number": n}))
        for n in range(50)
    ]
    assert [harness.result(job).value["number"] for job, _ in jobs] == list(range(50))
    assert [harness.result(job).value for _, job in jobs] == list(range(50))


def test_a_job_that_is_alone_in_its_call_can_be_cancelled_while_it_runs(harness: Harness, tmp_path: Path) -> None:
    # Given a lane with one child, and a call with one job that never ends
    (before,) = ended(harness, "serial_batches.soon", "go")
    mark = tmp_path / "begun"
    job = harness.enqueue("serial_batches.soon", {"number": 1, "action": "hang", "data": os.fsencode(mark)})
    until(mark.exists, "the call")

    # When it is cancelled
    harness.cancel(job)

    # Then it has ended by itself: its child was not killed
    assert numbers([harness.result(job)]) == ["CANCELLED"]
    (after,) = ended(harness, "serial_batches.soon", "go")
    assert after.value["pid"] == before.value["pid"]


def test_a_job_that_waits_for_others_can_be_cancelled(harness: Harness, queue: str) -> None:
    # Given a batch that is about to be full
    jobs = [harness.enqueue(f"{queue}.act", {"number": n}) for n in range(SIZE - 1)]

    # When one of its jobs is cancelled
    harness.cancel(jobs[0])

    # Then it was not in the call with the others
    assert numbers([harness.result(jobs[0])]) == ["CANCELLED"]
    results = [harness.result(job) for job in jobs[1:]]
    assert (numbers(results), calls(results)) == (list(range(1, SIZE - 1)), [SIZE - 2] * (SIZE - 2))

"""Harness: what a project's test of its tasks sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import CatalogError, UnavailableError, WorkerError
from penstock.testing import Harness, JobFailedError
from tests.helpers.wait import until


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    with Harness("tests.helpers.tasks:t") as made:
        yield made


def test_a_call_returns_the_value_of_the_task(harness: Harness) -> None:
    assert harness.call("t.add", {"a": 1, "b": 2}) == 3
    assert harness.call("t.sqrt", {"x": 16}) == 4.0


def test_a_call_raises_the_error_of_the_task(harness: Harness) -> None:
    with pytest.raises(JobFailedError, match="INVALID_ARGS") as caught:
        harness.call("t.add", {"wrong": 1})
    assert caught.value.failure.code == "INVALID_ARGS"


def test_jobs_can_be_awaited_later_and_in_any_order(harness: Harness) -> None:
    jobs = [harness.enqueue("t.add", {"a": number, "b": 0}) for number in range(50)]
    assert [harness.result(job).value for job in reversed(jobs)] == list(reversed(range(50)))


def test_a_task_is_tried_again_as_its_policy_says(harness: Harness) -> None:
    result = harness.result(harness.enqueue("t.flaky", {"succeed_at": 2}))
    assert (result.value, result.attempt) == (2, 2)


def test_a_task_sees_its_deadline_and_notes(harness: Harness) -> None:
    seen = harness.call("t.whoami", deadline_s=60, meta={"trace": "1"})
    assert 0 < seen["remaining"] <= 60
    assert seen["meta"] == {"trace": "1"}
    with pytest.raises(JobFailedError, match="EXPIRED"):
        harness.call("t.noop", deadline_s=-1)


def test_a_job_that_fails_for_good_is_with_the_dead(harness: Harness) -> None:
    job = harness.enqueue("t.never")
    assert harness.result(job).error is not None
    dead = until(lambda: [one for one in harness.dead() if one.job_id == job], "the dead job")
    assert (dead[0].code, dead[0].headers["x-attempt"]) == ("TASK_ERROR", 1)
    assert "not retried" in dead[0].message


def test_a_task_of_no_queue_is_refused_at_once(harness: Harness) -> None:
    with pytest.raises(UnavailableError, match=r"other\.task.*returned.*'t'"):
        harness.enqueue("other.task")


def test_a_result_that_does_not_come_is_missed(harness: Harness) -> None:
    harness._timeout_s = 0.01
    try:
        with pytest.raises(TimeoutError, match="no result of job"):
            harness.result("nobody")
    finally:
        harness._timeout_s = 30.0


def test_a_worker_survives_the_loss_of_its_broker(harness: Harness, tmp_path: Path) -> None:
    # Given a job that runs while the connection goes
    path = tmp_path / "held"
    job = harness.enqueue("t.hold", {"path": str(path), "seconds": 0.2})
    until(path.exists, "the start of the job")
    harness.on_loop(harness.broker.lose)
    harness.on_loop(harness.broker.restore)

    # Then it ran once and has its result
    assert harness.result(job).value == 0.2
    assert len(path.read_text().split()) == 1


def test_a_module_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(CatalogError, match=r"no_such_module"), Harness("no_such_module:t"):
        pass


def test_a_worker_that_could_not_go_on_says_so_at_the_end() -> None:
    # Given a worker that stops by itself
    harness = Harness("tests.helpers.tasks:t")
    harness.__enter__()
    worker = harness._worker
    assert worker is not None
    harness.on_loop(lambda: worker.shutdown.fail(WorkerError("gave up")))

    # Then whoever leaves the harness learns of it
    with pytest.raises(WorkerError, match="gave up"):
        harness.__exit__()


def test_a_job_that_runs_is_cancelled(harness: Harness, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job_id = harness.enqueue("t.hold", {"path": str(mark), "seconds": 60})
    until(mark.exists, "the job runs")
    harness.cancel(job_id)
    error = harness.result(job_id).error
    assert error is not None
    assert error.code == "CANCELLED"


def test_items_come_as_they_are_yielded_and_the_progress_is_known() -> None:
    with Harness("tests.helpers.stream_tasks:t", timeout_s=20) as harness:
        job = harness.enqueue("t.count", {"n": 200}, headers={"x-result": "reply"})
        assert harness.progress(job) is None
        assert list(harness.items(job)) == list(range(200))
        assert harness.result(job).value == 200

        failing = harness.enqueue("t.count", {"n": 3, "action": "fail", "at": 1})
        items = harness.items(failing)
        assert next(items) == 0
        with pytest.raises(JobFailedError, match="no good"):
            next(items)

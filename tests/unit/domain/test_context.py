"""current_job: what a task can know of the job that it runs."""

from __future__ import annotations

import time

import pytest

from penstock.domain.context import CurrentJob, current_job, running
from tests.unit.builders import JOB_ID


def make_job(deadline_ms: int | None = None) -> CurrentJob:
    return CurrentJob(
        id=JOB_ID, task="stats.norm", attempt=2, fence=20_000, deadline_ms=deadline_ms, meta={"who": "me"}
    )


def test_outside_a_task_there_is_no_current_job() -> None:
    with pytest.raises(RuntimeError, match="inside a task only"):
        current_job()


def test_inside_a_task_the_job_is_known() -> None:
    # Given the context that the child sets around a call
    job = make_job()
    token = running.set(job)

    # When the task asks
    found = current_job()
    running.reset(token)

    # Then it sees its job, until the call is over
    assert found is job
    with pytest.raises(RuntimeError):
        current_job()


def test_without_a_deadline_there_is_no_remaining_time() -> None:
    assert make_job().remaining is None


def test_the_remaining_time_is_told_in_seconds() -> None:
    remaining = make_job(int(time.time() * 1000) + 60_000).remaining
    assert remaining is not None
    assert 50 < remaining <= 60


def test_after_the_deadline_the_remaining_time_is_zero() -> None:
    assert make_job(1).remaining == 0.0


def test_a_job_cannot_be_changed_by_its_task() -> None:
    with pytest.raises(AttributeError):
        make_job().attempt = 3  # type: ignore[misc]

"""Every kind of lane that runs Python means the same by an item, and holds a task back whose reader is slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.testing import Harness, JobFailedError, JobRestartedError
from penstock.wire.registry import STREAM_WINDOW
from tests.helpers.wait import until

LANES = ("processes", "serial", "threads", "asynchronous")
REPLY = {"x-result": "reply"}
STORED = {"x-result": "reply+stored"}


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[name for name in LANES if name != "threads"])
def soft_lane(request: pytest.FixtureRequest) -> str:
    """A lane that has soft limits."""
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where tasks note what they have done."""
    return tmp_path / "notes"


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    with Harness(*(f"tests.helpers.stream_tasks:{name}" for name in LANES), timeout_s=60) as made:
        yield made


def start(harness: Harness, task: str, headers: dict[str, Any] = REPLY, **args: Any) -> str:
    given = {name: str(value) if isinstance(value, Path) else value for name, value in args.items()}
    return harness.enqueue(task, given, headers=headers)


def notes(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def held_back(harness: Harness, task: str, path: Path) -> str:
    """A job that waits for its reader, who takes nothing."""
    job = start(harness, task, n=10 * STREAM_WINDOW, path=path)
    until(lambda: len(notes(path)) == STREAM_WINDOW + 1, "the task has as many items on their way as it may, and one")
    return job


def code(harness: Harness, job: str) -> str:
    failure = harness.result(job).error
    return "none" if failure is None else str(failure.code)


@pytest.mark.parametrize("headers", [REPLY, STORED], ids=["reply", "stored"])
def test_items_come_in_their_order_and_all_of_them_before_the_result(
    harness: Harness, lane: str, headers: dict[str, Any]
) -> None:
    # Given two jobs that yield more than fits on the way
    jobs = [start(harness, f"{lane}.count", headers, n=5 * STREAM_WINDOW) for _ in range(2)]

    # When their items are taken
    taken = [list(harness.items(job)) for job in jobs]

    # Then all have come, and the results say how many they were
    assert taken == [list(range(5 * STREAM_WINDOW))] * 2
    results = [harness.result(job) for job in jobs]
    assert [result.items for result in results] == [5 * STREAM_WINDOW] * 2
    assert [result.value for result in results] == [None if lane == "asynchronous" else 5 * STREAM_WINDOW] * 2


def test_a_task_that_yields_nothing_has_no_items_and_says_so(harness: Harness, lane: str) -> None:
    job = start(harness, f"{lane}.count", n=0)
    assert list(harness.items(job)) == []
    assert harness.result(job).items == 0


def test_a_task_waits_for_a_reader_who_is_slow(harness: Harness, lane: str, path: Path) -> None:
    # Given a job whose reader takes nothing
    job = held_back(harness, f"{lane}.count", path)

    # When others have run meanwhile, where there is room for them
    if lane != "serial":
        assert list(harness.items(start(harness, f"{lane}.count", n=STREAM_WINDOW)))

    # Then it has not gone on, and does as its reader takes what there is
    assert len(notes(path)) == STREAM_WINDOW + 1
    assert list(harness.items(job)) == list(range(10 * STREAM_WINDOW))


def test_a_task_whose_result_nobody_wants_waits_for_nobody(harness: Harness, lane: str, path: Path) -> None:
    start(harness, f"{lane}.count", {"x-result": "none"}, n=3 * STREAM_WINDOW, path=path)
    until(lambda: notes(path)[-1:] == ["closed"], "the end of the task")
    assert len(notes(path)) == 3 * STREAM_WINDOW + 1


def test_what_a_task_raises_comes_after_the_items_before_it(harness: Harness, lane: str) -> None:
    # Given a job that fails in the middle
    job = start(harness, f"{lane}.count", n=5, action="fail", at=3)

    # When its items are taken
    taken: list[Any] = []
    with pytest.raises(JobFailedError, match=r"TASK_ERROR.*no good"):
        taken.extend(harness.items(job))

    # Then the ones before it have come
    assert taken == [0, 1, 2]
    assert harness.result(job).items is None


def test_a_job_is_cancelled_between_two_items(harness: Harness, lane: str, path: Path) -> None:
    job = start(harness, f"{lane}.count", n=5, action="hang", at=3, path=path)
    until(lambda: notes(path) == ["0", "1", "2"], "the third item")
    harness.cancel(job)
    assert code(harness, job) == "CANCELLED"
    assert notes(path)[3:] == ["Cancelled", "closed"]


def test_a_job_is_cancelled_while_it_waits_for_its_reader(harness: Harness, lane: str, path: Path) -> None:
    # Given a job that waits
    job = held_back(harness, f"{lane}.count", path)

    # When it is cancelled
    harness.cancel(job)

    # Then that is raised at its `yield`, in every lane
    assert code(harness, job) == "CANCELLED"
    assert notes(path)[STREAM_WINDOW + 1 :] == ["Cancelled", "closed"]
    assert list(harness.items(start(harness, f"{lane}.count", n=3))) == [0, 1, 2]


def test_the_timeout_counts_while_a_task_waits_for_its_reader(harness: Harness, lane: str, path: Path) -> None:
    job = held_back(harness, f"{lane}.limited", path)
    assert code(harness, job) == "TIMEOUT"
    assert list(harness.items(start(harness, f"{lane}.count", n=3))) == [0, 1, 2]


def test_a_soft_limit_is_raised_at_the_yield_and_what_there_is_may_be_returned(
    harness: Harness, soft_lane: str, path: Path
) -> None:
    # Given a job without an end, whose reader takes nothing
    job = start(harness, f"{soft_lane}.enough", path=path)

    # When its time is over
    result = harness.result(job)

    # Then it ends, with what has been sent, or with an error where it lets the limit pass
    assert notes(path) == [str(STREAM_WINDOW)]
    if soft_lane == "asynchronous":
        assert code(harness, job) == "TIMEOUT"
    else:
        assert (result.error, result.items) == (None, STREAM_WINDOW)


@pytest.mark.parametrize("headers", [REPLY, STORED], ids=["reply", "stored"])
def test_a_job_that_loses_its_child_begins_anew_and_its_reader_is_told(
    harness: Harness, lane: str, path: Path, headers: dict[str, Any]
) -> None:
    # Given a job whose child dies in the middle of its first start
    job = start(harness, f"{lane}.count", headers, n=5, action="crash", at=3, path=path)
    items = harness.items(job)

    # When its items are taken
    taken = [next(items)]
    with pytest.raises(JobRestartedError):
        taken.extend(items)

    # Then the second start yields all of them
    assert list(harness.items(job)) == [0, 1, 2, 3, 4]
    assert harness.result(job).attempt == 2


@pytest.mark.parametrize(("action", "expected"), [("set", "RESULT_INVALID"), ("long", "RESULT_TOO_LARGE")])
def test_an_item_that_cannot_travel_ends_the_attempt(
    harness: Harness, lane: str, path: Path, action: str, expected: str
) -> None:
    job = start(harness, f"{lane}.count", n=5, action=action, at=2, path=path)
    failure = harness.result(job).error
    assert failure is not None
    assert (failure.code, failure.message.partition(":")[0]) == (expected, "item 2")
    assert notes(path) == ["0", "1", "2", "closed"]


def test_the_newest_progress_comes_in_the_end_though_the_task_says_nothing_more(
    harness: Harness, lane: str, path: Path
) -> None:
    # Given a job that says a thousand times how far it is, and then does something else
    job = start(harness, f"{lane}.tell", path=path, times=1000)

    # Then the last of it is known while it does
    until(lambda: harness.progress(job) == (0.5, "step 1000"), "the newest progress")
    path.touch()
    assert harness.result(job).items == 1

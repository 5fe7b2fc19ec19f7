"""TaskSpec and QueueSpec: what the parent knows of a queue, carried by a catalog frame."""

from __future__ import annotations

import pytest

from penstock.domain.batch import Batch
from penstock.domain.lane import Processes
from penstock.domain.retry import NO_RETRY, Retry
from penstock.domain.task import QueueSpec, TaskSpec
from penstock.lanes.frames import Kind, Reader, pack
from tests.unit.builders import make_queue, make_task


@pytest.mark.parametrize(
    "task",
    [
        TaskSpec(name="stats.norm", version=1, timeout_s=None, retry=NO_RETRY),
        TaskSpec(name="s.n", version=1, timeout_s=None, retry=NO_RETRY, takes=("a", "b"), requires=("b",)),
        TaskSpec(name="s.n", version=1, timeout_s=None, retry=NO_RETRY, takes=None, batch=Batch(size=64, wait=0.5)),
        TaskSpec(name="a.b.c", version=2**31 - 1, timeout_s=0.5, retry=Retry(attempts=9, jitter="none")),
    ],
)
def test_a_task_survives_the_way_to_the_parent(task: TaskSpec) -> None:
    # Given a task, when its wire form is read
    read = TaskSpec.from_wire(task.to_wire())

    # Then all of it is there but the exception classes
    assert (read.name, read.version, read.timeout_s) == (task.name, task.version, task.timeout_s)
    assert read.retry.numbers() == task.retry.numbers()
    assert (read.takes, read.requires, read.batch) == (task.takes, task.requires, task.batch)


def test_a_queue_survives_the_way_to_the_parent() -> None:
    # Given a queue with a lane and tasks of its own
    queue = QueueSpec(
        name="stats",
        target="app.tasks:stats",
        lane=Processes(3, python="/opt/venv/bin/python"),
        tasks={
            "stats.a": {1: make_task("stats.a", retry=Retry()), 2: make_task("stats.a", version=2, retry=Retry())},
            "stats.b": {1: make_task("stats.b", timeout_s=2.5, retry=Retry(elapsed=60, share=None))},
        },
    )

    # When a frame carries it
    frames = Reader().feed(pack(Kind.CATALOG, 0, [[queue.to_wire()]]))

    # Then the parent reads the same
    assert [QueueSpec.from_wire(wire) for wire in frames[0].meta[0]] == [queue]


def test_the_order_of_the_tasks_is_kept() -> None:
    queue = make_queue(make_task("stats.z"), make_task("stats.a"), make_task("stats.m"))
    assert list(QueueSpec.from_wire(queue.to_wire()).tasks) == ["stats.z", "stats.a", "stats.m"]


def test_the_exception_classes_stay_in_the_child() -> None:
    task = make_task(retry=Retry(on=(KeyError,), never=(ValueError,)))
    assert "Error" not in repr(task.to_wire())


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("stats.a", 1, 1),
        ("stats.a", 3, 3),
        # only the body says it: the parent goes by the newest
        ("stats.a", None, 3),
        ("stats.a", 2, None),
        ("stats.b", 1, None),
        ("stats.b", None, None),
    ],
)
def test_a_task_is_found_by_its_name_and_version(name: str, version: int | None, found: int | None) -> None:
    queue = make_queue(make_task("stats.a"), make_task("stats.a", version=3))
    task = queue.find(name, version)
    assert (task and task.version) == found

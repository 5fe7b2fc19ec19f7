"""Batches: which waiting jobs are called together, and when."""

from __future__ import annotations

import pytest

from penstock.domain.batch import Batch
from penstock.domain.delivery import Delivery
from penstock.lanes.batches import Batches
from tests.unit.builders import job_id, make_delivery, make_queue, make_task

SIZE, WAIT_S = 4, 0.5
QUEUE = make_queue(
    make_task("stats.norm", batch=Batch(size=SIZE, wait=WAIT_S)),
    make_task("stats.norm", version=2, batch=Batch(size=SIZE, wait=WAIT_S)),
    make_task("stats.slow", batch=Batch(size=SIZE, wait=10 * WAIT_S)),
    make_task("stats.soon", batch=Batch(size=SIZE, wait=0)),
    make_task("stats.single"),
)


class Stage:
    """Batches, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.batches = Batches(QUEUE, lambda: self.now)

    def add(self, *numbers: int, task: str = "stats.norm", version: int | None = None) -> None:
        for number in numbers:
            self.batches.add(job(number, task, version))

    def due(self) -> bool:
        return self.batches.due(self.now)

    def due_in(self) -> float | None:
        return self.batches.due_in(self.now)

    def take(self) -> list[int]:
        return tags(self.batches.take())


def job(number: int, task: str = "stats.norm", version: int | None = None) -> Delivery:
    return make_delivery(tag=number, task=task, version=version)


def tags(deliveries: list[Delivery]) -> list[int]:
    return [delivery.tag for delivery in deliveries]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_only_jobs_of_a_task_with_a_batch_are_collected(stage: Stage) -> None:
    tasks = ("stats.norm", "stats.single", "stats.unknown")
    assert [stage.batches.collects(job(1, task)) for task in tasks] == [True, False, False]


def test_without_a_job_nothing_is_due(stage: Stage) -> None:
    assert (stage.due(), stage.due_in(), len(stage.batches)) == (False, None, 0)


def test_a_batch_is_due_when_there_are_enough_jobs(stage: Stage) -> None:
    # Given one job less than a batch may have
    stage.add(1, 2, 3)
    assert (stage.due(), stage.due_in()) == (False, WAIT_S)

    # When the last one comes
    stage.add(4)

    # Then nobody waits any longer
    assert (stage.due(), stage.due_in(), stage.take()) == (True, None, [1, 2, 3, 4])
    assert (stage.due(), len(stage.batches)) == (False, 0)


def test_a_batch_is_due_when_its_first_job_has_waited_long_enough(stage: Stage) -> None:
    # Given a job, and another that comes later
    stage.add(1)
    stage.now += WAIT_S - 0.125
    stage.add(2)
    assert (stage.due(), stage.due_in()) == (False, 0.125)

    # When the first one's time is up, then the second goes with it
    stage.now += 0.125
    assert (stage.due(), stage.due_in(), stage.take()) == (True, None, [1, 2])


def test_without_a_wait_a_batch_is_due_at_once(stage: Stage) -> None:
    stage.add(1, task="stats.soon")
    assert (stage.due(), stage.take()) == (True, [1])


def test_a_batch_that_is_due_goes_on_filling_up_until_it_is_taken(stage: Stage) -> None:
    # Given a batch that is due while no child is idle
    stage.add(1)
    stage.now += WAIT_S

    # When more jobs come than fit
    stage.add(2, 3, 4, 5, 6)

    # Then as many are taken as fit, and the others are a batch of their own, with their own time
    assert stage.take() == [1, 2, 3, 4]
    assert (stage.due(), stage.due_in(), len(stage.batches)) == (False, WAIT_S, 2)


@pytest.mark.parametrize("others", [("stats.slow", None), ("stats.norm", 1)])
def test_jobs_of_different_tasks_or_versions_are_never_in_one_batch(
    stage: Stage, others: tuple[str, int | None]
) -> None:
    """A version of None is the newest, here 2: the header is not there, and only the body tells."""
    task, version = others
    stage.add(1, 2)
    stage.add(11, 12, task=task, version=version)
    stage.add(3, 4, version=2)
    assert (stage.take(), stage.take()) == ([1, 2, 3, 4], [11, 12])


def test_of_several_batches_that_are_due_the_first_to_be_due_is_next(stage: Stage) -> None:
    # Given a full batch, and a small one whose time was up before
    stage.add(1)
    stage.now += WAIT_S + 1
    stage.add(11, 12, 13, 14, task="stats.slow")

    # Then the older one is next
    assert (stage.take(), stage.take()) == ([1], [11, 12, 13, 14])


def test_the_next_time_is_that_of_the_first_batch_that_only_has_to_wait(stage: Stage) -> None:
    stage.add(1, task="stats.slow")
    stage.add(2)
    assert stage.due_in() == WAIT_S
    stage.now += WAIT_S
    assert stage.due_in() == 9 * WAIT_S


def test_jobs_that_are_put_back_come_first_and_wait_no_longer(stage: Stage) -> None:
    stage.add(3)
    stage.batches.put_back([job(1), job(2)])
    assert (stage.due(), stage.take()) == (True, [1, 2, 3])


def test_jobs_of_a_call_that_was_ended_are_next_each_alone(stage: Stage) -> None:
    # Given a full batch that waits, and jobs of one that ran too long
    stage.add(1, 2, 3, 4)
    stage.batches.put_apart([job(8), job(9)])

    # Then they are alone, and the others are not
    assert (len(stage.batches), stage.due()) == (6, True)
    assert [stage.take(), stage.take(), stage.take()] == [[8], [9], [1, 2, 3, 4]]


def test_all_jobs_can_be_taken_back(stage: Stage) -> None:
    stage.add(1, 2)
    stage.add(3, task="stats.slow")
    stage.batches.put_apart([job(4)])
    assert sorted(tags(stage.batches.take_all())) == [1, 2, 3, 4]
    assert (len(stage.batches), stage.due(), stage.due_in()) == (0, False, None)


def test_one_job_can_be_withdrawn(stage: Stage) -> None:
    # Given jobs that wait for others, and one that waits to be called alone
    for number in (1, 2, 3):
        stage.batches.add(make_delivery(tag=number, job_id=job_id(number)))
    stage.batches.put_apart([make_delivery(tag=4, job_id=job_id(4))])

    # When some are withdrawn, then the others wait on
    withdrawn = [stage.batches.withdraw(job_id(number)) for number in (2, 4, 5)]
    assert [delivery and delivery.tag for delivery in withdrawn] == [2, 4, None]
    assert tags(stage.batches.take_all()) == [1, 3]


def test_nothing_is_left_of_a_batch_whose_only_job_is_withdrawn(stage: Stage) -> None:
    stage.batches.add(make_delivery(job_id=job_id(1)))
    assert stage.batches.withdraw(job_id(1)) is not None
    assert (len(stage.batches), stage.due_in()) == (0, None)

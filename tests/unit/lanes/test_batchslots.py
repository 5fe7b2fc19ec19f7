"""Slots of a lane with batches: an idle child gets one whole, and single jobs have their turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from penstock.domain.batch import Batch
from penstock.domain.lane import AHEAD_S
from penstock.lanes.batchslots import BatchSlots
from penstock.lanes.child import Child
from penstock.lanes.frames import Kind
from penstock.lanes.limits import overdue
from tests.unit.builders import job_id, make_delivery, make_queue, make_task
from tests.unit.lanes.fakes import FakeChild

SIZE, WAIT_S, TIMEOUT_S, TICK_S = 3, 0.5, 2.0, 0.0625
QUEUE = make_queue(
    make_task("stats.norm", batch=Batch(size=SIZE, wait=WAIT_S), timeout_s=TIMEOUT_S), make_task("stats.single")
)


class Stage:
    """Slots with fake children; the test moves the clock, and calls what was to be called later."""

    def __init__(self, children: int = 1) -> None:
        self.now = 100.0
        #: By how much the clock goes on between one look at it and the next.
        self.tick = 0.0
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.slots = BatchSlots(QUEUE, self._clock, self._call_later)
        self.children = [FakeChild() for _ in range(children)]
        self.each = [self.slots.add(cast("Child", child)) for child in self.children]

    def _clock(self) -> float:
        self.now += self.tick
        return self.now

    def _call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(self.later, (seconds, call))
        self.later.append(timer.entry)
        return timer

    def dispatch(self, *numbers: int, task: str = "stats.norm") -> None:
        for number in numbers:
            self.slots.submit(make_delivery(job_id=job_id(number), task=task, tag=number))
        self.slots.dispatch()

    def pass_time(self) -> None:
        ((seconds, call),) = self.later
        self.later.clear()
        self.now += seconds
        call()

    def finish(self, child: int, run_s: float = 1.0) -> int:
        """The child answers its oldest job."""
        number = next(iter(self.each[child].jobs))
        delivery = self.slots.finished(self.each[child], number, run_s)
        assert delivery is not None
        return delivery.tag

    def has(self, child: int) -> list[int]:
        return [assigned.delivery.tag for assigned in self.each[child].jobs.values()]

    def told(self, child: int) -> list[str]:
        return [Kind(frame.kind).name for frame in self.children[child].frames]


class Timer:
    """What will be called later."""

    def __init__(self, later: list[tuple[float, Callable[[], None]]], entry: tuple[float, Callable[[], None]]) -> None:
        self.entry = entry
        self._later = later

    def cancel(self) -> None:
        if self.entry in self._later:
            self._later.remove(self.entry)


def test_a_full_batch_goes_to_an_idle_child_as_one() -> None:
    # Given two idle children
    stage = Stage(children=2)

    # When there are jobs for one batch and one more
    stage.dispatch(1, 2, 3, 4)

    # Then one child has the batch, announced, and the last job waits for others
    batch, idle = (0, 1) if stage.has(0) else (1, 0)
    assert stage.told(batch) == ["BATCH", "JOB", "JOB", "JOB"]
    assert stage.children[batch].frames[0].meta == [3]
    assert stage.children[batch].jobs == [job_id(1), job_id(2), job_id(3)]
    assert (stage.told(idle), stage.slots.waiting, stage.slots.in_children) == ([], 1, 3)


def test_a_small_batch_goes_when_its_time_is_up() -> None:
    # Given a job that waits for others
    stage = Stage()
    stage.dispatch(1)
    assert (stage.has(0), [seconds for seconds, _ in stage.later]) == ([], [WAIT_S])

    # When nobody has come
    stage.pass_time()

    # Then it is a batch of one, and nothing is left to be called
    assert stage.told(0) == ["BATCH", "JOB"]
    assert stage.later == []


def test_a_job_that_comes_later_does_not_put_the_time_off() -> None:
    stage = Stage()
    stage.dispatch(1)
    stage.now += WAIT_S / 2
    stage.dispatch(2)
    assert [seconds for seconds, _ in stage.later] == [WAIT_S / 2]
    stage.pass_time()
    assert stage.has(0) == [1, 2]


def test_a_batch_whose_time_comes_while_jobs_are_handed_out_is_not_forgotten() -> None:
    # Given two jobs that came one after the other, of which the first, for which time runs, is withdrawn
    stage = Stage()
    stage.dispatch(1)
    stage.now += 2.5 * TICK_S
    stage.dispatch(2)
    assert stage.slots.withdraw(job_id(1)) is not None

    # When its time comes, and that of the other one between two looks at the clock
    stage.tick = TICK_S
    stage.pass_time()
    assert stage.has(0) == []

    # Then the other one runs in a moment, though nothing else happens
    stage.pass_time()
    assert stage.has(0) == [2]


def test_all_jobs_of_a_batch_run_at_once_with_one_limit() -> None:
    # Given a batch that runs since 100
    stage = Stage()
    stage.dispatch(1, 2, 3)
    slot = stage.each[0]
    assert (len(list(slot.running())), slot.together) == (3, True)

    # When the first is answered while the others are called again
    stage.now += 1.5
    assert stage.finish(0) == 1

    # Then the others have no more time than the call had
    assert overdue(slot, QUEUE, 102.0) == set()
    assert overdue(slot, QUEUE, 102.001) == set(slot.jobs)


def test_nothing_is_sent_to_a_child_before_its_batch_is_answered_whole() -> None:
    # Given a child with a batch, of which one job is answered, and jobs that wait
    stage = Stage()
    stage.dispatch(1, 2, 3)
    stage.finish(0)
    stage.dispatch(4, 5, 6)
    stage.dispatch(7, task="stats.single")
    assert stage.has(0) == [2, 3]

    # When the last one is
    stage.finish(0)
    stage.finish(0)
    stage.slots.dispatch()

    # Then the next one has its turn: the single job, for the last one was a batch
    assert stage.has(0) == [7]


def test_batches_and_single_jobs_take_turns() -> None:
    # Given a child that has run both, so that it is known how short a single job is
    stage = Stage()
    stage.dispatch(99, task="stats.single")
    stage.finish(0, 0.0001)

    # When many of both come
    stage.dispatch(11, 12, 13, 14, task="stats.single")
    stage.dispatch(*range(1, 3 * SIZE + 1))

    # Then single jobs are not sent ahead for ever, and batches do not keep them off
    turns = []
    while stage.slots.in_children:
        turns.append(stage.has(0))
        while stage.has(0):
            stage.finish(0, 0.0001)
        stage.slots.dispatch()
    assert turns == [[11, 12, 13, 14], [1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_while_batches_wait_single_jobs_have_every_other_turn() -> None:
    stage = Stage()
    stage.dispatch(1, 2, 3)
    stage.dispatch(4, 5, 6)
    stage.dispatch(11, 12, task="stats.single")
    turns = []
    while stage.slots.in_children:
        turns.append(stage.has(0))
        while stage.has(0):
            stage.finish(0, AHEAD_S)
        stage.slots.dispatch()
    assert turns == [[1, 2, 3], [11], [4, 5, 6], [12]]


def test_a_job_has_taken_its_share_of_the_call() -> None:
    """The prefetch goes by how long jobs take."""
    stage = Stage()
    stage.dispatch(1, 2, 3)
    for _ in range(3):
        stage.finish(0, run_s=0.3)
    assert stage.slots.mean_s is not None
    assert abs(stage.slots.mean_s - 0.1) < 1e-9


def test_jobs_that_come_back_apart_are_batches_of_one() -> None:
    # Given the jobs of a call that was ended
    stage = Stage()
    stage.dispatch(1, 2, 3)
    jobs = stage.slots.remove(stage.each.pop())
    stage.slots.put_apart(jobs)

    # When there is a child again
    stage.children.append(FakeChild())
    stage.each.append(stage.slots.add(cast("Child", stage.children[-1])))
    stage.slots.dispatch()

    # Then each has a call of its own, whose fate is that of nobody else
    assert (stage.has(0), stage.each[0].together, stage.slots.waiting) == ([1], False, 2)


def test_everything_that_waits_can_be_taken_back_and_put_back() -> None:
    # Given jobs of both kinds, and no child
    stage = Stage(children=0)
    stage.dispatch(1, 2)
    stage.dispatch(3, task="stats.single")

    # When they are taken back
    taken = stage.slots.take_waiting()
    assert sorted(delivery.tag for delivery in taken) == [1, 2, 3]
    assert stage.slots.waiting == 0

    # And put back, then they wait as before
    stage.slots.put_back(taken)
    assert stage.slots.waiting == 3


def test_a_job_of_either_kind_can_be_withdrawn() -> None:
    stage = Stage(children=0)
    stage.dispatch(1, 2)
    stage.dispatch(3, task="stats.single")
    withdrawn = [stage.slots.withdraw(job_id(number)) for number in (1, 3, 4)]
    assert [delivery and delivery.tag for delivery in withdrawn] == [1, 3, None]
    assert stage.slots.waiting == 1
